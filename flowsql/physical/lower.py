"""From logical to physical plans: one `match` table, one method a node.

Lowering is told which columns of a node its reader needs and answers where they stand: what nobody
reads is neither computed nor, in a join, stored. Projections that only choose columns vanish.
Changelog modes and unique keys are inferred on the way up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from flowsql.catalog import ColumnKind
from flowsql.changelog import ChangelogMode
from flowsql.errors import Span, SqlError
from flowsql.expr import AggregateCall, Column, Expression, bind_cast, columns_read, transform
from flowsql.logical import (
    Aggregate,
    BoundTable,
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
    SetOperation,
    Sort,
    ToChangelog,
    Tumble,
    Union,
    Unnest,
    Values,
    Window,
)
from flowsql.optimizer.unique_keys import minimal, projected
from flowsql.physical import specs as p
from flowsql.physical.builder import Lowered, PlanBuilder, relocated
from flowsql.physical.changelogs import lower_from_changelog, lower_to_changelog
from flowsql.physical.determinism import require_deterministic
from flowsql.physical.joins import lower_join
from flowsql.physical.plan import PhysicalNode
from flowsql.physical.rows import (
    lower_expand,
    lower_number,
    lower_rank,
    lower_semi_join,
    lower_set_operation,
    lower_sort,
    lower_unnest,
)
from flowsql.physical.sinks import lower_insert
from flowsql.types import LocalZonedTimestampType, RowType

__all__ = ["Lowering"]

Needed = frozenset[int]


class Lowering:
    """Lowers the plans of one job into one set of nodes.

    Attributes:
        settings: the session's.
        builder: the nodes so far.
        dead_letters: scan's id → the scan, the table that takes its bad records, and where the
            SQL names the scan.
        notices: what the user is told of the plan, each once.
    """

    def __init__(self, settings: PlanSettings) -> None:
        self.settings = settings
        self.builder = PlanBuilder()
        self.notices: dict[str, None] = {}
        self.dead_letters: dict[str, tuple[PhysicalNode, BoundTable, Span | None]] = {}

    def root(self, plan: LogicalPlan) -> PhysicalNode:
        """Lowers a query with all its columns, in order and by their names."""
        return self.materialised(self.lower(plan, _every(plan)), plan.schema)

    def lower(self, plan: LogicalPlan, needed: Needed) -> Lowered:
        """The node that gives the needed columns of `plan`.

        Raises:
            SqlError: the plan has no exact meaning for a stream, or is not supported yet.
        """
        match plan:
            case Scan():
                return self._scan(plan)
            case Values():
                node = self.builder.add(
                    p.Values(plan.rows), (), plan.schema, ChangelogMode.APPEND, span=plan.span
                )
                return _all(node)
            case Filter():
                return self._filter(plan, needed)
            case Project():
                return self._project(plan, needed)
            case Tumble():
                return self._tumble(plan, needed)
            case Aggregate():
                if plan.window and self.settings.streaming:
                    return self._window_aggregate(plan, needed)
                return self._group_aggregate(plan)
            case Join():
                return lower_join(self, plan, needed)
            case Union():
                return self._union(plan)
            case SemiJoin():
                return lower_semi_join(self, plan, needed)
            case SetOperation():
                return lower_set_operation(self, plan)
            case Sort():
                return lower_sort(self, plan, needed)
            case Rank():
                return lower_rank(self, plan, needed)
            case Number():
                return lower_number(self, plan, needed)
            case Expand():
                return lower_expand(self, plan, needed)
            case Unnest():
                return lower_unnest(self, plan, needed)
            case ToChangelog():
                return lower_to_changelog(self, plan)
            case FromChangelog():
                return lower_from_changelog(self, plan, needed)
            case Insert():
                return _all(lower_insert(self, plan))
            case _:
                assert_never(plan)  # type: ignore[arg-type]

    def settled(self, mode: ChangelogMode) -> ChangelogMode:
        """What an operator emits that keeps a result up to date.

        In batch mode everything is read in one step, so that its net change is the result.
        """
        return mode if self.settings.streaming else ChangelogMode.APPEND

    def materialised(self, lowered: Lowered, schema: RowType) -> PhysicalNode:
        """A node whose columns are exactly those of `schema`."""
        node = lowered.node
        same = lowered.columns == tuple(range(len(node.output.fields)))
        if same and node.output.names == schema.names:
            return node
        expressions = tuple(
            Column(type=f.type, index=lowered.at(i), name=node.output.names[lowered.at(i)])
            for i, f in enumerate(schema.fields)
        )
        return self._projection(node, expressions, schema)

    def _projection(
        self, node: PhysicalNode, expressions: Sequence[Expression], output: RowType
    ) -> PhysicalNode:
        require_deterministic(expressions, node.mode, self)
        return self.builder.add(
            p.Project(tuple(expressions)),
            (node,),
            output,
            node.mode,
            projected(node.upsert_keys, expressions),
        )

    # Scans

    def _scan(self, plan: Scan) -> Lowered:
        return _all(self.normalised(self.scan(plan), plan))

    def scan(self, plan: Scan) -> PhysicalNode:
        """The scan of a table; its bad records go their own way."""
        table = plan.table
        read = {c for c in plan.columns if table.columns[c].expression is None}
        for c in plan.columns:
            expression = table.columns[c].expression
            if expression is not None:
                read |= columns_read(expression)
        ordered = sorted(read, key=lambda c: (table.columns[c].kind is ColumnKind.METADATA, c))
        place = {c: i for i, c in enumerate(ordered)}
        values = [self._scanned(plan, c, place) for c in plan.columns]
        trivial = [isinstance(v, Column) and v.index == i for i, v in enumerate(values)]
        row = all(trivial) and len(values) == len(ordered)
        names = table.schema.names
        require_deterministic(values, table.scan_mode, self)
        node = self.builder.add(
            p.Scan(
                table=table.name,
                columns=tuple(names[c] for c in ordered),
                projection=None if row else tuple(values),
                mode=table.scan_mode,
                watermark=_watermark(plan),
                bad_records=p.BadRecordPolicy(table.bad_records),
                identity=table.identity,
                filters=plan.filters,
            ),
            (),
            plan.schema,
            table.scan_mode,
            _primary_key(plan),
            span=plan.span,
        )
        if table.dead_letters is not None:
            self.dead_letters[node.id] = (node, table.dead_letters, plan.span)
        return node

    def _scanned(self, plan: Scan, column: int, place: dict[int, int]) -> Expression:
        bound = plan.table.columns[column]
        if bound.expression is not None:
            # Its own text is another one: it fails where the statement names the table.
            return _moved(
                transform(bound.expression, lambda e: replace(e, span=plan.span)),
                {c: self._scanned(plan, c, place) for c in columns_read(bound.expression)},
            )
        given = bound.metadata_type or bound.type
        value: Expression = Column(type=given, index=place[column], name=bound.name)
        if bound.metadata_type is not None:
            value = bind_cast(value, bound.type, safe=False, span=None)
        return value

    def normalised(self, node: PhysicalNode, plan: Scan) -> PhysicalNode:
        """The scan, its upserts turned into retractions of whole rows."""
        if node.mode is not ChangelogMode.UPSERT:
            return node
        keys = node.upsert_keys
        if not keys:
            raise SqlError(
                f'table "{plan.table.name}" gives upserts and needs a PRIMARY KEY',
                hint="Declare PRIMARY KEY (…) NOT ENFORCED.",
                span=plan.span,
            )
        return self.builder.add(
            p.Normalize(keys[0], self.settings.ttl),
            (node,),
            node.output,
            self.settled(ChangelogMode.RETRACT),
            keys,
            span=plan.span,
        )

    # Linear nodes

    def _filter(self, plan: Filter, needed: Needed) -> Lowered:
        below = self.lower(plan.input, needed | columns_read(plan.condition))
        return Lowered(self.filtered(plan, below), below.columns)

    def filtered(self, plan: Filter, below: Lowered) -> PhysicalNode:
        """The filter over its lowered input."""
        node = below.node
        require_deterministic([plan.condition], node.mode, self)
        return self.builder.add(
            p.Filter(relocated(plan.condition, below)),
            (node,),
            node.output,
            node.mode,
            node.upsert_keys,
            span=plan.span,
        )

    def _project(self, plan: Project, needed: Needed) -> Lowered:
        used = [e for i, e in enumerate(plan.expressions) if i in needed]
        below = self.lower(plan.input, frozenset(c for e in used for c in columns_read(e)))
        return self.projected(plan, needed, below)

    def projected(self, plan: Project, needed: Needed, below: Lowered) -> Lowered:
        """The projection over its lowered input; none where it only chooses columns."""
        if all(isinstance(e, Column) for i, e in enumerate(plan.expressions) if i in needed):
            return Lowered(
                below.node,
                tuple(
                    below.at(e.index) if i in needed and isinstance(e, Column) else -1
                    for i, e in enumerate(plan.expressions)
                ),
            )
        chosen = [i for i in range(len(plan.expressions)) if i in needed]
        node = self._projection(
            below.node,
            [relocated(plan.expressions[i], below) for i in chosen],
            plan.schema.select(chosen),
        )
        return Lowered(node, _places(chosen, len(plan.expressions)))

    def _union(self, plan: Union) -> Lowered:
        every = _every(plan)
        inputs = []
        for part in plan.parts:
            below = self.lower(part, every)
            row = part.schema
            same = below.columns == tuple(range(len(below.node.output.fields)))
            inputs.append(below.node if same else self.materialised(below, row))
        append = all(n.mode is ChangelogMode.APPEND for n in inputs)
        node = self.builder.add(
            p.Union(),
            inputs,
            plan.schema,
            ChangelogMode.APPEND if append else ChangelogMode.RETRACT,
            span=plan.span,
        )
        return _all(node)

    def _tumble(self, plan: Tumble, needed: Needed) -> Lowered:
        width = len(plan.input.schema.fields)
        own = frozenset(c for c in needed if c < width) | {plan.time}
        below = self.lower(plan.input, own)
        windows = [w for i, w in enumerate(Window) if width + i in needed]
        given = below.node.output.fields
        row = [
            replace(f, type=plan.schema.types[plan.time]) if i == below.at(plan.time) else f
            for i, f in enumerate(given)
        ]
        appended = [plan.schema.fields[plan.schema.index(w.value)] for w in windows]
        node = self.builder.add(
            p.TumbleAssign(
                below.at(plan.time), plan.size, plan.offset, tuple(w.value for w in windows)
            ),
            (below.node,),
            RowType((*row, *appended), nullable=False),
            below.node.mode,
            below.node.upsert_keys,
            span=plan.span,
        )
        places = {width + list(Window).index(w): len(given) + i for i, w in enumerate(windows)}
        more = tuple(places.get(width + i, -1) for i in range(len(Window)))
        return Lowered(node, below.columns + more)

    # Aggregates

    def _aggregate_input(self, plan: Aggregate) -> Lowered:
        needed = set(plan.keys)
        for call in plan.calls:
            needed |= {a.index for a in call.args}
            if call.filter is not None:
                needed.add(call.filter.index)
        return self.lower(plan.input, frozenset(needed))

    def _group_aggregate(self, plan: Aggregate) -> Lowered:
        below = self._aggregate_input(plan)
        self._refuse_estimates(plan)
        width = len(plan.keys)
        node = self.builder.add(
            p.GroupAggregate(
                keys=tuple(below.at(k) for k in plan.keys),
                aggregates=tuple(_call(c, below) for c in plan.calls),
                input_mode=below.node.mode,
                emit_empty=not self.settings.streaming and not plan.keys,
                ttl=self.settings.kept(plan.ttl),
            ),
            (below.node,),
            plan.schema,
            self.settled(ChangelogMode.RETRACT),
            (tuple(range(width)),),
            span=plan.span,
        )
        return _all(node)

    def _refuse_estimates(self, plan: Aggregate) -> None:
        for call in plan.calls:
            if call.function == "APPROX_COUNT_DISTINCT" and self.settings.streaming:
                raise SqlError(
                    'aggregate function "APPROX_COUNT_DISTINCT" is not supported in streaming mode',
                    hint="Use COUNT(DISTINCT …), or SET 'execution.runtime-mode' = 'batch'.",
                    span=call.span,
                )

    def _window_aggregate(self, plan: Aggregate, needed: Needed) -> Lowered:
        del needed
        self._refuse_estimates(plan)
        below = self._aggregate_input(plan)
        meaning = dict(plan.window)
        at = {w: below.at(c) for c, w in plan.window}
        keys = [i for i, k in enumerate(plan.keys) if k not in meaning]
        calls = range(len(plan.keys), len(plan.schema.fields))
        windows = [w for w in Window if w in at]
        bounds = {
            w: next(i for i, k in enumerate(plan.keys) if meaning.get(k) is w) for w in windows
        }
        order = [*keys, *calls, *(bounds[w] for w in windows)]
        unique = [[order.index(i) for i in (*keys, bounds[w])] for w in windows]
        node = self.builder.add(
            p.WindowAggregate(
                keys=tuple(below.at(plan.keys[i]) for i in keys),
                aggregates=tuple(_call(c, below) for c in plan.calls),
                window_start=at[Window.START],
                window_end=at[Window.END],
                window_columns=tuple(w.value for w in windows),
                input_mode=below.node.mode,
                local_time=_in_local_time(plan),
            ),
            (below.node,),
            plan.schema.select(order),
            ChangelogMode.APPEND,
            minimal(unique),
            span=plan.span,
        )
        # A window column that is a key twice is given once.
        places = list(_places(order, len(plan.schema.fields)))
        for i, k in enumerate(plan.keys):
            if places[i] < 0:
                places[i] = places[bounds[meaning[k]]]
        return Lowered(node, tuple(places))


def _moved(expression: Expression, values: dict[int, Expression]) -> Expression:
    def move(e: Expression) -> Expression:
        return values[e.index] if isinstance(e, Column) else e

    return transform(expression, move)


def _call(call: AggregateCall, below: Lowered) -> AggregateCall:
    def move(column: Column) -> Column:
        at = below.at(column.index)
        return replace(column, index=at, name=below.node.output.names[at])

    return replace(
        call,
        args=tuple(map(move, call.args)),
        filter=None if call.filter is None else move(call.filter),
    )


def _every(plan: LogicalPlan) -> Needed:
    return frozenset(range(len(plan.schema.fields)))


def _all(node: PhysicalNode) -> Lowered:
    return Lowered(node, tuple(range(len(node.output.fields))))


def _places(chosen: Sequence[int], width: int) -> tuple[int, ...]:
    places = [-1] * width
    for i, c in enumerate(chosen):
        places[c] = i
    return tuple(places)


def _primary_key(plan: Scan) -> tuple[tuple[int, ...], ...]:
    key = plan.table.primary_key
    if not key or not set(key) <= set(plan.columns):
        return ()
    return minimal([[plan.columns.index(k) for k in key]])


def _watermark(plan: Scan) -> p.Watermark | None:
    mark = plan.table.watermark
    if mark is None or mark.rowtime not in plan.columns:
        return None
    place = {c: i for i, c in enumerate(plan.columns)}
    assert columns_read(mark.expression) <= set(place)
    values: dict[int, Expression] = {
        c: Column(type=plan.schema.types[i], index=i, name=plan.schema.names[i])
        for c, i in place.items()
    }
    return p.Watermark(
        rowtime=place[mark.rowtime],
        expression=_moved(mark.expression, values),
        strategy=p.EmitStrategy(mark.strategy),
        idle_timeout=mark.idle_timeout,
        all_idle_close=mark.all_idle_close,
    )


def _in_local_time(plan: LogicalPlan) -> bool:
    """Whether the windows of the plan are those of a TIMESTAMP_LTZ column."""
    while not isinstance(plan, Tumble):
        plan = plan.inputs[0]
    return isinstance(plan.schema.types[-1], LocalZonedTimestampType)
