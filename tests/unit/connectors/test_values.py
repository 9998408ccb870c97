"""Rows in the statement."""

from __future__ import annotations

from typing import Any

import pytest

from flowsql.changelog import ChangelogMode
from flowsql.connector import Role
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError
from flowsql.testing import connector_table, row_text

VALUES = find_connector("values")


def _table(data: str, mode: str = "I", columns: str = "id INT, name STRING", **more: Any) -> Any:
    options = {"connector": "values", "data": data, "changelog-mode": mode}
    return connector_table(columns, options, **more)


def _lines(table: Any) -> list[str]:
    VALUES.check(table, Role.SCAN)
    source = VALUES.open_source([table], None, None)
    poll = source.open([(s, None) for s in source.discover()]).poll(100, 0)
    return [line for p in poll.pieces for line in row_text(p.changes)]


def test_kinds_lists_and_objects() -> None:
    """All ways to write a row."""
    data = """
      ["+I", 1, "a"]
      [2, null]
      {"name": "c", "id": 3}
      ["-U", 1, "a"]
      ["+U", 1, "b"]
    """
    table = _table(data, "I,UB,UA,D")
    assert ChangelogMode.RETRACT is VALUES.scan_mode(table)
    assert _lines(table) == ["+I[1, a]", "+I[2, null]", "+I[3, c]", "-U[1, a]", "+U[1, b]"]


def test_a_first_value_may_look_like_a_kind() -> None:
    """It is one only where there is one value too many."""
    assert _lines(_table('["-D", 1]', columns="k STRING, n INT")) == ["+I[-D, 1]"]


def test_types_are_those_of_json() -> None:
    """Nested ones as well."""
    columns = "d DECIMAL(5,2), t TIMESTAMP(3), r ROW<x INT>, a ARRAY<INT>, m MAP<STRING, INT>"
    line = '[1.5, "2020-01-01 00:00:05", {"x": 1}, [1, null], {"k": 2}]'
    assert _lines(_table(line, columns=columns)) == [
        "+I[1.50, 2020-01-01T00:00:05, +I[1], [1, null], {k=2}]"
    ]


@pytest.mark.parametrize(
    ("data", "mode", "detail"),
    [
        ("[1]", "I", "It has 1 values for 2 columns."),
        ('[1, "a"]\nnonsense', "I", "It is not valid JSON: Expecting value"),
        ('["x", "a"]', "I", 'Column "id": "x" cannot be read as INT.'),
        ('["-U", 1, "a"]', "I", "Kind -U does not occur in changelog mode I."),
        ("3", "I", "It is neither a list nor an object."),
    ],
)
def test_a_wrong_row_is_named(data: str, mode: str, detail: str) -> None:
    """With its line, when the statement is planned."""
    line = data.count("\n") + 1
    with pytest.raises(ConfigError, match=f'line {line} of option "data" of table "t"') as error:
        VALUES.check(_table(data, mode), Role.SCAN)
    assert detail in str(error.value)


@pytest.mark.parametrize(
    ("columns", "data", "mode", "detail"),
    [
        ("id INT NOT NULL", "[1]\n[null]", "I", 'Column "id" is NULL, but declared NOT NULL.'),
        ("id INT NOT NULL, n INT", '{"n": 3}', "I", 'Column "id" is NULL, but declared NOT NULL.'),
        (
            "id INT NOT NULL, n INT",
            '["-D", null, 1]',
            "I,UA,D",
            'Column "id" is NULL, but declared in the primary key.',
        ),
        (
            "id INT NOT NULL, n INT NOT NULL",
            '["-D", 1, null]\n["+U", 1, null]',
            "I,UA,D",
            'Column "n" is NULL, but declared NOT NULL.',
        ),
        (
            "a ARRAY<INT NOT NULL>",
            "[[1, null]]",
            "I",
            'Something within column "a" is NULL, but declared NOT NULL.',
        ),
        ("id INT, name STRING", '{"nam": 3}', "I", 'no column "nam"; did you mean "name"?'),
    ],
)
def test_null_needs_a_column_that_has_it(columns: str, data: str, mode: str, detail: str) -> None:
    """A NULL in a NOT NULL column would be counted and not be there at once."""
    key = ("id",) if mode == "I,UA,D" else ()
    table = _table(data, mode, columns, primary_key=key)
    line = data.count("\n") + 1
    with pytest.raises(ConfigError, match=f'line {line} of option "data" of table "t"') as error:
        VALUES.check(table, Role.SCAN)
    assert detail in str(error.value)


def test_upsert_needs_a_key() -> None:
    """Without one there is no last row."""
    with pytest.raises(ConfigError, match="needs a primary key"):
        VALUES.check(_table("", "I,UA,D"), Role.SCAN)
    table = _table('["-D", 1, null]', "I,UA,D", primary_key=("id",))
    assert ChangelogMode.UPSERT is VALUES.scan_mode(table)
    assert _lines(table) == ["-D[1, null]"]
