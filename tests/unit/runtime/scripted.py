"""A source that gives written polls, and a sink that remembers: jobs whose every step is known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pyarrow as pa

from flowsql.changelog import Changes, kind_names
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Piece,
    Poll,
    Reader,
    Role,
    Sink,
    Source,
    Split,
    Writer,
)
from flowsql.types import BigIntType, Field, RowType

ROW = RowType((Field("k", BigIntType()), Field("v", BigIntType())), nullable=False)


def piece(split: str, *pairs: tuple[int, int], table: str = "numbers") -> Piece:
    """Appended rows of (k, v)."""
    columns = [pa.array([p[i] for p in pairs], pa.int64()) for i in (0, 1)]
    return Piece(table, split, Changes(pa.RecordBatch.from_arrays(columns, names=["k", "v"])))


def gives(split: str, *pairs: tuple[int, int], **changed: Any) -> Poll:
    """A poll with one piece."""
    return replace(Poll((piece(split, *pairs),)), **changed)


@dataclass
class Script:
    """What each split gives, poll by poll; a split whose polls are used up is finished.

    Attributes:
        polls: split id → its polls.
        splits: how the splits are described, where not plain.
        bounded: whether a split ends after its polls; else it gives nothing more.
        later: splits that are found by a later discovery.
        wait_for: split → other splits whose results it must be told before it begins.
    """

    polls: dict[str, list[Poll]]
    splits: dict[str, Split] = field(default_factory=dict)
    bounded: bool = True
    later: dict[str, list[Poll]] = field(default_factory=dict)
    wait_for: dict[str, set[str]] = field(default_factory=dict)
    told: list[JSON] = field(default_factory=list)


class Scripted(Connector):
    """Reads a `Script`."""

    name: ClassVar[str] = "scripted"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN})

    def __init__(self, script: Script) -> None:
        self.script = script

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        return _ScriptedSource(self.script, tables, position or {})


class _ScriptedSource(Source):
    def __init__(
        self, script: Script, tables: Sequence[ConnectorTable], position: Mapping[str, Any]
    ) -> None:
        self._script = script
        self._tables = tuple(t.name for t in tables)
        self._finished = list(position.get("finished", []))
        self._discoveries = 0
        self.bounded = script.bounded

    @property
    def discovery_interval(self) -> float | None:
        return 0.01 if self._script.later else None

    def discover(self) -> Sequence[Split]:
        self._discoveries += 1
        found = list(self._script.polls)
        if self._discoveries > 1:
            found += self._script.later
        known = self._script.splits
        return [known.get(i) or Split(i, self._tables) for i in found if i not in self._finished]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        return _ScriptedReader(self._script, splits)

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        self._finished.append(split)
        return ({"finished": split, "result": result},)

    def position(self) -> JSON:
        return {"finished": list(self._finished)}


class _ScriptedReader(Reader):
    def __init__(self, script: Script, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        self._script = script
        self._at: dict[str, int] = {}
        self._told: set[str] = set()
        self.assign(splits)

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            self._at[split.id] = 0 if position is None else position["poll"]

    def tell(self, message: JSON) -> None:
        self._told.add(message["finished"])
        self._script.told.append(message)

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        polls = {**self._script.polls, **self._script.later}
        for split in list(self._at):
            if self._script.wait_for.get(split, set()) - self._told:
                continue
            at = self._at[split]
            if at == len(polls[split]):
                if self._script.bounded:
                    del self._at[split]
                    return Poll(finished={split: {"polls": at}})
                continue
            self._at[split] = at + 1
            return polls[split][at]
        time.sleep(min(timeout, 0.005))
        return None

    def position(self, split: str) -> JSON:
        return {"format": 1, "connector": "scripted", "poll": self._at[split]}


class Memory(Connector):
    """An at-least-once sink: each step's changes as (kind, row)."""

    name: ClassVar[str] = "memory"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SINK})

    def __init__(self) -> None:
        self.steps: list[list[tuple[str, tuple[Any, ...]]]] = []

    def sink(self, table: ConnectorTable) -> Sink:
        return _MemorySink(self)

    @property
    def changes(self) -> list[tuple[str, tuple[Any, ...]]]:
        """All steps together."""
        return [c for step in self.steps for c in step]


class _MemorySink(Sink):
    guarantee = Guarantee.AT_LEAST_ONCE

    def __init__(self, into: Memory) -> None:
        self._into = into

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        return _MemoryWriter(self._into)


class _MemoryWriter(Writer):
    def __init__(self, into: Memory) -> None:
        self._into = into
        self._step: list[tuple[str, tuple[Any, ...]]] = []

    def write(self, changes: Changes) -> None:
        columns = [c.to_pylist() for c in changes.batch.columns]
        self._step += zip(kind_names(changes), zip(*columns, strict=True), strict=True)

    def end_step(self) -> None:
        self._into.steps.append(self._step)
        self._step = []

    def prepare(self, checkpoint: int) -> JSON | None:
        return None

    def commit(self, token: JSON) -> None:
        """Nothing to do."""
