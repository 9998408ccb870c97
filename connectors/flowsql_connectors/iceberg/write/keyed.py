"""A writer of rows by key: position deletes for the rows that were, data files for those that are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.manifest import DataFile, DataFileContent

from flowsql.changelog import Changes
from flowsql.connector import JSON, ConnectorContext
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.commit import Conflict, Delta, Landed
from flowsql_connectors.iceberg.write.compaction import Compaction
from flowsql_connectors.iceberg.write.content import Content
from flowsql_connectors.iceberg.write.deletes import by_file, not_in, write_deletes
from flowsql_connectors.iceberg.write.follow import Follower
from flowsql_connectors.iceberg.write.index import RowIndex, index_state
from flowsql_connectors.iceberg.write.live import named_file, read_positions
from flowsql_connectors.iceberg.write.target import Target
from flowsql_connectors.iceberg.write.upserts import UpsertedRows
from flowsql_connectors.iceberg.write.writer import IcebergWriter, name_of

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["KeyedWriter"]

Ints = npt.NDArray[np.int64]

# So many delete files of one data file become one.
_MERGED: Final = 10


class KeyedWriter(IcebergWriter):
    """Writes the last row of each key."""

    keyed = True

    def __init__(self, target: Target, context: ConnectorContext, tokens: list[JSON]) -> None:
        super().__init__(target, context)
        declared = target.declared
        self._key = [declared.schema.types[declared.schema.index(k)] for k in declared.primary_key]
        self.state = index_state(self._key)
        # What is prepared and not yet in the table, by token, oldest first.
        self._prepared: dict[str, Content] = {
            name_of(t): content.load(t, target.metadata, context) for t in tokens
        }
        self._merging: set[str] = set()
        self._unsaved: Compaction | None = None
        self._rows: UpsertedRows
        self._follower: Follower

    def open_state(self, tables: Mapping[str, Any]) -> None:
        index = RowIndex(tables, self._key)
        self._follower = Follower(self.target, index)
        self._rows = UpsertedRows(self.target, self.form, self.settings, index)
        if not self._prepared:
            self._look()

    def write(self, changes: Changes) -> None:
        self._be_ready()
        self._rows.add(changes)

    def gathered(self) -> Content:
        self._be_ready()
        self._give_up_unsaved()
        files = self._rows.finish()
        deleted = self._rows.deleted()
        made = Content(files, [], deleted)
        if deleted is not None:
            made = self._with_deletes(made, deleted, merge=True)
        self._unsaved = made.compaction = self._compaction(idle=not files and deleted is None)
        return made

    def taken(self, made: Content, token: JSON) -> None:
        self._prepared[name_of(token)] = made
        self._merging |= set(made.removed)
        self._unsaved = None
        self._rows.taken()

    def delta(self, token: JSON) -> Delta:
        if not self._follower.is_current:
            self._look()
        made = self._prepared[name_of(token)]
        live = self._follower.live
        removed = frozenset({*made.removed, *live.useless})
        return Delta(tuple(made.files), removed, holding=live.holding(removed))

    def check(self, metadata: TableMetadata) -> None:
        head = metadata.snapshot_by_name(self.target.branch)
        if (None if head is None else head.snapshot_id) != self._follower.seen:
            raise Conflict("others have committed")

    def landed(self, delta: Delta, landed: Landed) -> None:
        self._follower.live.committed(delta.added, delta.removed, landed.manifests)
        self._follower.committed(landed.snapshot)

    def committed(self, token: JSON) -> None:
        made = self._prepared.get(name_of(token))
        if made is not None:
            self._merging -= set(made.removed)
            self._prepared[name_of(token)] = Content(compaction=made.compaction)

    def rearrangement(self, token: JSON) -> Delta | None:
        follower, made = self._follower, self._prepared.get(name_of(token))
        if made is None or made.compaction is None:
            return None
        if not follower.is_current:
            self._look()
        wanted, live = made.compaction, follower.live
        if wanted is None or wanted.is_done(live):
            return None
        with self.target.telling():
            if wanted.fits(live, self.target.table.io):
                return wanted.delta(live)
        self._look(give_up={name_of(token)})
        return None

    def rearranged(self, token: JSON) -> None:
        made = self._prepared.pop(name_of(token), None)
        if made is not None and made.compaction is not None:
            self._follower.forget(made.compaction.sources)

    @property
    def seen(self) -> int | None:
        return self._follower.seen

    def known(self, manifest: str) -> Sequence[DataFile] | None:
        return self._follower.live.known(manifest)

    def abort(self, token: JSON) -> None:
        super().abort(token)
        self._prepared.pop(name_of(token), None)

    def close(self) -> None:
        self._rows.discard()

    def _be_ready(self) -> None:
        """Behind a start whose tokens were in the table: it may have been long ago."""
        if not self._follower.ready:
            self.target.refresh()
            self._look()

    # -- others' commits --------------------------------------------------------------------------

    def _look(self, give_up: Collection[str] = ()) -> None:
        """Follow what others did to the table, and find the rows that wait to be deleted there.

        Args:
            give_up: tokens whose compactions are no use any more; as are those of which others
                changed a file.
        """
        self._follower.load()
        again = self._given_up(give_up)
        waiting = list(self._prepared.values())
        coming = {f.file_path for made in waiting for f in _written(made)}
        coming |= self._rows.open_locations()
        leaving = {p for made in waiting if made.compaction for p in made.compaction.sources}
        pending = [made.deleted for made in waiting]
        mine = self._rows.deleted()
        found = self._follower.look(coming, [*pending, mine], leaving=leaving, again=again)
        if found is None or (found.pending is None and not found.read):
            return
        *prepared, mine = found.pending or [*pending, mine]
        self._rows.redirect(mine)
        for name, deleted in zip(list(self._prepared), prepared, strict=True):
            self._prepared[name] = self._moved(self._prepared[name], deleted, found.read)
        self._merging = {path for made in self._prepared.values() for path in made.removed}

    def _moved(self, made: Content, deleted: pa.Table | None, read: frozenset[str]) -> Content:
        """What was prepared, with delete files for where the rows are by now.

        Those of files that were read again are made anew, and what they took in stays in the table.
        """
        live = self._follower.live.data
        own = {f.file_path for f in made.files if f.content == DataFileContent.DATA}
        kept, there = [], set(own)
        for file in made.files:
            path = named_file(file) if file.content != DataFileContent.DATA else None
            if path is None:
                kept.append(file)
            elif path in own or (path in live and path not in read):
                kept.append(file)
                there.add(path)
        stay = {d.file_path for path in read & live.keys() for d in live[path].deletes}
        removed = [path for path in made.removed if path not in stay]
        again = Content(kept, removed, deleted, made.compaction)
        if deleted is None:
            return again
        missing = not_in(deleted, there)
        return self._with_deletes(again, missing) if missing.num_rows else again

    # -- delete files -----------------------------------------------------------------------------

    def _with_deletes(self, made: Content, deleted: pa.Table, *, merge: bool = False) -> Content:
        """With files of position deletes, one for each data file; many older ones become part."""
        target, live = self.target, self._follower.live.data
        coming = {
            f.file_path: f
            for prepared in (*self._prepared.values(), made)
            for f in _written(prepared)
            if f.content == DataFileContent.DATA
        }
        files, removed = list(made.files), list(made.removed)
        with target.telling():
            for path, found in by_file(deleted).items():
                positions = found
                known = live.get(path)
                file: DataFile = coming[path] if known is None else known.file
                older = [] if known is None else known.deletes
                older = [d for d in older if d.file_path not in self._merging]
                if merge and len(older) + 1 >= _MERGED:
                    before = self._positions_of(older)
                    if before is not None:
                        positions = np.unique(np.concatenate([positions, *before]))
                        removed += [d.file_path for d in older]
                location = target.location("", target.names.new("-deletes.parquet"))
                io = target.table.io
                files.append(write_deletes(io, location, file, positions, self.settings))
        return Content(files, removed, made.deleted, made.compaction)

    def _positions_of(self, deletes: Sequence[DataFile]) -> list[Ints] | None:
        """What delete files hold; None where others replaced them and removed one meanwhile."""
        io = self.target.table.io
        try:
            return [read_positions(io, d).column("pos").to_numpy() for d in deletes]
        except FileNotFoundError:
            return None

    # -- compaction -------------------------------------------------------------------------------

    def _compaction(self, *, idle: bool) -> Compaction | None:
        """Some files in one, to which the index points from now on; mostly None."""
        compactor, follower = self.compactor, self._follower
        if not compactor.enabled or any(made.compaction for made in self._prepared.values()):
            return None
        chosen = compactor.choose(follower.live, idle=idle)
        if not chosen:
            return None
        slots: list[Ints] = []

        def alive(path: str, positions: Ints, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
            found, here = follower.rows_at(path, positions, batch)
            slots.append(found)
            return here

        with self.target.telling():
            made = compactor.write(chosen, follower.live, alive)
        if made is not None and made.files:
            follower.move(np.concatenate(slots), made.files[0].file_path)
        return made

    def _give_up_unsaved(self) -> None:
        """What was prepared last did not get into a token, and cannot come before later deletes."""
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is not None:
            self._prepared[""] = Content(compaction=unsaved)
            self._look(give_up={""})
            del self._prepared[""]

    def _given_up(self, tokens: Collection[str]) -> set[str]:
        """Files whose rows are where they were, after all."""
        live, io = self._follower.live, self.target.table.io
        again: set[str] = set()
        for name, made in self._prepared.items():
            wanted = made.compaction
            if wanted is None or wanted.is_done(live):
                continue
            with self.target.telling():
                if name not in tokens and wanted.fits(live, io, self._waiting(wanted.sources)):
                    continue
            again |= wanted.sources.keys()
            made.compaction = None
        return again

    def _waiting(self, locations: Collection[str]) -> dict[str, Ints]:
        """What is prepared to be deleted in some files and is not in the table yet."""
        found: dict[str, list[Ints]] = defaultdict(list)
        for made in self._prepared.values():
            if made.deleted is not None:
                for path, positions in by_file(made.deleted).items():
                    if path in locations:
                        found[path].append(positions)
        return {path: np.concatenate(parts) for path, parts in found.items()}


def _written(made: Content) -> list[DataFile]:
    """All files that were made."""
    return made.files if made.compaction is None else [*made.files, *made.compaction.files]
