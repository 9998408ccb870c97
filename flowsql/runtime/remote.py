"""A reader in a process of its own, as its thread in the engine sees it.

The thread asks and waits, so that queue limits, spooling and back-pressure are those of any reader;
what is Python in the reader does not take the engine's interpreter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flowsql.connector import JSON, ConnectorTable, Poll, Reader, SourceStatus, Split
from flowsql.connector.plain import split_json, table_json
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql.runtime.frames import Unpacker, error_of, receive, send

__all__ = ["RemoteReader"]

# The paths that this process finds modules at, so that a connector is the same in both.
_BOOT = (
    "import sys; channel, life = map(int, sys.argv[1:3]); sys.path[:] = sys.argv[3:]; "
    "from flowsql.runtime.child import main; main(channel, life)"
)
_BUFFER = 4 << 20
_LAST_WORDS = 5.0  # seconds


class RemoteReader(Reader):
    """Starts the process; used by one thread, but for `kill`.

    Args:
        connector: name of the connector, as its entry point has it.
        tables: of the group.
        setup: of the source.
        splits: to begin with, each with its position.

    Raises:
        FlowSQLError: what the connector raised there.
        ConnectorError: the process could not be started, or ended.
    """

    def __init__(
        self,
        connector: str,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> None:
        self._tables = tables
        self._unpacker = Unpacker()
        self._positions: dict[str, JSON] = {}
        self._status: SourceStatus | None = None
        self._closed = False
        self._start()
        try:
            self._ask(
                {
                    "connector": connector,
                    "tables": [table_json(t) for t in tables],
                    "setup": setup,
                    "splits": _plain(splits),
                }
            )
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        answer, payload = self._ask({"ask": "poll", "rows": max_rows, "timeout": timeout})
        if "nothing" in answer:
            status = answer["nothing"]
            self._status = None if status is None else SourceStatus(**status)
            return None
        status = answer["status"]
        self._status = None if status is None else SourceStatus(**status)
        self._positions = answer["positions"]
        return self._unpacker.unpack(answer, payload)

    def position(self, split: str) -> JSON:
        known = self._positions.get(split)
        if known is None:
            known = self._ask({"ask": "position", "split": split})[0]["ok"]
        return known

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        self._ask({"ask": "assign", "splits": _plain(splits)})

    def tell(self, message: JSON) -> None:
        self._ask({"ask": "tell", "message": message})

    def status(self) -> SourceStatus | None:
        return self._status

    def kill(self) -> None:
        """End the process at once; from any thread, where the reader does not answer."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            send(self._channel, {"ask": "close"})
        try:
            self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._channel.close()
        os.close(self._life)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        watched, self._life = os.pipe()
        for end in (ours, theirs):
            for kind in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, kind, _BUFFER)
        self._channel = ours
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    *(sys.executable, "-c", _BOOT, str(theirs.fileno()), str(watched)),
                    *(path or os.getcwd() for path in sys.path),  # noqa: PTH109 - as a module path
                ],
                pass_fds=(theirs.fileno(), watched),
                stdin=subprocess.DEVNULL,
                # Ctrl-C in a terminal is for the engine, which drains before its readers end.
                process_group=0,
                # What a library prints must not stand between results.
                stdout=2,
            )
        except OSError as error:
            ours.close()
            os.close(self._life)
            raise ConnectorError(
                f"could not start a process for a reader of {self._named}: {error.strerror}",
                hint="SET 'pipeline.reader' = 'thread' reads in this process.",
            ) from None
        finally:
            theirs.close()
            os.close(watched)

    def _ask(self, question: JSON) -> tuple[JSON, pa.Buffer | None]:
        try:
            send(self._channel, question)
            answer, payload = receive(self._channel)
        except (EOFError, OSError):
            raise self._ended() from None
        if "error" in answer:
            raise self._placed(error_of(answer["error"]))
        return answer, payload

    def _placed(self, error: FlowSQLError) -> FlowSQLError:
        """At the option that is wrong, which only this side knows the place of."""
        if error.option is not None and len(self._tables) == 1:
            self._tables[0].places.mark(error)
        return error

    def _ended(self) -> ConnectorError:
        try:
            code = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code < 0:
            try:
                how = f"was ended by {signal.Signals(-code).name}"
            except ValueError:
                how = f"was ended by signal {-code}"
        else:
            how = f"ended with exit code {code}"
        return ConnectorError(
            f"the process that reads {self._named} {how}",
            hint="Where nobody ended it, look for a lack of memory in the system's log."
            if code == -signal.SIGKILL
            else None,
        )

    @property
    def _named(self) -> str:
        return ", ".join(f'"{t.name}"' for t in self._tables)


def _plain(splits: Sequence[tuple[Split, JSON | None]]) -> list[list[Any]]:
    return [[split_json(split), position] for split, position in splits]
