"""Two connectors that put a test in charge of every step.

`stepped` gives what a `Feed` says, one item of the feed a step over all its tables, and can be held
before an item while the test takes a checkpoint. `collected` keeps every change with the number of
its step, and goes back to a checkpoint's token as a transactional sink does. Both are found through
entry points, from the `plugin` folder next to this file, as any stranger's connector is.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np
import pyarrow as pa

from flowsql.changelog import ChangelogMode, Changes, kind_names, split_changes
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Option,
    OptionType,
    Piece,
    Poll,
    Reader,
    Role,
    Sink,
    Source,
    Split,
    Writer,
)
from flowsql.types import DataType, RowType
from tests.support.ddl import metadata_columns
from tests.support.rows import batch_of, rows_of

__all__ = [
    "COLLECTED",
    "STEPPED",
    "Advance",
    "Collection",
    "End",
    "Event",
    "Feed",
    "FeedClock",
    "Rows",
    "WatermarkAt",
]

MODES = {
    "I": ChangelogMode.APPEND,
    "I,UB,UA,D": ChangelogMode.RETRACT,
    "I,UA,D": ChangelogMode.UPSERT,
}
KINDS = {"+I": 0, "-U": 1, "+U": 2, "-D": 3}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table's split, each with its kind; plain values as in `rows.py`."""

    table: str
    rows: tuple[tuple[str, tuple[object, ...]], ...]
    split: int = 0


@dataclass(frozen=True, slots=True)
class WatermarkAt:
    """The table's event time has reached so many milliseconds."""

    table: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class End:
    """The table gives no more rows."""

    table: str


@dataclass(frozen=True, slots=True)
class Advance:
    """The clock goes on by so many milliseconds before the step begins."""

    milliseconds: int


Event: TypeAlias = Rows | WatermarkAt | End | Advance


class FeedClock:
    """A step clock that goes by the feed: the same in every run, however fast it is.

    The engine reads it once a step, and a feed gives one item a step: the readings are counted.

    Args:
        steps: the feed.
        done: how many of its steps were over when the session began.
    """

    START = 1_577_836_800_000_000  # 2020-01-01

    def __init__(self, steps: Sequence[Sequence[Event]], done: int = 0) -> None:
        self._steps = steps
        self._done = done

    def now(self) -> int:
        self._done += 1
        given = [e for step in self._steps[: self._done] for e in step]
        return self.START + 1000 * sum(e.milliseconds for e in given if isinstance(e, Advance))


@dataclass
class Feed:
    """What a group of tables gives, step by step.

    Attributes:
        steps: the events of each step, in order of arrival.
        ends: the tables end behind the last step; else they stay silent.
        gate: the step before which reading waits, or None; may be moved while it waits.
        known: of all feeds, by the name that the `feed` option gives.
    """

    known: ClassVar[dict[str, Feed]] = {}

    steps: Sequence[Sequence[Event]]
    ends: bool = True
    gate: int | None = None


def _split_id(table: str, number: int) -> str:
    return f"{table}#{number}" if number else table


def _behind(physical: RowType, metadata: RowType) -> RowType:
    return RowType((*physical.fields, *metadata.fields), nullable=False)


class _SteppedReader(Reader):
    def __init__(self, feed: Feed, tables: Mapping[str, ConnectorTable]) -> None:
        self._feed = feed
        self._tables = tables
        self._short = {name.rpartition(".")[2]: name for name in tables}
        self._open: dict[str, Split] = {}
        self._ordinal = 0

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            self._open[split.id] = split
            self._ordinal = 0 if position is None else position["ordinal"]

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        del max_rows
        at, feed = self._ordinal, self._feed
        waits = at >= len(feed.steps) and not feed.ends
        if not self._open or waits or (feed.gate is not None and at >= feed.gate):
            threading.Event().wait(min(timeout, 0.002))
            return None
        if at == len(feed.steps):
            finished: dict[str, JSON] = {split: {} for split in self._open}
            self._open = {}
            return Poll(finished=finished, ends_step=True)
        pieces: list[Piece] = []
        watermarks: dict[str, int] = {}
        ended: dict[str, JSON] = {}
        for event in feed.steps[at]:
            if isinstance(event, Advance):
                continue
            name = self._short.get(event.table)
            if name is None:  # the job reads only some of the feed's tables
                continue
            match event:
                case Rows(rows=rows, split=split):
                    place = _split_id(name, split)
                    pieces += [Piece(name, place, c) for c in self._changes(name, rows)]
                case WatermarkAt(timestamp=timestamp):
                    watermarks[name] = timestamp
                case End():
                    for split in [s for s in self._open.values() if s.tables == (name,)]:
                        ended[split.id] = {}
                        del self._open[split.id]
        self._ordinal = at + 1
        return Poll(tuple(pieces), finished=ended, ends_step=True, watermarks=watermarks)

    def _changes(
        self, name: str, rows: Sequence[tuple[str, tuple[object, ...]]]
    ) -> Sequence[Changes]:
        table = self._tables[name]
        metadata = metadata_columns(table.options["metadata"])
        whole = batch_of([row for _, row in rows], _behind(table.schema, metadata))
        places = [table.schema.index(c) for c in table.columns]
        places += [len(table.schema.fields) + metadata.index(k) for k in table.metadata.values()]
        names = [*table.columns, *table.metadata]
        batch = pa.RecordBatch.from_arrays([whole.column(i) for i in places], names)
        codes = [KINDS[kind] for kind, _ in rows]
        kinds = None if MODES[table.options["changelog-mode"]] is ChangelogMode.APPEND else codes
        if kinds is None and any(codes):
            raise AssertionError(f"table {name} is append-only, its feed is not")
        changes = Changes(batch, None if kinds is None else np.array(kinds, np.int8))
        return list(split_changes(changes))

    def position(self, split: str) -> JSON:
        return {"format": 1, "connector": "stepped", "ordinal": self._ordinal}


class _SteppedSource(Source):
    bounded = True

    def __init__(self, feed: Feed, tables: Sequence[ConnectorTable]) -> None:
        self._feed = feed
        self._tables = {t.name: t for t in tables}
        self._given = False

    def discover(self) -> Sequence[Split]:
        given, self._given = self._given, True
        return [
            Split(_split_id(name, number), (name,), owner="feed")
            for name, table in self._tables.items()
            for number in range(table.options["splits"])
            if not given
        ]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = _SteppedReader(self._feed, self._tables)
        reader.assign(splits)
        return reader


class SteppedConnector(Connector):
    """Reads a `Feed`."""

    name: ClassVar[str] = "stepped"
    gives_watermarks: ClassVar[bool] = True
    metadata: ClassVar[Mapping[str, DataType]] = {}  # what the tables of a test declare
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN})
    options: ClassVar[tuple[Option, ...]] = (
        Option("feed", OptionType.STRING, "Name of the feed.", required=True),
        Option("changelog-mode", OptionType.STRING, "What it carries.", default="I"),
        Option("bounded", OptionType.BOOLEAN, "Whether it ends.", default=True),
        Option("scan.parallelism", OptionType.INT, "Without effect."),
        Option("splits", OptionType.INT, "How many splits a table has.", default=1),
        Option("metadata", OptionType.STRING, "What stands behind the columns.", default=""),
    )

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        return MODES[table.options["changelog-mode"]]

    def bounded(self, table: ConnectorTable) -> bool:
        return bool(table.options["bounded"])

    def group(self, table: ConnectorTable) -> Hashable:
        return table.options["feed"]

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        return _SteppedSource(Feed.known[tables[0].options["feed"]], tables)


@dataclass
class Collection:
    """What a `collected` table was given.

    Attributes:
        changes: (step, kind, row), steps from 0.
        steps: how many steps have ended.
        progress: notified at each end of a step.
    """

    known: ClassVar[dict[str, Collection]] = {}

    changes: list[tuple[int, str, tuple[object, ...]]] = field(default_factory=list)
    steps: int = 0
    progress: threading.Condition = field(default_factory=threading.Condition)

    def by_step(self, given: int) -> tuple[tuple[int, str, tuple[object, ...]], ...]:
        """The changes by the step of the feed, of which there were so many.

        A plan with rows of its own may begin with a step for them, or with one for them and the
        feed's first, as the reader's thread pleases.
        """
        before = max(0, self.steps - given)
        return tuple((max(0, step - before), kind, row) for step, kind, row in self.changes)

    def wait_for(self, steps: int, timeout: float, alive: threading.Event | None = None) -> bool:
        """Whether so many steps have ended in time."""
        with self.progress:
            return self.progress.wait_for(
                lambda: self.steps >= steps or (alive is not None and alive.is_set()), timeout
            )


class _CollectedWriter(Writer):
    def __init__(self, into: Collection, table: ConnectorTable, tokens: Sequence[JSON]) -> None:
        self._into = into
        metadata = metadata_columns(table.options["metadata"])
        written = tuple(metadata.fields[metadata.index(k)] for k in table.metadata.values())
        self._schema = RowType((*table.read_schema.fields, *written), nullable=False)
        token = tokens[-1] if tokens else None
        into.changes[token["rows"] if token else 0 :] = []
        into.steps = token["steps"] if token else 0

    def write(self, changes: Changes) -> None:
        rows = rows_of(changes.batch, self._schema)
        step = self._into.steps
        self._into.changes += [(step, k, r) for k, r in zip(kind_names(changes), rows, strict=True)]

    def end_step(self) -> None:
        with self._into.progress:
            self._into.steps += 1
            self._into.progress.notify_all()

    def prepare(self, checkpoint: int) -> JSON | None:
        return {"rows": len(self._into.changes), "steps": self._into.steps}

    def commit(self, token: JSON) -> None:
        """Everything is visible at once."""


class _CollectedSink(Sink):
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        into = Collection.known[self._table.options["collection"]]
        return _CollectedWriter(into, self._table, previous_tokens)


class CollectedConnector(Connector):
    """Writes into a `Collection`."""

    name: ClassVar[str] = "collected"
    overwrites: ClassVar[bool] = True
    overwrites_streams: ClassVar[bool] = True
    metadata: ClassVar[Mapping[str, DataType]] = {}  # what the tables of a test declare
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SINK})
    options: ClassVar[tuple[Option, ...]] = (
        Option("collection", OptionType.STRING, "Name of the collection.", required=True),
        Option("changelog-mode", OptionType.STRING, "What it takes.", default="I,UB,UA,D"),
        Option("metadata", OptionType.STRING, "What it takes behind the columns.", default=""),
    )

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        return frozenset({ChangelogMode.APPEND, MODES[table.options["changelog-mode"]]})

    def sink(self, table: ConnectorTable) -> Sink:
        return _CollectedSink(table)


STEPPED = SteppedConnector()
COLLECTED = CollectedConnector()
