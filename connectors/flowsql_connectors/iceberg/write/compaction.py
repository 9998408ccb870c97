"""Small data files of a partition become a larger one, beside the rows of a checkpoint.

Each checkpoint adds files, and what its rows replace adds delete files of every file that it
touches: without an end to that, each checkpoint would take longer than the one before. A compaction
is prepared with a checkpoint's rows and committed right behind them, in a snapshot of its own that
changes no row. It is only a proposal: where somebody else changed one of the files meanwhile it is
dropped, and what it wrote is left for the next start to remove.

Files of about one size are merged (`min-input-files` of them, the largest no larger than the others
together), so that a row is written again a few times only, however long the job runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import PYARROW_PARQUET_FIELD_ID_KEY, schema_to_pyarrow
from pyiceberg.manifest import DataFile, FileFormat

from flowsql.connector import OptionValues
from flowsql_connectors.iceberg.storage import PARQUET
from flowsql_connectors.iceberg.write.commit import Delta
from flowsql_connectors.iceberg.write.files import FileSettings, ParquetFile
from flowsql_connectors.iceberg.write.live import LiveFile, LiveFiles
from flowsql_connectors.iceberg.write.partitions import Partitions
from flowsql_connectors.iceberg.write.target import Target

__all__ = ["Compaction", "CompactionSettings", "Compactor"]

Ints = npt.NDArray[np.int64]

_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 64 << 20
# Files below this cost the opening more than the reading, whatever their sizes.
_TINY: Final = 1 << 20
_SMALL: Final = 0.75
_DEAD: Final = 0.3


@dataclass(slots=True)
class Compaction:
    """Files that take the place of others, with the same rows.

    Attributes:
        files: that are complete and not yet in the table.
        sources: files of the table → positions in them that were deleted when they were read, or
            are by what was prepared before; sorted.
    """

    files: list[DataFile]
    sources: dict[str, Ints]

    def fits(self, live: LiveFiles, io: Any, waiting: Mapping[str, Ints] | None = None) -> bool:
        """Whether the files stand for the sources as these are by now.

        A row that waits to be deleted and that others deleted meanwhile may stand elsewhere now:
        the sources have to be read again.

        Args:
            live: the files of the table.
            io: reads their deletes.
            waiting: file → positions in it whose deletion is prepared and not yet in the table.
        """
        if not self.sources.keys() <= live.data.keys():
            return False
        deleted = live.deleted(self.sources, io)
        nothing = np.zeros(0, np.int64)
        coming = waiting or {}
        for path, positions in self.sources.items():
            gone = np.concatenate([deleted.get(path, nothing), coming.get(path, nothing)])
            if len(gone) != len(positions) or not np.array_equal(np.sort(gone), positions):
                return False
        return True

    def delta(self, live: LiveFiles) -> Delta:
        """What the table is to become, with the deletes that are about the sources."""
        deletes = [d.file_path for path in self.sources for d in live.data[path].deletes]
        removed = frozenset({*self.sources, *deletes})
        return Delta(tuple(self.files), removed, replaces=True, holding=live.holding(removed))

    def is_done(self, live: LiveFiles) -> bool:
        """Whether the table has it."""
        gone = self.sources.keys().isdisjoint(live.data)
        return gone and all(f.file_path in live.data for f in self.files)


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """When files are merged.

    Attributes:
        enabled: at all.
        most: bytes that one compaction reads.
        files: so many make one.
    """

    enabled: bool
    most: int
    files: int

    @classmethod
    def of(cls, options: OptionValues, *, keyed: bool) -> CompactionSettings:
        """By the options; a table that is kept by key is compacted unless they say otherwise."""
        enabled = options["flink-maintenance.rewrite.enabled"]
        if enabled is None:
            enabled = options["compaction-enabled"]
        return cls(
            keyed if enabled is None else bool(enabled),
            options["flink-maintenance.rewrite.max-bytes"],
            options["flink-maintenance.rewrite.min-input-files"],
        )


class Compactor:
    """Chooses files of one table and writes what takes their place."""

    def __init__(
        self, target: Target, settings: FileSettings, compaction: CompactionSettings
    ) -> None:
        self._target = target
        self._files = settings
        self._settings = compaction
        self._known = (-1, -1)
        self._unfit: set[str] = set()
        self._seen = -1

    @property
    def enabled(self) -> bool:
        """Whether it is wanted."""
        return self._settings.enabled

    def choose(self, live: LiveFiles, *, idle: bool) -> list[LiveFile]:
        """Files of one partition that are to become one; mostly none.

        Args:
            live: the files of the table.
            idle: there is nothing else to do. Else it is looked only when enough came since.
        """
        if not idle and abs(len(live.data) - self._seen) < self._settings.files - 1:
            return []
        self._seen = len(live.data)
        self._look()
        groups: dict[Any, list[tuple[int, str]]] = defaultdict(list)
        small = _SMALL * self._files.target
        for path, found in live.data.items():
            file = found.file
            if file.spec_id != self._spec or path in self._unfit:
                continue
            dead = min(1.0, sum(d.record_count for d in found.deletes) / max(1, file.record_count))
            if dead < _DEAD and file.file_size_in_bytes >= small:
                continue
            size = int(file.file_size_in_bytes * (1 - dead))
            groups[file.partition].append((size, path))
            if dead >= _DEAD and size <= self._settings.most and size > _TINY:
                # Worth it by itself.
                return [found]
        best: list[str] = []
        for files in groups.values():
            chosen = self._like_sized(sorted(files))
            if len(chosen) > len(best):
                best = chosen
        return [live.data[path] for path in best]

    def _look(self) -> None:
        """Others may have changed columns and partitions."""
        table = self._target.table
        schema, spec = table.schema(), table.spec()
        if self._known == (schema.schema_id, spec.spec_id):
            return
        self._known = (schema.schema_id, spec.spec_id)
        self._schema, self._spec = schema, spec.spec_id
        self._form: pa.Schema = schema_to_pyarrow(schema)
        self._partitions = Partitions(spec, schema)

    def _like_sized(self, files: Sequence[tuple[int, str]]) -> list[str]:
        """The smallest ones, as long as the next is no larger than they are together."""
        total = 0
        chosen: list[str] = []
        for size, path in files:
            if chosen and (size > max(total, _TINY) or total + size > self._settings.most):
                break
            total += size
            chosen.append(path)
        return chosen if len(chosen) >= self._settings.files else []

    def write(
        self,
        chosen: Sequence[LiveFile],
        live: LiveFiles,
        alive: Callable[[str, Ints, pa.RecordBatch], npt.NDArray[np.bool_]] | None = None,
    ) -> Compaction | None:
        """Write the rows of some files into one; None where a file cannot be read this way.

        Nor can one that is gone: others may have replaced it since the table was looked at, and
        removed what no snapshot names any more.

        Args:
            chosen: files of one partition.
            live: the files of the table.
            alive: says which rows of a file, at positions, there are; without it, those that the
                table does not delete. What it lets pass stands in the new file in this order.
        """
        target = self._target
        io = target.table.io
        partition = chosen[0].file.partition
        location = target.location(self._partitions.path(partition), target.names.new(".parquet"))
        out: ParquetFile | None = None
        sources: dict[str, Ints] = {}
        waiting: list[pa.RecordBatch] = []
        rows = size = 0
        try:
            deleted = live.deleted([f.file.file_path for f in chosen], io)
            for found in chosen:
                path = found.file.file_path
                gone = [np.zeros(0, np.int64)]
                if len(deleted.get(path, gone[0])) == found.file.record_count:
                    sources[path] = deleted[path]
                    continue
                for first, batch in self._batches(found.file):
                    places = np.arange(first, first + batch.num_rows)
                    if alive is None:
                        kept = np.ones(len(places), np.bool_)
                        dead = deleted.get(path, gone[0])
                        low, high = np.searchsorted(dead, (first, first + len(places)))
                        kept[dead[low:high] - first] = False
                    else:
                        kept = alive(path, places, batch)
                    if not kept.all():
                        gone.append(places[~kept])
                    rest = batch if kept.all() else batch.filter(pa.array(kept))
                    if not rest.num_rows:
                        continue
                    waiting.append(rest)
                    rows, size = rows + rest.num_rows, size + rest.nbytes
                    if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                        out = out or ParquetFile(io, location, self._form, self._files)
                        out.write(pa.concat_batches(waiting))
                        waiting, rows, size = [], 0, 0
                sources[path] = np.concatenate(gone)
        except _UnfitError as error:
            self._unfit.add(error.path)
            if out is not None:
                out.discard()
            return None
        except FileNotFoundError:
            if out is not None:
                out.discard()
            return None
        if waiting:
            out = out or ParquetFile(io, location, self._form, self._files)
            out.write(pa.concat_batches(waiting))
        if out is None:
            return Compaction([], sources)
        return Compaction([out.close(self._schema, self._spec, partition)], sources)

    def _batches(self, file: DataFile) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows of a file as the table's schema has them, with the position of the first."""
        if file.file_format != FileFormat.PARQUET:
            raise _UnfitError(file.file_path)
        with (
            self._target.table.io.new_input(file.file_path).open() as source,
            pq.ParquetFile(source, **PARQUET) as parquet,
        ):
            there = self._columns(parquet.schema_arrow)
            if there is None:
                raise _UnfitError(file.file_path)
            at = 0
            for batch in parquet.iter_batches():
                try:
                    yield at, self._converted(batch, there)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                    raise _UnfitError(file.file_path) from None
                at += batch.num_rows

    def _columns(self, schema: pa.Schema) -> list[int | None] | None:
        """Where each of the table's columns is in a file; None where that cannot be told."""
        by_id = {_field_id(field): at for at, field in enumerate(schema)}
        found: list[int | None] = []
        for field in self._form:
            at = by_id.get(_field_id(field))
            if None in by_id or (at is None and not field.nullable):
                return None
            if at is not None and not _alike(schema.field(at), field):
                return None
            found.append(at)
        return found

    def _converted(self, batch: pa.RecordBatch, there: Sequence[int | None]) -> pa.RecordBatch:
        columns = [
            pa.nulls(batch.num_rows, field.type) if at is None else batch.column(at)
            for at, field in zip(there, self._form, strict=True)
        ]
        cast = [
            column if column.type == field.type else column.cast(field.type)
            for column, field in zip(columns, self._form, strict=True)
        ]
        return pa.RecordBatch.from_arrays(cast, schema=self._form)


class _UnfitError(Exception):
    """A file's rows cannot be told in the table's present schema; it stays as it is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def _field_id(field: pa.Field) -> int | None:
    number = (field.metadata or {}).get(PYARROW_PARQUET_FIELD_ID_KEY)
    return None if number is None else int(number)


def _alike(there: pa.Field, wanted: pa.Field) -> bool:
    """Whether a column has the parts that it should have, by their ids and names."""
    inside, parts = _parts(there.type), _parts(wanted.type)
    return len(inside) == len(parts) and all(
        _field_id(a) == _field_id(b) and a.name == b.name and _alike(a, b)
        for a, b in zip(inside, parts, strict=True)
    )


def _parts(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [kind.value_field]
    if pa.types.is_struct(kind):
        return [kind.field(i) for i in range(kind.num_fields)]
    return []
