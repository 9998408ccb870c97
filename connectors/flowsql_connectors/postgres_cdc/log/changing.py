"""Changes of the log as rows for the tables of a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import (
    DELETE,
    INSERT,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    ChangelogMode,
    Changes,
    Kinds,
    concat_changes,
)
from flowsql.errors import ConfigError, DataError
from flowsql_connectors.postgres_cdc.decode.messages import LogBatch, RelationChanges
from flowsql_connectors.postgres_cdc.decode.relations import Relation
from flowsql_connectors.postgres_cdc.decode.text_values import read_text
from flowsql_connectors.postgres_cdc.decode.types import ColumnReading, PgType, read_column
from flowsql_connectors.postgres_cdc.log.described import (
    check_identity,
    check_relations,
    column_gone,
    full_identity,
    schema_changed,
)
from flowsql_connectors.postgres_cdc.log.truncating import emptied_at
from flowsql_connectors.postgres_cdc.rows import Mask, RowShape, Types
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.partitions import PartitionWatch
from flowsql_connectors.postgres_cdc.snapshot.visibility import ChunkedTable

__all__ = ["ChangeMaker", "LogTable"]


@dataclass(slots=True)
class LogTable:
    """One table of the server in the log.

    Attributes:
        source: as it was when the job began.
        shapes: what tables of the job get of it.
        chunks: how it was read before; None once the log is past that.
    """

    source: ServerTable
    shapes: list[RowShape]
    chunks: ChunkedTable | None = None


@dataclass(frozen=True, slots=True)
class _ShapePlan:
    """How the columns of one table of the job are read from a relation.

    Attributes:
        shape: what it gets.
        places: of the columns that are read among the relation's.
        readings: of these columns, by the types that they have now.
        key: places of the primary key's columns.
    """

    shape: RowShape
    places: list[int]
    readings: list[ColumnReading]
    key: list[int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How changes of one relation, as it is described now, are read.

    Attributes:
        relation: its description.
        shapes: for each table of the job.
        key: the place of the chunk key, or None.
    """

    relation: Relation
    shapes: list[_ShapePlan]
    key: int | None


@dataclass(slots=True)
class ChangeMaker:
    """Makes the rows of the tables of a job.

    Attributes:
        tables: by oid.
        types: of the columns, by oid and modifier; gets those that come later.
        look_up: asks the server for types that were not there at the start.
        held: tables of the job whose rows the engine holds and can take back.
        watch: looks at what the log describes.
    """

    tables: dict[int, LogTable]
    types: dict[tuple[int, int], PgType]
    look_up: Callable[[Sequence[tuple[int, int]]], Types]
    held: Collection[str] = ()
    watch: PartitionWatch | None = None
    _plans: dict[int, _Plan] = field(default_factory=dict)

    def make(self, batch: LogBatch, dropped: int = 0) -> list[tuple[str, Changes | None]]:
        """Rows by the full name of the table of the job, in order; None: all until here are gone.

        Args:
            batch: of the log.
            dropped: so many changes at the batch's start were made before; a change is a message.
        """
        if self.watch is not None and batch.relations:
            self.watch.look(batch.relations)
        floor = -1
        if dropped:
            floor = _ordinal_behind(batch, dropped)
        emptied = emptied_at(batch, self.tables, self.held, floor) if batch.truncates else {}
        if batch.relations:
            check_relations(batch.relations, self.tables)
        parts: dict[str, list[tuple[npt.NDArray[np.int64], Changes]]] = {}
        for changes in batch.changes:
            table = self.tables.get(changes.relation.oid)
            if table is None:
                continue
            for name, ordinals, made in self._of(changes, table, batch, floor):
                parts.setdefault(name, []).append((ordinals, made))
        for name in emptied:
            parts.setdefault(name, [])
        return [
            (name, made)
            for name, found in parts.items()
            for made in _in_order(found, emptied.get(name, ()))
        ]

    def _of(
        self, changes: RelationChanges, table: LogTable, batch: LogBatch, floor: int
    ) -> list[tuple[str, npt.NDArray[np.int64], Changes]]:
        plan = self._plans.get(changes.relation.oid)
        if plan is None or plan.relation != changes.relation:
            plan = self._plan(changes.relation, table)
            self._plans[changes.relation.oid] = plan
        kinds = changes.kinds
        kept: Mask | None = None
        if floor >= 0:
            kept = changes.ordinals > floor
            if not kept.any():
                return []
        if table.chunks is not None:
            kinds, new = _judged(changes, plan, table.chunks, batch)
            kept = new if kept is None else kept & new
            if not kept.any():
                return []
        times = batch.transactions.time
        times_ms = times[changes.transactions] // 1000
        made = []
        for one in plan.shapes:
            rows = _rows(one, changes, kinds, kept, times_ms)
            if rows is not None:
                chosen, out = rows
                ordinals = changes.ordinals if chosen is None else changes.ordinals[chosen]
                made.append((one.shape.table.name, ordinals, out))
        return made

    def _plan(self, relation: Relation, table: LogTable) -> _Plan:
        source = table.source
        now = [(c.name, c.type, c.modifier) for c in relation.columns]
        sent = {name for name, _, _ in now}
        then = [
            (c.name, c.oid, c.modifier) for c in source.columns if not c.generated or c.name in sent
        ]
        index = {name: i for i, (name, _, _) in enumerate(now)}
        missing_types = [(t, m) for _, t, m in now if (t, m) not in self.types]
        if missing_types:
            self.types.update(self.look_up(missing_types))
        shapes = []
        for shape in table.shapes:
            if sorted(now) != sorted(then) and shape.table.options["scan.schema-change"] == "fail":
                raise schema_changed(shape, source, then, now)
            places, readings = [], []
            for reading in shape.readings:
                place = index.get(reading.name)
                if place is None:
                    raise column_gone(shape, source, reading.name, now)
                _, oid, modifier = now[place]
                pg = self.types[oid, modifier]
                places.append(place)
                try:
                    readings.append(_read_now(reading, pg, source))
                except ConfigError as error:
                    raise schema_changed(shape, source, then, now) from error
            key = [index[c] for c in shape.table.primary_key if c in index]
            if shape.upserts:
                check_identity(shape, relation)
            shapes.append(_ShapePlan(shape, places, readings, key))
        chunk_key = table.chunks.key if table.chunks is not None else None
        place = None
        if chunk_key is not None:
            place = index.get(chunk_key.column.name)
            if place is None:
                raise column_gone(table.shapes[0], source, chunk_key.column.name, now)
        return _Plan(relation, shapes, place)

    def forget_chunks(self) -> None:
        """The log is past all snapshots."""
        self.close()
        for table in self.tables.values():
            table.chunks = None
        self._plans.clear()

    def close(self) -> None:
        """Let go of what it asks the server through."""
        for table in self.tables.values():
            if table.chunks is not None:
                table.chunks.judge.close()


def _read_now(reading: ColumnReading, pg: PgType, source: ServerTable) -> ColumnReading:
    """How a column is read that may have another type by now."""
    if pg == reading.pg:
        return reading
    return read_column(reading.name, pg, reading.type, str(source))


def _ordinal_behind(batch: LogBatch, dropped: int) -> int:
    """The ordinal that the first so many changes of the first transaction do not exceed."""
    found = [c.ordinals[c.transactions == 0] // 2 for c in batch.changes]
    found.append(
        np.array([t.ordinal // 2 for t in batch.truncates if t.transaction == 0], np.int64)
    )
    messages = np.unique(np.concatenate(found))
    return int(messages[min(dropped, len(messages)) - 1]) * 2 + 1 if len(messages) else -1


def _judged(
    changes: RelationChanges, plan: _Plan, chunks: ChunkedTable, batch: LogBatch
) -> tuple[Kinds, Mask]:
    """Which rows the chunks do not hold, each judged by its own; halves of moves as -D and +I."""
    xid = batch.transactions.xid[changes.transactions]
    text = changes.text(plan.key) if plan.key is not None else None
    if text is not None and text.null_count:
        raise DataError(
            f'the log does not tell the key of a row of "{changes.relation.schema}.'
            f'{changes.relation.name}" that was changed while the table was being read',
            hint="Begin anew with --fresh.",
        )
    places = chunks.places(text, len(changes))
    kinds = changes.kinds
    before = np.flatnonzero(kinds[:-1] == UPDATE_BEFORE)
    moved = before[places[before] != places[before + 1]]
    if len(moved):
        kinds = kinds.copy()
        kinds[moved], kinds[moved + 1] = DELETE, INSERT
    return kinds, chunks.new(places, xid)


def _rows(
    plan: _ShapePlan,
    changes: RelationChanges,
    kinds: Kinds,
    kept: Mask | None,
    times_ms: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.intp] | None, Changes] | None:
    """The rows of one table of the job, and which of the changes they are; None for none."""
    shape = plan.shape
    unchanged = {
        r.name: mask
        for r, place in zip(plan.readings, plan.places, strict=True)
        if (mask := changes.unchanged(place)) is not None
    }
    if shape.upserts:
        kinds, stay = _upserts(changes, kinds, plan.key, unchanged, kept)
        if stay is not None:
            kept = stay if kept is None else kept & stay
    else:
        # Of a partition that came without FULL the whole's identity tells nothing.
        _need_before(changes, kinds, kept)
    if unchanged and shape.mode is not ChangelogMode.UPSERT:
        _no_unchanged(changes, kept, unchanged)
        unchanged = {}
    rows = len(changes)
    chosen = None
    if kept is not None and not kept.all():
        chosen = np.flatnonzero(kept)
        rows = len(chosen)
        if not rows:
            return None
        kinds, times_ms = kinds[chosen], times_ms[chosen]
        unchanged = {n: m[chosen] for n, m in unchanged.items() if m[chosen].any()}
    columns = []
    for reading, place in zip(plan.readings, plan.places, strict=True):
        text = changes.text(place)
        if chosen is not None:
            text = text.take(pa.array(chosen))
        columns.append(read_text(text, reading))
    return chosen, shape.changes(columns, rows, kinds, times_ms, unchanged)


def _need_before(changes: RelationChanges, kinds: Kinds, kept: Mask | None) -> None:
    """Updates and deletes need what was before, whole."""
    lone = kinds == UPDATE_AFTER
    lone[1:] &= changes.kinds[:-1] != UPDATE_BEFORE
    if changes.key_only is not None:
        lone |= changes.key_only
    if kept is not None:
        lone &= kept
    if lone.any():
        relation = changes.relation
        name = f"{relation.schema}.{relation.name}"
        raise DataError(
            f'the log does not hold the row before an update or delete of table "{name}"',
            detail='The "before" field of UPDATE/DELETE message is null, please check the Postgres'
            " table has been set REPLICA IDENTITY to FULL level.",
            hint=_from_then_on(relation) + " Or declare a PRIMARY KEY and"
            " 'changelog-mode' = 'upsert', which needs no row before.",
        )


def _from_then_on(relation: Relation) -> str:
    """The cure of rows that the log does not hold: it does not change those written before."""
    return f"{full_identity(relation)} Then begin anew with --fresh: what is in the log stays so."


def _upserts(
    changes: RelationChanges,
    kinds: Kinds,
    key: list[int],
    unchanged: dict[str, Mask],
    kept: Mask | None,
) -> tuple[Kinds, Mask | None]:
    """Without old rows, but those whose key is no more, which are deletes."""
    before = np.flatnonzero(changes.kinds == UPDATE_BEFORE)
    if not len(before):
        return kinds, None
    moved = np.zeros(len(before), np.bool_)
    old, new = pa.array(before), pa.array(before + 1)
    for place in key:
        text = changes.text(place)
        differs = pc.not_equal(text.take(old), text.take(new))
        moved |= pc.fill_null(differs, True).to_numpy(zero_copy_only=False)
    if unchanged and moved.any():
        behind = before[moved] + 1
        if kept is not None:
            behind = behind[kept[behind]]
        wrong = [name for name, mask in unchanged.items() if mask[behind].any()]
        if wrong:
            relation = changes.relation
            name = f"{relation.schema}.{relation.name}"
            raise DataError(
                f'the log does not hold column "{wrong[0]}" of a row of table "{name}" whose'
                " primary key was changed",
                detail="The server leaves out a long value that did not change.",
                hint=_from_then_on(relation),
            )
    stay = np.ones(len(kinds), np.bool_)
    stay[before[~moved]] = False
    kinds = kinds.copy()
    kinds[before[moved]] = DELETE
    kinds[before[moved] + 1] = INSERT
    return kinds, stay


def _no_unchanged(changes: RelationChanges, kept: Mask | None, unchanged: dict[str, Mask]) -> None:
    for name, mask in unchanged.items():
        wrong = mask if kept is None else mask & kept
        if wrong.any():
            relation = changes.relation
            table = f"{relation.schema}.{relation.name}"
            raise DataError(
                f'the log does not hold column "{name}" of a row of table "{table}" that was'
                " updated",
                detail="The server leaves out a long value that did not change.",
                hint=_from_then_on(relation),
            )


def _in_order(
    found: list[tuple[npt.NDArray[np.int64], Changes]], emptied: Sequence[int]
) -> list[Changes | None]:
    """Rows of several tables of the server, as they came; None where all before are gone."""
    if len(found) == 1 and not emptied:
        return [found[0][1]]
    if not found:
        return [None] * len(emptied)
    ordinals = np.concatenate([o for o, _ in found])
    rising = bool((np.diff(ordinals) >= 0).all())
    if rising and not emptied:
        return [changes for _, changes in found]
    whole = concat_changes([changes for _, changes in found])
    assert whole is not None
    if not rising:
        order = np.argsort(ordinals, kind="stable")
        whole, ordinals = whole.take(order), ordinals[order]
    parts: list[Changes | None] = []
    start = 0
    for end in np.searchsorted(ordinals, np.array(emptied, np.int64)).tolist():
        if end > start:
            parts.append(whole.slice(start, end - start))
        parts.append(None)
        start = end
    if start < len(whole):
        parts.append(whole.slice(start, len(whole) - start))
    return parts
