"""The tables of a job, ready to be opened: every `${NAME}` resolved, columns as the plan reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from flowsql.catalog import ColumnKind
from flowsql.connector import Connector, Guarantee
from flowsql.errors import FlowSQLError, Span
from flowsql.library.embedded import EmbeddedConnector
from flowsql.library.masking import without_marks
from flowsql.logical import BoundTable, Insert, LogicalPlan, Scan, Tables, connector_table
from flowsql.physical import PlannedJob, tables_of
from flowsql.physical import specs as p
from flowsql.runtime.graph import JobPlan, ResolvedTable

__all__ = ["exactly_once", "job_plan"]


def job_plan(planned: PlannedJob, tables: Tables) -> JobPlan:
    """What a job needs to run.

    Raises:
        ConfigError: an environment variable is not set, or its text is no value of the option.
    """
    bound = tables_of(planned.statements)
    # What a name stands for in the session may change while the job runs.
    taken: dict[int, Connector] = {}

    def taken_now(connector: Connector) -> Connector:
        if not isinstance(connector, EmbeddedConnector):
            return connector
        return taken.setdefault(id(connector), connector.taken_now())

    resolved: dict[str, ResolvedTable] = {}
    for node in planned.plan.nodes:
        if isinstance(node.spec, p.Scan):
            table = bound[node.spec.table]
            names = [c.name for c in table.columns if c.kind is not ColumnKind.COMPUTED]
            with _placed(planned.statements, table):
                facts = connector_table(table, tables, columns=names)
            resolved[table.name] = ResolvedTable(taken_now(table.connector), facts)
    for node in planned.plan.nodes:
        if isinstance(node.spec, p.Sink):
            table = bound[node.spec.table]
            name = f"{table.name}/sink" if table.name in resolved else table.name
            with _placed(planned.statements, table):
                facts = connector_table(table, tables)
            resolved[name] = ResolvedTable(table.connector, facts)
    return JobPlan(planned.plan, resolved)


@contextlib.contextmanager
def _placed(statements: Iterable[LogicalPlan], table: BoundTable) -> Iterator[None]:
    """An error of the table is marked where the statements name it first."""
    try:
        yield
    except FlowSQLError as error:
        if error.span is None:
            error.span = next((s for p in statements for s in _spans(p, table)), None)
        raise


def _spans(plan: LogicalPlan, table: BoundTable) -> Iterator[Span]:
    named = (isinstance(plan, Scan) and table in (plan.table, plan.table.dead_letters)) or (
        isinstance(plan, Insert) and plan.target == table
    )
    if named and plan.span is not None:
        yield plan.span
    for below in plan.inputs:
        yield from _spans(below, table)


def exactly_once(plan: JobPlan) -> tuple[str, ...]:
    """The plan's target tables that show rows at checkpoints only."""
    names = []
    for node in plan.plan.nodes:
        if isinstance(node.spec, p.Sink):
            found = plan.sink_table(node.spec.table)
            if found.connector.sink(found.table).guarantee is Guarantee.EXACTLY_ONCE:
                names.append(node.spec.table)
    return tuple(dict.fromkeys(map(without_marks, names)))
