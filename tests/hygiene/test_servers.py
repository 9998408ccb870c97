"""A test that needs a server is left out on a machine without it, and fails in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.binaries import ServerUnavailable
from tests.services.fixtures import needing_servers

_TESTS = Path(__file__).parents[1]
# The one place that leaves out.
_ALLOWED = {"services/fixtures.py"}


def test_what_needs_a_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """There a skip would let through what nobody looked at."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ServerUnavailable), needing_servers():
        raise ServerUnavailable("no such program")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no such program"), needing_servers():
        raise ServerUnavailable("no such program")


def test_nothing_else_is_left_out() -> None:
    """Every skip for want of a server or a reader goes through there."""
    found = {
        str(path.relative_to(_TESTS))
        for folder in ("services", "lake", "support", "recovery/jobs")
        for path in (_TESTS / folder).rglob("*.py")
        if "pytest.skip(" in path.read_text() or "importorskip" in path.read_text()
    }
    assert found - _ALLOWED == set()
