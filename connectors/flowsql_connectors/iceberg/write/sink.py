"""Writes an Iceberg table, exactly once: each checkpoint's files in one snapshot, with a marker."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    Committed,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Sink,
    Writer,
)
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.options import upserts
from flowsql_connectors.iceberg.schema import other_partitioning
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.keyed import KeyedWriter
from flowsql_connectors.iceberg.write.overwrite import OverwriteWriter
from flowsql_connectors.iceberg.write.target import Target, committed_by, holders_of
from flowsql_connectors.iceberg.write.writer import AppendWriter, IcebergWriter, check_table

__all__ = ["IcebergSink"]

_UPSERT = "write.upsert.enabled"


class IcebergSink(Sink):
    """One table; exactly-once."""

    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        made = not previous_tokens
        target = Target(self._table, context.attempt, context.sink, make=made)
        other = other_partitioning(self._table, target.table.spec(), target.table.schema())
        if other is not None:
            context.tell(f"{other}: its rows are divided as the catalog says")
        kept: set[str] = set()
        for token in previous_tokens:
            check_table(content.checked(token), target)
            kept |= content.stored_files(token, context)
        writer = self._writer(target, context, list(previous_tokens))
        writer.tidy_after(previous_tokens, kept)
        return writer

    def _writer(
        self, target: Target, context: ConnectorContext, tokens: list[JSON]
    ) -> IcebergWriter:
        if self._table.overwrite:
            self._check_overwriting(target, context.mode)
            return OverwriteWriter(target, context)
        keyed = context.mode is not ChangelogMode.APPEND or bool(upserts(self._table.options))
        if keyed:
            return KeyedWriter(target, context, tokens)
        self._check_adding(target)
        return AppendWriter(target, context)

    def _check_overwriting(self, target: Target, mode: ChangelogMode) -> None:
        """Rows of one key in the query would stand beside each other."""
        wanted = upserts(self._table.options)
        kept = target.metadata.properties.get(_UPSERT) == "true" if wanted is None else wanted
        if kept or mode is not ChangelogMode.APPEND:
            raise ConnectorError(
                f'INSERT OVERWRITE into table "{self._table.name}" is refused: it is kept by key',
                hint=f"Add /*+ OPTIONS('{_UPSERT}' = 'false') */ behind its name if the query has each "
                "key once.",
                final=True,
            )

    def _check_adding(self, target: Target) -> None:
        """A table that others keep by key must not get a second row of one by mistake."""
        wanted = upserts(self._table.options)
        if wanted is None and target.metadata.properties.get(_UPSERT) == "true":
            raise ConnectorError(
                f'table "{self._table.name}" has property "{_UPSERT}", and the job would add rows '
                "whatever their keys",
                hint=f"Declare '{_UPSERT}' = 'true' and its PRIMARY KEY, or '{_UPSERT}' = 'false' to "
                "add rows nevertheless.",
            )

    def committed(self, job: str) -> Committed | None:
        return committed_by(self._table, job)

    def holders(self) -> Sequence[str]:
        return holders_of(self._table)
