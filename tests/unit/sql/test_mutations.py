"""Broken statements are statements or SqlErrors, never anything else, and never slow."""

from __future__ import annotations

import random
import time

import pytest

from flowsql.errors import SqlError
from flowsql.sql import parse_script
from flowsql.sql.tokens import Kind, tokenize

_SEEDS = (
    (
        "CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, b ROW<x DECIMAL(3, 1), y STRING ARRAY>, "
        "c AS a + 1, d BIGINT METADATA FROM 'k' VIRTUAL, ts TIMESTAMP(3), "
        "WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) PARTITIONED BY (a) WITH ('k' = 'v')"
    ),
    (
        "CREATE TEMPORARY VIEW IF NOT EXISTS v (a, b) AS SELECT x.a, COUNT(DISTINCT b) FROM t AS x "
        "LEFT JOIN u FOR SYSTEM_TIME AS OF x.p ON x.a = u.a AND NOT u.b IS NULL "
        "GROUP BY GROUPING SETS ((a), ()) HAVING COUNT(*) > 1"
    ),
    (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO s (a, b) SELECT window_start, MAX(p) FROM "
        "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start; "
        "INSERT INTO r VALUES (1, 'x'), (2, DATE '2020-01-01'); END"
    ),
    (
        "WITH c AS (SELECT a FROM t WHERE a BETWEEN 1 AND 2 OR b LIKE 'x%' ESCAPE '!') "
        "SELECT CASE WHEN a IN (1, 2) THEN CAST(a AS DOUBLE) ELSE -1.5e3 END AS k, "
        "SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), "
        "JSON_VALUE(j, '$.x' RETURNING INT NULL ON EMPTY), TRIM(BOTH 'x' FROM s), m['k'], r.f.g "
        "FROM c, LATERAL TABLE(f(a => 1)) AS l (x) UNION ALL (SELECT * FROM d INTERSECT VALUES 1) "
        "ORDER BY k DESC NULLS LAST LIMIT 10 OFFSET 1"
    ),
    (
        "EXPLAIN CHANGELOG_MODE INSERT INTO t PARTITION (a = 1) SELECT (SELECT 1), ((a)), ROW(1, 2), "
        "EXISTS (SELECT 1), a = ANY (SELECT 2) FROM t /*+ OPTIONS('a'='b') */"
    ),
    (
        "CREATE OR REPLACE TABLE t (a INT, b AS a) DISTRIBUTED BY HASH(a) INTO 4 BUCKETS "
        "WITH ('k' = 'v') AS SELECT 1 AS a; CREATE TABLE u (x, y) LIKE t (INCLUDING ALL "
        "EXCLUDING OPTIONS); DROP DATABASE IF EXISTS c.d CASCADE; COMPILE AND EXECUTE PLAN 'p' "
        "IF NOT EXISTS FOR STATEMENT SET BEGIN INSERT OVERWRITE TABLE t SELECT 1; END"
    ),
    (
        "ALTER TABLE t ADD (x INT COMMENT 'c' FIRST, WATERMARK FOR ts AS ts, DISTRIBUTION BY (x)); "
        "ALTER TABLE t MODIFY y AS x + 1 AFTER x; ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t "
        "RENAME a TO b; ALTER CATALOG c RESET ('a', 'b'); ALTER VIEW v AS SELECT 1; "
        "SHOW USER FUNCTIONS FROM a.b NOT ILIKE 'x%'; DESCRIBE FUNCTION EXTENDED upper; "
        "STOP JOB 'x' WITH SAVEPOINT WITH DRAIN; LOAD MODULE m WITH ('a' = 'b')"
    ),
    "SHOW TABLES FROM c.d NOT LIKE 'x'; SET 'a' = 'b'; USE CATALOG c; DESCRIBE EXTENDED t",
)
_STRANGERS = (
    "(",
    ")",
    ",",
    ";",
    "'",
    "`",
    "/*",
    "=>",
    "SELECT",
    "END",
    "NOT",
    "1",
    "é",
    "\x00",
    "<",
)


def _broken(pieces: list[str], rng: random.Random) -> str:
    pieces = list(pieces)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(pieces))
        match rng.randrange(4):
            case 0:
                del pieces[at]
            case 1:
                other = rng.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 2:
                pieces.insert(at, rng.choice(_STRANGERS))
            case _:
                pieces[at] = pieces[at][: rng.randint(0, len(pieces[at]))]
        if not pieces:
            return ""
    return " ".join(pieces)


def _refusal(text: str) -> SqlError | None:
    try:
        parse_script(text)
    except SqlError as error:
        return error
    return None


def test_broken_statements() -> None:
    """Tokens lost, swapped, strange or cut: 1,000 scripts."""
    rng = random.Random(7)  # the seed makes a failure repeatable
    refused = 0
    for i in range(1_000):
        seed = _SEEDS[i % len(_SEEDS)]
        parts = [seed[t.start : t.end] for t in tokenize(seed) if t.kind is not Kind.END]
        text = _broken(parts, rng)
        began = time.process_time()
        error = _refusal(text)
        assert time.process_time() - began < 10, text
        if error is not None:
            refused += 1
            assert error.span is not None, text
            assert 0 <= error.span.start <= error.span.end <= len(text) + 1, text
            assert str(error.with_sql(text))
    assert 700 < refused < 1_000


def test_long_texts_are_quick() -> None:
    """Neither many operators nor many columns take long."""
    began = time.process_time()
    parse_script("SELECT " + " OR ".join(f"a = {i}" for i in range(2_000)))
    parse_script("SELECT " + ", ".join(f"c{i}" for i in range(5_000)) + " FROM t")
    parse_script("INSERT INTO t VALUES " + ", ".join("(1, 'x')" for _ in range(5_000)))
    assert time.process_time() - began < 30


@pytest.mark.parametrize(
    "opening",
    [
        *("(", "f(", "NOT ", "- ", "a[", "CASE WHEN ", "ARRAY[", "(SELECT ", "EXISTS (SELECT "),
        *("* FROM (", "* FROM (SELECT * FROM ", "1 FROM t GROUP BY GROUPING SETS (", "CAST("),
        *("1 UNION (SELECT ", "f(TABLE(SELECT ", "CAST(a AS ARRAY<", "SUM(a) OVER (ORDER BY "),
    ],
)
def test_deep_texts_are_refused(opening: str) -> None:
    """Python's stack is not the user's business."""
    error = _refusal("SELECT " + opening * 3_000)
    assert error is not None
    assert error.span is not None
