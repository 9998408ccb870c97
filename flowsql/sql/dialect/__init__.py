r"""Queries and expressions: Flink's language as an AST of sqlglot nodes, with positions.

`parse_query(text)` and `parse_expression(text)` read; `span_of(node)` says where a node stands in
the script, from its first to its last token: every node in the tables has a span. Nothing below
a binder needs the text again. Nodes compare equal by what they say, wherever they stand.

Every production is ours, on sqlglot's node classes: its own parser reads too much (a BETWEEN
without AND, `INTERVAL '1 day'`) and binds otherwise (INTERSECT as loosely as UNION, IS tighter
than `=`, `||` looser than `+`), and where it differs from Flink rows would be wrong.

Names. An `exp.Identifier(this: str, quoted: bool)` is one name as written; names are case-sensitive.
Calls keep their name and the order of their arguments: no function is known here.

| SQL | node | arguments |
| --- | --- | --- |
| `a`, `t.a`, `t.a.f` | ColumnReference | expressions: Identifiers; `.parts` |
| `*`, `t.*` | exp.Star, StarOf | expressions: Identifiers; `.parts` |
| `12`, `1.50`, `1e3` | exp.Literal | this: text as written, is_string=False: with an E it is DOUBLE, with a point DECIMAL, else INT or BIGINT by size (beyond: Flink's error) |
| `'it''s'`, `U&'\0041'` | exp.Literal | this: the value, is_string=True |
| `x'AB'` | BinaryLiteral | this: bytes |
| TRUE, NULL, UNKNOWN | exp.Boolean, exp.Null | UNKNOWN is FlinkCast(NULL, BOOLEAN) |
| `DATE '…'`, TIME, TIMESTAMP | TemporalLiteral | this, to: DataType, value: int |
| `INTERVAL '1' DAY` | IntervalLiteral | this, to (INTERVAL MONTH or INTERVAL SECOND(3), as in Flink), value: months or ms |
| `a + b` … `a \|\| b` | exp.Add Sub Mul Div Mod DPipe | this, expression |
| `-a`, `+a` | exp.Neg, UnaryPlus | this (`-5` is Neg of 5) |
| `=` `<>` `<` `<=` `>` `>=` | exp.EQ NEQ LT LTE GT GTE | this, expression |
| AND, OR, NOT | exp.And, Or, Not | also NOT IN, NOT LIKE, NOT BETWEEN, NOT EXISTS are Not(…) |
| `IS [NOT] NULL/TRUE/FALSE/UNKNOWN/JSON …` | IsPredicate | this, what: str, negated |
| IS [NOT] DISTINCT FROM | exp.NullSafeNEQ, NullSafeEQ | this, expression |
| BETWEEN [SYMMETRIC] | exp.Between | this, low, high, symmetric |
| LIKE, SIMILAR TO | LikePredicate | this, expression, escape, similar |
| `a IN (1, 2)`, `a IN (SELECT …)` | exp.In | this, expressions or query: Query |
| `a = ANY (…)`, ALL, SOME | Quantified | this, op, quantifier, query or expressions |
| OVERLAPS | Overlaps | this, expression: Tuples |
| EXISTS (query) | exp.Exists | this: Query |
| `(SELECT …)` as a value | exp.Subquery | this: Query |
| `(a, b)`, `ROW(a, b)` | exp.Tuple | expressions; `(a)` is just `a` |
| CASE | exp.Case | this or None, ifs: exp.If(this, true), default or None |
| CAST, TRY_CAST | FlinkCast | this, to: DataType, try_ |
| `f(a)`, CURRENT_DATE, all below | FunctionCall | `.function` (upper case), `.arguments`, qualifier, distinct, order, filter, nulls, over, niladic, clauses |
| EXTRACT(DAY FROM x) | FunctionCall | Symbol DAY, x |
| CEIL(x TO DAY), FLOOR | FunctionCall | x, Symbol DAY |
| TRIM(BOTH a FROM x), TRIM(x) | FunctionCall | Symbol BOTH, a (a blank if not said), x |
| POSITION(a IN b [FROM n]) | FunctionCall | a, b[, n] |
| SUBSTRING(x FROM a FOR b) | FunctionCall | x, a[, b]; the same with commas |
| OVERLAY(x PLACING y FROM a FOR b) | FunctionCall | x, y, a[, b] |
| TIMESTAMPADD(DAY, n, x), TIMESTAMPDIFF | FunctionCall | Symbol DAY, … |
| JSON_VALUE(x, p RETURNING INT …) | FunctionCall | x, p; clauses: JsonClauses |
| JSON_OBJECT(KEY k VALUE v …) | FunctionCall | k, v, k, v; clauses |
| `name => x`, DEFAULT | NamedArgument, DefaultArgument | this: Identifier, expression |
| `TABLE t PARTITION BY k` | TableArgument | this: TableReference or Query, partition, order |
| DESCRIPTOR(ts) | Descriptor | expressions: Identifiers |
| OVER (…), OVER w | WindowSpec, Identifier | this, partition, order: SortItems, frame: WindowFrame of FrameBounds |
| `ARRAY[…]`, `MAP[k, v]` | exp.Array, MapConstructor | expressions |
| `x[1]`, `f(x).a` | ItemAccess, FieldAccess | this, expression |

Every query is a `Query` (this, ctes, recursive, order, limit, offset) around one of

| SQL | node | arguments |
| --- | --- | --- |
| SELECT | Select | expressions (exp.Alias(this, alias) where named), distinct, from_, where, group: GroupBy, having, windows, qualify, hints |
| VALUES (1, 2), (3, 4) | Values | expressions: Tuples |
| UNION, INTERSECT, EXCEPT | SetOperation | left, right, kind, all |
| TABLE t | TableReference | |
| a query in brackets | Query | |

GROUP BY: `GroupBy(expressions, distinct)` of expressions and `GroupingSet(kind, expressions)`.
ORDER BY: `SortItem(this, desc, nulls_first: bool | None)`.

Relations behind FROM have `alias` (Identifier or None) and `columns` (Identifiers or None):

| SQL | node | arguments |
| --- | --- | --- |
| `db.t /*+ OPTIONS('k'='v') */` | TableReference | expressions (`.parts`), hints: Hint, period (FOR SYSTEM_TIME AS OF) |
| (query) | DerivedTable | this: Query, lateral |
| TABLE(f(…)), LATERAL TABLE(f(a)) | TableFunction | this: FunctionCall, lateral |
| UNNEST(a) [WITH ORDINALITY] | UnnestRelation | expressions, ordinality |
| `a JOIN b ON …`, `a, b` | JoinRelation | left, right, kind (INNER LEFT RIGHT FULL CROSS COMMA), on, using, natural; no alias; all nest to the left |

A hint is `Hint(this: Identifier, options: [(key, value)], values: [text])`. Refused by name:
MATCH_RECOGNIZE, TABLESAMPLE, PIVOT, UNPIVOT, dynamic parameters.
"""

from __future__ import annotations

from flowsql.sql.dialect.nodes import (
    BinaryLiteral,
    ColumnReference,
    Cte,
    DefaultArgument,
    DerivedTable,
    Descriptor,
    FieldAccess,
    FlinkCast,
    FrameBound,
    FunctionCall,
    GroupBy,
    GroupingSet,
    Hint,
    IntervalLiteral,
    IsPredicate,
    ItemAccess,
    JoinRelation,
    JsonClause,
    LikePredicate,
    MapConstructor,
    NamedArgument,
    Node,
    Overlaps,
    Quantified,
    Query,
    Select,
    SetOperation,
    SortItem,
    StarOf,
    Symbol,
    TableArgument,
    TableFunction,
    TableReference,
    TemporalLiteral,
    UnaryPlus,
    UnnestRelation,
    Values,
    WindowFrame,
    WindowSpec,
    span_of,
)
from flowsql.sql.dialect.queries import QueryParser, parse_expression, parse_query

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
    "QueryParser",
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
    "parse_expression",
    "parse_query",
    "span_of",
]
