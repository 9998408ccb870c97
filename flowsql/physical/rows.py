"""Lowering of what chooses, orders or multiplies rows: Top-N, LIMIT, ORDER BY, IN, sets, UNNEST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowsql.changelog import ChangelogMode
from flowsql.errors import SqlError
from flowsql.expr import Column, Literal, bind_call, columns_read, walk
from flowsql.logical import (
    Aggregate,
    Expand,
    Filter,
    LogicalPlan,
    Number,
    PlanSettings,
    Project,
    Rank,
    RankFunction,
    Scan,
    SemiJoin,
    SetKind,
    SetOperation,
    Sort,
    SortKey,
    Tumble,
    Unnest,
    Window,
    window_columns,
)
from flowsql.logical.refusals import not_supported
from flowsql.optimizer.unique_keys import equalities, minimal, projected, rank_keys
from flowsql.physical import specs as p
from flowsql.physical.builder import Lowered, relocated
from flowsql.physical.determinism import require_deterministic
from flowsql.physical.joins import join_side, lower_side, refuse_timed, residual
from flowsql.physical.plan import PhysicalNode
from flowsql.types import (
    BigIntType,
    Field,
    LocalZonedTimestampType,
    RowType,
    TimeAttribute,
    TimestampType,
)

_AT_END = "__table.exec.sort.non-temporal.enabled__"

if TYPE_CHECKING:
    from flowsql.physical.lower import Lowering

__all__ = [
    "lower_expand",
    "lower_number",
    "lower_rank",
    "lower_semi_join",
    "lower_set_operation",
    "lower_sort",
    "lower_unnest",
    "sorted_by_time",
]

Needed = frozenset[int]


def lower_number(lowering: Lowering, plan: Number, needed: Needed) -> Lowered:
    """All rows of each partition with their number.

    Raises:
        SqlError: the numbers go by time, which Flink's OVER keeps in another way.
    """
    if lowering.settings.streaming:
        timed = any(
            getattr(plan.input.schema.types[k.column], "attribute", TimeAttribute.NONE)
            is not TimeAttribute.NONE
            for k in plan.order
        )
        if timed or not plan.order:
            raise not_supported(
                f"{plan.function.value}() OVER (…) by time without a condition on the number",
                plan.span,
                "Put the query into FROM (…) and choose the first ones: WHERE number <= 3.",
            )
    ranked = Rank(
        plan.input,
        plan.partition,
        plan.order,
        plan.function,
        1,
        None,
        None,
        plan.name,
        span=plan.span,
    )
    return lower_rank(lowering, ranked, needed)


# Top-N


def lower_rank(lowering: Lowering, plan: Rank, needed: Needed) -> Lowered:
    """A Top-N, or the deduplication that it is.

    Raises:
        SqlError: the function cannot be kept up to date.
    """
    if lowering.settings.streaming and plan.function is not RankFunction.ROW_NUMBER:
        # Flink refuses the Top-N; numbering all rows, it counts equal ones in another way.
        raise SqlError(
            f"{plan.function.value}() OVER (…) on a stream is not supported",
            hint="Use ROW_NUMBER(), or SET 'execution.runtime-mode' = 'batch'.",
            span=plan.span,
        )
    window_end = _window_end(plan) if lowering.settings.streaming else None
    width = len(plan.input.schema.fields)
    own = frozenset(c for c in needed if c < width) | set(plan.partition)
    own |= {k.column for k in plan.order}
    own |= set() if plan.end_column is None else {plan.end_column}
    below = lowering.lower(plan.input, own or frozenset({0}))
    numbered = plan.name is not None and width in needed
    first = (plan.start, plan.end, plan.end_column) == (1, 1, None)
    if first and plan.function is RankFunction.ROW_NUMBER and window_end is None:
        node = _deduplicated(lowering, plan, below)
        if node is not None:
            return (
                _numbered_one(lowering, plan, node, below)
                if numbered
                else Lowered(node, below.columns + (() if plan.name is None else (-1,)))
            )
    given = _plain(below.node.output)
    if numbered:
        assert plan.name is not None
        given = RowType(
            (*given.fields, Field(plan.name, BigIntType(nullable=False))), nullable=False
        )
    partition = tuple(below.at(c) for c in plan.partition)
    at = len(below.node.output.fields) if numbered else None
    window: dict[str, Any] = {}
    if window_end is not None:
        if below.node.mode is not ChangelogMode.APPEND or plan.end_column is not None:
            raise not_supported(
                "a window Top-N over rows that change, or up to a column", plan.span
            )
        window = {
            "window_end": below.at(window_end),
            "local_time": isinstance(_tumble(plan).schema.types[-1], LocalZonedTimestampType),
            "last": first and _last_by_time(plan),
        }
    node = lowering.builder.add(
        p.Rank(
            partition=partition,
            order=_order(plan.order, below),
            function=p.RankFunction(plan.function.value),
            start=plan.start,
            end=plan.end,
            end_column=None if plan.end_column is None else below.at(plan.end_column),
            rank_column=numbered,
            input_mode=below.node.mode,
            ttl=0 if window else lowering.settings.ttl,
            **window,
        ),
        (below.node,),
        given,
        ChangelogMode.APPEND if window else lowering.settled(ChangelogMode.RETRACT),
        rank_keys(
            below.node.upsert_keys,
            partition,
            one=plan.start == plan.end and plan.function is RankFunction.ROW_NUMBER,
            number=at if plan.function is RankFunction.ROW_NUMBER else None,
        ),
        span=plan.span,
    )
    more = () if plan.name is None else (-1 if at is None else at,)
    return Lowered(node, below.columns + more)


def _window_end(plan: Rank) -> int | None:
    """The end of the window by which rows are numbered; None where they are not, or come once."""
    meaning = window_columns(plan.input)
    found = {meaning[c]: c for c in plan.partition if c in meaning}
    if not {Window.START, Window.END} <= found.keys() or _given_once(plan.input):
        return None
    return found[Window.END]


def _tumble(plan: LogicalPlan) -> Tumble:
    while not isinstance(plan, Tumble):
        plan = plan.inputs[0]
    return plan


def _last_by_time(plan: Rank) -> bool:
    """Whether the one row is the last by the time of the windows: of equal ones the last to come."""
    if len(plan.order) != 1 or not plan.order[0].descending:
        return False
    at, column = plan.input, plan.order[0].column
    while not isinstance(at, Tumble):
        if isinstance(at, Project):
            expression = at.expressions[column]
            if not isinstance(expression, Column):
                return False
            column = expression.index
        elif not isinstance(at, Filter):
            return False
        at = at.inputs[0]
    return column == at.time


def _given_once(plan: LogicalPlan) -> bool:
    """Whether the rows of a window come together, none of them late: they are aggregated."""
    while not isinstance(plan, Aggregate):
        if isinstance(plan, Tumble) or len(plan.inputs) != 1:
            return False
        plan = plan.inputs[0]
    return bool(plan.window)


def _deduplicated(lowering: Lowering, plan: Rank, below: Lowered) -> PhysicalNode | None:
    """The first or last row by time, or None where the order is another one."""
    if below.node.mode is not ChangelogMode.APPEND or len(plan.order) != 1:
        return None
    key = plan.order[0]
    kind = plan.input.schema.types[key.column]
    if not isinstance(kind, TimestampType | LocalZonedTimestampType):
        return None
    if kind.attribute is TimeAttribute.NONE or not lowering.settings.streaming:
        return None
    arrival = kind.attribute is TimeAttribute.PROCTIME
    appends = arrival and not key.descending
    keys = tuple(below.at(c) for c in plan.partition)
    return lowering.builder.add(
        p.Deduplicate(
            keys,
            None if arrival else below.at(key.column),
            key.descending,
            lowering.settings.ttl,
        ),
        (below.node,),
        _plain(below.node.output),
        ChangelogMode.APPEND if appends else lowering.settled(ChangelogMode.RETRACT),
        minimal([keys, *below.node.upsert_keys]),
        span=plan.span,
    )


def _numbered_one(lowering: Lowering, plan: Rank, node: PhysicalNode, below: Lowered) -> Lowered:
    """The first rows with their number, which is one."""
    assert plan.name is not None
    fields = node.output.fields
    every = [Column(type=f.type, index=i, name=f.name) for i, f in enumerate(fields)]
    kind = BigIntType(nullable=False)
    expressions = (*every, Literal(type=kind, value=1))
    made = lowering.builder.add(
        p.Project(expressions),
        (node,),
        RowType((*fields, Field(plan.name, kind)), nullable=False),
        node.mode,
        projected(node.upsert_keys, expressions),
        span=plan.span,
    )
    return Lowered(made, (*below.columns, len(fields)))


def _order(order: Sequence[SortKey], below: Lowered) -> tuple[p.SortKey, ...]:
    found: dict[int, p.SortKey] = {}
    for k in order:
        at = below.at(k.column)
        found.setdefault(at, p.SortKey(at, k.descending, k.nulls_first))
    return tuple(found.values())


def _plain(row: RowType) -> RowType:
    """The row without time attributes."""
    return RowType(
        tuple(
            replace(f, type=replace(f.type, attribute=TimeAttribute.NONE))
            if isinstance(f.type, TimestampType | LocalZonedTimestampType)
            else f
            for f in row.fields
        ),
        nullable=False,
    )


# ORDER BY and LIMIT


def lower_sort(lowering: Lowering, plan: Sort, needed: Needed) -> Lowered:
    """ORDER BY, OFFSET and LIMIT.

    Raises:
        SqlError: there is no end at which a stream could be sorted.
    """
    below = lowering.lower(plan.input, needed | {k.column for k in plan.order} or frozenset({0}))
    order = _order(plan.order, below)
    streaming = lowering.settings.streaming
    node = below.node
    keys = node.upsert_keys
    if streaming and plan.fetch is None:
        if not sorted_by_time(plan) or node.mode is not ChangelogMode.APPEND:
            _require_end(plan, lowering.settings)
            made = lowering.builder.add(
                p.EndSort(order, node.mode),
                (node,),
                _plain(node.output),
                ChangelogMode.APPEND,
                keys,
                span=plan.span,
            )
            return Lowered(made, below.columns)
        made = lowering.builder.add(
            p.TimeSort(order), (node,), node.output, ChangelogMode.APPEND, keys, span=plan.span
        )
        return Lowered(made, below.columns)
    end = None if plan.fetch is None else plan.offset + plan.fetch
    if streaming and (order or node.mode is not ChangelogMode.APPEND):
        spec = p.Rank(
            (),
            order,
            start=plan.offset + 1,
            end=end,
            input_mode=node.mode,
            ttl=lowering.settings.ttl,
        )
        one = ((),) if plan.fetch == 1 else ()
        made = lowering.builder.add(
            spec,
            (node,),
            _plain(node.output),
            ChangelogMode.RETRACT,
            minimal([*one, *keys]),
            span=plan.span,
        )
        return Lowered(made, below.columns)
    if node.mode is not ChangelogMode.APPEND:
        raise not_supported("ORDER BY or LIMIT over a changelog in batch mode", plan.span)
    if order:
        node = lowering.builder.add(
            p.Sort(order), (node,), node.output, ChangelogMode.APPEND, keys, span=plan.span
        )
    if plan.offset or plan.fetch is not None:
        node = lowering.builder.add(
            p.Limit(plan.offset, plan.fetch),
            (node,),
            node.output,
            ChangelogMode.APPEND,
            keys,
            span=plan.span,
        )
    return Lowered(node, below.columns)


def sorted_by_time(plan: Sort) -> bool:
    """Whether rows are ordered as event time goes on."""
    if not plan.order or plan.offset or plan.order[0].descending:
        return False
    kind = plan.input.schema.types[plan.order[0].column]
    return getattr(kind, "attribute", TimeAttribute.NONE) is TimeAttribute.ROWTIME


def _require_end(plan: Sort, settings: PlanSettings) -> None:
    """Check that there is an end at which the rows can be given in order.

    Raises:
        SqlError: there is none, or nobody asked for that.
    """
    if not plan.order or plan.offset:
        raise SqlError(
            "OFFSET on a stream needs LIMIT or FETCH",
            hint="Add LIMIT n, or SET 'execution.runtime-mode' = 'batch'.",
            span=plan.span,
        )
    kinds = [plan.input.schema.types[k.column] for k in plan.order]
    times = [getattr(k, "attribute", TimeAttribute.NONE) for k in kinds]
    endless = _endless(plan.input)
    sorts = settings.sort_at_end and endless is None
    if TimeAttribute.PROCTIME in times or (
        times[0] is TimeAttribute.ROWTIME and not plan.order[0].descending and not sorts
    ):
        raise not_supported(
            "ORDER BY processing time, or event time of rows that change, on a stream",
            plan.span,
            "Add LIMIT n, or SET 'execution.runtime-mode' = 'batch'.",
        )
    if sorts:
        return
    if settings.sort_at_end:
        raise SqlError(
            f'sorting table "{endless}", which never ends, would never give a row',
            hint="Add LIMIT n, or order by its event time, ascending.",
            span=plan.span,
        )
    raise SqlError(
        "sort on a non-time-attribute field is not supported on a stream, which has no end",
        hint="Add LIMIT n. A SELECT over tables that end can be sorted by anything."
        if endless is not None
        else f"Add LIMIT n, or SET '{_AT_END}' = 'true' to write the rows in order when all tables "
        "have ended.",
        span=plan.span,
    )


def _endless(plan: LogicalPlan) -> str | None:
    """A table below that never ends, or None."""
    if isinstance(plan, Scan) and not plan.table.bounded:
        return plan.table.declared.rpartition(".")[2]
    return next((t for t in map(_endless, plan.inputs) if t is not None), None)


# Semi joins and sets


def _forgetting(plan: SemiJoin, settings: PlanSettings) -> SemiJoin:
    """NOT IN, where rows are forgotten: each NULL is a row that all rows meet, while it is kept.

    That the other side has a row, or a NULL, would be known longer than the rows. As in Flink every
    pair of rows is compared then.
    """
    if not plan.null_aware or plan.condition is None or not any(map(settings.kept, plan.ttls)):
        return plan
    if not any(c.type.nullable for c in walk(plan.condition) if isinstance(c, Column)):
        return plan
    may = bind_call("IS NOT FALSE", [plan.condition], plan.condition.span)
    return replace(plan, condition=may, null_aware=False)


def lower_semi_join(lowering: Lowering, plan: SemiJoin, needed: Needed) -> Lowered:
    """IN, EXISTS, NOT IN, NOT EXISTS."""
    width = len(plan.left.schema.fields)
    plan = _forgetting(plan, lowering.settings)
    pairs, rest = equalities(plan.condition, width)
    if lowering.settings.streaming:
        refuse_timed(plan, pairs)
    read = frozenset(c for e in rest for c in columns_read(e))
    given = needed | {c for c in read if c < width}
    if not given:
        given = frozenset({pairs[0][0] if pairs else 0})
    right_read = [c - width for c in sorted(read) if c >= width]
    left = lower_side(lowering, plan.left, [a for a, _, _ in pairs], sorted(given))
    right = lower_side(lowering, plan.right, [b for _, b, _ in pairs], right_read)
    kept = lowering.settings.kept
    sides = (
        join_side(left, [a for a, _, _ in pairs], sorted(given), kept(plan.ttls[0])),
        join_side(right, [b for _, b, _ in pairs], right_read, kept(plan.ttls[1])),
    )
    places = [-1] * (width + len(plan.right.schema.fields))
    for c in sorted(given):
        places[c] = sides[0].columns.index(left.at(c))
    for c in right_read:
        places[c + width] = len(sides[0].columns) + sides[1].columns.index(right.at(c))
    output = _plain(left.node.output.select(sides[0].columns))
    read_row = right.node.output.select(sides[1].columns)
    both = RowType((*output.fields, *read_row.fields), nullable=False)
    if plan.null_aware and (rest or len(pairs) != 1):
        raise not_supported("NOT IN with this comparison", plan.span, "Use NOT EXISTS.")
    nullable = plan.null_aware and (
        left.node.output.types[sides[0].keys[0]].nullable
        or right.node.output.types[sides[1].keys[0]].nullable
    )
    spec = p.SemiJoin(
        anti=plan.anti,
        left=sides[0],
        right=sides[1],
        null_safe=tuple(safe for _, _, safe in pairs),
        condition=residual(rest, places, both),
        null_aware=nullable,
    )
    append = all(s.mode is ChangelogMode.APPEND for s in sides)
    if spec.condition is not None and not append:
        require_deterministic([spec.condition], ChangelogMode.RETRACT, lowering)
    if append and not plan.anti:
        mode = ChangelogMode.APPEND
    else:
        mode = lowering.settled(ChangelogMode.RETRACT) if append else ChangelogMode.RETRACT
    keys = projected(
        left.node.upsert_keys,
        [
            Column(type=f.type, index=c, name=f.name)
            for c, f in zip(sides[0].columns, output.fields, strict=True)
        ],
    )
    node = lowering.builder.add(spec, (left.node, right.node), output, mode, keys, span=plan.span)
    return Lowered(node, tuple(places[:width]))


def lower_set_operation(lowering: Lowering, plan: SetOperation) -> Lowered:
    """INTERSECT and EXCEPT: every column counts."""
    sides = [
        lowering.materialised(
            lowering.lower(side, frozenset(range(len(side.schema.fields)))), side.schema
        )
        for side in plan.inputs
    ]
    append = all(n.mode is ChangelogMode.APPEND for n in sides)
    if append and plan.kind is SetKind.INTERSECT:
        mode = ChangelogMode.APPEND
    else:
        mode = lowering.settled(ChangelogMode.RETRACT) if append else ChangelogMode.RETRACT
    width = len(plan.schema.fields)
    node = lowering.builder.add(
        p.SetOperation(
            p.SetKind(plan.kind.value),
            plan.all,
            sides[0].mode,
            sides[1].mode,
            lowering.settings.ttl,
        ),
        sides,
        plan.schema,
        mode,
        () if plan.all else (tuple(range(width)),),
        span=plan.span,
    )
    return Lowered(node, tuple(range(width)))


# What multiplies rows


def lower_expand(lowering: Lowering, plan: Expand, needed: Needed) -> Lowered:
    """GROUPING SETS: the columns that are read, for every set."""
    chosen = sorted(needed) or [0]
    values = [[v[i] for i in chosen] for v in plan.projections]
    below = lowering.lower(
        plan.input,
        frozenset(c for v in values for e in v for c in columns_read(e)) or frozenset({0}),
    )
    for v in values:
        require_deterministic(v, below.node.mode, lowering)
    node = lowering.builder.add(
        p.Expand(tuple(tuple(relocated(e, below) for e in v) for v in values)),
        (below.node,),
        plan.schema.select(chosen),
        below.node.mode,
        span=plan.span,
    )
    places = [-1] * len(plan.schema.fields)
    for i, c in enumerate(chosen):
        places[c] = i
    return Lowered(node, tuple(places))


def lower_unnest(lowering: Lowering, plan: Unnest, needed: Needed) -> Lowered:
    """UNNEST: the element's columns are all given."""
    width = len(plan.input.schema.fields)
    used = needed if plan.condition is None else needed | columns_read(plan.condition)
    chosen = sorted(c for c in used if c < width)
    below = lowering.lower(plan.input, frozenset({plan.collection, *chosen}))
    columns = tuple(dict.fromkeys(below.at(c) for c in chosen))
    made = plan.schema.fields[width:]
    output = RowType((*(below.node.output.fields[c] for c in columns), *made), nullable=False)
    places = [-1] * len(plan.schema.fields)
    for c in chosen:
        places[c] = columns.index(below.at(c))
    for i in range(len(made)):
        places[width + i] = len(columns) + i
    if plan.condition is not None:
        require_deterministic([plan.condition], below.node.mode, lowering)
    spec = p.Unnest(
        collection=below.at(plan.collection),
        columns=columns,
        ordinality=plan.ordinality,
        outer=plan.outer,
        condition=residual([plan.condition] if plan.condition is not None else [], places, output),
    )
    node = lowering.builder.add(spec, (below.node,), output, below.node.mode, span=plan.span)
    return Lowered(node, tuple(places))
