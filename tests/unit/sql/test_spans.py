"""Every node knows its piece of the script, from its first to its last token."""

from __future__ import annotations

import pytest
from sqlglot import expressions as exp

from flowsql.sql import parse_expression, parse_query, parse_script, span_of
from flowsql.sql.statements import Insert, QueryStatement, StatementSet

# One text for each kind of node, the whole of which is the node.
_EXPRESSIONS = {
    "ColumnReference": "a.b",
    "Literal": "12",
    "BinaryLiteral": "x'AB'",
    "Boolean": "TRUE",
    "Null": "NULL",
    "TemporalLiteral": "DATE '2020-01-01'",
    "IntervalLiteral": "INTERVAL '1' DAY",
    "Add": "a + b",
    "Neg": "- a",
    "UnaryPlus": "+ a",
    "EQ": "a = b",
    "And": "a AND b",
    "Or": "a OR (b)",
    "Not": "NOT a",
    "IsPredicate": "a IS NOT NULL",
    "NullSafeNEQ": "a IS DISTINCT FROM b",
    "Between": "a BETWEEN b AND c",
    "LikePredicate": "a LIKE b ESCAPE '!'",
    "In": "a IN (1, 2)",
    "Quantified": "a = ANY (1, 2)",
    "Overlaps": "(a, b) OVERLAPS (c, d)",
    "Exists": "EXISTS (SELECT 1)",
    "Subquery": "(SELECT 1)",
    "Tuple": "(a, b)",
    "Case": "CASE WHEN a THEN b END",
    "FlinkCast": "CAST(a AS ROW<b INT>)",
    "FunctionCall": "f(a) FILTER (WHERE b) OVER (ORDER BY c)",
    "Array": "ARRAY[1, 2]",
    "MapConstructor": "MAP[1, 2]",
    "ItemAccess": "a[1]",
    "FieldAccess": "f(x).a",
}


@pytest.mark.parametrize(("kind", "text"), _EXPRESSIONS.items())
def test_an_expression_reaches_from_its_first_to_its_last_token(kind: str, text: str) -> None:
    """Nothing in front or behind belongs to it."""
    script = f"SELECT /* c */ {text} /* d */ AS x FROM t"
    select = parse_query(script).this
    node = select.expressions[0].this
    assert kind == type(node).__name__
    span = span_of(node)
    assert text == script[span.start : span.end]


_EVERYTHING = """
WITH c (p, q) AS (SELECT a, COUNT(DISTINCT b) FROM t GROUP BY GROUPING SETS ((a), ()))
SELECT /*+ BROADCAST(t) */ *, t.*, x.y AS z, CASE a WHEN 1 THEN 'u' ELSE f(g => 1, h => DEFAULT) END,
  SUM(a) OVER (PARTITION BY b ORDER BY c DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW),
  TRIM(LEADING 'x' FROM s), EXTRACT(DAY FROM d), JSON_VALUE(j, '$' RETURNING INT NULL ON EMPTY),
  a IN (SELECT 1 INTERSECT SELECT 2), CAST(UNKNOWN AS BOOLEAN)
FROM cat.db.t /*+ OPTIONS('a'='b') */ FOR SYSTEM_TIME AS OF o.ts AS x (k, l)
  LEFT JOIN (VALUES (1, 2), (3, 4)) AS v (m, n) USING (k), LATERAL TABLE(f(a)) AS w
  CROSS JOIN UNNEST(arr) WITH ORDINALITY,
  TABLE(SESSION(DATA => TABLE t PARTITION BY k ORDER BY j, TIMECOL => DESCRIPTOR(ts)))
WHERE a BETWEEN 1 AND 2 HAVING x WINDOW w AS (ORDER BY a) QUALIFY y
ORDER BY 1 NULLS LAST LIMIT 10 OFFSET 1
"""


def test_each_node_has_a_span_inside_its_parents() -> None:
    """Also those that a user never sees marked."""
    for node in parse_query(_EVERYTHING).walk():
        span = span_of(node)
        assert 0 <= span.start < span.end <= len(_EVERYTHING)
        if node.parent is not None:
            outer = span_of(node.parent)
            assert outer.start <= span.start, node
            assert span.end <= outer.end, node


def test_spans_begin_and_end_at_tokens() -> None:
    """No span begins or ends with a blank, a comment or half a word."""
    for node in parse_query(_EVERYTHING).walk():
        span = span_of(node)
        text = _EVERYTHING[span.start : span.end]
        assert text == text.strip()
        before = _EVERYTHING[span.start - 1 : span.start]
        assert not (before.isalnum() and text[:1].isalnum()), text


def test_brackets_belong_to_what_they_hold() -> None:
    """An error about `(a)` marks the brackets too."""
    node = parse_expression(" ( a ) + b")
    assert (span_of(node).start, span_of(node).end) == (1, 10)
    assert (span_of(node.this).start, span_of(node.this).end) == (1, 6)


def test_spans_count_from_the_start_of_the_script() -> None:
    """A statement set in the middle of a script has no offsets of its own."""
    script = "SELECT 1;\n-- é\nEXECUTE STATEMENT SET BEGIN\n INSERT INTO t SELECT aa FROM u; END;"
    query, block = parse_script(script)
    assert isinstance(query, QueryStatement)
    assert isinstance(block, StatementSet)
    insert = block.inserts[0]
    assert isinstance(insert, Insert)

    def text(start: int, end: int) -> str:
        return script[start:end]

    assert text(block.span.start, block.span.end).startswith("EXECUTE")
    assert text(block.span.start, block.span.end).endswith("END")
    assert text(insert.span.start, insert.span.end) == "INSERT INTO t SELECT aa FROM u"
    assert text(insert.table.span.start, insert.table.span.end) == "t"
    column = next(insert.query.find_all(exp.Identifier))
    assert text(span_of(column).start, span_of(column).end) == "aa"
