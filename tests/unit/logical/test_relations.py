"""Names and types of relations, each as Flink 2.3 answered."""

from __future__ import annotations

import pytest

from tests.unit.logical.planning import Planner


@pytest.fixture(scope="module")
def planner() -> Planner:
    """Two tables of the shape that the answers are of."""
    return Planner(
        tables="""
CREATE TABLE k (i INT, s STRING) WITH ('connector' = 'toy', 'path' = '/k');
CREATE TABLE t (i INT, c STRING) WITH ('connector' = 'toy', 'path' = '/t');
CREATE TABLE w (ts TIMESTAMP(3) NOT NULL, WATERMARK FOR ts AS ts) WITH ('connector' = 'toy');
"""
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT -2147483648", "EXPR$0 INT NOT NULL"),
        ("SELECT -(2147483648), - -2147483648", "EXPR$0 INT NOT NULL, EXPR$1 BIGINT NOT NULL"),
        ("SELECT -2147483649, 5 - 2147483648", "EXPR$0 BIGINT NOT NULL, EXPR$1 BIGINT NOT NULL"),
        ("SELECT -9223372036854775808", "EXPR$0 BIGINT NOT NULL"),
        ("SELECT -1.5, -(1.5), -1e3",
         "EXPR$0 DECIMAL(2, 1) NOT NULL, EXPR$1 DECIMAL(2, 1) NOT NULL, EXPR$2 DOUBLE NOT NULL"),
        ("SELECT JSON_VALUE('{}', '$.a')", "EXPR$0 STRING"),
        ("SELECT JSON_VALUE('{}', '$.a' RETURNING INT DEFAULT 3 ON EMPTY NULL ON ERROR)", "EXPR$0 INT"),
        ("SELECT JSON_VALUE('{}', '$.a' RETURNING DOUBLE DEFAULT 3 ON ERROR)", "EXPR$0 DOUBLE"),
        ("SELECT (DATE '2020-01-05', DATE '2020-01-01') OVERLAPS (DATE '2020-01-02', INTERVAL '1' DAY)",
         "EXPR$0 BOOLEAN NOT NULL"),
        ("SELECT c FROM (SELECT CAST('ab' AS CHAR(5)) AS c UNION ALL SELECT CAST('ab' AS VARCHAR(4)))",
         "c VARCHAR(5) NOT NULL"),
        ("SELECT DISTINCT c FROM (SELECT 'a' AS c UNION SELECT CAST(NULL AS VARCHAR(4)))", "c VARCHAR(4)"),
        ("SELECT c, COUNT(*) FROM (VALUES ('a'), ('ab')) AS v(c) GROUP BY c",
         "c VARCHAR(2) NOT NULL, EXPR$1 BIGINT NOT NULL"),
        ("SELECT DISTINCT s, CAST(s AS CHAR(3)) FROM k", "s STRING, EXPR$1 CHAR(3)"),
        ("SELECT f FROM (VALUES (CAST('a' AS CHAR(3)))) AS v(f) GROUP BY f", "f CHAR(3) NOT NULL"),
        ("SELECT 1 UNION ALL SELECT CAST(NULL AS INT)", "EXPR$0 INT"),
        ("SELECT 1 UNION SELECT 2.5", "EXPR$0 DECIMAL(11, 1) NOT NULL"),
        ("SELECT 1 AS a, 2 AS a", "a INT NOT NULL, a0 INT NOT NULL"),
        ("SELECT v.x FROM (VALUES 1, 2) AS v(x)", "x INT NOT NULL"),
        ("SELECT * FROM (VALUES (1, 'a'), (2, 'abc')) AS v(i, s)", "i INT NOT NULL, s VARCHAR(3) NOT NULL"),
        ("SELECT * FROM (VALUES (1, 2), (3, CAST(NULL AS INT))) AS v", "EXPR$0 INT NOT NULL, EXPR$1 INT"),
        ("SELECT a.i, b.i FROM k a JOIN k b ON a.i = b.i", "i INT, i0 INT"),
        ("SELECT * FROM k a, k b WHERE a.i = b.i", "i INT, s STRING, i0 INT, s0 STRING"),
        ("SELECT * FROM k a JOIN k b USING (i)", "i INT, s STRING, s0 STRING"),
        ("SELECT a.i FROM k a JOIN k b USING (i)", "i INT"),
        ("SELECT * FROM k NATURAL JOIN t", "i INT, s STRING, c STRING"),
        ("SELECT i FROM k FULL JOIN t USING (i)", "i INT"),
        ("SELECT x.i FROM (SELECT * FROM k) AS x JOIN (SELECT i AS y FROM k) ON x.i = y", "i INT"),
        ("SELECT i0 FROM (SELECT * FROM k a JOIN k b ON a.i = b.i) z", "i0 INT"),
        ("WITH z AS (SELECT * FROM k a JOIN k b ON a.i = b.i) SELECT i0, s FROM z", "i0 INT, s STRING"),
        ("SELECT COUNT(*), 'x' FROM k", "EXPR$0 BIGINT NOT NULL, EXPR$1 CHAR(1) NOT NULL"),
        ("SELECT (i), COUNT(DISTINCT s) FROM k GROUP BY (i)", "i INT, EXPR$1 BIGINT NOT NULL"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH, INTERVAL '1' DAY",
         "EXPR$0 INTERVAL MONTH NOT NULL, EXPR$1 INTERVAL SECOND(3) NOT NULL"),
        ("SELECT PROCTIME() AS p", "p TIMESTAMP_LTZ(3) NOT NULL *PROCTIME*"),
        ("SELECT ts FROM w", "ts TIMESTAMP(3) NOT NULL *ROWTIME*"),
        ("SELECT i FROM k WHERE i = NULL", "i INT"),
    ],
)  # fmt: skip
def test_names_and_types(planner: Planner, sql: str, expected: str) -> None:
    """The columns of a query."""
    row = planner.bind(sql)[-1].schema
    assert ", ".join(f"{f.name} {f.type}" for f in row.fields) == expected


def test_an_ambiguous_name_in_a_view(planner: Planner) -> None:
    """The view's own text is shown."""
    shown = planner.error("CREATE VIEW v AS SELECT i FROM k a JOIN k b ON a.i = b.i")
    assert shown.startswith('SqlError at 1:25: column "i" is ambiguous')
    assert "Hint: Write a.i or b.i." in shown


def test_a_view_of_a_star_with_repeated_names(planner: Planner) -> None:
    """The names of the view are those of its query, digits behind the repeated."""
    planner.bind("CREATE VIEW twice AS SELECT * FROM k a JOIN k b ON a.i = b.i")
    assert planner.bind("SELECT i0, s0 FROM twice")[-1].schema.names == ("i0", "s0")
    shown = planner.error("CREATE VIEW v AS SELECT 1 AS a, 2 AS a")
    assert 'view "v" has two columns "a"' in shown
