"""Whole jobs: from bound statements to one physical plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowsql.expr import Column
from flowsql.logical import (
    BoundTable,
    Insert,
    LogicalPlan,
    PlanSettings,
    Project,
    Scan,
    Sort,
    fingerprint,
    one_sink_a_table,
)
from flowsql.optimizer import optimize
from flowsql.physical import specs as p
from flowsql.physical.lower import Lowering
from flowsql.physical.plan import PhysicalPlan
from flowsql.physical.rows import sorted_by_time
from flowsql.physical.sinks import lower_dead_letters

__all__ = ["PlannedJob", "plan_job", "plan_select", "tables_of"]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A plan with the steps that led to it, for EXPLAIN.

    Attributes:
        statements: bound, unoptimised.
        optimized: after all rules.
        plan: the physical plan.
        notices: what the user is told of it before it runs.
    """

    statements: tuple[LogicalPlan, ...]
    optimized: tuple[LogicalPlan, ...]
    plan: PhysicalPlan
    notices: tuple[str, ...] = ()


def plan_job(statements: Sequence[Insert], settings: PlanSettings) -> PlannedJob:
    """The plan of one job: an INSERT, or the INSERTs of a statement set.

    Every table is scanned once and written once, equal parts of the statements are computed once.

    Raises:
        SqlError: a statement cannot be run as a stream, or a sink cannot take its changes.
    """
    return _plan(statements, settings)


def plan_select(query: LogicalPlan, settings: PlanSettings) -> PlannedJob:
    """The plan of a query whose result goes to the session; raises as `plan_job`."""
    return _plan([query], settings)


def _plan(statements: Sequence[LogicalPlan], settings: PlanSettings) -> PlannedJob:
    planned = list(statements)
    selected = not any(isinstance(s, Insert) for s in statements)
    ends = selected and all(t.bounded for t in tables_of(statements).values())
    order: tuple[p.SortKey, ...] = ()
    if settings.streaming and selected:
        planned[0], order = _ordered(statements[0])
    optimized = optimize(one_sink_a_table(planned), settings)
    lowering = Lowering(replace(settings, sort_at_end=settings.sort_at_end or ends))
    for plan in optimized:
        if isinstance(plan, Insert):
            lowering.lower(plan, frozenset())
            continue
        node = lowering.root(plan)
        key = node.upsert_keys[0] if node.upsert_keys else ()
        lowering.builder.add(
            p.Collect(key, order), (node,), node.output, node.mode, node.upsert_keys, span=plan.span
        )
    lower_dead_letters(lowering)
    return PlannedJob(
        tuple(statements),
        tuple(optimized),
        PhysicalPlan(
            nodes=tuple(lowering.builder.nodes),
            fingerprint=fingerprint(statements, settings),
            streaming=settings.streaming,
            statement="\n".join(s.tree() for s in statements),
        ),
        tuple(lowering.notices),
    )


def _ordered(query: LogicalPlan) -> tuple[LogicalPlan, tuple[p.SortKey, ...]]:
    """A query whose result is sorted when it is known, and how.

    A stream has no end at which its rows could be given in order. The final table of bounded ones
    has: ORDER BY without LIMIT is left to whoever shows it, unless time decides what is late.
    """
    chosen: Project | None = query if isinstance(query, Project) else None
    sort = query if chosen is None else chosen.input
    if not isinstance(sort, Sort):
        return query, ()
    places = {k.column: k.column for k in sort.order}
    if chosen is not None:
        found = {e.index: i for i, e in enumerate(chosen.expressions) if isinstance(e, Column)}
        places = {c: found[c] for c in places if c in found}
    if any(k.column not in places for k in sort.order):
        return query, ()
    order = tuple(p.SortKey(places[k.column], k.descending, k.nulls_first) for k in sort.order)
    bounded = all(t.bounded for t in tables_of([query]).values())
    if sort.fetch is not None or sort.offset or not bounded or sorted_by_time(sort):
        return query, order
    return (sort.input if chosen is None else chosen.with_inputs((sort.input,))), order


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
