"""GROUP BY: keys and aggregate calls, and what SELECT and HAVING may name of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlglot import expressions as exp

from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import (
    AggregateCall,
    Column,
    Expression,
    Literal,
    bind_aggregate_call,
    bind_call,
    bind_case,
    boolean_literal,
    columns_read,
    is_aggregate,
    render,
    walk,
)
from flowsql.logical.attached import Attachments, Placeholder, retyped
from flowsql.logical.expressions import (
    ExpressionBinder,
    aggregates_in,
    is_aggregate_call,
    looks_beside,
)
from flowsql.logical.group_windows import GroupWindow
from flowsql.logical.plan import Aggregate, LogicalPlan, Project, Window, call_text, without_time
from flowsql.logical.plan_rows import Expand, column
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import unused
from flowsql.logical.windows import window_keys
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import BigIntType, DataType

__all__ = ["Groups"]

_GROUPINGS = frozenset({"GROUPING", "GROUPING_ID", "GROUP_ID"})

# The key that says to which grouping set a group belongs.
_SET = "grouping"


class Groups:
    """Collects the keys and calls of one grouped SELECT; then `plan` makes the nodes.

    The input of the aggregate is a projection to the keys, the arguments and the filters. A key or
    call becomes a column of the aggregate's output the moment it is matched.
    """

    def __init__(
        self,
        binder: ExpressionBinder,
        sets: Sequence[Sequence[exp.Expr]],
        source: LogicalPlan,
        *,
        window: GroupWindow | None = None,
        span: Span | None = None,
        below: Attachments | None = None,
        distinct: bool = False,
        repeated: bool = False,
        aliases: Collection[str] = (),
    ) -> None:
        self._aliases = aliases
        self._window = window
        self._below = below or Attachments("input")
        # What has a sub-query, as it is written: written again, it is the same value.
        self._written: list[tuple[exp.Expr, int]] = []
        self._aggregates: list[tuple[exp.Expr, Column]] = []
        self._binder = binder
        self._source = source
        self._columns: list[Expression] = []
        self._calls: list[AggregateCall] = []
        self._keys: list[Expression] = []
        self._sets: list[frozenset[int]] = []
        refusals = Refusals()
        for nodes in sets:
            places: list[int] = []
            for node in nodes:
                with refusals.part():
                    places += [] if window and node is window.call else [self._key(node)]
            refusals.check()
            positions = frozenset(places)
            if window is not None:
                first = len(self._keys)
                self._keys += window.keys()
                positions |= frozenset(range(first, len(self._keys)))
            if positions not in self._sets or (repeated and not distinct):
                self._sets.append(positions)
            elif not distinct:
                raise not_supported(
                    "the same grouping set twice",
                    span_of(nodes[0]) if nodes else span,
                    "Write GROUP BY DISTINCT to have it once, or SET 'execution.runtime-mode' = "
                    "'batch' to have it twice.",
                )
        self._columns += self._keys

    def _windows(self, source: LogicalPlan) -> tuple[tuple[int, Window], ...]:
        """What the keys say of a window of the input."""
        always = frozenset.intersection(*self._sets)
        # A window is a key of every set, or the groups are not those of windows.
        never = boolean_literal(False, None)
        settled = self._settled(source)
        return window_keys(
            source, [settled[i] if i in always else never for i in range(len(self._keys))]
        )

    def _settled(self, source: LogicalPlan) -> list[Expression]:
        """The columns below the aggregate, over its input."""
        return [retyped(self._below.settle(e), source) for e in self._columns]

    def _key(self, node: exp.Expr) -> int:
        if aggregates_in(node):
            raise SqlError("an aggregate cannot stand in GROUP BY", span=span_of(node))
        known = self._beside_key(node)
        if known is not None:
            return known
        try:
            key = self._binder.bind(node)
        except SqlError as error:
            name = ".".join(node.parts) if isinstance(node, d.ColumnReference) else None
            if name in self._aliases and "does not exist" in error.message:
                error.hint = (
                    f'"{name}" is an alias of SELECT, which GROUP BY does not know: '
                    "write what it stands for."
                )
            raise
        if key not in self._keys:
            self._keys.append(key)
        if looks_beside(node):
            self._written.append((node, self._keys.index(key)))
        return self._keys.index(key)

    def _beside_key(self, node: exp.Expr) -> int | None:
        """The key with a sub-query that is written like this: its value is that key's."""
        return next((i for written, i in self._written if written == node), None)

    @property
    def _expanded(self) -> bool:
        """Whether every row is counted in several groups; the last key says in which."""
        return len(self._sets) > 1

    def look(self, parts: Sequence[str], span: Span | None) -> Expression | None:
        """What a name means to a sub-query of SELECT or HAVING: a key, or None."""
        found = self._binder.scope.look(parts, span)
        if found is None or not columns_read(found):
            return found
        if found not in self._keys:
            raise self._ungrouped(".".join(parts), span)
        index = self._keys.index(found)
        return Column(type=self._key_type(index), index=index, name=_name(found), span=span)

    def match(self, node: exp.Expr) -> Expression | None:
        """The output column that `node` is, or None."""
        if isinstance(node, d.FunctionCall) and is_aggregate_call(node):
            if not looks_beside(node):
                return self._aggregate(node)
            found = next((c for written, c in self._aggregates if written == node), None)
            if found is None:
                found = self._aggregate(node)
                self._aggregates.append((node, found))
            return found
        if isinstance(node, d.FunctionCall) and node.function in _GROUPINGS:
            return self._grouping(node)
        if aggregates_in(node) or isinstance(node, exp.Literal | exp.Null | exp.Boolean | d.Symbol):
            return None
        if isinstance(node, exp.Star | d.StarOf | d.NamedArgument):
            return None
        if looks_beside(node):
            known = self._beside_key(node)
            return None if known is None else self._matched(self._keys[known], node)
        if self._window is not None and isinstance(node, d.FunctionCall):
            bound = self._window.look(node)
            if bound is not None:
                return self._matched(bound, node)
        inside = list(node.find_all(d.FunctionCall))
        if any(c.function in _GROUPINGS for c in inside):
            return None
        if self._window is not None and any(self._window.look(c) is not None for c in inside):
            return None
        bound = self._binder.bind(node)
        if bound not in self._keys or isinstance(bound, Literal):
            return None
        return self._matched(bound, node)

    def _matched(self, key: Expression, node: exp.Expr) -> Column:
        index = self._keys.index(key)
        return Column(type=self._key_type(index), index=index, name=_name(key), span=span_of(node))

    def _key_type(self, index: int) -> DataType:
        aggregate = self._node()
        return aggregate.schema.types[index]

    def refuse(self, node: d.ColumnReference) -> SqlError:
        """The error for a column that is neither a key nor in an aggregate."""
        return self._ungrouped(".".join(node.parts), span_of(node))

    def _ungrouped(self, name: str, span: Span | None) -> SqlError:
        number = next((k for k in self._keys if isinstance(k, Literal)), None)
        constant = f" {render(number)} is a constant there, no position." if number else ""
        return SqlError(
            f'column "{name}" is neither in GROUP BY nor in an aggregate',
            hint=f"Add {name} to GROUP BY, or take MIN({name}) or MAX({name}).{constant}",
            span=span,
        )

    def _grouping(self, node: d.FunctionCall) -> Expression:
        """GROUPING(…), GROUPING_ID(…): a bit for each key, 1 where it is not grouped by.

        GROUP_ID(): how often the grouping set came before.
        """
        span = span_of(node)
        if (node.function == "GROUP_ID") is bool(node.arguments):
            takes = "no arguments" if node.arguments else "keys of GROUP BY"
            raise SqlError(f'"{node.function}" takes {takes}', span=span)
        at: list[int] = []
        for argument in node.arguments:
            bound = self._binder.bind(argument)
            if bound not in self._keys:
                raise SqlError(
                    f'"{node.function}" takes keys of GROUP BY only', span=span_of(argument)
                )
            at.append(self._keys.index(bound))
        kind = BigIntType(nullable=False)
        values = [
            Literal(
                type=kind,
                value=sum((k not in s) << (len(at) - 1 - i) for i, k in enumerate(at))
                if at
                else self._sets[:n].count(s),
            )
            for n, s in enumerate(self._sets)
        ]
        if len({v.value for v in values}) == 1:
            return replace(values[0], span=span)
        which = Column(type=kind, index=len(self._keys), name=_SET, span=span)
        tests = [
            bind_call("=", [which, Literal(type=kind, value=self._id(n))], span)
            for n in range(len(self._sets) - 1)
        ]
        return bind_case(tests, values, span)

    def _id(self, place: int) -> int:
        """The number of a grouping set: before GROUPING_ID of all keys, how often it came before."""
        width = len(self._keys)
        keys = self._sets[place]
        again = self._sets[:place].count(keys)
        return (again << width) + sum((i not in keys) << (width - 1 - i) for i in range(width))

    def _aggregate(self, node: d.FunctionCall) -> Column:
        span = span_of(node)
        name = node.function
        if not is_aggregate(name):
            raise not_supported(f'aggregate function "{name}"', span)
        if node.args.get("order"):
            raise SqlError(
                f'"{name}" with ORDER BY is not supported',
                detail="Flink sorts no values within an aggregate either: it ignores ORDER BY of "
                "ARRAY_AGG, COLLECT and JSON_ARRAYAGG and refuses that of others.",
                hint="Leave ORDER BY out; ARRAY_SORT(ARRAY_AGG(x)) has values in their own order.",
                span=span,
            )
        distinct = bool(node.args.get("distinct"))
        given: list[Expression] = []
        for arg in node.arguments:
            if isinstance(arg, exp.Star):
                if name != "COUNT" or len(node.arguments) > 1 or distinct:
                    raise SqlError(f'"{name}" does not take *', hint="Use COUNT(*).", span=span)
                continue
            inner = aggregates_in(arg)
            if inner:
                raise SqlError(
                    f'aggregate function "{inner[0].function}" cannot stand in "{name}"',
                    hint="Aggregate in a sub-query first.",
                    span=span_of(inner[0]),
                )
            given.append(self._binder.value(arg))
        if not given and not any(isinstance(a, exp.Star) for a in node.arguments):
            raise SqlError(f'"{name}" needs an argument', span=span)
        if name == "COUNT" and len(given) > 1:
            given = _counted(given, span, distinct=distinct)
        clauses = {c.args["kind"]: c.args["this"] for c in node.args.get("clauses") or ()}
        bound = bind_aggregate_call(
            name,
            given,
            distinct=distinct,
            on_null=clauses.get("ON NULL"),
            nulls=node.args.get("nulls"),
            span=span,
        )
        kind = bound.type
        args = [self._input(a) for a in bound.args]
        filtered = None
        if node.args.get("filter") is not None:
            inner = aggregates_in(node.args["filter"])
            if inner:
                raise SqlError("an aggregate cannot stand in FILTER", span=span_of(inner[0]))
            inside = ExpressionBinder(self._binder.scope, "FILTER", beside=self._binder.beside)
            filtered = self._input(inside.condition(node.args["filter"]))
        if isinstance(kind, BigIntType) and name in {"COUNT", "APPROX_COUNT_DISTINCT"}:
            distinct = distinct or name != "COUNT"
            # A NOT NULL argument is counted like *, unless it is the distinct values that count.
            if not distinct and not any(a.type.nullable for a in args):
                args = []
        elif (not all(self._sets) or filtered is not None) and not bound.never_null:
            kind = kind.with_nullable(True)
        call = AggregateCall(
            function=name,
            args=tuple(args),
            # The extremes of the distinct values are the extremes.
            distinct=distinct and name not in {"MIN", "MAX"},
            filter=filtered,
            type=kind,
            constants=bound.constants,
            span=span,
        )
        if call not in self._calls:
            self._calls.append(call)
        index = len(self._keys) + self._expanded + self._calls.index(call)
        return Column(type=kind, index=index, name=call_text(call), span=span)

    def _input(self, expression: Expression) -> Column:
        # A key is NULL in the groups of a set without it, what is aggregated is not.
        first = len(self._keys) if self._expanded else 0
        if expression not in self._columns[first:]:
            self._columns.append(expression)
        index = self._columns.index(expression, first)
        return Column(
            type=expression.type,
            index=index + self._expanded,
            name=_name(expression),
            span=expression.span,
        )

    def _node(self) -> Aggregate:
        self._source = self._below.attach(self._source)
        columns = tuple(self._settled(self._source))
        below: LogicalPlan = Project(self._source, columns, tuple(map(_name, columns)))
        names = [_name(k) for k in self._keys]
        if self._expanded:
            below = self._expand(below)
            names.append(_SET)
        keys = range(len(names))
        for call in self._calls:
            names.append(unused(call_text(call), names))
        return Aggregate(
            below,
            tuple(keys),
            tuple(self._calls),
            tuple(names),
            self._windows(self._source),
        )

    def _expand(self, below: LogicalPlan) -> Expand:
        every = [column(below, i) for i in range(len(self._columns))]
        width = len(self._keys)
        kind = BigIntType(nullable=False)
        projections = []
        for place, positions in enumerate(self._sets):
            keys = [
                key
                if i in positions
                else Literal(type=without_time(key.type).with_nullable(True), value=None)
                for i, key in enumerate(every[:width])
            ]
            which = Literal(type=kind, value=self._id(place))
            projections.append((*keys, which, *every[width:]))
        names = below.schema.names
        return Expand(below, tuple(projections), (*names[:width], _SET, *names[width:]))

    def plan(self) -> Aggregate:
        """The aggregate over its projection; call when all of SELECT and HAVING is bound."""
        if not self._keys and not self._calls:
            # Nothing is asked of the group of all rows; it is there all the same.
            count = BigIntType(nullable=False)
            self._calls.append(AggregateCall("COUNT", (), distinct=False, filter=None, type=count))
        node = self._node()
        first = next((c.span for c in self._calls if c.span is not None), None)
        if first is None:
            first = next((k.span for k in self._keys if k.span is not None), None)
        return replace(node, span=first)


def _counted(given: list[Expression], span: Span, *, distinct: bool) -> list[Expression]:
    """What COUNT of several values counts.

    Raises:
        SqlError: rows with NULL are in question: Flink counts them in some plans, and refuses most.
    """
    nullable = [e for e in given if e.type.nullable]
    if distinct and not nullable:
        return [bind_call("ROW", given, span)]
    if not distinct and len(nullable) <= 1:
        return nullable or given[:1]
    raise not_supported(
        "COUNT of several values that may be NULL",
        span,
        "Write COUNT(DISTINCT ROW(a, b)), which counts NULL as a value, with FILTER (WHERE a IS NOT "
        "NULL AND b IS NOT NULL) behind it to leave such rows out."
        if distinct
        else "Write COUNT(*) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL).",
    )


def _name(expression: Expression) -> str:
    if any(isinstance(e, Placeholder) for e in walk(expression)):
        return "key"
    return expression.name if isinstance(expression, Column) else render(expression)
