"""The control socket of a job: how other processes ask and stop it.

Newline-delimited JSON over a Unix socket that only its owner can open. A request is
`{"command": "status" | "stop" | "checkpoint", …}`, the answer `{"ok": …}` or `{"error": …}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flowsql.errors import FlowSQLError, StateError

__all__ = ["ControlServer", "request"]

JSON = dict[str, Any]

_LINE = 1 << 20
# Unix socket names end at 107 bytes.
_MAX_NAME = 100


class ControlServer:
    """Answers requests in threads of its own.

    Args:
        path: of the socket; a stale one is replaced (the caller holds the job's lock).
        commands: name → what answers it; keyword arguments are the request's other members.
    """

    def __init__(self, path: Path, commands: dict[str, Callable[..., Any]]) -> None:
        self._path = path
        self._commands = commands
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._closing = False
        self._answering = 0
        self._answered = threading.Condition()

    def start(self) -> None:
        """Listen; raises StateError."""
        try:
            self._path.unlink(missing_ok=True)
            with _short(self._path) as name:
                self._socket.bind(name)
            self._path.chmod(0o600)
            self._socket.listen(8)
        except OSError as error:
            raise StateError(
                f'could not open control socket "{self._path}": {error.strerror or error}'
            ) from None
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def finish_answers(self, timeout: float = 2.0) -> None:
        """Wait until the answers under way are written."""
        with self._answered:
            self._answered.wait_for(lambda: self._answering == 0, timeout)

    def _serve(self) -> None:
        while not self._closing:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(
                target=self._answer, args=(client,), name="control client", daemon=True
            ).start()

    def _answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rwb") as stream:
            while line := stream.readline(_LINE):
                with self._answered:
                    self._answering += 1
                try:
                    stream.write(json.dumps(self._run(line)).encode() + b"\n")
                    stream.flush()
                finally:
                    with self._answered:
                        self._answering -= 1
                        self._answered.notify_all()

    def _run(self, line: bytes) -> JSON:
        try:
            given = json.loads(line)
            command = given.pop("command")
            if command not in self._commands:
                return {"error": {"message": f'there is no command "{command}"', "hint": None}}
            return {"ok": self._commands[command](**given)}
        except FlowSQLError as error:
            return {"error": {"message": error.message, "hint": error.hint}}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"error": {"message": "the request is malformed", "hint": None}}


def request(path: Path, command: str, *, timeout: float | None = None, **arguments: Any) -> Any:
    """Asks the job behind a socket.

    Raises:
        StateError: nobody answers there, or the job refused.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        try:
            with _short(path) as name:
                client.connect(name)
            with client.makefile("rwb") as stream:
                stream.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
                stream.flush()
                line = stream.readline()
        except FileNotFoundError:
            raise _not_running(path) from None
        except ConnectionRefusedError:
            raise _not_running(path) from None
        except TimeoutError:
            raise StateError(f'the job in "{path.parent}" did not answer in time') from None
        except OSError as error:
            raise StateError(f'could not reach the job in "{path.parent}": {error}') from None
    if not line:
        raise StateError(f'the job in "{path.parent}" ended before it answered')
    answer = json.loads(line)
    if "error" in answer:
        raise StateError(answer["error"]["message"], hint=answer["error"]["hint"])
    return answer["ok"]


def _not_running(path: Path) -> StateError:
    return StateError(
        f'job "{path.parent.name}" is not running',
        hint=f'Its folder is "{path.parent}"; start it with "flowsql run".',
    )


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for the socket that the system takes, however deep its folder is."""
    if len(os.fsencode(path)) <= _MAX_NAME:
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent, target_is_directory=True)
        yield str(link / path.name)
