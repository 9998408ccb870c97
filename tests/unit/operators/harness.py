"""Runs one operator as the runtime does: steps, watermarks, checkpoint and restore between steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog import ChangelogMode, Changes, Marks, kind_names
from flowsql.expr import EvalSettings, StepClock
from flowsql.operators.base import Counters, Operator, OperatorContext
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import Spec, Values
from flowsql.physical.state_specs import declare_state
from flowsql.runtime.build import build_operator
from flowsql.state import StateStore
from flowsql.types import Field, RowType, arrow_schema

KINDS = {"+I": 0, "-U": 1, "+U": 2, "-D": 3, "+": 0, "-": 3}


def row_type(**columns: Any) -> RowType:
    """A row type from name=type."""
    return RowType(tuple(Field(name, kind) for name, kind in columns.items()), nullable=False)


def changes(
    row: RowType,
    rows: Sequence[Sequence[Any]],
    *,
    append: bool = False,
    marks: Sequence[int] | None = None,
    unchanged: dict[str, list[bool]] | None = None,
) -> Changes:
    """Changes from rows `(kind, value, …)`, or `(value, …)` for an append stream."""
    values = list(rows) if append else [r[1:] for r in rows]
    schema = arrow_schema(row)
    columns = list(zip(*values, strict=True)) if values else [()] * len(schema)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )
    codes = None if append else np.array([KINDS[r[0]] for r in rows], np.int8)
    return Changes(
        batch,
        codes,
        None if unchanged is None else {k: np.array(v) for k, v in unchanged.items()},
        None if marks is None else Marks(np.array(marks, np.int64)),
    )


def shown(parts: Iterable[Changes]) -> list[tuple[Any, ...]]:
    """All rows as `(+ or -, value, …)` in order."""
    result: list[tuple[Any, ...]] = []
    for part in parts:
        columns = [c.to_pylist() for c in part.batch.columns]
        values = list(zip(*columns, strict=True)) if columns else [()] * len(part)
        result += [(k[0], *v) for k, v in zip(kind_names(part), values, strict=True)]
    return result


def normal(value: Any) -> Any:
    """A value that compares as the normal form of keys does."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else repr(value))
    if isinstance(value, list | tuple):
        return tuple(map(normal, value))
    return value


def folded(rows: Iterable[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """The table after these changes; fails where a row is taken back that is not there."""
    table: Counter[tuple[Any, ...]] = Counter()
    for sign, *row in rows:
        key = tuple(normal(v) for v in row)
        table[key] += 1 if sign == "+" else -1
        assert table[key] >= 0, f"{row} is taken back but not there"
    return Counter({k: n for k, n in table.items() if n})


@dataclass(frozen=True)
class Lost:
    """Every row of the input is gone, at a watermark where rows carry their time."""

    watermark: int | None = None


@dataclass
class Run:
    """One operator with its state."""

    spec: Spec
    inputs: Sequence[RowType]
    output: RowType
    settings: EvalSettings = field(default_factory=EvalSettings)
    mode: ChangelogMode = ChangelogMode.RETRACT

    def __post_init__(self) -> None:
        self.state = declare_state(self.spec, tuple(self.inputs), self.output)
        self.store = StateStore.open(self.state)
        self.counters = Counters()
        self.out: list[tuple[Any, ...]] = []
        self.parts: list[Changes] = []
        self._open()

    def _open(self) -> None:
        sources = [
            PhysicalNode(f"in{i}", Values(()), (), row, ChangelogMode.RETRACT)
            for i, row in enumerate(self.inputs)
        ]
        node = PhysicalNode(
            "op", self.spec, tuple(s.id for s in sources), self.output, self.mode, (), self.state
        )
        self.operator: Operator = build_operator(node, sources, self.settings)
        self.operator.open(OperatorContext(self.store.tables, self.counters, StepClock(0)))

    def step(
        self,
        *batches: tuple[int, Changes] | Changes | Lost,
        watermark: int | None = None,
        now: int = 0,
    ) -> list[tuple[Any, ...]]:
        """One step, at `now` milliseconds by the clock; returns its output."""
        self.operator.context.clock = StepClock(now * 1_000)
        parts: list[Changes] = []
        for item in batches:
            if isinstance(item, Lost):
                parts += self.operator.empty(0, item.watermark)
                continue
            port, batch = (0, item) if isinstance(item, Changes) else item
            parts += self.operator.process(port, batch)
        if watermark is not None:
            parts += self.operator.advance(watermark)
        parts += self.operator.flush()
        self.store.end_step()
        for part in parts:
            assert len(part) > 0
            part.batch.validate(full=True)
            assert part.batch.schema == arrow_schema(self.output)
        result = shown(parts)
        self.parts += parts
        self.out += result
        return result

    def restart(self) -> None:
        """Checkpoint, and a new operator over restored tables."""
        segments = self.store.segments()
        self.store = StateStore.open(self.state)
        self.store.restore(segments)
        self._open()

    def table(self) -> Counter[tuple[Any, ...]]:
        """The folded output of all steps."""
        return folded(self.out)

    def live(self) -> dict[str, int]:
        """Rows in each state table."""
        return {name: stats.rows for name, stats in self.store.stats().items()}
