"""Nothing reads a column that nobody needs: scans and what they feed become narrower.

    Project(a)  over  Scan(a, b, c)  →  Project(a)  over  Scan(a)

A scan keeps its primary key where it gives upserts, since its rows are found by it, and the columns
that its watermark reads where its time is read, or where ON CONFLICT waits for it. A join side keeps a
unique key that makes its state smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowsql.catalog import ColumnKind
from flowsql.changelog import ChangelogMode
from flowsql.expr import AggregateCall, Column, Literal, columns_read
from flowsql.logical import (
    Aggregate,
    Expand,
    Filter,
    FromChangelog,
    Insert,
    Join,
    LogicalPlan,
    Number,
    PlanSettings,
    Project,
    Rank,
    Scan,
    SemiJoin,
    Sort,
    SortKey,
    Tumble,
    Union,
    Unnest,
    Values,
)
from flowsql.optimizer.rewrite import moved, select
from flowsql.optimizer.unique_keys import equalities, side_key

__all__ = ["prune_columns", "scan_columns"]

Places = dict[int, int]


def prune_columns(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with the same schema over narrower inputs."""
    if isinstance(plan, Insert):
        below = _whole(plan.input, settings)
        if plan.conflict in {"ERROR", "NOTHING"} and settings.streaming:
            below = _timed(below)
        return replace(plan, input=below)
    return _whole(plan, settings)


def _timed(plan: LogicalPlan) -> LogicalPlan:
    """The plan whose scans read what their watermarks do."""
    if not isinstance(plan, Scan):
        return plan.with_inputs(tuple(_timed(i) for i in plan.inputs))
    mark = plan.table.watermark
    if mark is None:
        return plan
    columns = tuple(sorted({*plan.columns, mark.rowtime, *columns_read(mark.expression)}))
    if columns == plan.columns:
        return plan
    return select(replace(plan, columns=columns), [columns.index(c) for c in plan.columns])


def _whole(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    every = range(len(plan.schema.fields))
    pruned, places = _prune(plan, frozenset(every), settings)
    order = [places[i] for i in every]
    if order == list(range(len(pruned.schema.fields))):
        return pruned
    return select(pruned, order)


def _prune(
    plan: LogicalPlan, needed: frozenset[int], settings: PlanSettings
) -> tuple[LogicalPlan, Places]:
    """A plan that gives at least the needed columns, and where they stand."""
    match plan:
        case Scan():
            columns = scan_columns(plan, needed)
            position = {c: i for i, c in enumerate(columns)}
            places = {i: position[c] for i, c in enumerate(plan.columns) if c in position}
            return replace(plan, columns=columns), places
        case Filter():
            below, places = _prune(plan.input, needed | columns_read(plan.condition), settings)
            return replace(plan, input=below, condition=moved(plan.condition, places)), places
        case Project():
            # A batch cannot count rows that have no column.
            chosen = sorted(needed) or _simplest(plan)
            used = frozenset(c for i in chosen for c in columns_read(plan.expressions[i]))
            below, places = _prune(plan.input, used, settings)
            return (
                replace(
                    plan,
                    input=below,
                    expressions=tuple(moved(plan.expressions[i], places) for i in chosen),
                    names=tuple(plan.names[i] for i in chosen),
                ),
                {c: i for i, c in enumerate(chosen)},
            )
        case Tumble():
            width = len(plan.input.schema.fields)
            own = frozenset(c for c in needed if c < width) | {plan.time}
            below, places = _prune(plan.input, own, settings)
            shift = len(below.schema.fields) - width
            places |= {c: c + shift for c in range(width, len(plan.schema.fields))}
            return replace(plan, input=below, time=places[plan.time]), places
        case Aggregate():
            return _aggregate(plan, needed, settings)
        case Join():
            return _join(plan, needed, settings)
        case Union():
            needed = needed or frozenset({0})
            chosen = sorted(needed)
            parts = []
            for part in plan.parts:
                below, places = _prune(part, needed, settings)
                order = [places[c] for c in chosen]
                same = order == list(range(len(below.schema.fields)))
                parts.append(below if same else select(below, order))
            return replace(plan, parts=tuple(parts)), {c: i for i, c in enumerate(chosen)}
        case SemiJoin():
            return _semi_join(plan, needed, settings)
        case Expand():
            chosen = sorted(needed) or [0]
            used = frozenset(
                c for values in plan.projections for i in chosen for c in columns_read(values[i])
            )
            below, places = _prune(plan.input, used, settings)
            projections = tuple(
                tuple(moved(values[i], places) for i in chosen) for values in plan.projections
            )
            names = tuple(plan.names[i] for i in chosen)
            return (
                replace(plan, input=below, projections=projections, names=names),
                {c: i for i, c in enumerate(chosen)},
            )
        case Sort():
            used = needed | {k.column for k in plan.order}
            below, places = _prune(plan.input, used, settings)
            return replace(plan, input=below, order=_keys(plan.order, places)), places
        case Rank():
            return _rank(plan, needed, settings)
        case Number() if len(plan.schema.fields) - 1 not in needed:
            return _prune(plan.input, needed, settings)
        case Unnest():
            return _unnest(plan, needed, settings)
        case FromChangelog():
            return _from_changelog(plan, needed, settings)
        case Values():
            return plan, {c: c for c in range(len(plan.schema.fields))}
        case _:
            whole = plan.with_inputs(tuple(_whole(i, settings) for i in plan.inputs))
            return whole, {c: c for c in range(len(plan.schema.fields))}


def _simplest(plan: Project) -> list[int]:
    """What is given where only the number of rows matters: one column, if it has any that cannot fail."""
    bare = [i for i, e in enumerate(plan.expressions) if isinstance(e, Column | Literal)]
    return bare[:1] or list(range(len(plan.expressions)))[:1]


def scan_columns(plan: Scan, needed: frozenset[int]) -> tuple[int, ...]:
    """Positions in the table's schema that a scan must give for the needed output columns."""
    chosen = {plan.columns[c] for c in needed}
    table = plan.table
    if table.scan_mode is ChangelogMode.UPSERT:
        chosen |= set(table.primary_key)
    if table.watermark is not None and table.watermark.rowtime in chosen:
        chosen |= columns_read(table.watermark.expression)
    # A batch cannot count rows that have no column.
    return tuple(sorted(chosen or {_cheapest(plan)}))


def _cheapest(plan: Scan) -> int:
    """The column that is read where only the number of rows matters."""
    narrow = ("BOOLEAN", "TINYINT", "SMALLINT", "INT", "DATE", "FLOAT", "BIGINT", "DOUBLE")

    def cost(column: int) -> tuple[bool, int, int]:
        bound = plan.table.columns[column]
        root = bound.type.root
        place = narrow.index(root) if root in narrow else len(narrow)
        return bound.kind is not ColumnKind.PHYSICAL, place, column

    return min(plan.columns, key=cost)


def _aggregate(
    plan: Aggregate, needed: frozenset[int], settings: PlanSettings
) -> tuple[LogicalPlan, Places]:
    """Every key stays, for it makes the groups; a call that nobody reads goes."""
    width = len(plan.keys)
    calls = [i for i in range(len(plan.calls)) if i + width in needed]
    if not plan.keys and not calls:
        calls = [0]
    used = set(plan.keys)
    for i in calls:
        used |= {a.index for a in plan.calls[i].args}
        kept = plan.calls[i].filter
        used |= set() if kept is None else {kept.index}
    below, places = _prune(plan.input, frozenset(used), settings)

    def move(column: Column) -> Column:
        return replace(column, index=places[column.index])

    def call(found: AggregateCall) -> AggregateCall:
        return replace(
            found,
            args=tuple(map(move, found.args)),
            filter=None if found.filter is None else move(found.filter),
        )

    pruned = replace(
        plan,
        input=below,
        keys=tuple(places[k] for k in plan.keys),
        calls=tuple(call(plan.calls[i]) for i in calls),
        names=(*plan.names[:width], *(plan.names[i + width] for i in calls)),
        window=tuple((places[c], w) for c, w in plan.window),
    )
    return pruned, {
        **{i: i for i in range(width)},
        **{c + width: width + i for i, c in enumerate(calls)},
    }


def _keys(order: Sequence[SortKey], places: Places) -> tuple[SortKey, ...]:
    return tuple(replace(k, column=places[k.column]) for k in order)


def _rank(plan: Rank, needed: frozenset[int], settings: PlanSettings) -> tuple[LogicalPlan, Places]:
    """A number that nobody reads is not given."""
    width = len(plan.input.schema.fields)
    used = frozenset(c for c in needed if c < width) | set(plan.partition)
    used |= {k.column for k in plan.order}
    used |= set() if plan.end_column is None else {plan.end_column}
    below, places = _prune(plan.input, used or frozenset({0}), settings)
    pruned = replace(
        plan,
        input=below,
        partition=tuple(places[c] for c in plan.partition),
        order=_keys(plan.order, places),
        end_column=None if plan.end_column is None else places[plan.end_column],
        name=plan.name if width in needed else None,
    )
    if width in needed:
        places = {**places, width: len(below.schema.fields)}
    return pruned, places


def _unnest(
    plan: Unnest, needed: frozenset[int], settings: PlanSettings
) -> tuple[LogicalPlan, Places]:
    width = len(plan.input.schema.fields)
    used = needed if plan.condition is None else needed | columns_read(plan.condition)
    own = frozenset(c for c in used if c < width) | {plan.collection}
    below, places = _prune(plan.input, own, settings)
    shift = len(below.schema.fields) - width
    places = {**places, **{c: c + shift for c in range(width, len(plan.schema.fields))}}
    condition = None if plan.condition is None else moved(plan.condition, places)
    pruned = replace(plan, input=below, collection=places[plan.collection], condition=condition)
    return pruned, places


def _from_changelog(
    plan: FromChangelog, needed: frozenset[int], settings: PlanSettings
) -> tuple[LogicalPlan, Places]:
    # A batch cannot count rows that have no column.
    read = {plan.columns[c] for c in needed or {0}} | {*plan.partition, plan.op}
    below, places = _prune(plan.input, frozenset(read), settings)
    pruned = replace(
        plan,
        input=below,
        partition=tuple(places[c] for c in plan.partition),
        op=places[plan.op],
    )
    given = {c: i for i, c in enumerate(pruned.columns)}
    return pruned, {i: given[places[c]] for i, c in enumerate(plan.columns) if c in read}


def _semi_join(
    plan: SemiJoin, needed: frozenset[int], settings: PlanSettings
) -> tuple[LogicalPlan, Places]:
    width = len(plan.left.schema.fields)
    read = frozenset() if plan.condition is None else columns_read(plan.condition)
    pairs, rest = equalities(plan.condition, width)
    others = {c for e in rest for c in columns_read(e)}
    key = side_key(
        plan.left,
        (a for a, _, _ in pairs),
        (c for c in needed | others if c < width),
        settings,
    )
    left, at_left = _prune(
        plan.left,
        needed | frozenset(c for c in read if c < width) | key or frozenset({0}),
        settings,
    )
    right, at_right = _prune(plan.right, frozenset(c - width for c in read if c >= width), settings)
    shift = len(left.schema.fields)
    places = dict(at_left) | {c + width: i + shift for c, i in at_right.items()}
    condition = None if plan.condition is None else moved(plan.condition, places)
    return replace(plan, left=left, right=right, condition=condition), at_left


def _join(plan: Join, needed: frozenset[int], settings: PlanSettings) -> tuple[LogicalPlan, Places]:
    width = len(plan.left.schema.fields)
    used = needed if plan.condition is None else needed | columns_read(plan.condition)
    pairs, rest = equalities(plan.condition, width)
    read = needed | {c for e in rest for c in columns_read(e)}
    keys = (
        side_key(plan.left, (a for a, _, _ in pairs), (c for c in read if c < width), settings),
        side_key(
            plan.right,
            (b for _, b, _ in pairs),
            (c - width for c in read if c >= width),
            settings,
        ),
    )
    left, at_left = _prune(plan.left, frozenset(c for c in used if c < width) | keys[0], settings)
    right, at_right = _prune(
        plan.right, frozenset(c - width for c in used if c >= width) | keys[1], settings
    )
    shift = len(left.schema.fields)
    places = dict(at_left) | {c + width: i + shift for c, i in at_right.items()}
    condition = None if plan.condition is None else moved(plan.condition, places)
    return replace(plan, left=left, right=right, condition=condition), places
