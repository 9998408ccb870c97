"""Each syntax of an expression: what node it arrives as, and how tightly operators bind."""

from __future__ import annotations

import pytest

from flowsql import types as t
from flowsql.errors import SqlError
from flowsql.sql import parse_expression
from flowsql.sql.dialect import FlinkCast, IntervalLiteral, TemporalLiteral
from tests.unit.sql.reading import expression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Precedence and associativity, all as Flink answered.
        ("a + b * c", "Add(a, Mul(b, c))"),
        ("a - b - c", "Sub(Sub(a, b), c)"),
        ("a + b || c", "Add(a, DPipe(b, c))"),
        ("a * b || c", "DPipe(Mul(a, b), c)"),
        ("a % b / c", "Div(Mod(a, b), c)"),
        ("-a + +b", "Add(Neg(a), UnaryPlus(b))"),
        ("-a[1].b", "Neg(FieldAccess(ItemAccess(a, 1), b))"),
        ("a = b IS NULL", "IsPredicate(EQ(a, b), what=NULL)"),
        ("a < b IS NOT TRUE", "IsPredicate(LT(a, b), what=TRUE, negated=True)"),
        ("a IS NULL = b", "EQ(IsPredicate(a, what=NULL), b)"),
        ("a = b = c", "EQ(EQ(a, b), c)"),
        ("a = b IS DISTINCT FROM c", "NullSafeNEQ(EQ(a, b), c)"),
        ("a IS NOT DISTINCT FROM b + 1", "NullSafeEQ(a, Add(b, 1))"),
        ("NOT a = b AND c", "And(Not(EQ(a, b)), c)"),
        ("NOT a IS NULL", "Not(IsPredicate(a, what=NULL))"),
        ("a OR b AND c", "Or(a, And(b, c))"),
        ("(a OR b) AND c", "And(Or(a, b), c)"),
        ("a = NOT b", "EQ(a, Not(b))"),
        ("a BETWEEN b AND c AND d", "And(Between(a, low=b, high=c), d)"),
        ("a BETWEEN 0 AND 2 = TRUE", "EQ(Between(a, low=0, high=2), Boolean(True))"),
        ("a = b BETWEEN c AND d", "EQ(a, Between(b, low=c, high=d))"),
        ("a LIKE 'x' = b", "EQ(LikePredicate(a, 'x'), b)"),
        # Predicates
        ("a NOT BETWEEN SYMMETRIC 1 AND 2", "Not(Between(a, low=1, high=2, symmetric=True))"),
        ("a NOT LIKE b ESCAPE '!'", "Not(LikePredicate(a, b, escape='!'))"),
        ("a SIMILAR TO 'x'", "LikePredicate(a, 'x', similar=True)"),
        ("a IN (1, 2)", "In(a, 1, 2)"),
        ("a NOT IN (SELECT b FROM t)", "Not(In(a, query=Query(Select(b, from_=t))))"),
        ("(a, b) IN ((1, 2))", "In(Tuple(a, b), Tuple(1, 2))"),
        ("a <> ALL (1, 2)", "Quantified(a, 1, 2, op=<>, quantifier=ALL)"),
        (
            "a = SOME (VALUES 1)",
            "Quantified(a, op==, quantifier=ANY, query=Query(Values(Tuple(1))))",
        ),
        ("EXISTS (SELECT 1)", "Exists(Query(Select(1)))"),
        ("(SELECT 1)", "Subquery(Query(Select(1)))"),
        ("(a, b) OVERLAPS (c, d)", "Overlaps(Tuple(a, b), Tuple(c, d))"),
        ("a IS JSON", "IsPredicate(a, what=JSON)"),
        ("a IS NOT JSON OBJECT", "IsPredicate(a, what=JSON OBJECT, negated=True)"),
        ("a IS UNKNOWN", "IsPredicate(a, what=UNKNOWN)"),
        ("a != b", "NEQ(a, b)"),
        # Names and literals
        ("`a``b`.c", "`a`b`.c"),
        ("$x + _y1", "Add($x, _y1)"),
        ("1e3", "1e3"),
        (".5", ".5"),
        ("1.", "1"),
        ("'it''s \\n'", repr("it's \\n")),
        ("'a'\n'b'", "'ab'"),
        ("U&'\\0041b'", "'Ab'"),
        ("e'a\\n\\q'", repr("a\n\\q")),
        (r"E'\t\x41\u0042\103\\ it''s \' \U0001F600'", repr("\tABC\\ it's ' \U0001f600")),
        ("U&'!0041!!' UESCAPE '!'", "'A!'"),
        ("_UTF16'a'", "'a'"),
        ("x'0aFf'", "BinaryLiteral(b'\\n\\xff')"),
        ("TRUE", "Boolean(True)"),
        ("NULL", "Null()"),
        ("UNKNOWN", "FlinkCast(Null(), to=BOOLEAN)"),
        # Constructors and access
        ("ARRAY[a, 1]", "Array(a, 1)"),
        ("MAP['k', v]['k']", "ItemAccess(MapConstructor('k', v), 'k')"),
        ("ROW(a, 1)", "Tuple(a, 1)"),
        ("f(x).a.b", "FieldAccess(FieldAccess(f(x), a), b)"),
        ("((a))", "a"),
        # CASE
        ("CASE WHEN a THEN 1 END", "Case(ifs=[If(a, true=1)])"),
        (
            "CASE a WHEN 1, 2 THEN 'x' ELSE b END",
            "Case(a, ifs=[If(1, true='x'), If(2, true='x')], default=b)",
        ),
        # Calls
        ("Cat.Db.F()", "F(qualifier=[Cat, Db])"),
        ("COUNT(*)", "COUNT(*)"),
        ("COUNT(DISTINCT a)", "COUNT(a, distinct=True)"),
        ("COUNT(ALL a)", "COUNT(a)"),
        ("SUM(a) FILTER (WHERE b > 0)", "SUM(a, filter=GT(b, 0))"),
        ("f(a => 1, b => DEFAULT)", "f(NamedArgument(a, 1), NamedArgument(b, DefaultArgument()))"),
        ("NVL(a, b)", "NVL(a, b)"),
        ("INSTR(a, b)", "INSTR(a, b)"),
        ("LEFT(a, 1)", "LEFT(a, 1)"),
        ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP(niladic=True)"),
        ("CURRENT_DATE()", "CURRENT_DATE()"),
        ("pi", "pi(niladic=True)"),
        ("ARRAY_AGG(a ORDER BY b DESC)", "ARRAY_AGG(a, order=[SortItem(b, desc=True)])"),
        (
            "LAST_VALUE(a) IGNORE NULLS OVER w",
            "LAST_VALUE(a, nulls=IGNORE, over=w)",
        ),
        (
            "ROW_NUMBER() OVER (PARTITION BY a, b ORDER BY c DESC NULLS LAST, d)",
            (
                "ROW_NUMBER(over=WindowSpec(partition=[a, b], "
                "order=[SortItem(c, desc=True), SortItem(d)]))"
            ),
        ),
        (
            "SUM(a) OVER (ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW)",
            (
                "SUM(a, over=WindowSpec(order=[SortItem(t)], frame=WindowFrame(kind=RANGE, "
                "start=FrameBound(IntervalLiteral(1, to=INTERVAL SECOND(3) NOT NULL, value=86400000), "
                "kind=PRECEDING), end=FrameBound(kind=CURRENT ROW))))"
            ),
        ),
        (
            "SUM(a) OVER (w ROWS UNBOUNDED PRECEDING)",
            (
                "SUM(a, over=WindowSpec(w, frame=WindowFrame(kind=ROWS, "
                "start=FrameBound(kind=PRECEDING), end=FrameBound(kind=CURRENT ROW))))"
            ),
        ),
        # Syntax of its own, arriving as calls
        ("CAST(a AS ROW<x INT NOT NULL>)", "FlinkCast(a, to=ROW<`x` INT NOT NULL>)"),
        (
            "TRY_CAST(a AS MAP<INT, ARRAY<STRING>>)",
            "FlinkCast(a, to=MAP<INT, ARRAY<STRING>>, try_=True)",
        ),
        ("EXTRACT(day FROM a)", "EXTRACT(DAY, a)"),
        ("CEIL(a TO SQL_TSI_MONTH)", "CEIL(a, MONTH)"),
        ("FLOOR(CEIL(a) TO DAY)", "FLOOR(CEIL(a), DAY)"),
        ("TRIM(a)", "TRIM(BOTH, ' ', a)"),
        ("TRIM(BOTH FROM a)", "TRIM(BOTH, ' ', a)"),
        ("TRIM(LEADING 'x' FROM a)", "TRIM(LEADING, 'x', a)"),
        ("TRIM('x' FROM a)", "TRIM(BOTH, 'x', a)"),
        ("POSITION(a IN b)", "POSITION(a, b)"),
        ("POSITION(a IN b FROM 2)", "POSITION(a, b, 2)"),
        ("SUBSTRING(a FROM 2 FOR 3)", "SUBSTRING(a, 2, 3)"),
        ("SUBSTRING(a, 2)", "SUBSTRING(a, 2)"),
        ("OVERLAY(a PLACING b FROM 2 FOR 1)", "OVERLAY(a, b, 2, 1)"),
        ("TIMESTAMPDIFF(DAY, a, b)", "TIMESTAMPDIFF(DAY, a, b)"),
        ("TIMESTAMPADD(HOUR, 1, a)", "TIMESTAMPADD(HOUR, 1, a)"),
        # JSON
        (
            "JSON_VALUE(a, '$.x' RETURNING INT NULL ON EMPTY DEFAULT 1 ON ERROR)",
            (
                "JSON_VALUE(a, '$.x', clauses=[JsonClause(INT, kind=RETURNING), "
                "JsonClause(NULL, kind=ON EMPTY), JsonClause(1, kind=ON ERROR)])"
            ),
        ),
        (
            "JSON_QUERY(a, '$' WITH CONDITIONAL ARRAY WRAPPER EMPTY OBJECT ON ERROR)",
            (
                "JSON_QUERY(a, '$', clauses=[JsonClause(CONDITIONAL, kind=WRAPPER), "
                "JsonClause(EMPTY OBJECT, kind=ON ERROR)])"
            ),
        ),
        (
            "JSON_EXISTS(a, '$' UNKNOWN ON ERROR)",
            "JSON_EXISTS(a, '$', clauses=[JsonClause(UNKNOWN, kind=ON ERROR)])",
        ),
        (
            "JSON_OBJECT(KEY 'k' VALUE v, 'l': w ABSENT ON NULL)",
            "JSON_OBJECT('k', v, 'l', w, clauses=[JsonClause(ABSENT, kind=ON NULL)])",
        ),
        ("JSON_OBJECTAGG(KEY k VALUE v)", "JSON_OBJECTAGG(k, v)"),
        ("JSON_ARRAY()", "JSON_ARRAY()"),
        (
            "JSON_ARRAYAGG(a NULL ON NULL) FILTER (WHERE b)",
            "JSON_ARRAYAGG(a, clauses=[JsonClause(NULL, kind=ON NULL)], filter=b)",
        ),
    ],
)
def test_reads(text: str, expected: str) -> None:
    """The node that a text arrives as."""
    assert expected == expression(text).replace(", nulls_first=False", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("INTERVAL '1' DAY", 86_400_000),
        ("INTERVAL -'1' HOUR", -3_600_000),
        ("INTERVAL '-1' HOUR", -3_600_000),
        ("INTERVAL - '-1' HOUR", 3_600_000),
        ("INTERVAL '2' WEEK", 14 * 86_400_000),
        ("INTERVAL '10' MINUTES", 600_000),
        ("INTERVAL 3 SECOND", 3_000),
        ("INTERVAL '1.5' SECOND", 1_500),
        ("INTERVAL '1.9999' SECOND", 1_999),
        ("INTERVAL '1 2:3:4.5678' DAY TO SECOND", 93_784_567),
        ("INTERVAL '100' DAY(3)", 8_640_000_000),
        ("INTERVAL '1:30' HOUR TO MINUTE", 5_400_000),
    ],
)
def test_intervals_of_time_are_milliseconds(text: str, value: int) -> None:
    """Flink's planner knows one type for all of them."""
    node = parse_expression(text)
    assert isinstance(node, IntervalLiteral)
    assert value == node.args["value"]
    assert str(node.args["to"]) == "INTERVAL SECOND(3) NOT NULL"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("INTERVAL '1-2' YEAR TO MONTH", 14),
        ("INTERVAL '3' QUARTER", 9),
        ("INTERVAL '-2' YEARS", -24),
    ],
)
def test_intervals_of_months(text: str, value: int) -> None:
    """Years and months are months."""
    node = parse_expression(text)
    assert (value, "INTERVAL MONTH NOT NULL") == (node.args["value"], str(node.args["to"]))


@pytest.mark.parametrize(
    ("text", "to", "value"),
    [
        ("DATE '1970-01-02'", "DATE NOT NULL", 1),
        ("DATE '2020-1-1'", "DATE NOT NULL", 18_262),
        ("TIME '00:00:01'", "TIME(0) NOT NULL", 1_000_000_000),
        ("TIME '00:00:00.123456'", "TIME(3) NOT NULL", 123_000_000),
        ("TIMESTAMP '1970-01-02'", "TIMESTAMP(0) NOT NULL", 86_400_000_000_000),
        ("TIMESTAMP '1969-12-31 23:59:59.5'", "TIMESTAMP(1) NOT NULL", -500_000_000),
        ("TIMESTAMP '1970-01-01 00:00:00.1234567891'", "TIMESTAMP(9) NOT NULL", 123_456_789),
    ],
)
def test_temporal_literals(text: str, to: str, value: int) -> None:
    """Their precision is the digits written."""
    node = parse_expression(text)
    assert isinstance(node, TemporalLiteral)
    assert (to, value) == (str(node.args["to"]), node.args["value"])


def test_a_cast_holds_its_type() -> None:
    """The binder never reads a type's text."""
    node = parse_expression("CAST(a AS VARCHAR)")
    assert isinstance(node, FlinkCast)
    assert node.to == t.VarCharType()


def test_equal_text_is_an_equal_node() -> None:
    """GROUP BY finds its expressions again wherever they stand, and however spaced."""
    assert parse_expression("f(a, INTERVAL '1' DAY)") == parse_expression(
        " f( a,INTERVAL '1' DAY )"
    )
    assert parse_expression("f(a)") != parse_expression("F(A)")
    assert parse_expression("a") != parse_expression("b")
    assert parse_expression("CAST(a AS INT)") != parse_expression("CAST(a AS BIGINT)")
    assert parse_expression("'a'") != parse_expression("'A'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected an expression, found the end of the statement"),
        ("a +", "expected an expression, found the end of the statement"),
        ("a BETWEEN 1", 'expected "AND", found the end of the statement'),
        ("a IS 1", 'expected "NULL", "TRUE", "FALSE", "UNKNOWN", "DISTINCT" or "NOT", found "1"'),
        ("value + 1", "as a name, write it `value`"),
        ("CASE WHEN a THEN 1", 'expected "WHEN", "ELSE" or "END"'),
        ("CASE a END", 'expected "WHEN", found "END"'),
        ("f(a", 'expected ")", found the end of the statement'),
        ("EXTRACT(DAI FROM a)", '"DAI" is not a time unit'),
        ("CAST(a AS INT NOT NULL)", 'expected ")", found "NOT"'),
        ("CAST(a INT)", 'expected "AS", found "INT"'),
        ("MAP['a']", "MAP needs a value for every key"),
        ("ARRAY[]", "expected at least one element"),
        ("?", 'a dynamic parameter "?" is not supported yet'),
        ("a ! b", 'the character "!" has no meaning in SQL'),
        ("e'\\U00110000'", "there is no such character"),
        ("x'ABC'", "a binary string needs an even number of hexadecimal digits"),
        ("U&'\\00'", "must be followed by four hexadecimal digits"),
        ("'a' 'b'", "expected the end of the statement, found the string 'b'"),
        ("``", "a name cannot be empty"),
        ("`a", "the quoted name is not closed"),
        ("/* a", "the comment is not closed"),
        ("DATE '2020-02-30'", "illegal DATE literal '2020-02-30'"),
        ("TIMESTAMP '2020-01-01T00:00:00'", "illegal TIMESTAMP literal"),
        ("TIME '24:00:00'", "It is written 'HH:mm:ss[.fraction]'"),
        ("INTERVAL '100' DAY", "interval field value 100 exceeds precision of DAY(2) field"),
        ("INTERVAL '100' WEEK", "Write the precision: WEEK(3)."),
        ("INTERVAL '1:70' HOUR TO MINUTE", "MINUTE must be below 60"),
        ("INTERVAL '1' DAY TO HOUR", "It is written 'day hour'."),
        ("INTERVAL '1.1234567' SECOND", "illegal interval literal"),
        ("INTERVAL '1' FORTNIGHT", 'expected "YEAR", "MONTH"'),
        ("a OVERLAPS b", "OVERLAPS compares two periods"),
        ("(" * 300, "the expression is nested too deeply"),
        ("NOT " * 300 + "a", "the expression is nested too deeply"),
    ],
)
def test_refuses(text: str, expected: str) -> None:
    """A wrong expression says what was expected."""
    with pytest.raises(SqlError) as caught:
        parse_expression(text)
    assert caught.value.span is not None
    assert expected in str(caught.value.with_sql(text))
