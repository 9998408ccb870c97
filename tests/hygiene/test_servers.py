"""A test that needs a server is left out on a machine without it, and fails in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import binaries
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


def test_what_fails_to_be_fetched_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A network that is away for a moment fails no change; one that stays away is told."""
    monkeypatch.setattr(binaries, "_PAUSES", (0.0, 0.0, 0.0))
    twice = "echo no route; echo x >> tries; test $(wc -l < tries) -gt 2"
    binaries.fetched(["sh", "-c", twice], "a jar", tmp_path)
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    with pytest.raises(ServerUnavailable, match="could not fetch a jar: no route"):
        binaries.fetched(["sh", "-c", "echo no route; exit 1"], "a jar")


def test_nothing_else_is_left_out() -> None:
    """Every skip for want of a server or a reader goes through there."""
    found = {
        str(path.relative_to(_TESTS))
        for folder in ("services", "lake", "support", "recovery/jobs")
        for path in (_TESTS / folder).rglob("*.py")
        if "pytest.skip(" in path.read_text() or "importorskip" in path.read_text()
    }
    assert found - _ALLOWED == set()
