"""Small connectors and plans for the tests of runtime and recovery.

`Numbers` is a source whose row i is known from i, `Parts` an exactly-once sink that keeps one file
a committed checkpoint and a marker.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from flowsql.changelog import ChangelogMode, Changes, kind_names
from flowsql.config import OptionValues
from flowsql.connector import (
    JSON,
    Committed,
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
    fsync_dir,
    make_dirs,
    open_for_write,
    remove,
    write_file,
)
from flowsql.connector import (
    replace as replace_file,
)
from flowsql.errors import ConnectorError
from flowsql.expr import AggregateCall, Column, bind_aggregate, bind_call, number_literal
from flowsql.physical import PhysicalNode, PhysicalPlan, specs
from flowsql.physical.state_specs import declare_state
from flowsql.runtime.graph import JobPlan, ResolvedTable
from flowsql.types import BigIntType, Field, RowType

ROW = RowType((Field("k", BigIntType()), Field("v", BigIntType())), nullable=False)
KEYS = 97


def rows(start: int, end: int) -> pa.RecordBatch:
    """Rows start … end − 1 of `Numbers`."""
    i = np.arange(start, end)
    return pa.record_batch({"k": i * 7919 % KEYS, "v": i})


def table(name: str, row: RowType = ROW) -> ConnectorTable:
    """A table without options."""
    return ConnectorTable(name, row, OptionValues((), {}), columns=row.names)


class Numbers(Connector):
    """A source of `total` rows in `splits` splits, `size` rows a poll.

    Args:
        total: rows of each split.
        splits: how many.
        size: rows of a poll.
        pause: seconds before each poll.
        transaction: polls of a transaction.
        bounded: it ends.
        fail_at: polls at which an error is raised, once each.
    """

    name: ClassVar[str] = "numbers"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN})

    def __init__(
        self,
        total: int,
        *,
        splits: int = 1,
        size: int = 100,
        pause: float = 0.0,
        transaction: int = 1,
        bounded: bool = True,
        fail_at: Sequence[int] = (),
    ) -> None:
        self.total, self.splits, self.size, self.pause = total, splits, size, pause
        self.transaction = transaction
        self.is_bounded = bounded
        self.fail_at = list(fail_at)
        self.acknowledged: list[Mapping[str, JSON]] = []
        self.polls = 0

    def bounded(self, table: ConnectorTable) -> bool:
        return self.is_bounded

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        return _NumbersSource(self, tables[0].name, position)


class _NumbersSource(Source):
    def __init__(self, given: Numbers, table_name: str, position: JSON | None) -> None:
        self._given = given
        self._table = table_name
        self._finished: list[str] = list((position or {}).get("finished", []))
        self.bounded = given.is_bounded

    def discover(self) -> Sequence[Split]:
        ids = [f"{self._table}-{i}" for i in range(self._given.splits)]
        return [Split(i, (self._table,)) for i in ids if i not in self._finished]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        return _NumbersReader(self._given, self._table, splits)

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        self._finished.append(split)
        return ()

    def position(self) -> JSON:
        return {"finished": list(self._finished)}

    def acknowledge(self, position: Mapping[str, JSON]) -> Sequence[JSON]:
        self._given.acknowledged.append(position)
        return ()


class _NumbersReader(Reader):
    def __init__(
        self, given: Numbers, table_name: str, splits: Sequence[tuple[Split, JSON | None]]
    ) -> None:
        self._given = given
        self._table = table_name
        self._at: dict[str, int] = {}
        self._polls = 0
        self.assign(splits)

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            self._at[split.id] = 0 if position is None else position["row"]

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        if not self._at:
            return None
        given = self._given
        if given.pause:
            time.sleep(given.pause)
        given.polls += 1
        if given.polls in given.fail_at:
            given.fail_at.remove(given.polls)
            raise ConnectorError("could not read numbers: the server is away")
        split = next(iter(self._at))
        start = self._at.pop(split)
        end = min(start + given.size, given.total)
        pieces = ()
        if end > start:
            pieces = (Piece(self._table, split, Changes(rows(start, end))),)
        self._at[split] = end
        self._polls += 1
        if end == given.total:
            if given.is_bounded:
                del self._at[split]
                return Poll(pieces, finished={split: {}})
            if not pieces:
                time.sleep(timeout)
                return None
        return Poll(pieces, boundary=self._polls % given.transaction == 0)

    def position(self, split: str) -> JSON:
        return {"format": 1, "connector": "numbers", "row": self._at[split]}


class Parts(Connector):
    """An exactly-once sink: a folder with one file a committed checkpoint.

    Args:
        folder: the target.
        early: break the promise: show rows at `prepare`, before the manifest decides.
    """

    name: ClassVar[str] = "parts"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SINK})

    def __init__(self, folder: Path, *, early: bool = False) -> None:
        self.folder = folder
        self.early = early
        self.steps: list[list[tuple[str, Any]]] = []
        self.fail_commits = 0

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        return frozenset(ChangelogMode)

    def sink(self, table: ConnectorTable) -> Sink:
        return _PartsSink(self)


class _PartsSink(Sink):
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, given: Parts) -> None:
        self._given = given

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        make_dirs(self._given.folder)
        for left in self._given.folder.glob(f"*.{context.attempt.job}.tmp"):
            remove(left)
        return _PartsWriter(self._given, context)

    def committed(self, job: str) -> Committed | None:
        marker = self._given.folder / f".marker-{job}"
        if not marker.exists():
            return None
        return Committed(**json.loads(marker.read_text()))

    def holders(self) -> Sequence[str]:
        return sorted(p.name[8:] for p in self._given.folder.glob(".marker-*") if not p.suffix)


class _PartsWriter(Writer):
    def __init__(self, given: Parts, context: ConnectorContext) -> None:
        self._given = given
        self._context = context
        self._rows: list[tuple[str, Any]] = []
        self._step: list[tuple[str, Any]] = []

    def write(self, changes: Changes) -> None:
        columns = [c.to_pylist() for c in changes.batch.columns]
        self._step += zip(kind_names(changes), zip(*columns, strict=True), strict=True)

    def end_step(self) -> None:
        self._given.steps.append(self._step)
        self._rows += self._step
        self._step = []

    def prepare(self, checkpoint: int) -> JSON | None:
        if not self._rows:
            return None
        attempt = self._context.attempt
        name = f"parts-{attempt.run}-{attempt.number}-{checkpoint}"
        path = self._context.checkpoint_file(name)
        with open_for_write(path) as file:
            file.writelines(json.dumps(r).encode() + b"\n" for r in self._rows)
            file.sync()
        fsync_dir(path.parent)
        self._rows = []
        if self._given.early:
            shown = self._given.folder / f"part-{attempt.run}-{checkpoint:06}-{attempt.number}"
            self._put(shown, path.read_bytes(), attempt.job)
            return None
        return {"file": name, "run": attempt.run, "checkpoint": checkpoint}

    def commit(self, token: JSON) -> None:
        if self._given.fail_commits:
            self._given.fail_commits -= 1
            raise ConnectorError("could not commit: the target is away")
        job = self._context.attempt.job
        target = self._given.folder / f"part-{token['run']}-{token['checkpoint']:06}"
        self._put(target, self._context.checkpoint_file(token["file"]).read_bytes(), job)
        marker = {"run": token["run"], "checkpoint": token["checkpoint"]}
        self._put(self._given.folder / f".marker-{job}", json.dumps(marker).encode(), job)

    def _put(self, target: Path, content: bytes, job: str) -> None:
        temporary = self._given.folder / f"{target.name}.{job}.tmp"
        write_file(temporary, content)
        replace_file(temporary, target)
        fsync_dir(self._given.folder)


def committed_changes(folder: Path) -> list[tuple[str, tuple[Any, ...]]]:
    """Everything a `Parts` folder holds, in order."""
    found = []
    for part in sorted(folder.glob("part-*")):
        if not part.name.endswith(".tmp"):
            for line in part.read_text().splitlines():
                kind, row = json.loads(line)
                found.append((kind, tuple(row)))
    return found


def fold(changes: Sequence[tuple[str, tuple[Any, ...]]]) -> Counter[tuple[Any, ...]]:
    """The rows left; fails where a row is taken away that is not there."""
    left: Counter[tuple[Any, ...]] = Counter()
    for kind, row in changes:
        left[row] += 1 if kind[0] == "+" else -1
        assert left[row] >= 0, f"{kind}{row} takes away what is not there"
    return +left


def expected_sums(total: int, splits: int = 1, keep: int = 2) -> Counter[tuple[Any, ...]]:
    """`SELECT k, COUNT(*), SUM(v) FROM numbers WHERE k > keep GROUP BY k`."""
    batch = rows(0, total)
    k, v = batch.column(0).to_numpy(), batch.column(1).to_numpy()
    return Counter(
        {
            (key, int((k == key).sum()) * splits, int(v[k == key].sum()) * splits): 1
            for key in range(KEYS)
            if key > keep and (k == key).any()
        }
    )


def sums_plan(*, aggregate: bool = True, fingerprint: str = "sums-1") -> PhysicalPlan:
    """Numbers → filter k > 2 → GROUP BY k → sink; or without the aggregate."""
    k, v = (Column(type=f.type, index=i, name=f.name) for i, f in enumerate(ROW.fields))
    condition = bind_call(">", [k, number_literal("2")], None)
    scan = PhysicalNode(
        "scan", specs.Scan("numbers", ("k", "v"), None, ChangelogMode.APPEND), (), ROW,
        ChangelogMode.APPEND,
    )  # fmt: skip
    keep = PhysicalNode("filter", specs.Filter(condition), ("scan",), ROW, ChangelogMode.APPEND)
    nodes = [scan, keep]
    if aggregate:
        bigint = BigIntType()
        calls = (
            AggregateCall("COUNT", (), False, None, bind_aggregate("COUNT", [], False, None)),
            AggregateCall("SUM", (v,), False, None, bind_aggregate("SUM", [bigint], False, None)),
        )
        output = RowType(
            (Field("k", bigint), Field("n", calls[0].type), Field("s", calls[1].type)),
            nullable=False,
        )
        spec = specs.GroupAggregate((0,), calls, ChangelogMode.APPEND)
        nodes.append(
            PhysicalNode("agg", spec, ("filter",), output, ChangelogMode.RETRACT, ((0,),),
                         declare_state(spec, (ROW,), output))
        )  # fmt: skip
    last = nodes[-1]
    sink = specs.Sink("parts", last.mode, (0,) if aggregate else ())
    nodes.append(PhysicalNode("sink", sink, (last.id,), last.output, last.mode))
    return PhysicalPlan(tuple(nodes), fingerprint)


def job_plan(
    source: Connector, target: Connector, plan: PhysicalPlan | None = None, **changed: object
) -> JobPlan:
    """A plan over the two tables `numbers` and `parts`."""
    plan = plan or sums_plan()
    plan = replace(plan, **changed) if changed else plan
    output = plan.nodes[-1].output
    return JobPlan(
        plan,
        {
            "numbers": ResolvedTable(source, table("numbers")),
            "parts": ResolvedTable(target, table("parts", output)),
        },
    )


class KnownPlan:
    """A plan codec that knows one plan; its fingerprint is what is stored."""

    def __init__(self, plan: PhysicalPlan) -> None:
        self.plan = plan

    def encode(self, plan: PhysicalPlan) -> JSON:
        return {"fingerprint": plan.fingerprint}

    def decode(self, stored: JSON) -> PhysicalPlan:
        return replace(self.plan, fingerprint=stored["fingerprint"])

    def difference(self, old: PhysicalPlan, new: PhysicalPlan) -> str:
        return f"{old.fingerprint} became {new.fingerprint}."
