"""From a physical plan to running nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pyarrow as pa

from flowsql.changelog import ChangelogMode, Changes
from flowsql.config import EngineSettings
from flowsql.connector import Connector, ConnectorTable, Writer
from flowsql.errors import InternalError, Span
from flowsql.expr import EvalSettings
from flowsql.operators.base import Operator
from flowsql.physical import PhysicalNode, PhysicalPlan
from flowsql.physical.specs import (
    Collect,
    DeadLetters,
    OnConflict,
    Scan,
    Sink,
    SinkMaterialize,
    Spec,
    Union,
    Values,
    WindowAggregate,
)
from flowsql.runtime.constraints import Constraints, Enforcers, GuardedNode
from flowsql.runtime.nodes import EntryNode, Node, OperatorNode
from flowsql.runtime.outlets import CollectOutlet, Outlet, SinkForm, SinkOutlet
from flowsql.runtime.pairing import compared_columns
from flowsql.runtime.scans import ScanNode
from flowsql.runtime.unions import UnionNode
from flowsql.state.store import StateStore
from flowsql.types import Field, RowType, arrow_schema

__all__ = ["Build", "Graph", "JobPlan", "ResolvedTable", "ValuesNode"]

Build: TypeAlias = Callable[[PhysicalNode, Sequence[PhysicalNode], EvalSettings], Operator]
CollectCall: TypeAlias = Callable[[Changes, int], None]


@dataclass(frozen=True)
class ResolvedTable:
    """A table with the connector that reads or writes it; `${…}` in its options is resolved."""

    connector: Connector
    table: ConnectorTable


@dataclass(frozen=True)
class JobPlan:
    """What a job runs.

    Attributes:
        plan: the physical plan.
        tables: full name, as in `Scan.table` and `Sink.table`, → the table. One that is read and
            written has its sink under `<name>/sink` where the two differ.
    """

    plan: PhysicalPlan
    tables: Mapping[str, ResolvedTable]

    def scan_table(self, spec: Scan) -> ConnectorTable:
        """The table as the scan reads it: only the plan that runs knows its columns."""
        table = self.tables[spec.table].table
        stored = table.schema.names
        return replace(
            table,
            columns=tuple(c for c in spec.columns if c in stored),
            metadata={c: table.metadata[c] for c in spec.columns if c not in stored},
            filters=spec.filters,
        )

    def read_row(self, spec: Scan) -> RowType:
        """The row that the connector gives: physical columns, then metadata."""
        table = self.scan_table(spec)
        known = self.tables[spec.table].connector.metadata_of(table.options)
        metadata = tuple(Field(c, known[key]) for c, key in table.metadata.items())
        return RowType((*table.read_schema.fields, *metadata), nullable=False)

    def sink_table(self, name: str) -> ResolvedTable:
        """The table as it is written."""
        return self.tables.get(f"{name}/sink") or self.tables[name]


class ValuesNode(EntryNode):
    """Constant rows, given once a run."""

    def __init__(self, node_id: str, title: str, spec: Values, row: RowType) -> None:
        super().__init__(node_id, title)
        schema = arrow_schema(row)
        columns = list(zip(*spec.rows, strict=True)) or [()] * len(schema)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        self._batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        self.given = False

    def give(self) -> None:
        """All rows; and no more will come."""
        if not self.given and self._batch.num_rows:
            self.forward(Changes(self._batch))
        self.given = True
        self.close()


@dataclass
class Graph:
    """The nodes of one attempt.

    Attributes:
        nodes: in topological order.
        scans: by table.
        dead_letters: by id of the scan.
        keep_order: rows of different tables may meet where their order of arrival matters.
    """

    nodes: list[Node] = field(default_factory=list)
    scans: dict[str, ScanNode] = field(default_factory=dict)
    values: list[ValuesNode] = field(default_factory=list)
    operators: list[OperatorNode] = field(default_factory=list)
    outlets: list[Outlet] = field(default_factory=list)
    sinks: list[SinkOutlet] = field(default_factory=list)
    dead_letters: dict[str, EntryNode] = field(default_factory=dict)
    keep_order: bool = False

    def tables_above(self, outlet: Node) -> set[str]:
        """The tables that a node's rows come from."""
        tables = {s.id: t for t, s in self.scans.items()}
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [outlet]
        while waiting:
            node = waiting.pop()
            if node.id in seen:
                continue
            seen.add(node.id)
            waiting += node.inputs
            if node.id in tables:
                found.add(tables[node.id])
        return found


def build_graph(
    job: JobPlan,
    settings: EngineSettings,
    *,
    build: Build,
    writers: Mapping[str, Writer],
    stores: Mapping[str, StateStore],
    collect: CollectCall | None,
) -> Graph:
    """Makes and links the nodes; operators are not opened yet.

    Args:
        job: the plan and its tables.
        settings: of the engine.
        build: physical node → operator.
        writers: id of a sink → its writer.
        stores: id of an operator → its state tables.
        collect: takes the rows of `Collect` nodes.
    """
    builder = _Builder(job, settings, build=build, writers=writers, stores=stores, collect=collect)
    graph = builder.graph
    physical = {n.id: n for n in job.plan.nodes}
    made: dict[str, Node] = {}
    for node in job.plan.nodes:
        running = builder.make(node, [physical[i] for i in node.inputs])
        made[node.id] = running
        graph.nodes.append(running)
        running.inputs = [made[above] for above in node.inputs]
        if isinstance(node.spec, DeadLetters):
            # It gives what its scan could not read, not the scan's rows.
            continue
        for port, above in enumerate(running.inputs):
            above.readers.append((running, port))
    graph.keep_order = _order_matters(job.plan, physical)
    return graph


class _Builder:
    """Makes one node at a time."""

    def __init__(
        self,
        job: JobPlan,
        settings: EngineSettings,
        *,
        build: Build,
        writers: Mapping[str, Writer],
        stores: Mapping[str, StateStore],
        collect: CollectCall | None,
    ) -> None:
        self._job = job
        self._settings = settings
        self._evaluation = EvalSettings(local_time_zone=settings.local_time_zone)
        self._build = build
        self._writers = writers
        self._stores = stores
        self._collect = collect
        self.graph = Graph()

    def make(self, node: PhysicalNode, inputs: Sequence[PhysicalNode]) -> Node:
        """The running node for a physical one."""
        spec = node.spec
        title = type(spec).__name__
        graph = self.graph
        match spec:
            case Scan():
                return self._scan(node, spec)
            case Values():
                values = ValuesNode(node.id, title, spec, node.output)
                graph.values.append(values)
                return values
            case DeadLetters():
                entry = DeadLettersNode(node.id, title)
                graph.dead_letters[node.inputs[0]] = entry
                return entry
            case Sink():
                sink = self._sink(node, spec, inputs[0])
                graph.sinks.append(sink)
                graph.outlets.append(sink)
                return sink
            case Collect():
                result = self._result(node, spec, inputs[0])
                graph.outlets.append(result)
                return result
            case _:
                made = self._build(node, inputs, self._evaluation)
                kind = _NODES.get(type(spec), OperatorNode)
                operator = kind(node.id, title, made, self._stores[node.id])
                operator.span = node.span
                graph.operators.append(operator)
                return operator

    def _scan(self, node: PhysicalNode, spec: Scan) -> ScanNode:
        scan = ScanNode(
            node.id,
            f"Scan {spec.table}",
            spec,
            read=self._job.read_row(spec),
            output=node.output,
            settings=self._evaluation,
            idle_timeout=self._settings.idle_timeout,
        )
        self.graph.scans[spec.table] = scan
        return scan

    def _compared(self, above: PhysicalNode, upsert_key: tuple[int, ...]) -> tuple[int, ...] | None:
        nodes = {n.id: n for n in self._job.plan.nodes}
        return compared_columns(above, upsert_key, nodes)

    def _constraints(
        self, spec: Sink, above: PhysicalNode, span: Span | None
    ) -> Constraints | None:
        """What the outlet of a table holds rows against; None where the operator before it does."""
        settings = self._settings
        declared = {f.name: f for f in self._job.sink_table(spec.table).table.schema.fields}
        row = RowType(tuple(declared.get(f.name, f) for f in above.output.fields), nullable=False)
        enforcers = Enforcers(
            settings.not_null_enforcer, settings.type_length_enforcer, settings.nested_enforcer
        )
        constraints = Constraints(spec.table, row, spec.not_null, enforcers, span)
        if not constraints:
            return None
        for node in self.graph.operators:
            if isinstance(node, GuardedNode) and node.id == above.id:
                node.constraints = constraints
                return None
        return constraints

    def _sink(self, node: PhysicalNode, spec: Sink, above: PhysicalNode) -> SinkOutlet:
        form = SinkForm(
            spec.table,
            above.output,
            spec.mode,
            _label_key(spec.upsert_key, above),
            above.mode,
            self._constraints(spec, above, node.span),
            self._compared(above, spec.upsert_key),
        )
        return SinkOutlet(node.id, f"Sink {spec.table}", form, self._writers[node.id])

    def _result(self, node: PhysicalNode, spec: Collect, above: PhysicalNode) -> CollectOutlet:
        if self._collect is None:
            raise InternalError("the plan gives a result, but nobody takes it")
        form = SinkForm(
            "result",
            above.output,
            ChangelogMode.RETRACT,
            _label_key(spec.upsert_key, above),
            above.mode,
            compared=self._compared(above, spec.upsert_key),
        )
        return CollectOutlet(node.id, "Collect", form, self._collect)


_NODES: Mapping[type[Spec], type[OperatorNode]] = {
    Union: UnionNode,
    SinkMaterialize: GuardedNode,
    OnConflict: GuardedNode,
}


def _label_key(upsert_key: tuple[int, ...], above: PhysicalNode) -> tuple[int, ...] | None:
    """The key by which changes are labelled: a global aggregate's is empty, for its one row."""
    return upsert_key if upsert_key or () in above.upsert_keys else None


class DeadLettersNode(EntryNode):
    """Bad records of a scan as rows; its time is the scan's."""

    def settle(self, clock: object) -> None:
        del clock
        scan = self.inputs[0]
        self.watermark, self.idle = scan.watermark, scan.idle


def _order_matters(plan: PhysicalPlan, physical: Mapping[str, PhysicalNode]) -> bool:
    """Whether a union stands before rows of which the last wins, or that may come late."""

    def above(node: PhysicalNode) -> list[PhysicalNode]:
        found = [physical[i] for i in node.inputs]
        return [*found, *(a for f in found for a in above(f))]

    return any(
        isinstance(a.spec, Union)
        for n in plan.nodes
        if isinstance(n.spec, SinkMaterialize | OnConflict | WindowAggregate)
        or (isinstance(n.spec, Sink) and physical[n.inputs[0]].mode is ChangelogMode.UPSERT)
        for a in above(n)
    )
