"""Each clause of a query: what it arrives as, and what is refused."""

from __future__ import annotations

import pytest

from tests.unit.sql.reading import error, query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", "Query(Select(1))"),
        (
            "SELECT DISTINCT *, t.*, a x FROM t",
            "Query(Select(*, t.*, Alias(a, alias=x), distinct=True, from_=t))",
        ),
        ("SELECT ALL a FROM t", "Query(Select(a, from_=t))"),
        ("VALUES 1, (2), (3, 4)", "Query(Values(Tuple(1), Tuple(2), Tuple(3, 4)))"),
        ("TABLE a.b", "Query(a.b)"),
        (
            "SELECT a FROM t WHERE b GROUP BY a HAVING c WINDOW w AS (ORDER BY a) QUALIFY d",
            (
                "Query(Select(a, from_=t, where=b, group=GroupBy(a), having=c, "
                "windows=[Alias(WindowSpec(order=[SortItem(a)]), alias=w)], qualify=d))"
            ),
        ),
        (
            "SELECT a FROM t ORDER BY a DESC NULLS FIRST, b LIMIT 5 OFFSET 2 ROWS",
            (
                "Query(Select(a, from_=t), order=[SortItem(a, desc=True, nulls_first=True), "
                "SortItem(b)], limit=5, offset=2)"
            ),
        ),
        (
            "SELECT a FROM t OFFSET 1 FETCH FIRST 3 ROWS ONLY",
            "Query(Select(a, from_=t), offset=1, limit=3)",
        ),
        ("SELECT a FROM t LIMIT ALL", "Query(Select(a, from_=t))"),
        # Set operations: INTERSECT binds tighter, the rest from the left.
        (
            "SELECT 1 UNION SELECT 2 INTERSECT SELECT 3",
            (
                "Query(SetOperation(left=Select(1), right=SetOperation(left=Select(2), "
                "right=Select(3), kind=INTERSECT), kind=UNION))"
            ),
        ),
        (
            "SELECT 1 EXCEPT SELECT 2 UNION ALL SELECT 3 ORDER BY 1",
            (
                "Query(SetOperation(left=SetOperation(left=Select(1), right=Select(2), kind=EXCEPT), "
                "right=Select(3), kind=UNION, all=True), order=[SortItem(1)])"
            ),
        ),
        (
            "(SELECT 1 LIMIT 1) UNION (SELECT 2)",
            "Query(SetOperation(left=Query(Select(1), limit=1), right=Query(Select(2)), kind=UNION))",
        ),
        (
            "SELECT ((SELECT 1) UNION (SELECT 2))",
            (
                "Query(Select(Subquery(Query(SetOperation(left=Query(Select(1)), "
                "right=Query(Select(2)), kind=UNION)))))"
            ),
        ),
        (
            "WITH a (x) AS (SELECT 1), b AS (TABLE a) SELECT * FROM b",
            (
                "Query(Select(*, from_=b), ctes=[Cte(a, columns=[x], query=Query(Select(1))), "
                "Cte(b, query=Query(a))])"
            ),
        ),
        # GROUP BY
        (
            "SELECT 1 FROM t GROUP BY GROUPING SETS ((a, b), a, ())",
            (
                "Query(Select(1, from_=t, group=GroupBy(GroupingSet(GroupingSet(a, b, kind=LIST), "
                "a, GroupingSet(kind=LIST), kind=SETS))))"
            ),
        ),
        (
            "SELECT 1 FROM t GROUP BY DISTINCT CUBE(a, b), ROLLUP(c)",
            (
                "Query(Select(1, from_=t, group=GroupBy(GroupingSet(a, b, kind=CUBE), "
                "GroupingSet(c, kind=ROLLUP), distinct=True)))"
            ),
        ),
        # Relations
        (
            "SELECT * FROM cat.db.t AS x (a, b)",
            "Query(Select(*, from_=cat.db.t[alias=x, columns=[a, b]]))",
        ),
        (
            "SELECT * FROM (SELECT 1) x",
            "Query(Select(*, from_=DerivedTable(Query(Select(1)), alias=x)))",
        ),
        (
            "SELECT * FROM ((SELECT 1) UNION SELECT 2)",
            (
                "Query(Select(*, from_=DerivedTable(Query(SetOperation(left=Query(Select(1)), "
                "right=Select(2), kind=UNION)))))"
            ),
        ),
        (
            "SELECT * FROM (VALUES (1, 2)) AS t (a, b)",
            "Query(Select(*, from_=DerivedTable(Query(Values(Tuple(1, 2))), alias=t, columns=[a, b])))",
        ),
        (
            "SELECT * FROM a JOIN b ON x LEFT OUTER JOIN c USING (y) CROSS JOIN d",
            (
                "Query(Select(*, from_=JoinRelation(left=JoinRelation(left=JoinRelation(left=a, "
                "right=b, kind=INNER, on=x), right=c, kind=LEFT, using=[y]), right=d, kind=CROSS)))"
            ),
        ),
        (
            "SELECT * FROM a, b RIGHT JOIN c ON x, d",
            (
                "Query(Select(*, from_=JoinRelation(left=JoinRelation(left=JoinRelation(left=a, "
                "right=b, kind=COMMA), right=c, kind=RIGHT, on=x), right=d, kind=COMMA)))"
            ),
        ),
        (
            "SELECT * FROM a JOIN (b FULL JOIN c ON y) ON x",
            (
                "Query(Select(*, from_=JoinRelation(left=a, right=JoinRelation(left=b, right=c, "
                "kind=FULL, on=y), kind=INNER, on=x)))"
            ),
        ),
        (
            "SELECT * FROM a NATURAL LEFT JOIN b",
            "Query(Select(*, from_=JoinRelation(left=a, right=b, kind=LEFT, natural=True)))",
        ),
        (
            "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts AS c ON x",
            "Query(Select(*, from_=JoinRelation(left=a, right=b[period=a.ts, alias=c], kind=INNER, on=x)))",
        ),
        (
            "SELECT * FROM a, LATERAL TABLE(f(a.x, y => 1)) AS t (z)",
            (
                "Query(Select(*, from_=JoinRelation(left=a, right=TableFunction("
                "f(a.x, NamedArgument(y, 1)), lateral=True, alias=t, columns=[z]), kind=COMMA)))"
            ),
        ),
        (
            "SELECT * FROM a CROSS JOIN UNNEST(a.x) WITH ORDINALITY AS t (y, n)",
            (
                "Query(Select(*, from_=JoinRelation(left=a, right=UnnestRelation(a.x, "
                "ordinality=True, alias=t, columns=[y, n]), kind=CROSS)))"
            ),
        ),
        (
            "SELECT * FROM a, LATERAL (SELECT a.x)",
            "Query(Select(*, from_=JoinRelation(left=a, right=DerivedTable(Query(Select(a.x)), lateral=True), kind=COMMA)))",
        ),
        ("SELECT * FROM f(1)", "Query(Select(*, from_=TableFunction(f(1))))"),
        # Window table functions
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
            (
                "Query(Select(*, from_=TableFunction(TUMBLE(TableArgument(t), Descriptor(ts), "
                "IntervalLiteral(1, to=INTERVAL SECOND(3) NOT NULL, value=60000)))))"
            ),
        ),
        (
            (
                "SELECT * FROM TABLE(SESSION(DATA => TABLE a.t PARTITION BY (k, l), "
                "TIMECOL => DESCRIPTOR(ts)))"
            ),
            (
                "Query(Select(*, from_=TableFunction(SESSION(NamedArgument(DATA, "
                "TableArgument(a.t, partition=[k, l])), NamedArgument(TIMECOL, Descriptor(ts))))))"
            ),
        ),
        (
            "SELECT * FROM f(TABLE t PARTITION BY k, (SELECT 1) PARTITION BY x ORDER BY y)",
            (
                "Query(Select(*, from_=TableFunction(f(TableArgument(t, partition=[k]), "
                "TableArgument(Query(Select(1)), partition=[x], order=[SortItem(y)])))))"
            ),
        ),
        # Hints
        (
            "SELECT /*+ BROADCAST(a, db.b), STATE_TTL('a' = '1d') */ x FROM a",
            (
                "Query(Select(x, hints=[Hint(BROADCAST, values=[a, db.b]), "
                "Hint(STATE_TTL, options=[[a, 1d]])], from_=a))"
            ),
        ),
        (
            "SELECT * FROM t /*+ OPTIONS('k'='v', 'l'='w') */ AS x",
            "Query(Select(*, from_=t[hints=[Hint(OPTIONS, options=[[k, v], [l, w]])], alias=x]))",
        ),
        # A keyword that Flink does not reserve is a name.
        ("SELECT first AS last FROM key", "Query(Select(Alias(first, alias=last), from_=key))"),
        ("SELECT 1a -- comment\n", "Query(Select(Alias(1, alias=a)))"),
        ("select a From t // comment", "Query(Select(a, from_=t))"),
    ],
)
def test_reads(text: str, expected: str) -> None:
    """The nodes that a query arrives as."""
    assert expected == query(text).replace(", nulls_first=False", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT a FORM t",
            (
                'SqlError at 1:10: "FORM" is no keyword, and after the alias it was read as, '
                '"t" makes no sense\n  SELECT a FORM t\n           ^^^^\nHint: Did you mean "FROM"?'
            ),
        ),
        (
            "SELECT *\nFROM t\nWHER a = 1",
            (
                'SqlError at 3:1: "WHER" is no keyword, and after the alias it was read as, '
                '"a" makes no sense\n  WHER a = 1\n  ^^^^\nHint: Did you mean "WHERE"?'
            ),
        ),
        (
            "SELECT a, FROM t",
            (
                'SqlError at 1:11: expected an expression, found "FROM"\n  SELECT a, FROM t\n'
                "            ^^^^"
            ),
        ),
        ("SELECT a FROM", "expected a table name, found the end of the statement"),
        (
            "SELECT a FROM 'a.csv'",
            (
                "expected a table name, found the string 'a.csv'\n  SELECT a FROM 'a.csv'\n"
                "                ^^^^^^^\nHint: A file is read through a table: CREATE TABLE t (…) WITH "
                "('connector' = 'filesystem', 'path' = 'a.csv', 'format' = '…')."
            ),
        ),
        ("SELECT a FROM t GROUP a", 'expected "BY", found "a"'),
        ("SELECT 1 1", 'expected the end of the statement, found "1"'),
        ("SELECT 1 AS value", 'Hint: "value" is a reserved word: as a name, write it `value`.'),
        ("SELECT 1 FROM order", 'Hint: "order" is a reserved word'),
        ("SELECT 1 WHERE TRUE", "WHERE needs a FROM in front of it"),
        ("SELECT 1 MINUS SELECT 2", "Hint: Write EXCEPT."),
        ("SELECT a FROM t LIMIT 1, 2", "Hint: Write LIMIT n OFFSET m."),
        ("SELECT a FROM t LIMIT x", 'expected a whole number, found "x"'),
        ("SELECT a FROM t LIMIT 1 FETCH NEXT 1 ROW ONLY", "LIMIT and FETCH say the same twice"),
        ("SELECT * FROM a JOIN b", "INNER join requires a condition"),
        ("SELECT * FROM a LEFT JOIN b", "Hint: Add ON … or USING (…), or write CROSS JOIN."),
        ("SELECT * FROM a CROSS JOIN b ON TRUE", "a CROSS JOIN has no condition"),
        ("SELECT * FROM (a, b)", 'expected "JOIN", found ","'),
        ("SELECT * FROM (a)", 'expected "JOIN", found ")"'),
        ("SELECT * FROM SELECT 1", "a sub-query must stand in brackets"),
        ("SELECT * FROM TABLE(t)", 'expected "(", found ")"'),
        ("SELECT * FROM t MATCH_RECOGNIZE (PATTERN (a))", "MATCH_RECOGNIZE is not supported yet"),
        ("SELECT * FROM t TABLESAMPLE SYSTEM(5)", "TABLESAMPLE is not supported yet"),
        ("SELECT * FROM t AS x PIVOT (a)", "PIVOT is not supported yet"),
        (
            "SELECT SUM(a) OVER (ORDER BY b ROWS 1 PRECEDING EXCLUDE TIES) FROM t",
            "EXCLUDE in a window frame is not supported yet",
        ),
        ("WITH a AS SELECT 1 SELECT 2", 'expected "(", found "SELECT"'),
        ("WITH a AS (1) SELECT 2", 'expected "SELECT", "VALUES" or "WITH", found "1"'),
        ("SELECT * FROM f(TABLE g(1))", "a table function cannot be an argument directly"),
        ("SELECT " + "(SELECT " * 60, "the query is nested too deeply"),
        ('SELECT "a"', "Hint: Use `name` for a name and 'text' for a string."),
        ("SELECT 'a", "Hint: Close it with '; inside, write '' for one."),
    ],
)
def test_refuses(text: str, expected: str) -> None:
    """A wrong query is an error that marks its place and names the cure."""
    assert expected in error(text)
