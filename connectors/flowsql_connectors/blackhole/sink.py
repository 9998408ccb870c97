"""Forgets rows."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.changelog import Changes
from flowsql.connector import JSON, ConnectorContext, Guarantee, Sink, Writer

__all__ = ["BlackholeSink"]


class BlackholeSink(Sink):
    """Nowhere; at-least-once."""

    guarantee = Guarantee.AT_LEAST_ONCE

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        del context, previous_tokens
        return _BlackholeWriter()


class _BlackholeWriter(Writer):
    def write(self, changes: Changes) -> None:
        """Gone."""

    def prepare(self, checkpoint: int) -> JSON | None:
        del checkpoint
        return None

    def commit(self, token: JSON) -> None:
        """There is nothing to commit: `prepare` gives no token."""
