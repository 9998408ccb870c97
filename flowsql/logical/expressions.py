"""From expression AST to bound expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from sqlglot import expressions as exp

from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import (
    Expression,
    Literal,
    bind_call,
    bind_case,
    bind_cast,
    boolean_literal,
    columns_read,
    is_aggregate,
    is_table_function,
    null_literal,
    number_literal,
    string_literal,
)
from flowsql.logical.json_calls import JSON_CALLS, bind_json
from flowsql.logical.plan import without_time
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import Scope, member
from flowsql.logical.user_functions import bind_user_call
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import (
    BigIntType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DoubleType,
    IntType,
    NullType,
    RowType,
    TimestampType,
    TimeType,
    VarCharType,
    YearMonthIntervalType,
)

__all__ = [
    "CURRENT_DATABASE",
    "ExpressionBinder",
    "aggregates_in",
    "condition",
    "is_aggregate_call",
    "looks_beside",
    "value_of",
]

CURRENT_DATABASE: ContextVar[str] = ContextVar("current database", default="default_database")
"""Set while a statement is bound."""

_BINARY: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.DPipe: "||",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.And: "AND",
    exp.Or: "OR",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}

# Aggregates of Flink that are known by name only: a call of one is never a scalar function.
_OTHER_AGGREGATES = frozenset({
    "APPROX_COUNT_DISTINCT", "ARRAY_AGG", "COLLECT", "CUME_DIST", "FIRST_VALUE", "JSON_ARRAYAGG",
    "JSON_OBJECTAGG", "LAG", "LAST_VALUE", "LEAD", "LISTAGG", "NTILE", "PERCENTILE",
    "PERCENT_RANK", "SINGLE_VALUE", "STDDEV", "STDDEV_POP", "STDDEV_SAMP", "VARIANCE", "VAR_POP",
    "VAR_SAMP",
})  # fmt: skip

_RANKS = frozenset({"ROW_NUMBER", "RANK", "DENSE_RANK"})
_GROUPINGS = frozenset({"GROUPING", "GROUPING_ID", "GROUP_ID"})

_LARGEST = (1 << 63) - 1

_GROUP_WINDOWS = frozenset(
    f"{window}{part}"
    for window in ("TUMBLE", "HOP", "SESSION")
    for part in ("", "_START", "_END", "_ROWTIME", "_PROCTIME")
)


def value_of(expression: Expression) -> Expression:
    """The expression as a mere value: no time attribute in its type."""
    plain = without_time(expression.type)
    return expression if plain == expression.type else replace(expression, type=plain)


def condition(expression: Expression, where: str) -> Expression:
    """The expression as a condition of `where`.

    Raises:
        SqlError: it is not BOOLEAN.
    """
    if isinstance(expression.type, NullType):
        return bind_cast(expression, BooleanType(), safe=False, span=expression.span)
    if not isinstance(expression.type, BooleanType):
        raise SqlError(
            f"{where} needs a BOOLEAN, not {expression.type.with_nullable(True)}",
            hint="Compare the value with something.",
            span=expression.span,
        )
    return expression


def aggregates_in(node: exp.Expr) -> list[d.FunctionCall]:
    """The outermost aggregate calls below `node`, without those of sub-queries."""
    found: list[d.FunctionCall] = []

    def search(at: Any) -> None:
        if isinstance(at, d.Query):
            return
        if isinstance(at, d.FunctionCall) and is_aggregate_call(at):
            found.append(at)
            return
        if isinstance(at, exp.Expr):
            for child in at.iter_expressions():
                search(child)

    search(node)
    return found


def looks_beside(node: exp.Expr) -> bool:
    """Whether a sub-query or a call with OVER stands in the node."""
    stack: list[exp.Expr] = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, d.Query | exp.Subquery | exp.Exists):
            return True
        if isinstance(at, d.FunctionCall) and at.args.get("over") is not None:
            return True
        stack += at.iter_expressions()
    return False


def is_aggregate_call(node: d.FunctionCall) -> bool:
    """Whether the call is one of an aggregate function, not of a window or scalar function."""
    name = node.function
    return not node.args.get("over") and (is_aggregate(name) or name in _OTHER_AGGREGATES)


class Grouping(Protocol):
    """What SELECT and HAVING of a grouped query mean; see `grouping.py`."""

    def match(self, node: exp.Expr) -> Expression | None:
        """The key or aggregate that `node` is, if it is one."""

    def refuse(self, node: d.ColumnReference) -> SqlError:
        """The error for a column that is neither."""


class Beside(Protocol):
    """What gives values from beside the row: see `subqueries.py` and `ranking.py`."""

    def scalar(self, node: exp.Expr) -> Expression:
        """The value of `(SELECT …)`."""

    def exists(self, node: exp.Expr) -> Expression:
        """EXISTS as a value."""

    def member(self, node: exp.Expr, bind: Callable[[exp.Expr], Expression]) -> Expression:
        """`x IN (SELECT …)`, or a comparison with ANY or ALL, as a value."""

    def number(
        self, node: d.FunctionCall, bind: Callable[[exp.Expr], Expression]
    ) -> Expression | None:
        """The value of a call with OVER; None where the clause has none."""


class ExpressionBinder:
    """Binds expressions over the columns of a scope.

    Attributes:
        scope: what names mean.
        where: how messages call the clause, in which aggregates are refused.
        grouping: set where keys and aggregates may be named instead of columns.
        beside: set where sub-queries may stand.
    """

    def __init__(
        self,
        scope: Scope,
        where: str,
        grouping: Grouping | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.scope = scope
        self.where = where
        self.grouping = grouping
        self.beside = beside

    def value(self, node: exp.Expr) -> Expression:
        """The node as an argument of something: without a time attribute."""
        return value_of(self.bind(node))

    def condition(self, node: exp.Expr) -> Expression:
        """The node as a condition."""
        bound = condition(self.value(node), self.where)
        return bound if bound.span is not None else replace(bound, span=span_of(node))

    def _call(self, name: str, nodes: Sequence[exp.Expr], span: Span) -> Expression:
        return bind_call(name, self._values(nodes), span)

    def _values(self, nodes: Iterable[exp.Expr]) -> list[Expression]:
        """Values that do not depend on each other: what is wrong with them is told together."""
        refusals = Refusals()
        found: list[Expression] = []
        for node in nodes:
            with refusals.part():
                found.append(self.value(node))
        refusals.check()
        return found

    def bind(self, node: exp.Expr) -> Expression:
        """The bound expression; a bare column keeps its time attribute.

        Raises:
            SqlError: a name or a type is wrong, or the syntax is not supported yet.
        """
        if self.grouping is not None:
            found = self.grouping.match(node)
            if found is not None:
                return found
        span = span_of(node)
        args = node.args
        symbol = _BINARY.get(type(node))
        if symbol in {"AND", "OR"} and self.grouping is None:
            return self._call(symbol, _chain(node), span)
        if symbol is not None:
            return self._call(symbol, (args["this"], args["expression"]), span)
        match node:
            case d.ColumnReference():
                bound = self.scope.resolve(node.parts, span)
                if self.grouping is not None and columns_read(bound):
                    raise self.grouping.refuse(node)
                return bound
            case exp.Literal():
                if node.is_string:
                    return string_literal(node.this, span)
                return _number(node.this, span, negative=False)
            case exp.Boolean():
                return boolean_literal(bool(node.this), span)
            case exp.Null():
                return null_literal(span)
            case d.BinaryLiteral():
                kind = BinaryType(len(args["this"]), nullable=False)
                return Literal(type=kind, value=args["this"], span=span)
            case d.TemporalLiteral() | d.IntervalLiteral():
                return _temporal(args["to"], args["value"], span)
            case exp.Paren():
                return self.bind(args["this"])
            case exp.Not():
                return self._call("NOT", (args["this"],), span)
            case exp.Neg():
                return self._negative(args["this"], span)
            case d.UnaryPlus():
                return self._call("UNARY +", (args["this"],), span)
            case d.IsPredicate():
                if args["what"].startswith("JSON"):
                    test = self._call(f"IS {args['what']}", (args["this"],), span)
                    return bind_call("NOT", [test], span) if args.get("negated") else test
                words = f"IS {'NOT ' if args.get('negated') else ''}{args['what']}"
                return self._call(words, (args["this"],), span)
            case exp.Between():
                return self._between(node, span)
            case d.LikePredicate():
                return self._like(node, span)
            case exp.In():
                if args.get("query") is not None:
                    return self._beside("IN (SELECT …)", span).member(node, self.value)
                return self._call("IN", (args["this"], *args["expressions"]), span)
            case exp.Case():
                return self._case(node, span)
            case d.FlinkCast():
                return bind_cast(
                    self.value(args["this"]), node.to, safe=bool(args.get("try_")), span=span
                )
            case exp.Tuple():
                return self._call("ROW", args["expressions"], span)
            case exp.Array():
                return self._call("ARRAY", args["expressions"], span)
            case d.MapConstructor():
                return self._call("MAP", args["expressions"], span)
            case d.ItemAccess():
                return self._item(node, span)
            case d.FieldAccess():
                return member(self.value(args["this"]), args["expression"].this, span)
            case d.Symbol():
                return string_literal(args["this"], span)
            case d.FunctionCall():
                return self._function(node, span)
            case exp.Exists():
                return self._beside("EXISTS (SELECT …)", span).exists(node)
            case exp.Subquery():
                return self._beside("a sub-query as a value", span).scalar(node)
            case d.Quantified():
                what = f"{args['op']} {args['quantifier']} (…)"
                if args.get("query") is None:
                    raise not_supported(what, span)
                return self._beside(what, span).member(node, self.value)
            case d.Overlaps():
                return self._overlaps(node, span)
            case exp.Star() | d.StarOf():
                raise SqlError(
                    f"* cannot stand in {self.where}", hint="Name the columns.", span=span
                )
            case d.NamedArgument():
                raise SqlError(
                    f'argument "{args["this"].this}" is given by name, which this function '
                    "does not take",
                    span=span,
                )
            case _:
                raise not_supported(f"this expression ({type(node).__name__})", span)

    def _beside(self, what: str, span: Span) -> Beside:
        if self.beside is None:
            raise not_supported(f"{what} in {self.where}", span)
        return self.beside

    def _negative(self, operand: exp.Expr, span: Span) -> Expression:
        number, minus = _signed_number(operand)
        if number is not None:
            return _number(number.this, span, negative=not minus)
        return bind_call("UNARY -", [self.value(operand)], span)

    def _overlaps(self, node: d.Overlaps, span: Span) -> Expression:
        ends: list[exp.Expr] = []
        for period in (node.args["this"], node.args["expression"]):
            if len(period.args["expressions"]) != 2:
                raise SqlError(
                    "a period of OVERLAPS has a start and an end",
                    hint="Write (start, end) OVERLAPS (start, end).",
                    span=span_of(period),
                )
            ends += period.args["expressions"]
        return self._call("OVERLAPS", ends, span)

    def _between(self, node: exp.Between, span: Span) -> Expression:
        value, low, high = self._values(node.args[k] for k in ("this", "low", "high"))
        if not node.args.get("symmetric"):
            return bind_call("BETWEEN", [value, low, high], span)
        ways = [bind_call("BETWEEN", [value, *ends], span) for ends in ((low, high), (high, low))]
        return bind_call("OR", ways, span)

    def _like(self, node: d.LikePredicate, span: Span) -> Expression:
        nodes = [node.args["this"], node.args["expression"]]
        if node.args.get("escape") is not None:
            nodes.append(node.args["escape"])
        return self._call("SIMILAR TO" if node.args.get("similar") else "LIKE", nodes, span)

    def _case(self, node: exp.Case, span: Span) -> Expression:
        operand, default, branches = (
            node.args.get("this"),
            node.args.get("default"),
            node.args["ifs"],
        )
        parts = [operand, *(b.args[k] for b in branches for k in ("this", "true")), default]
        values = self._values(p for p in parts if p is not None)
        subject = None if operand is None else values.pop(0)
        conditions, results = values[:-1:2] if default else values[::2], values[1::2]
        if default is not None:
            results.append(values[-1])
        if subject is not None:
            conditions = [
                bind_call("=", [subject, test], span_of(branch.args["this"]))
                for test, branch in zip(conditions, branches, strict=True)
            ]
        return bind_case(conditions, results, span)

    def _item(self, node: d.ItemAccess, span: Span) -> Expression:
        owner = self.value(node.args["this"])
        index = self.value(node.args["expression"])
        if isinstance(owner.type, RowType) and isinstance(index, Literal):
            if isinstance(index.value, str):
                return member(owner, index.value, span)
            if isinstance(index.value, int) and 1 <= index.value <= len(owner.type.fields):
                return member(owner, owner.type.names[index.value - 1], span)
        return bind_call("ITEM", [owner, index], span)

    def _function(self, node: d.FunctionCall, span: Span) -> Expression:
        name = node.args["this"].this
        if node.args.get("over") is not None:
            found = None if self.beside is None else self.beside.number(node, self.value)
            if found is None:
                raise SqlError(
                    f"OVER cannot stand in {self.where}",
                    hint="Write the condition behind QUALIFY, or put the query into FROM (…).",
                    span=span,
                )
            return found
        if node.function in _RANKS:
            raise SqlError(
                f'"{node.function}" needs OVER (…)',
                hint=f"Write {node.function}() OVER (PARTITION BY … ORDER BY …).",
                span=span,
            )
        if node.function in _GROUPINGS:
            raise SqlError(
                f'"{node.function}" needs a GROUP BY',
                hint="It tells the groups of GROUPING SETS, ROLLUP and CUBE apart.",
                span=span,
            )
        if is_aggregate_call(node):
            if not is_aggregate(name):
                raise not_supported(f'aggregate function "{node.function}"', span)
            raise SqlError(
                f'aggregate function "{node.function}" cannot stand in {self.where}',
                hint="Use HAVING for a condition on groups."
                if self.where == "WHERE"
                else "Aggregate in a sub-query first.",
                span=span,
            )
        if node.function in _GROUP_WINDOWS:
            raise SqlError(
                f'group window function "{node.function}" is not supported',
                hint="Use FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) and "
                "GROUP BY window_start, window_end.",
                span=span,
            )
        for clause, text in (
            ("distinct", "DISTINCT"),
            ("filter", "FILTER"),
            ("nulls", "IGNORE NULLS"),
            ("order", "ORDER BY"),
        ):
            if node.args.get(clause):
                raise SqlError(f'"{name}" is no aggregate function and takes no {text}', span=span)
        declared = bind_user_call(node, lambda: [self.value(a) for a in node.arguments], span)
        if declared is not None:
            return declared
        if is_table_function(name) and not node.args.get("qualifier"):
            raise SqlError(
                f'table function "{node.function}" cannot stand in {self.where}',
                hint=f"It gives a table: write FROM {node.function}(…).",
                span=span,
            )
        if node.args.get("qualifier"):
            full = ".".join([*(p.this for p in node.args["qualifier"]), name])
            raise SqlError(f'function "{full}" does not exist', span=span)
        if node.function == "CURRENT_DATABASE" and not node.arguments:
            name = string_literal(CURRENT_DATABASE.get(), span)
            return replace(name, type=VarCharType(nullable=False))
        if node.function == "CURRENT_WATERMARK":  # asks for the time attribute itself
            return bind_call(node.function, [self.bind(a) for a in node.arguments], span)
        if node.function in JSON_CALLS:
            return bind_json(node, self.value, span)
        return self._call(name, node.arguments, span)


def _chain(node: exp.Expr) -> list[exp.Expr]:
    """The operands of a chain of one operator: a long chain is no deep tree."""
    operands: list[exp.Expr] = []
    kind = type(node)
    at: exp.Expr = node
    while type(at) is kind:
        operands.append(at.args["expression"])
        at = at.args["this"]
    operands.append(at)
    return operands[::-1]


def _signed_number(node: exp.Expr) -> tuple[exp.Literal | None, bool]:
    """The number behind signs and brackets, and whether it is negative; None for what is none."""
    minus = False
    while isinstance(node, exp.Paren | exp.Neg):
        minus ^= isinstance(node, exp.Neg)
        node = node.args["this"]
    if isinstance(node, exp.Literal) and not node.is_string:
        return node, minus
    return None, minus


def _number(text: str, span: Span, *, negative: bool) -> Literal:
    """The literal of a signed number; a whole one is INT or BIGINT by its value, as in Flink."""
    bound = number_literal(text, span)
    value = bound.value
    assert not isinstance(value, str | bytes | None)
    whole = "." not in text and not isinstance(bound.type, DoubleType)
    if not whole:
        return replace(bound, value=-value) if negative else bound
    value = -int(value) if negative else int(value)
    if value > _LARGEST:
        raise SqlError(
            f"whole number {text} is out of the range of BIGINT",
            hint="Write CAST('…' AS DECIMAL(38, 0)).",
            span=span,
        )
    small = -(1 << 31) <= value < 1 << 31
    kind: DataType = IntType(nullable=False) if small else BigIntType(nullable=False)
    return Literal(type=kind, value=value, span=span)


def _temporal(kind: DataType, value: int, span: Span) -> Literal:
    """The literal of a value that the parser gives in nanoseconds, days, months or milliseconds."""
    match kind:
        case DateType():
            return Literal(type=kind.not_null(), value=value, span=span)
        case TimeType():
            return Literal(type=kind.not_null(), value=value // 1_000_000, span=span)
        case TimestampType(precision=precision):
            stored = value if precision > 6 else value // 1000
            return Literal(type=kind.not_null(), value=stored, span=span)
        case YearMonthIntervalType():
            plain: DataType = YearMonthIntervalType("MONTH", nullable=False)
            return Literal(type=plain, value=value, span=span)
        case DayTimeIntervalType():
            plain = DayTimeIntervalType("SECOND", fraction=3, nullable=False)
            return Literal(type=plain, value=value, span=span)
        case _:
            raise not_supported(f"a literal of {kind}", span)
