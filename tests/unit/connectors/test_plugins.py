"""Connectors are found by their entry points."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoints, entry_points

import pytest

from flowsql.connector import Option
from flowsql.connector.plugins import connector_names, find_connector, installed_connectors
from flowsql.errors import ConfigError

OURS = {
    "blackhole",
    "changelog-sqlite",
    "datagen",
    "fake-database",
    "filesystem",
    "iceberg",
    "postgres-cdc",
    "print",
    "values",
}


def test_all_of_ours_are_installed() -> None:
    """By name, each being what its name says."""
    assert set(connector_names()) >= OURS
    for name, connector in installed_connectors().items():
        assert connector.name == name
        assert find_connector(name) is connector
        assert all(isinstance(o, Option) and o.doc.endswith((".", "`.")) for o in connector.options)


def test_an_unknown_connector_is_named_with_the_nearest() -> None:
    """And with all that are installed."""
    with pytest.raises(ConfigError, match='connector "filesystm" does not exist') as error:
        find_connector("filesystm")
    assert 'Did you mean "filesystem"?' in str(error.value)
    assert "Installed connectors: blackhole, changelog-sqlite," in str(error.value)


def test_listing_names_imports_no_connector() -> None:
    """Completion and error messages must not load every client library."""
    code = (
        "import sys; from flowsql.connector.plugins import connector_names; connector_names();"
        "print([m for m in sys.modules if m.startswith(('flowsql_connectors', 'flowsql.testing'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_is_installed_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement asks; only a name that is not there is looked for again."""
    looks = []

    def counted(group: str) -> EntryPoints:
        looks.append(group)
        return entry_points(group=group)

    find_connector("print")
    monkeypatch.setattr("flowsql.connector.plugins.entry_points", counted)
    find_connector("print")
    find_connector("values")
    assert looks == []
    with pytest.raises(ConfigError):
        find_connector("prince")
    assert looks == ["flowsql.connectors"]
