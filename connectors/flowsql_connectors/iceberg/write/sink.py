"""Writes an Iceberg table, exactly once: each checkpoint's files in one snapshot, with a marker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowsql.changelog import Changes
from flowsql.connector import (
    JSON,
    Committed,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Sink,
    Writer,
)
from flowsql.errors import ConnectorError, InternalError
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.arrow import FileForm
from flowsql_connectors.iceberg.write.commit import Conflict, Delta
from flowsql_connectors.iceberg.write.content import Content
from flowsql_connectors.iceberg.write.files import FileSettings
from flowsql_connectors.iceberg.write.leftovers import remove_leftovers
from flowsql_connectors.iceberg.write.rows import AppendedRows
from flowsql_connectors.iceberg.write.target import Target, committed_by, holders_of

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["IcebergSink"]


class IcebergSink(Sink):
    """One table; exactly-once."""

    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        target = Target(self._table, context.attempt, context.sink)
        kept: set[str] = set()
        for token in previous_tokens:
            _check_table(content.checked(token), target)
            kept |= content.stored_files(token, context)
        remove_leftovers(target, kept)
        return IcebergWriter(target, context)

    def committed(self, job: str) -> Committed | None:
        return committed_by(self._table, job)

    def holders(self) -> Sequence[str]:
        return holders_of(self._table)


def _check_table(token: JSON, target: Target) -> None:
    if token["table"] != str(target.metadata.table_uuid):
        raise ConnectorError(
            f'table "{target.declared.name}" is another one than the job wrote: it was dropped and '
            "made again",
            hint="Register the former table in its catalog again. To begin anew, run with --fresh.",
            final=True,
        )


class IcebergWriter(Writer):
    """Writes rows that are only added."""

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        self._target = target
        self._context = context
        options = target.declared.options
        level = options["compression-level"]
        settings = FileSettings.of(
            target.metadata.properties,
            target=options["target-file-size-bytes"],
            codec=options["compression-codec"],
            level=None if level is None else int(level),
        )
        form = FileForm(target.declared.schema, target.table.schema())
        self._rows = AppendedRows(target, form, settings)

    def write(self, changes: Changes) -> None:
        if changes.codes is not None and changes.codes.any():
            raise InternalError('connector "iceberg" was given updates')
        self._rows.add(changes.batch)

    def prepare(self, checkpoint: int) -> JSON | None:
        made = Content(self._rows.finish())
        if not made:
            return None
        stem = self._target.names.new(f"-{checkpoint}")
        token = content.save(made, self._target.metadata, self._context, stem, checkpoint)
        self._rows.taken()
        return token

    def commit(self, token: JSON) -> None:
        target = self._target
        _check_table(content.checked(token), target)
        target.refresh()
        run, checkpoint = token["run"], token["checkpoint"]

        def check(metadata: TableMetadata) -> None:
            if target.is_done(run, checkpoint, metadata):
                raise Conflict("it is there already")

        if not target.is_done(run, checkpoint):
            made = content.load(token, target.metadata, self._context)
            target.commit(Delta(tuple(made.files)), run, checkpoint, check)

    def abort(self, token: JSON) -> None:
        target = self._target
        with target.telling():
            for location in content.stored_files(token, self._context):
                target.table.io.delete(location)
        content.forget(token, self._context)

    def close(self) -> None:
        self._rows.discard()
