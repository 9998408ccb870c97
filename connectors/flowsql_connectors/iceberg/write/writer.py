"""A writer of rows that are only added; what one of rows by key shares with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flowsql.changelog import Changes
from flowsql.connector import JSON, ConnectorContext, Writer
from flowsql.errors import ConnectorError, InternalError
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.arrow import FileForm
from flowsql_connectors.iceberg.write.commit import Conflict, Delta, Landed
from flowsql_connectors.iceberg.write.content import Content
from flowsql_connectors.iceberg.write.files import FileSettings
from flowsql_connectors.iceberg.write.markers import Marker
from flowsql_connectors.iceberg.write.rows import AppendedRows
from flowsql_connectors.iceberg.write.target import Target

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["AppendWriter", "IcebergWriter", "check_table"]

_MOST_TRIES: Final = 50


class IcebergWriter(Writer):
    """Prepares files and commits them, each checkpoint's in one snapshot.

    Subclasses say what the files of a checkpoint are.
    """

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        self.target = target
        self.context = context
        options = target.declared.options
        level = options["compression-level"]
        self.settings = FileSettings.of(
            target.metadata.properties,
            target=options["target-file-size-bytes"],
            codec=options["compression-codec"],
            level=None if level is None else int(level),
        )
        self.form = FileForm(target.declared.schema, target.table.schema())

    def gathered(self) -> Content:
        """Complete files of all rows so far; they stay until `taken`."""
        raise NotImplementedError

    def is_needless(self, made: Content) -> bool:
        """Whether a checkpoint need not commit what `gathered` gave."""
        return not made

    def taken(self, made: Content, token: JSON) -> None:
        """What `gathered` gave is in a token."""
        raise NotImplementedError

    def delta(self, token: JSON) -> Delta:
        """What a token's commit changes, in the table as the target knows it now."""
        raise NotImplementedError

    def check(self, metadata: TableMetadata) -> None:
        """Raise Conflict where `delta` must be asked again, as others have committed."""

    def committed(self, token: JSON, delta: Delta | None, landed: Landed | None) -> None:
        """A token is in the table, by a commit that was made now; Nones where it was before."""

    def prepare(self, checkpoint: int) -> JSON | None:
        made = self.gathered()
        if self.is_needless(made):
            return None
        stem = self.target.names.new(f"-{checkpoint}")
        attempt = self.target.attempt
        marker = Marker(attempt.job, attempt.run, self.target.sink, checkpoint)
        token = content.save(made, self.target.metadata, self.context, stem, marker)
        self.taken(made, token)
        return token

    def commit(self, token: JSON) -> None:
        target = self.target
        target.refresh()
        check_table(content.checked(token), target)
        marker = content.marker_of(token)

        def check(metadata: TableMetadata) -> None:
            if target.is_done(marker, metadata):
                raise Conflict("it is there already")
            self.check(metadata)

        for _ in range(_MOST_TRIES):
            if target.is_done(marker):
                self.committed(token, None, None)
                return
            delta = self.delta(token)
            landed = target.commit(delta, marker, check)
            if landed is not None:
                self.committed(token, delta, landed)
                return
        raise ConnectorError(
            f'could not commit to table "{target.declared.name}": other writers came first '
            f"{_MOST_TRIES} times",
            hint="Trying again is safe.",
        )

    def abort(self, token: JSON) -> None:
        target = self.target
        with target.telling():
            for location in content.stored_files(token, self.context):
                target.table.io.delete(location)
        content.forget(token, self.context)


class AppendWriter(IcebergWriter):
    """Writes rows that are only added."""

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        super().__init__(target, context)
        self._rows = AppendedRows(target, self.form, self.settings)

    def write(self, changes: Changes) -> None:
        if changes.codes is not None and changes.codes.any():
            raise InternalError('connector "iceberg" was given updates')
        self._rows.add(changes.batch)

    def gathered(self) -> Content:
        return Content(self._rows.finish())

    def taken(self, made: Content, token: JSON) -> None:
        del made, token
        self._rows.taken()

    def delta(self, token: JSON) -> Delta:
        return Delta(tuple(content.load(token, self.target.metadata, self.context).files))

    def close(self) -> None:
        self._rows.discard()


def check_table(token: JSON, target: Target) -> None:
    """Raise ConnectorError where the table is not the one that a token was made for."""
    if token["table"] != str(target.metadata.table_uuid):
        raise ConnectorError(
            f'table "{target.declared.name}" is another one than the job wrote: it was dropped and '
            "made again",
            hint="Register the former table in its catalog again. To begin anew, run with --fresh.",
            final=True,
        )
