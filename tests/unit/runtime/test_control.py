"""The control socket."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowsql.errors import StateError
from flowsql.runtime.control import ControlServer, request


def refuse(*, drain: bool = False) -> None:
    """A command that fails."""
    raise StateError("cannot stop", hint="Wait.")


@pytest.fixture(params=["short", "x" * 90])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A server in a folder with a short and with a long name."""
    folder = tmp_path / request.param
    folder.mkdir()
    made = ControlServer(folder / "control.sock", {"status": lambda: {"a": 1}, "stop": refuse})
    made.start()
    yield folder / "control.sock"
    made.close()


def test_answers(server: Path) -> None:
    """Only its owner can ask; the answer is what the command gave."""
    assert stat.S_IMODE(server.stat().st_mode) == 0o600
    assert request(server, "status", timeout=60) == {"a": 1}


def test_errors_come_back(server: Path) -> None:
    """Message and hint cross the socket."""
    with pytest.raises(StateError, match="cannot stop") as caught:
        request(server, "stop", drain=True, timeout=60)
    assert caught.value.hint == "Wait."
    with pytest.raises(StateError, match='there is no command "fly"'):
        request(server, "fly", timeout=60)
    with pytest.raises(StateError, match="malformed"):
        request(server, "status", other=1, timeout=60)


def test_nobody_there(tmp_path: Path) -> None:
    """A job that does not run is named, whether or not a socket was left behind."""
    folder = tmp_path / "sales"
    folder.mkdir()
    with pytest.raises(StateError, match='job "sales" is not running'):
        request(folder / "control.sock", "status")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "control.sock"))
    left.close()
    with pytest.raises(StateError, match='job "sales" is not running'):
        request(folder / "control.sock", "status")
