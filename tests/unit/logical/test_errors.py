"""What a user reads of a wrong statement: fact, caret, cure."""

from __future__ import annotations

import pytest

from flowsql.logical import PlanSettings
from tests.unit.logical.planning import Planner, text


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def test_unknown_column(planner: Planner) -> None:
    """The nearest name, and what there is."""
    assert planner.error("SELECT cc FROM k") == text("""
SqlError at 1:8: column "cc" does not exist
  SELECT cc FROM k
         ^^
Hint: Table "k" has columns "id", "x".
""")
    assert planner.error("SELECT idd FROM k").endswith(
        'Hint: Did you mean "id"? Table "k" has columns "id", "x".'
    )


def test_unknown_table(planner: Planner) -> None:
    """In a query and in an INSERT."""
    assert planner.error("SELECT * FROM filess") == text("""
SqlError at 1:15: table "filess" does not exist
  SELECT * FROM filess
                ^^^^^^
Hint: Did you mean "files"?
""")
    assert 'table "logg" does not exist' in planner.error("INSERT INTO logg SELECT 1")


def test_ambiguous_column(planner: Planner) -> None:
    """The hint qualifies it."""
    assert planner.error("SELECT id FROM k JOIN r ON k.id = r.id") == text("""
SqlError at 1:8: column "id" is ambiguous
  SELECT id FROM k JOIN r ON k.id = r.id
         ^^
Hint: Write k.id or r.id.
""")


def test_column_that_is_not_grouped(planner: Planner) -> None:
    """It may be grouped or aggregated."""
    assert planner.error("SELECT a, b, COUNT(*) FROM t GROUP BY a") == text("""
SqlError at 1:11: column "b" is neither in GROUP BY nor in an aggregate
  SELECT a, b, COUNT(*) FROM t GROUP BY a
            ^
Hint: Add b to GROUP BY, or take MIN(b) or MAX(b).
""")


def test_missing_watermark(planner: Planner) -> None:
    """The DDL that mends it."""
    planner.bind("CREATE TABLE nw (ts TIMESTAMP(3)) WITH ('connector' = 'toy')")
    shown = planner.error(
        "SELECT * FROM TABLE(TUMBLE(TABLE nw, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
    )
    assert shown == text("""
SqlError at 1:49: TUMBLE needs a time attribute, but "ts" has no watermark
  SELECT * FROM TABLE(TUMBLE(TABLE nw, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
                                                  ^^
Detail: A time attribute is also lost behind an expression, a GROUP BY and a join.
Hint: Declare WATERMARK FOR ts AS ts - INTERVAL '5' SECOND in its CREATE TABLE.
""")


def test_insert_of_another_width(planner: Planner) -> None:
    """Both sides are shown."""
    assert planner.error("INSERT INTO files SELECT a FROM t") == text("""
SqlError at 1:19: table "files" takes 2 columns, the query has 1
  INSERT INTO files SELECT a FROM t
                    ^^^^^^^^^^^^^^^
Detail: Query: a INT.
Hint: Table: a BIGINT, b STRING.
""")


def test_insert_of_another_type(planner: Planner) -> None:
    """The cast that mends it."""
    assert planner.error("INSERT INTO files SELECT b, b FROM t") == text("""
SqlError at 1:26: column "a" is BIGINT, the query gives STRING
  INSERT INTO files SELECT b, b FROM t
                           ^
Hint: Write CAST(b AS BIGINT).
""")


def test_updates_into_an_append_only_sink(planner: Planner) -> None:
    """The operator that makes them is named, and marked in the SQL."""
    assert planner.error("INSERT INTO files SELECT COUNT(*), b FROM t GROUP BY b") == text("""
SqlError at 1:26: sink "files" cannot take updates
  INSERT INTO files SELECT COUNT(*), b FROM t GROUP BY b
                           ^^^^^^^^
Detail: GroupAggregate(keys=[b], calls=[COUNT(*)]) gives updates.
Hint: Write to a table whose connector takes updates, or aggregate by window: GROUP BY window_start, window_end of TUMBLE gives each result once.
""")
    shown = planner.error("INSERT INTO files SELECT c, x FROM t LEFT JOIN k ON t.a = k.id")
    assert "Detail: The LEFT JOIN gives updates: a row without a match" in shown
    assert "or write INNER JOIN where rows without a match may be left out." in shown
    shown = planner.error("INSERT INTO files SELECT id, x FROM r WHERE id > 1")
    assert 'Detail: Table "r" gives updates.' in shown


def test_updates_into_a_sink_without_a_key(planner: Planner) -> None:
    """Upserts need one."""
    shown = planner.error("INSERT INTO bare SELECT CAST(COUNT(*) AS INT), b FROM t GROUP BY b")
    assert 'sink "bare" needs a PRIMARY KEY to take updates' in shown


def test_error_inside_a_view(planner: Planner) -> None:
    """The caret stands in the view's own text."""
    planner.bind("CREATE TABLE gone (a INT, b INT) WITH ('connector' = 'toy')")
    planner.bind("CREATE VIEW vw AS SELECT b FROM gone")
    planner.catalog.drop(["gone"], view=False)
    planner.bind("CREATE TABLE gone (a INT) WITH ('connector' = 'toy')")
    assert planner.error("SELECT 1 + 1, b FROM vw") == text("""
SqlError at 1:26: column "b" does not exist
  CREATE VIEW vw AS SELECT b FROM gone
                           ^
Detail: View "vw" says so.
Hint: Table "gone" has columns "a".
""")


@pytest.mark.parametrize(
    ("sql", "message", "marked"),
    [
        ("SELECT nope(1)", 'function "nope" does not exist', "nope(1)"),
        ("SELECT * FROM k WHERE COUNT(*) > 1", "cannot stand in WHERE", "COUNT(*)"),
        ("SELECT * FROM k WHERE id", "WHERE needs a BOOLEAN, not INT", "id"),
        ("SELECT SUM(COUNT(*)) FROM k", 'cannot stand in "SUM"', "COUNT(*)"),
        ("SELECT SUM(*) FROM k", '"SUM" does not take *', "SUM(*)"),
        ("SELECT * FROM k GROUP BY id", "* cannot stand in a SELECT with GROUP BY", "*"),
        ("SELECT *", "* needs a FROM", "*"),
        ("SELECT k.y FROM k", 'column "y" does not exist', "k.y"),
        ("SELECT z.id FROM k", 'there is no table or row "z" here', "z.id"),
        ("SELECT id FROM k, k", '"k" stands twice in FROM', "k"),
        ("SELECT id FROM k UNION SELECT id, x FROM k", "have 1 and 2 columns", "SELECT id, x FROM k"),
        ("SELECT id FROM k UNION SELECT x FROM k", "types without a common one", None),
        ("VALUES (1, 2), (3)", "this row has 1 values, the first has 2", None),
        ("VALUES (1), (DATE '2020-01-01')", "have no common type", None),
        ("SELECT * FROM k AS v (a)", "1 column names are given for 2 columns", "a"),
        ("SELECT * FROM (VALUES (1, 2)) AS v (a, a)", 'column name "a" is given twice', "a"),
        ("SELECT 9223372036854775808", "out of the range of BIGINT", "9223372036854775808"),
        ("SELECT -9223372036854775809", "out of the range of BIGINT", "-9223372036854775809"),
        ("SELECT JSON_VALUE('{}', '$.a' NULL ON EMPTY NULL ON EMPTY)", "ON EMPTY is given twice", None),
        ("SELECT JSON_VALUE('{}', '$.a' DEFAULT NULL ON EMPTY)", "has no type", "NULL"),
        ("SELECT JSON_VALUE('{}', '$.a' DEFAULT 1 ON ERROR)",
         "the default ON ERROR of JSON_VALUE is INT, not STRING", "1"),
        ("SELECT i FROM (SELECT id AS i FROM k) a JOIN (SELECT id AS i FROM r) b ON a.i = b.i",
         'column "i" is ambiguous', "i"),
        ("SELECT x FROM k JOIN r USING (id)", 'column "x" is ambiguous', "x"),
        ("SELECT a.id FROM (SELECT id, x, id FROM k) a", 'column "id" is ambiguous', "a.id"),
        ("SELECT 1 UNION ALL SELECT 'a'", "types without a common one: INT and CHAR(1)", None),
        ("SELECT id AS j FROM k GROUP BY j", 'column "j" does not exist', "j"),
        ("SELECT id + 1 FROM k GROUP BY 1", "neither in GROUP BY nor in an aggregate", "id"),
        ("SELECT (DATE '2020-01-01', 1, 2) OVERLAPS (DATE '2020-01-01', DATE '2020-01-02')",
         "OVERLAPS", None),
        ("INSERT INTO kv (b) SELECT b FROM t", 'column "a" of table "kv" is NOT NULL', "kv"),
        ("INSERT INTO kv (a, bb) SELECT a, b FROM t", 'has no column "bb"', "bb"),
        ("INSERT INTO kv (a, a) SELECT a, b FROM t", 'column "a" is given twice', "a"),
        ("INSERT INTO t (d) SELECT 1", 'column "d" is computed', "d"),
        ("INSERT INTO log SELECT 1, 'a' ON CONFLICT DO DEDUPLICATE", "only allowed for upsert sinks", "log"),
        ("INSERT INTO log SELECT 1, 'a' ON CONFLICT DO NOTHING", "only allowed for upsert sinks", "log"),
        ("INSERT INTO pairs SELECT 1, 'a' ON CONFLICT DO ERROR", "only allowed for upsert sinks", "pairs"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '1' DAY))", "is INT", "a"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(tss), INTERVAL '1' DAY))", "tss", "tss"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts)))", 'needs argument "SIZE"', None),
        ("SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' YEAR))",
         "must be an interval of days to seconds", "INTERVAL '1' YEAR"),
    ],
)  # fmt: skip
def test_wrong_statements(planner: Planner, sql: str, message: str, marked: str | None) -> None:
    """Fact and caret."""
    shown = planner.error(sql)
    assert message in shown
    lines = shown.split("\n")
    carets = lines[2]
    assert set(carets.strip()) == {"^"}
    if marked is not None:
        at = carets.index("^")
        assert lines[1][at : at + carets.count("^")] == marked


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT COUNT(*) OVER (ORDER BY ts) FROM t", 'OVER with function "COUNT"'),
        ("SELECT * FROM t LEFT JOIN r ON t.a = r.y AND EXISTS (SELECT 1 FROM k WHERE k.id = t.a + r.y)",
         "a condition in ON of an outer join that has a sub-query and reads both sides"),
        ("SELECT (SELECT x FROM r WHERE r.y < t.a LIMIT 1) FROM t",
         "a sub-query that reads the query around it below LIMIT or OFFSET without ORDER BY"),
        ("SELECT (SELECT MAX(y) FROM r WHERE r.y < q.n) FROM (SELECT RAND() AS n FROM t) q",
         "a sub-query that reads the query around it below an aggregate, where that calls a function"),
        ("SELECT (SELECT MAX(y) FROM r WHERE r.y < q.m['a']) FROM (SELECT MAP['a', a] AS m FROM t) q",
         "a sub-query that reads a MAP or MULTISET of the query around it by more than equality"),
        ("SELECT a = ANY (ARRAY[1, 2]) FROM t", "= ANY (…)"),
        ("SELECT a FROM t GROUP BY GROUPING SETS ((a), (a))", "the same grouping set twice"),
        ("SELECT COUNT(*) FROM t GROUP BY GROUPING SETS ((), ())", "the same grouping set twice"),
        ("SELECT a, ROW_NUMBER() OVER (ORDER BY ts) FROM t",
         "ROW_NUMBER() OVER (…) by time without a condition on the number"),
        ("SELECT COUNT(DISTINCT a, b) FROM t", "COUNT of several values that may be NULL"),
        ("SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '2' DAY))",
         'table function "HOP"'),
        ("SELECT * FROM k FOR SYSTEM_TIME AS OF t.ts", "FOR SYSTEM_TIME AS OF"),
        ("SELECT * FROM t RIGHT JOIN UNNEST(ARRAY[1]) ON TRUE", "RIGHT JOIN UNNEST"),
        ("SELECT * FROM t x JOIN t y ON x.a = y.a AND x.ts BETWEEN y.ts AND y.ts + INTERVAL '1' DAY",
         "an interval join"),
        ("SELECT /*+ LOOKUP('t') */ a FROM t", 'hint "LOOKUP"'),
        ("WITH RECURSIVE w AS (SELECT 1) SELECT * FROM w", "WITH RECURSIVE"),
    ],
)  # fmt: skip
def test_what_is_not_built_yet_is_refused_by_name(planner: Planner, sql: str, what: str) -> None:
    """Never approximated, never a crash."""
    shown = planner.error(sql)
    assert f"{what}" in shown.split("\n")[0]
    assert "not supported yet" in shown
    assert "^" in shown


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        ("INSERT INTO log SELECT c, b FROM t ORDER BY c", "sort on a non-time-attribute field is not supported"),
        ("SELECT * FROM t ORDER BY a OFFSET 2 ROWS", "OFFSET on a stream needs LIMIT or FETCH"),
        ("SELECT ARRAY_AGG(b ORDER BY b) FROM t", '"ARRAY_AGG" with ORDER BY is not supported'),
        ("SELECT LISTAGG(b) WITHIN GROUP (ORDER BY b) FROM t", '"LISTAGG" with ORDER BY is not supported'),
        ("SELECT * FROM (SELECT a, RANK() OVER (ORDER BY b) n FROM t) WHERE n < 3",
         "RANK() OVER (…) on a stream is not supported"),
        ("SELECT b FROM t WHERE b IN (SELECT y FROM r)",
         "STRING cannot be compared with INT of the sub-query"),
        ("SELECT b FROM t WHERE a IN (SELECT id, x FROM r)", "the sub-query gives 2 columns, not 1"),
        ("SELECT (SELECT * FROM r) FROM t", "the sub-query gives 3 columns, not 1"),
        ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM r WHERE r.y = t.nope)",
         'column "nope" does not exist'),
        ("SELECT b, (SELECT MAX(y) FROM r WHERE r.id = t.a) FROM t GROUP BY b",
         'column "t.a" is neither in GROUP BY nor in an aggregate'),
        ("SELECT a FROM t ORDER BY 3 LIMIT 1", "ORDER BY 3 names no column of SELECT, which has 1"),
        ("SELECT DISTINCT a FROM t ORDER BY b LIMIT 1",
         "ORDER BY of a SELECT DISTINCT can only name its columns"),
        ("SELECT a FROM t UNION SELECT id FROM k ORDER BY a + 1 LIMIT 1",
         "ORDER BY behind UNION, INTERSECT, EXCEPT or VALUES can only name columns"),
        ("SELECT * FROM t CROSS JOIN UNNEST(a) AS u (x)",
         "UNNEST takes an ARRAY, a MAP or a MULTISET, not INT"),
        ("SELECT * FROM t CROSS JOIN UNNEST(ARRAY[a]) AS u (x, y)",
         "2 column names are given for 1 columns"),
        ("SELECT a, GROUPING(b) FROM t GROUP BY ROLLUP (a)", '"GROUPING" takes keys of GROUP BY only'),
        ("SELECT id FROM k INTERSECT SELECT id, x FROM k",
         "the queries of INTERSECT have 1 and 2 columns"),
        ("SELECT a FROM t QUALIFY ROW_NUMBER() OVER w = 1", 'window "w" does not exist'),
        ("""SELECT window_start, COUNT(*) FROM TABLE(TUMBLE((SELECT ts FROM t LIMIT 3), DESCRIPTOR(ts),
            INTERVAL '1' DAY)) GROUP BY window_start, window_end""",
         'TUMBLE needs a time attribute, but "ts" has no watermark'),
        ("SELECT ROW_NUMBER() FROM t", '"ROW_NUMBER" needs OVER (…)'),
        ("SELECT RANK() FROM t GROUP BY a", '"RANK" needs OVER (…)'),
        ("SELECT a FROM t WHERE ROW_NUMBER() OVER (ORDER BY a) = 1", "OVER cannot stand in WHERE"),
        ("SELECT GROUPING(a) FROM t", '"GROUPING" needs a GROUP BY'),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(planner: Planner, sql: str, fact: str) -> None:
    """With its place."""
    shown = planner.error(sql)
    assert fact in shown.split("\n")[0]
    assert "^" in shown


def test_a_window_join_is_refused(planner: Planner) -> None:
    """It would keep late rows; batch mode has none."""
    sql = """SELECT l.a FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY)) l
             JOIN TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY)) r
             ON l.window_start = r.window_start AND l.window_end = r.window_end"""
    assert "a window join is not supported yet" in planner.error(sql)
    Planner(PlanSettings(streaming=False)).plan(sql)


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("CREATE TABLE x (a INT)", "has no connector"),
        ("CREATE TABLE x (a INT) WITH ('conector' = 'toy')", 'Did you mean "connector"?'),
        ("CREATE TABLE x (a INT) WITH ('connector' = 'toi')", 'connector "toi" does not exist'),
        ("CREATE TABLE x (a INT) WITH ('connector' = 'toy', 'pth' = 'x')", 'Did you mean "path"?'),
        ("CREATE TABLE x (a INT) WITH ('connector' = 'toy', 'port' = 'x')", "a whole number"),
        ("CREATE TABLE x (a INT, b AS c) WITH ('connector' = 'toy')", 'column "c" does not exist'),
        ("CREATE TABLE x (a INT, b AS a, c AS b) WITH ('connector' = 'toy')",
         'computed column "c" cannot read computed column "b"'),
        ("CREATE TABLE x (a INT, b AS a, c AS UPPER(b)) WITH ('connector' = 'toy')",
         'computed column "c" cannot read computed column "b"'),
        ("CREATE TABLE x (a INT, b AS a, c AS CAST(x.b AS DATE)) WITH ('connector' = 'toy')",
         'computed column "c" cannot read computed column "b"'),
        ("CREATE TABLE x (a INT, c AS COALESCE(a, b.x), b AS a) WITH ('connector' = 'toy')",
         'computed column "c" cannot read computed column "b"'),
        ("CREATE TABLE x (a INT, c AS c + 1) WITH ('connector' = 'toy')",
         'computed column "c" cannot read itself'),
        ("CREATE TABLE x (a INT, b AS COUNT(*)) WITH ('connector' = 'toy')", "cannot aggregate"),
        ("CREATE TABLE x (a INT, b AS NULL) WITH ('connector' = 'toy')", "has no type"),
        ("CREATE TABLE x (a INT METADATA FROM 'ofset') WITH ('connector' = 'toy')",
         'Did you mean "offset"?'),
        ("CREATE TABLE x (ts STRING, WATERMARK FOR ts AS ts) WITH ('connector' = 'toy')",
         'watermark column "ts" must be TIMESTAMP(p)'),
        ("CREATE TABLE x (ts TIMESTAMP(6), WATERMARK FOR ts AS ts) WITH ('connector' = 'toy')",
         "p from 0 to 3"),
        ("CREATE TABLE x (ts TIMESTAMP(3), WATERMARK FOR ts AS 1) WITH ('connector' = 'toy')",
         'watermark of "ts" must be a TIMESTAMP, not INT'),
    ],
)  # fmt: skip
def test_wrong_tables(planner: Planner, ddl: str, message: str) -> None:
    """CREATE TABLE refuses what no statement could use."""
    assert message in planner.error(ddl)


def test_all_computed_columns_that_are_read_are_told(planner: Planner) -> None:
    """Two in one expression are two mistakes; a column of the table's own name is none."""
    message = planner.error(
        "CREATE TABLE x (a INT, b AS a, c AS a, e AS b + c) WITH ('connector' = 'toy')"
    )
    assert 'read computed column "b"' in message
    assert 'read computed column "c"' in message
    planner.bind("CREATE TABLE b (a INT, b AS a + 1, c AS b.a) WITH ('connector' = 'toy')")


def test_a_reference_is_not_resolved_while_planning(planner: Planner) -> None:
    """Neither read nor parsed before a connector opens."""
    planner.bind("""CREATE TABLE e (a INT) WITH
        ('connector' = 'toy', 'port' = '${NOT_SET_ANYWHERE}', 'path' = '${NEITHER}')""")
    planner.plan("SELECT * FROM e")


@pytest.mark.parametrize(
    ("hint", "message", "cure"),
    [
        ("SELECT /*+ OPTIONS('a' = 'b') */ a FROM t", 'hint "OPTIONS" stands behind the name of a table',
         "Write FROM orders /*+ OPTIONS('key' = 'value') */."),
        ("SELECT a FROM t /*+ BROADCAST(t) */", 'hint "BROADCAST" stands behind SELECT',
         "Write SELECT /*+ BROADCAST(…) */ …."),
        ("SELECT /*+ STATE_TL('t' = '1 d') */ a FROM t", 'there is no hint "STATE_TL"',
         'Did you mean "STATE_TTL"?'),
        ("SELECT /*+ NOSUCH(t) */ a FROM t", 'there is no hint "NOSUCH"',
         "There are: BROADCAST, MULTI_JOIN, NEST_LOOP, OPTIONS, SHUFFLE_HASH, SHUFFLE_MERGE, STATE_TTL."),
    ],
)  # fmt: skip
def test_hints_in_the_wrong_place(planner: Planner, hint: str, message: str, cure: str) -> None:
    """They say where they belong, or which there are."""
    shown = planner.error(hint)
    assert message in shown
    assert shown.rstrip().endswith(f"Hint: {cure}")


@pytest.mark.parametrize(
    ("query", "cure"),
    [
        ("SELECT MEDIAN(a) FROM t", "Write PERCENTILE(…, 0.5)."),
        ("SELECT ANY_VALUE(a) FROM t", "Write FIRST_VALUE(…)."),
        (
            "SELECT a FROM t WHERE CAST(a AS STRING) = 3",
            "Write '3', or CAST(… AS INT) to compare numbers.",
        ),
    ],
)
def test_the_cure_is_what_was_meant(planner: Planner, query: str, cure: str) -> None:
    """The nearest name is not always what does the work."""
    assert planner.error(query).rstrip().endswith(f"Hint: {cure}")
