"""A reader in a process of its own, as its thread in the engine sees it.

The thread asks and waits, so that queue limits, spooling and back-pressure are those of any reader;
what is Python in the reader does not take the engine's interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flowsql.connector import JSON, ConnectorTable, Poll, Reader, SourceStatus, Split
from flowsql.connector.plain import split_json, table_json
from flowsql.errors import FlowSQLError
from flowsql.runtime.frames import Unpacker, error_of
from flowsql.runtime.reader_process import ReaderProcess

__all__ = ["RemoteReader"]


class RemoteReader(Reader):
    """Opens the reader in a process; used by one thread, but for `kill`.

    Args:
        process: that has no reader; it is this one's from now on.
        tables: of the group.
        setup: of the source.
        splits: to begin with, each with its position.

    Raises:
        FlowSQLError: what the connector raised there.
        ConnectorError: the process ended.
    """

    def __init__(
        self,
        process: ReaderProcess,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> None:
        self._process: ReaderProcess | None = process
        self._pid = process.pid
        self._tables = tables
        self._unpacker = Unpacker()
        self._positions: dict[str, JSON] = {}
        self._status: SourceStatus | None = None
        try:
            self._ask(
                {
                    "connector": process.connector,
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
        return self._pid

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
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def release(self) -> ReaderProcess | None:
        """Close the reader and keep its process, for another one; None where there is none."""
        try:
            self._ask({"ask": "close"})
        except FlowSQLError:
            self.close()
        process, self._process = self._process, None
        return process

    def _ask(self, question: JSON) -> tuple[JSON, pa.Buffer | None]:
        assert self._process is not None
        answer, payload = self._process.ask(question)
        if "error" in answer:
            raise self._placed(error_of(answer["error"]))
        return answer, payload

    def _placed(self, error: FlowSQLError) -> FlowSQLError:
        """At the option that is wrong, which only this side knows the place of."""
        if error.option is not None and len(self._tables) == 1:
            self._tables[0].places.mark(error)
        return error


def _plain(splits: Sequence[tuple[Split, JSON | None]]) -> list[list[Any]]:
    return [[split_json(split), position] for split, position in splits]
