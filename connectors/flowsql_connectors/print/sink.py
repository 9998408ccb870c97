"""Writes rows as text lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from flowsql.changelog import Changes
from flowsql.connector import (
    JSON,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Sink,
    Writer,
)
from flowsql.errors import ConnectorError
from flowsql.formats import row_text
from flowsql.types import RowType

__all__ = ["PrintSink"]


class PrintSink(Sink):
    """Standard output or error; at-least-once."""

    guarantee = Guarantee.AT_LEAST_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        identifier = table.options["print-identifier"]
        self._prefix = f"{identifier}> " if identifier else ""
        self._error = table.options["standard-error"]
        self._schema = table.schema

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        del context, previous_tokens
        return _PrintWriter(self._prefix, self._schema, sys.stderr if self._error else sys.stdout)


class _PrintWriter(Writer):
    def __init__(self, prefix: str, schema: RowType, target: TextIO) -> None:
        self._prefix = prefix
        self._schema = schema
        self._target = target

    def write(self, changes: Changes) -> None:
        lines = [f"{self._prefix}{line}\n" for line in row_text(changes, self._schema)]
        with _readable():
            self._target.write("".join(lines))

    def end_step(self) -> None:
        with _readable():
            self._target.flush()

    def prepare(self, checkpoint: int) -> JSON | None:
        del checkpoint
        self.end_step()
        return None

    def commit(self, token: JSON) -> None:
        """There is nothing to commit: `prepare` gives no token."""


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Who has gone does not come back: "cannot" keeps the job from being restarted.
        raise ConnectorError("rows cannot be printed: nobody reads the output any more") from None
