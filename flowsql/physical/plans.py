"""Whole jobs: from bound statements to one physical plan."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.logical import BoundTable, Insert, LogicalPlan, PlanSettings, Scan, fingerprint
from flowsql.optimizer import optimize
from flowsql.physical import specs as p
from flowsql.physical.explain import explain
from flowsql.physical.lower import Lowering
from flowsql.physical.plan import PhysicalPlan

__all__ = ["explain_job", "plan_job", "plan_select", "tables_of"]


def plan_job(statements: Sequence[Insert], settings: PlanSettings) -> PhysicalPlan:
    """The plan of one job: an INSERT, or the INSERTs of a statement set.

    Every table is scanned once, equal parts of the statements are computed once.

    Raises:
        SqlError: a statement cannot be run as a stream, or a sink cannot take its changes.
    """
    return _lowered(statements, optimize(statements, settings), settings)


def plan_select(query: LogicalPlan, settings: PlanSettings) -> PhysicalPlan:
    """The plan of a query whose result goes to the session; raises as `plan_job`."""
    return _lowered([query], optimize([query], settings), settings)


def explain_job(
    statements: Sequence[LogicalPlan], settings: PlanSettings, *, changelog: bool = False
) -> str:
    """EXPLAIN of bound statements; `changelog` for CHANGELOG_MODE; raises as `plan_job`."""
    optimized = optimize(statements, settings)
    plan = _lowered(statements, optimized, settings)
    return explain(statements, optimized, plan, changelog=changelog)


def _lowered(
    statements: Sequence[LogicalPlan], optimized: Sequence[LogicalPlan], settings: PlanSettings
) -> PhysicalPlan:
    lowering = Lowering(settings)
    for plan in optimized:
        if isinstance(plan, Insert):
            lowering.lower(plan, frozenset())
            continue
        node = lowering.root(plan)
        key = node.upsert_keys[0] if node.upsert_keys else ()
        lowering.builder.add(
            p.Collect(key), (node,), node.output, node.mode, node.upsert_keys, span=plan.span
        )
    return PhysicalPlan(
        nodes=tuple(lowering.builder.nodes),
        fingerprint=fingerprint(statements, settings),
        streaming=settings.streaming,
        statement="\n".join(s.tree() for s in statements),
    )


def tables_of(statements: Sequence[LogicalPlan]) -> dict[str, BoundTable]:
    """The tables that the statements read and write, by the names the plan gives them."""
    found: dict[str, BoundTable] = {}

    def visit(plan: LogicalPlan) -> None:
        for below in plan.inputs:
            visit(below)
        tables: tuple[BoundTable | None, ...] = ()
        if isinstance(plan, Scan):
            tables = (plan.table, plan.table.dead_letters)
        elif isinstance(plan, Insert):
            tables = (plan.target,)
        for table in tables:
            if table is not None:
                found.setdefault(table.name, table)

    for statement in statements:
        visit(statement)
    return found
