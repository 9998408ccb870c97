"""The nodes of a query that sqlglot has no exact class for.

`flowsql.sql.dialect` lists every node, ours and sqlglot's, with its arguments.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import expressions as exp

from flowsql.errors import Span
from flowsql.types import DataType

__all__ = [
    "BinaryLiteral",
    "ColumnReference",
    "Cte",
    "DefaultArgument",
    "DerivedTable",
    "Descriptor",
    "FieldAccess",
    "FlinkCast",
    "FrameBound",
    "FunctionCall",
    "GroupBy",
    "GroupingSet",
    "Hint",
    "IntervalLiteral",
    "IsPredicate",
    "ItemAccess",
    "JoinRelation",
    "JsonClause",
    "LikePredicate",
    "MapConstructor",
    "NamedArgument",
    "Node",
    "Overlaps",
    "Quantified",
    "Query",
    "Select",
    "SetOperation",
    "SortItem",
    "StarOf",
    "Symbol",
    "TableArgument",
    "TableFunction",
    "TableReference",
    "TemporalLiteral",
    "UnaryPlus",
    "UnnestRelation",
    "Values",
    "WindowFrame",
    "WindowSpec",
    "span_of",
]


def span_of(node: exp.Expr) -> Span:
    """Where `node` stands in the script, from its first to its last token."""
    span = node.meta["span"]
    assert isinstance(span, Span)
    return span


class Node(exp.Expression):
    """Base of our own nodes; text in arguments is compared as written."""

    arg_types: ClassVar[dict[str, bool]] = {}
    _hash_raw_args: ClassVar[bool] = True

    def __init__(self, **args: object) -> None:
        # sqlglot compares by hash alone, and INT and BIGINT hash alike: their text does not.
        texts = {f"{k}_text": str(v) for k, v in args.items() if isinstance(v, DataType)}
        super().__init__(**args, **texts)


# Names and literals


class ColumnReference(Node):
    """`a`, `t.a`, `db.t.a.field`: which part is the column only the catalog knows."""

    arg_types: ClassVar = {"expressions": True}

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in order, without quotes."""
        return tuple(part.this for part in self.args["expressions"])


class StarOf(Node):
    """`t.*`; `expressions` are the qualifier's identifiers."""

    arg_types: ClassVar = {"expressions": True}

    @property
    def parts(self) -> tuple[str, ...]:
        """The qualifier's names in order."""
        return tuple(part.this for part in self.args["expressions"])


class Symbol(Node):
    """A bare keyword among arguments, in upper case: a time unit, `BOTH`, `LEADING`."""

    arg_types: ClassVar = {"this": True}


class BinaryLiteral(Node):
    """`x'AB'`; `this` is the bytes."""

    arg_types: ClassVar = {"this": True}


class TemporalLiteral(Node):
    """`DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`, checked.

    `this` is the text, `to` the type (precision = digits written), `value` an int: days for DATE,
    nanoseconds of the day for TIME, nanoseconds since 1970-01-01 for TIMESTAMP.
    """

    arg_types: ClassVar = {"this": True, "to": True, "value": True}


class IntervalLiteral(Node):
    """`INTERVAL '…' DAY TO SECOND`, checked.

    `this` is the text, `to` a YearMonthIntervalType or DayTimeIntervalType, `value` the months or
    milliseconds.
    """

    arg_types: ClassVar = {"this": True, "to": True, "value": True}


# Expressions


class UnaryPlus(Node):
    """`+x`."""

    arg_types: ClassVar = {"this": True}


class FlinkCast(Node):
    """`CAST(this AS to)`, or TRY_CAST if `try_`."""

    arg_types: ClassVar = {"this": True, "to": True, "try_": False}

    @property
    def to(self) -> DataType:
        """The target type; its nullability is as written and CAST ignores it."""
        target = self.args["to"]
        assert isinstance(target, DataType)
        return target


class FieldAccess(Node):
    """`this.name` behind anything but a plain name: `f(x).a`, `a[1].b`."""

    arg_types: ClassVar = {"this": True, "expression": True}


class ItemAccess(Node):
    """`this[expression]`."""

    arg_types: ClassVar = {"this": True, "expression": True}


class MapConstructor(Node):
    """`MAP[k1, v1, k2, v2]`; `expressions` alternate."""

    arg_types: ClassVar = {"expressions": True}


class IsPredicate(Node):
    """`this IS [NOT] what`.

    `what` is NULL, TRUE, FALSE, UNKNOWN, JSON, JSON VALUE, JSON OBJECT, JSON ARRAY or JSON SCALAR.
    """

    arg_types: ClassVar = {"this": True, "what": True, "negated": False}


class LikePredicate(Node):
    """`this LIKE expression [ESCAPE escape]`; SIMILAR TO if `similar`. NOT stands outside."""

    arg_types: ClassVar = {"this": True, "expression": True, "escape": False, "similar": False}


class Quantified(Node):
    """`this op ANY|ALL (query)`, or over `expressions`; `op` is the text, SOME arrives as ANY."""

    arg_types: ClassVar = {
        "this": True,
        "op": True,
        "quantifier": True,
        "query": False,
        "expressions": False,
    }


class Overlaps(Node):
    """`(a, b) OVERLAPS (c, d)`; both sides are `exp.Tuple`."""

    arg_types: ClassVar = {"this": True, "expression": True}


class FunctionCall(Node):
    """A call under its name as written, arguments in order.

    Arguments:
        this: Identifier of the function's own name.
        qualifier: Identifiers in front of it (`cat.db.f(x)`), often empty.
        expressions: Arguments; may be exp.Star (COUNT(*)), NamedArgument, Symbol, TableArgument,
            Descriptor, DefaultArgument.
        distinct: `f(DISTINCT …)`.
        niladic: Written without parentheses (CURRENT_TIMESTAMP).
        order: SortItems of `f(x ORDER BY y)` or `WITHIN GROUP (ORDER BY y)`.
        filter: The condition of FILTER (WHERE …).
        nulls: "IGNORE" or "RESPECT".
        over: WindowSpec, or the Identifier of a window in the WINDOW clause.
        clauses: Of the JSON functions, JsonClauses in the order written.
    """

    arg_types: ClassVar = {
        "this": True,
        "qualifier": False,
        "expressions": False,
        "distinct": False,
        "niladic": False,
        "order": False,
        "filter": False,
        "nulls": False,
        "over": False,
        "clauses": False,
    }

    @property
    def function(self) -> str:
        """The function's own name in upper case."""
        name: str = self.args["this"].this
        return name.upper()

    @property
    def arguments(self) -> list[Any]:
        """The arguments in order."""
        found: list[Any] = self.args["expressions"]
        return found


class JsonClause(Node):
    """A clause of a JSON function: `kind` in upper case (`ON EMPTY`, `RETURNING`, `WRAPPER` …).

    `this` is what it says: a node (DEFAULT's value), a DataType (RETURNING) or a text (`NULL`).
    """

    arg_types: ClassVar = {"kind": True, "this": True}


class NamedArgument(Node):
    """`name => expression`; `this` is the identifier."""

    arg_types: ClassVar = {"this": True, "expression": True}


class DefaultArgument(Node):
    """`DEFAULT` as an argument."""


class TableArgument(Node):
    """`TABLE t [PARTITION BY …] [ORDER BY …]`; `this` is a TableReference or Query."""

    arg_types: ClassVar = {"this": True, "partition": False, "order": False}


class Descriptor(Node):
    """`DESCRIPTOR(a, b)`; `expressions` are Identifiers."""

    arg_types: ClassVar = {"expressions": True}


class WindowSpec(Node):
    """What stands in `OVER (…)`; `this` is the Identifier of a window it extends, or None."""

    arg_types: ClassVar = {"this": False, "partition": False, "order": False, "frame": False}


class WindowFrame(Node):
    """`ROWS|RANGE BETWEEN start AND end`; `kind` is the word, `start` and `end` FrameBounds."""

    arg_types: ClassVar = {"kind": True, "start": True, "end": True}


class FrameBound(Node):
    """`kind` is PRECEDING, FOLLOWING or CURRENT ROW; `this` its expression, None = UNBOUNDED."""

    arg_types: ClassVar = {"kind": True, "this": False}


# Queries


class Query(Node):
    """What stands around a query's body; every query and sub-query is one.

    Arguments:
        this: Select, Values, SetOperation, TableReference (`TABLE t`) or, for a parenthesised
            query, Query.
        ctes: Ctes of WITH, in order.
        recursive: WITH RECURSIVE.
        order: SortItems.
        limit: Expression or None (LIMIT, FETCH FIRST n ROWS ONLY).
        offset: Expression or None.
    """

    arg_types: ClassVar = {
        "this": True,
        "ctes": False,
        "recursive": False,
        "order": False,
        "limit": False,
        "offset": False,
    }


class Select(Node):
    """`SELECT … FROM … WHERE …`.

    Arguments:
        expressions: exp.Star, StarOf, exp.Alias (this, alias: Identifier), or an expression.
        distinct: SELECT DISTINCT.
        from_: A relation or None.
        where, having, qualify: Conditions or None.
        group: GroupBy or None.
        windows: Of the WINDOW clause, exp.Alias of a WindowSpec.
        hints: Hints behind SELECT.
    """

    arg_types: ClassVar = {
        "expressions": True,
        "distinct": False,
        "from_": False,
        "where": False,
        "group": False,
        "having": False,
        "windows": False,
        "qualify": False,
        "hints": False,
    }


class Values(Node):
    """`VALUES (…), (…)`; every row arrives as exp.Tuple, also a single value without brackets."""

    arg_types: ClassVar = {"expressions": True}


class SetOperation(Node):
    """`left kind [ALL] right`; `kind` UNION, INTERSECT or EXCEPT; sides as in Query.this."""

    arg_types: ClassVar = {"left": True, "right": True, "kind": True, "all": False}


class Cte(Node):
    """`name [(columns)] AS (query)`."""

    arg_types: ClassVar = {"this": True, "columns": False, "query": True}


class SortItem(Node):
    """`this [DESC] [NULLS FIRST|LAST]`; `nulls_first` is None where the text does not say."""

    arg_types: ClassVar = {"this": True, "desc": False, "nulls_first": False}


class GroupBy(Node):
    """GROUP BY; items are expressions and GroupingSets, `distinct` for GROUP BY DISTINCT."""

    arg_types: ClassVar = {"expressions": True, "distinct": False}


class GroupingSet(Node):
    """`kind` SETS, CUBE, ROLLUP, or LIST for `(a, b)` and `()`; items as in GroupBy.

    An expression by itself among them is a list of one: `GROUPING SETS (a, (b))` has no LIST.
    """

    arg_types: ClassVar = {"kind": True, "expressions": True}


class Hint(Node):
    """`NAME(…)` of `/*+ … */`; `options` holds pairs of `'k'='v'`, `values` anything else, as text.

    `meta["places"]` holds for each option the span from its key's beginning to its value's end.
    """

    arg_types: ClassVar = {"this": True, "options": False, "values": False}


# Relations. All but JoinRelation may have `alias` (Identifier) and `columns` (Identifiers).


class TableReference(Node):
    """`cat.db.t /*+ hints */ FOR SYSTEM_TIME AS OF period AS alias (columns)`."""

    arg_types: ClassVar = {
        "expressions": True,
        "hints": False,
        "period": False,
        "alias": False,
        "columns": False,
    }

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in order, without quotes."""
        return tuple(part.this for part in self.args["expressions"])


class DerivedTable(Node):
    """`[LATERAL] (query) AS alias (columns)`; `this` is the Query."""

    arg_types: ClassVar = {
        "this": True,
        "lateral": False,
        "hints": False,
        "alias": False,
        "columns": False,
    }


class TableFunction(Node):
    """`[LATERAL] TABLE(f(…))`, or `f(…)` in FROM; `this` is the FunctionCall."""

    arg_types: ClassVar = {
        "this": True,
        "lateral": False,
        "hints": False,
        "alias": False,
        "columns": False,
    }


class UnnestRelation(Node):
    """`UNNEST(a, …) [WITH ORDINALITY]`."""

    arg_types: ClassVar = {
        "expressions": True,
        "ordinality": False,
        "alias": False,
        "columns": False,
    }


class JoinRelation(Node):
    """`left kind JOIN right`.

    `kind` is INNER, LEFT, RIGHT, FULL, CROSS or COMMA; joins and commas nest to the left. Exactly one of `on`,
    `using` (Identifiers) and `natural` is set for the first four, none for the others.
    """

    arg_types: ClassVar = {
        "left": True,
        "right": True,
        "kind": True,
        "on": False,
        "using": False,
        "natural": False,
    }
