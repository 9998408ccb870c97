"""A writer of rows that are only added; what one of rows by key shares with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from flowsql.changelog import Changes
from flowsql.connector import JSON, ConnectorContext, Writer
from flowsql.errors import ConnectorError, InternalError
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.arrow import FileForm
from flowsql_connectors.iceberg.write.commit import Conflict, Delta, Landed
from flowsql_connectors.iceberg.write.compaction import Compaction, CompactionSettings, Compactor
from flowsql_connectors.iceberg.write.content import Content
from flowsql_connectors.iceberg.write.expiry import Expirer
from flowsql_connectors.iceberg.write.files import FileSettings
from flowsql_connectors.iceberg.write.leftovers import remove_leftovers
from flowsql_connectors.iceberg.write.live import LiveFiles
from flowsql_connectors.iceberg.write.markers import Marker
from flowsql_connectors.iceberg.write.retention import ExpirySettings
from flowsql_connectors.iceberg.write.rows import AppendedRows
from flowsql_connectors.iceberg.write.target import Target

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["AppendWriter", "IcebergWriter", "check_columns", "check_table", "name_of"]

_MOST_TRIES: Final = 50


class IcebergWriter(Writer):
    """Prepares files and commits them, each checkpoint's in one snapshot.

    Subclasses say what the files of a checkpoint are.

    Attributes:
        keyed: whether a row takes the place of the one with its key.
    """

    keyed = False

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        self.target = target
        self.context = context
        self._earlier: list[JSON] = []
        options = target.declared.options
        level = options["compression-level"]
        self.settings = FileSettings.of(
            target.metadata.properties,
            target=options["target-file-size-bytes"],
            codec=options["compression-codec"],
            level=None if level is None else int(level),
        )
        self.form = FileForm(target.declared.schema, target.table.schema())
        self._columns = {
            name: target.table.schema().find_field(name).field_id for name in self.form.names
        }
        self.compactor = Compactor(
            target, self.settings, CompactionSettings.of(options, keyed=self.keyed)
        )
        self.expirer = Expirer(target, ExpirySettings.of(options))

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

    def landed(self, delta: Delta, landed: Landed) -> None:
        """A commit was made."""

    def committed(self, token: JSON) -> None:
        """A token's rows are in the table."""

    def rearrangement(self, token: JSON) -> Delta | None:
        """What a token's compaction changes, in the table as the target knows it now.

        None where there is none, or it is no use any more, or the table has it.
        """
        raise NotImplementedError

    def rearranged(self, token: JSON) -> None:
        """It was committed, or given up."""

    @property
    def seen(self) -> int | None:
        """The snapshot that the next look at the table goes on from."""
        return None

    def known(self, manifest: str) -> Sequence[DataFile] | None:
        """The files of a manifest, by its location; None where it was not read."""
        raise NotImplementedError

    def prepare(self, checkpoint: int) -> JSON | None:
        made = self.gathered()
        if self.is_needless(made):
            return None
        stem = self.target.names.new(f"-{checkpoint}")
        attempt = self.target.attempt
        marker = Marker(attempt.job, attempt.run, self.target.sink, checkpoint)
        check_columns(self._columns, self.target)
        token = content.save(made, self.target.metadata, self.context, stem, marker)
        token["columns"] = self._columns
        self.taken(made, token)
        return token

    def tidy_after(self, tokens: Sequence[JSON], kept: set[str]) -> None:
        """Remove what earlier attempts left, but not before their tokens are committed.

        The catalog may still be at work with what a dead attempt asked for. It fails once the table
        has another snapshot than it was made for, and needs its manifests until then.
        """
        self._earlier = [dict(token) for token in tokens]
        if not tokens:
            remove_leftovers(self.target, kept)

    def commit(self, token: JSON) -> None:
        self._commit(token)
        if token in self._earlier:
            self._earlier.remove(token)
            if not self._earlier:
                remove_leftovers(self.target, set())
        if not self._earlier:
            self.expirer.committed(content.marker_of(token), self.seen, self.known)

    def _commit(self, token: JSON) -> None:
        target = self.target
        target.refresh()
        check_table(content.checked(token), target)
        check_columns(token.get("columns", {}), target)
        marker = content.marker_of(token)

        def check(metadata: TableMetadata) -> None:
            if target.is_done(marker, metadata):
                raise Conflict("it is there already")
            self.check(metadata)

        self._commit_rows(token, marker, check)
        for _ in range(_MOST_TRIES):
            delta = self.rearrangement(token)
            if delta is None or self._commits(delta, marker, self._unmoved(target.head)):
                break
        else:
            raise self._beaten()
        self.rearranged(token)
        for _ in range(_MOST_TRIES):
            # What had to be done was done by others; that it is done has to be said.
            if target.is_done(marker) or self._commits(Delta(), marker, check):
                return
        raise self._beaten()

    def _commit_rows(
        self, token: JSON, marker: Marker, check: Callable[[TableMetadata], None]
    ) -> None:
        earlier = token in self._earlier
        for _ in range(_MOST_TRIES):
            if self.target.is_done(marker):
                break
            delta = self.delta(token)
            if earlier:
                self._check_there(delta)
                earlier = False
            if not (delta.added or delta.removed) or self._commits(delta, marker, check):
                break
        else:
            raise self._beaten()
        self.committed(token)

    def _check_there(self, delta: Delta) -> None:
        """Refuse to make a table that nobody can read; raises ConnectorError."""
        target = self.target
        with target.telling():
            io = target.table.io
            gone = [f.file_path for f in delta.added if not io.new_input(f.file_path).exists()]
        if gone:
            raise ConnectorError(
                f'"{gone[0]}" is not there any more, and table "{target.declared.name}" has not its '
                "rows, which the checkpoint prepared",
                detail="Where the rows were in the table before and it was set back, the file was "
                "deleted with the snapshot that held it.",
                hint="Begin from a later checkpoint. To begin anew, run with --fresh.",
                final=True,
            )

    def _commits(
        self, delta: Delta, marker: Marker, check: Callable[[TableMetadata], None]
    ) -> bool:
        landed = self.target.commit(delta, marker, check)
        if landed is None:
            return False
        self.landed(delta, landed)
        return True

    def _unmoved(self, head: int | None) -> Callable[[TableMetadata], None]:
        def check(metadata: TableMetadata) -> None:
            found = metadata.snapshot_by_name(self.target.branch)
            if (None if found is None else found.snapshot_id) != head:
                raise Conflict("others have committed")

        return check

    def _beaten(self) -> ConnectorError:
        return ConnectorError(
            f'could not commit to table "{self.target.declared.name}": other writers came first '
            f"{_MOST_TRIES} times",
            hint="Trying again is safe.",
        )

    def abort(self, token: JSON) -> None:
        target = self.target
        with target.telling():
            for location in content.stored_files(token, self.context):
                with contextlib.suppress(FileNotFoundError):
                    target.table.io.delete(location)
        content.forget(token, self.context)


class AppendWriter(IcebergWriter):
    """Writes rows that are only added."""

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        super().__init__(target, context)
        self._rows = AppendedRows(target, self.form, self.settings)
        self._live = LiveFiles()
        # Tokens of compactions that are not in the table yet.
        self._compacting: set[str] = set()

    def write(self, changes: Changes) -> None:
        if changes.codes is not None and changes.codes.any():
            raise InternalError('connector "iceberg" was given updates')
        self._rows.add(changes.batch)

    def gathered(self) -> Content:
        files = self._rows.finish()
        return Content(files, compaction=self.compaction(idle=not files))

    def taken(self, made: Content, token: JSON) -> None:
        if made.compaction is not None:
            self._compacting.add(name_of(token))
        self._rows.taken()

    def delta(self, token: JSON) -> Delta:
        return Delta(tuple(content.load(token, self.target.metadata, self.context).files))

    def rearrangement(self, token: JSON) -> Delta | None:
        wanted = content.load(token, self.target.metadata, self.context).compaction
        if wanted is None or not self._load():
            return None
        live, io = self._live, self.target.table.io
        with self.target.telling():
            if wanted.is_done(live) or not wanted.fits(live, io):
                return None
        return wanted.delta(live)

    def rearranged(self, token: JSON) -> None:
        self._compacting.discard(name_of(token))

    def known(self, manifest: str) -> Sequence[DataFile] | None:
        return self._live.known(manifest)

    def _load(self) -> bool:
        """See which files the table has; False where its rows cannot be told by their places.

        Nor can they where the snapshot that was seen last expired, with its manifests.
        """
        with self.target.telling():
            try:
                self._live.load(self.target.metadata, self.target.table.io, self.target.branch)
            except (ConnectorError, FileNotFoundError):
                return False
        return True

    def compaction(self, *, idle: bool) -> Compaction | None:
        """Some files in one; mostly None."""
        compactor = self.compactor
        if not compactor.enabled or self._compacting or not self._load():
            return None
        chosen = compactor.choose(self._live, idle=idle)
        if not chosen:
            return None
        with self.target.telling():
            return compactor.write(chosen, self._live)

    def close(self) -> None:
        self._rows.discard()


def name_of(token: JSON) -> str:
    """Tells a token from the sink's others."""
    return f"{token['run']}/{token['checkpoint']}"


def check_table(token: JSON, target: Target) -> None:
    """Raise ConnectorError where the table is not the one that a token was made for."""
    if token["table"] != str(target.metadata.table_uuid):
        raise ConnectorError(
            f'table "{target.declared.name}" is another one than the job wrote: it was dropped and '
            "made again",
            hint="Register the former table in its catalog again. To begin anew, run with --fresh.",
            final=True,
        )


def check_columns(written: Mapping[str, int], target: Target) -> None:
    """Raise ConnectorError where rows would not come to the columns that the job names.

    Files hold columns by their ids, whatever others call these by now.

    Args:
        written: column → its id when the rows were written.
        target: the table as it is known now.
    """
    schema = target.table.schema()
    there = {field.name: field.field_id for field in schema.fields}
    for name, number in written.items():
        if there.get(name) == number:
            continue
        now = schema.find_column_name(number)
        done = "dropped" if now is None else f'renamed to "{now}"'
        cure = (
            "Make the table's former schema the current one again"
            if now is None
            else "Rename it back"
        )
        raise ConnectorError(
            f'column "{name}" of table "{target.declared.name}" was {done} while the job wrote it',
            detail="The column that has its name now would be NULL in rows that are written."
            if name in there
            else None,
            hint=f"{cure}. To begin anew, empty the table and run with --fresh.",
            final=True,
        )
