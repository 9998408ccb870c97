"""What a source may be told of the rows that a job wants of a table (DESIGN 9).

A table is read once a job, whatever reads it, and each reader has its own filter. A source is
offered what all readers ask for: conditions that each of them has, and, where every reader has
others beside them, that one reader's or another's hold. A source that takes a condition exactly
spares the engine's own check of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from flowsql.changelog import ChangelogMode
from flowsql.expr import Expression
from flowsql.logical import Filter, LogicalPlan, PlanSettings, Scan
from flowsql.optimizer.predicates import predicate_of_condition
from flowsql.optimizer.rewrite import conjunction, conjuncts
from flowsql.types.predicates import (
    And,
    Or,
    Predicate,
    ScanFilter,
    Taken,
    columns_of_predicate,
)

__all__ = ["offer"]

Readers = list[tuple[Scan, tuple[Expression, ...]]]


def offer(
    plans: Sequence[LogicalPlan],
    settings: PlanSettings,
    wanted: Callable[[Scan, frozenset[str]], bool],
    *,
    partitions: bool,
) -> list[LogicalPlan]:
    """The plans, their scans told of filters.

    Args:
        plans: all statements of the job; scans of one table are equal.
        settings: the session's.
        wanted: whether a condition that reads these columns of the scan is to be offered.
        partitions: how the filters are shown.
    """
    readers: dict[str, Readers] = {}
    for plan in plans:
        _collect(plan, readers)
    told: dict[str, tuple[ScanFilter, ...]] = {}
    spared: dict[str, tuple[Expression, ...]] = {}
    for name, found in readers.items():
        scan = found[0][0]
        if _may_leave_out(scan, settings):
            told[name], spared[name] = _ask(scan, found, wanted, partitions=partitions)
    if not any(told.values()):
        return list(plans)
    return [_rewritten(plan, told, spared) for plan in plans]


def _collect(plan: LogicalPlan, readers: dict[str, Readers]) -> None:
    """Every scan with the conditions right above it."""
    if isinstance(plan, Filter) and isinstance(plan.input, Scan):
        found = (plan.input, tuple(conjuncts(plan.condition)))
        readers.setdefault(plan.input.table.name, []).append(found)
    elif isinstance(plan, Scan):
        readers.setdefault(plan.table.name, []).append((plan, ()))
    else:
        for below in plan.inputs:
            _collect(below, readers)


def _may_leave_out(scan: Scan, settings: PlanSettings) -> bool:
    """Whether rows that no reader wants may be missing from the scan.

    Not where its time is read: a row raises the watermark even if no reader wants it, and what is
    late would come to depend on what the source leaves out.
    """
    mark = scan.table.watermark
    return not settings.streaming or mark is None or mark.rowtime not in scan.columns


def _ask(
    scan: Scan,
    readers: Readers,
    wanted: Callable[[Scan, frozenset[str]], bool],
    *,
    partitions: bool,
) -> tuple[tuple[ScanFilter, ...], tuple[Expression, ...]]:
    """What the source takes, and the conditions that it takes exactly."""
    plain: dict[Expression, Predicate] = {}
    for _, conditions in readers:
        for condition in conditions:
            made = predicate_of_condition(condition, scan)
            if made is not None and _fits(scan, made, wanted):
                plain[condition] = made
    asked = [[c for c in conditions if c in plain] for _, conditions in readers]
    if not all(asked):
        return (), ()
    common = [c for c in asked[0] if all(c in other for other in asked[1:])]
    offered = [plain[c] for c in common]
    rest = [tuple(plain[c] for c in own if c not in common) for own in asked]
    if all(rest):
        either = tuple(dict.fromkeys(p[0] if len(p) == 1 else And(p) for p in rest))
        offered.append(either[0] if len(either) == 1 else Or(either))
    if not offered:
        return (), ()
    answers = scan.table.connector.take_filters(scan.table.settings, offered)
    told = tuple(
        # What is not common stays in each reader's filter.
        ScanFilter(predicate, taken if at < len(common) else Taken.COARSE, partitions)
        for at, (predicate, taken) in enumerate(zip(offered, answers, strict=True))
        if taken is not Taken.NOT
    )
    return told, tuple(c for c, taken in zip(common, answers, strict=False) if taken is Taken.EXACT)


def _fits(scan: Scan, predicate: Predicate, wanted: Callable[[Scan, frozenset[str]], bool]) -> bool:
    columns = columns_of_predicate(predicate)
    if not wanted(scan, columns):
        return False
    if scan.table.scan_mode is not ChangelogMode.UPSERT:
        return True
    # The row that an upsert takes the place of may be one that is wanted.
    return columns <= {scan.table.columns[c].name for c in scan.table.primary_key}


def _rewritten(
    plan: LogicalPlan,
    told: dict[str, tuple[ScanFilter, ...]],
    spared: dict[str, tuple[Expression, ...]],
) -> LogicalPlan:
    if isinstance(plan, Scan):
        more = told.get(plan.table.name, ())
        return replace(plan, filters=(*plan.filters, *more)) if more else plan
    inputs = tuple(_rewritten(i, told, spared) for i in plan.inputs)
    if isinstance(plan, Filter) and isinstance(plan.input, Scan):
        gone = spared.get(plan.input.table.name, ())
        kept = conjunction([c for c in conjuncts(plan.condition) if c not in gone])
        return inputs[0] if kept is None else replace(plan, input=inputs[0], condition=kept)
    if any(a is not b for a, b in zip(plan.inputs, inputs, strict=True)):
        return plan.with_inputs(inputs)
    return plan
