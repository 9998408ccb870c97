"""A broken statement is planned or refused at its place: never a stack trace, never a hang.

Statements of the examples, of a list below, generated queries and, where `FLOWSQL_CASES` names them, of the recorded
cases lose, double and swap tokens, are cut, and call things by wrong names. `FLOWSQL_MUTATIONS` says
how many are tried, `FLOWSQL_SEED` which.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import flowsql
from flowsql.errors import FlowSQLError, InternalError
from flowsql.sql import split
from flowsql.sql.tokens import Kind, tokenize
from tests.property.queries.grammar import TABLES, make_query

_MUTATIONS = int(os.environ.get("FLOWSQL_MUTATIONS", "250"))
_SEED = int(os.environ.get("FLOWSQL_SEED", "11"))  # makes a failure repeatable
_GENERATED = 100  # generated queries among the statements
_EXAMPLES = Path(__file__).parents[3] / "sql_examples"
_LIMIT_S = 20.0

_TABLES = """
CREATE TABLE t (a INT, b STRING, c BIGINT NOT NULL, d DOUBLE, ts TIMESTAMP(3), arr ARRAY<INT>,
  r ROW<x INT, y STRING>, m MAP<STRING, INT>, e AS a + 1, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)
  WITH ('connector' = 'values');
CREATE TABLE k (id INT, x STRING, y DECIMAL(10, 2), PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'values');
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'blackhole');
CREATE TABLE files (a BIGINT, b STRING) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'csv');
CREATE VIEW v AS SELECT a, COUNT(*) AS n FROM t GROUP BY a;
"""
_STATEMENTS = (
    "SELECT a, b AS z, c + 1, UPPER(b) || 'x', r.x, m['k'], arr[1] FROM t WHERE a > 1 AND b LIKE 'x%'",
    "SELECT DISTINCT b FROM t UNION ALL SELECT x FROM k UNION SELECT CAST(n AS STRING) FROM v",
    "SELECT b, COUNT(*), SUM(DISTINCT c), MAX(d) FILTER (WHERE a > 1) FROM t GROUP BY b HAVING COUNT(*) > 1",
    "SELECT * FROM t LEFT JOIN k ON t.a = k.id AND k.y > 1.5 WHERE x IS NOT NULL",
    "SELECT t.a, k.x FROM t JOIN k USING (id)",
    "SELECT t.*, q.n FROM t, (SELECT a, COUNT(*) n FROM t GROUP BY a) AS q WHERE q.a = t.a",
    ("SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) "
    "GROUP BY window_start, window_end"),
    "WITH q (p) AS (SELECT a FROM t WHERE c IN (1, 2)) SELECT CASE WHEN p > 1 THEN 'a' ELSE 'b' END FROM q",
    "SELECT a, b FROM t WHERE a IN (SELECT id FROM k) AND NOT EXISTS (SELECT 1 FROM v WHERE v.a = t.a)",
    "SELECT a, (SELECT MAX(y) FROM k WHERE k.id = t.a) FROM t WHERE c > (SELECT COUNT(*) FROM k)",
    "SELECT a, b, COUNT(*) FROM t GROUP BY GROUPING SETS ((a, b), ROLLUP (a), ())",
    "SELECT a FROM t INTERSECT SELECT id FROM k EXCEPT ALL SELECT n FROM v",
    "SELECT b, rn FROM (SELECT b, ROW_NUMBER() OVER (PARTITION BY a ORDER BY c DESC) rn FROM t) WHERE rn <= 3",
    "SELECT a, u.e FROM t CROSS JOIN UNNEST(arr) WITH ORDINALITY AS u (e, o) ORDER BY a DESC LIMIT 3",
    "VALUES (1, 'a', DATE '2020-01-01'), (2, NULL, CURRENT_DATE)",
    "INSERT INTO s (b, a) SELECT x, id FROM k",
    "INSERT INTO files SELECT COUNT(*), b FROM t GROUP BY b",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT a, b FROM t; INSERT INTO files SELECT c, b FROM t; END",
    ("CREATE TABLE n (p INT PRIMARY KEY NOT ENFORCED, q AS p * 2, w TIMESTAMP_LTZ(3) METADATA, "
    "WATERMARK FOR w AS w - INTERVAL '1' SECOND) WITH ('connector' = 'datagen', 'number-of-rows' = '3')"),
    "CREATE TEMPORARY VIEW IF NOT EXISTS w (p, q) AS SELECT a, CAST(b AS DATE) FROM t",
    "DESCRIBE t", "SHOW CREATE TABLE k", "SHOW TABLES LIKE 'x%'", "DROP TABLE IF EXISTS k",
    "SET 'parallelism.default' = '1'", "USE default_database", "RESET 'pipeline.name'",
    ("CREATE TABLE n (q AS id * 2) DISTRIBUTED BY HASH(id) INTO 4 BUCKETS WITH ('a' = 'b') "
    "LIKE k (INCLUDING ALL EXCLUDING CONSTRAINTS OVERWRITING OPTIONS)"),
    ("CREATE OR REPLACE TABLE s (w STRING, l AS UPPER(w), PRIMARY KEY (id) NOT ENFORCED) COMMENT 'c' "
    "WITH ('connector' = 'blackhole') AS SELECT id, x AS w FROM k"),
    "CREATE TABLE n (x, id) WITH ('connector' = 'blackhole') AS SELECT id, x FROM k",
    "ALTER TABLE k ADD (z INT COMMENT 'c' FIRST, q AS z + 1 AFTER id, CONSTRAINT c PRIMARY KEY (x) NOT ENFORCED)",
    "ALTER TABLE t MODIFY (a BIGINT AFTER b, WATERMARK FOR ts AS ts - INTERVAL '9' SECOND)",
    "ALTER TABLE t DROP (b, d)", "ALTER TABLE t DROP WATERMARK", "ALTER TABLE k DROP CONSTRAINT PK_id",
    "ALTER TABLE t RENAME b TO bb", "ALTER TABLE IF EXISTS s RENAME TO ss", "ALTER TABLE s SET ('a' = 'b')",
    "ALTER TABLE files RESET ('format', 'path')", "ALTER VIEW v AS SELECT a AS n, b FROM t", "ALTER VIEW v RENAME TO w",
    "CREATE CATALOG IF NOT EXISTS c COMMENT 'x' WITH ('type' = 'generic_in_memory', 'default-database' = 'd')",
    "CREATE DATABASE c.d COMMENT 'x' WITH ('a' = 'b')", "DROP DATABASE IF EXISTS default_database CASCADE",
    "ALTER CATALOG default_catalog SET ('default-database' = 'd')", "ALTER DATABASE default_database SET ('a' = 'b')",
    "SHOW DATABASES FROM default_catalog NOT ILIKE 'd%'", "SHOW COLUMNS IN default_database.t LIKE 'a_'",
    "SHOW FUNCTIONS LIKE 'JSON%'", "SHOW CURRENT DATABASE", "SHOW CREATE CATALOG default_catalog", "SHOW JOBS",
    "SHOW PARTITIONS files PARTITION (a = 1)",
    "DESCRIBE DATABASE EXTENDED default_database", "DESCRIBE FUNCTION EXTENDED upper", "DESCRIBE JOB 'x'",
    "STOP JOB 'x' WITH SAVEPOINT WITH DRAIN", "LOAD MODULE core WITH ('a' = 'b')", "USE MODULES core, core",
    "COMPILE PLAN 'p.json' IF NOT EXISTS FOR INSERT INTO s SELECT a, b FROM t", "EXECUTE PLAN 'p.json'",
    "EXPLAIN ESTIMATED_COST, JSON_EXECUTION_PLAN CREATE TABLE n WITH ('connector' = 'blackhole') AS SELECT a FROM t",
    "INSERT OVERWRITE files SELECT c, b FROM t", "DELETE FROM t WHERE a = 1", "UPDATE k SET x = 'a' WHERE id = 1",
    ("SELECT k.id, q.m, u.e FROM k, LATERAL (SELECT MAX(c) AS m FROM t WHERE t.a = k.id ORDER BY 1 LIMIT 2) AS q "
    "LEFT JOIN UNNEST(ARRAY[1, NULL]) AS u (e) ON TRUE"),
    ("SELECT a, LISTAGG(DISTINCT b, '-'), COLLECT(r), ARRAY_AGG(arr IGNORE NULLS), PERCENTILE(d, ARRAY[0.5, 1]), "
    "JSON_OBJECTAGG(KEY b VALUE c NULL ON NULL), JSON_ARRAYAGG(a ABSENT ON NULL), STDDEV_POP(d), LAST_VALUE(m) "
    "FROM t GROUP BY CUBE (a, b)"),
    "SELECT b, c FROM t WHERE (a, b) NOT IN (SELECT id, x FROM k) QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY ts) = 1",
    "SELECT * FROM t WHERE c > ALL (SELECT id FROM k) OR a = 1 AND d <> ANY (SELECT y FROM k WHERE k.id = t.a)",
    "SELECT a, ROW(1, 'x', r).EXPR$0, MAP['k', arr], ARRAY[r, r], CARDINALITY(m), arr[a], r.* FROM t",
    ("SELECT TRY_CAST(b AS DECIMAL(4, 2)), CAST(r AS ROW<p STRING, q VARCHAR(3)>), b SIMILAR TO 'a%' ESCAPE '!', d BETWEEN SYMMETRIC 1 AND 2, "
    "TIMESTAMPADD(DAY, 1, ts), INTERVAL '1-2' YEAR TO MONTH, (ts, ts) OVERLAPS (ts, INTERVAL '1' DAY), "
    "OVERLAY(b PLACING 'x' FROM 2 FOR 1), TRIM(LEADING 'a' FROM b), JSON_VALUE(b, 'lax $.a' RETURNING INT NULL ON EMPTY) FROM t"),
    ("SELECT /*+ STATE_TTL('t' = '1 d') */ t.a FROM t /*+ OPTIONS('a' = 'b') */ JOIN k ON t.a = k.id AND t.d < k.y "
    "FULL JOIN s USING (a) CROSS JOIN v"),
    "SELECT a FROM t ORDER BY ts, a DESC NULLS LAST OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY",
    "CREATE TEMPORARY SYSTEM FUNCTION IF NOT EXISTS f AS 'm.f' LANGUAGE PYTHON", "DROP TEMPORARY FUNCTION IF EXISTS f",
    "CREATE CATALOG f WITH ('type' = 'file', 'path' = 'here')", "UNLOAD MODULE core", "SHOW FULL MODULES",
    "ALTER FUNCTION f AS 'm.g' LANGUAGE PYTHON", "SHOW PARTITIONS files", "SHOW VIEWS", "SHOW CREATE VIEW v",
    "ANALYZE TABLE t COMPUTE STATISTICS FOR ALL COLUMNS", "DESCRIBE CATALOG EXTENDED default_catalog",
    ("CREATE MATERIALIZED TABLE mt FRESHNESS = INTERVAL '1' MINUTE AS SELECT a FROM t"),
    "EXPLAIN PLAN_ADVICE, CHANGELOG_MODE INSERT INTO s SELECT id, x FROM k ON CONFLICT DO NOTHING",
    "CREATE TABLE n (k INT METADATA FROM 'x' VIRTUAL, PRIMARY KEY (k) NOT ENFORCED) PARTITIONED BY (k) WITH ('connector' = 'print')",
    "TRUNCATE TABLE t", "CALL f(1)", "ADD JAR 'x.jar'", "CREATE MODEL m WITH ('a' = 'b')",
)  # fmt: skip
_STRANGERS = (
    "(",
    ")",
    ",",
    "'",
    "`",
    "*",
    "NULL",
    "SELECT",
    "AS",
    "ON",
    "1",
    "-",
    "é",
    "t",
    "a",
    ".",
    "nope",
)


def _statements() -> Iterator[tuple[str, str]]:
    """(declarations, statement) of all origins."""
    for statement in _STATEMENTS:
        yield _TABLES, statement
    for path in sorted(_EXAMPLES.glob("*.sql")):
        text = path.read_text()
        before: list[str] = []
        for piece in split(text):
            statement = text[piece.span.start : piece.span.end]
            yield ";\n".join([*before, ""]), statement
            if statement.upper().startswith(("CREATE", "SET")):
                before.append(statement)
    for seed in range(_GENERATED):
        query = make_query(seed)
        tables = [(name, TABLES[name][0]) for name in sorted(query.tables)]
        views = "".join(f"CREATE VIEW {name} AS {text};\n" for name, text, _ in query.views)
        yield _declared(tables) + views, query.flink
    folder = os.environ.get("FLOWSQL_CASES")
    for name in ("stream.jsonl", "batch.jsonl", "programs.jsonl") if folder else ():
        for line in (Path(str(folder)) / name).read_text().splitlines():
            yield from _of_case(json.loads(line))


def _of_case(case: dict[str, object]) -> Iterator[tuple[str, str]]:
    tables = case.get("source_tables")
    runs = case.get("run") or [case]
    assert isinstance(runs, list)
    if not isinstance(tables, list):
        return
    ddl = _declared([(t["name"], t["schema"]) for t in tables if t.get("schema")])
    for run in runs:
        if isinstance(run.get("sql"), str):
            yield ddl, run["sql"]


def _declared(tables: Sequence[tuple[str, Sequence[str]]]) -> str:
    return "".join(
        f"CREATE TABLE `{name}` ({', '.join(pieces)}) WITH ('connector' = 'values');\n"
        for name, pieces in tables
    )


def _broken(statement: str, rng: random.Random) -> str:
    tokens = [t for t in tokenize(statement) if t.kind is not Kind.END]
    pieces = [statement[t.start : t.end] for t in tokens]
    for _ in range(rng.randint(1, 2)):
        if not pieces:
            break
        at = rng.randrange(len(pieces))
        match rng.randrange(7):
            case 0:
                del pieces[at]
            case 1:
                pieces.insert(at, pieces[at])
            case 2:
                other = rng.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 3:
                pieces[at] = rng.choice(_STRANGERS)
            case 4:
                del pieces[at:]
            case 5:
                pieces[at] = rng.choice(pieces)
            case _:
                word = pieces[at]
                cut = rng.randrange(len(word))
                pieces[at] = word[:cut] + rng.choice("abxz1_") + word[cut + 1 :]
    return " ".join(pieces)


def _session(declarations: str) -> flowsql.Session:
    session = flowsql.connect()
    try:
        session.prepare(declarations)
    except FlowSQLError:
        assert declarations is not _TABLES
        # Declarations of a case that are not supported: the statement is tried without them.
        return _session(_TABLES)
    return session


def _refusal(declarations: str, text: str) -> FlowSQLError | None:
    session = _session(declarations)
    try:
        session.prepare(text)
    except FlowSQLError as error:
        return error
    except BaseException as error:
        error.add_note(f"{declarations}\n{text}")
        raise
    finally:
        session.close()
    return None


def test_a_broken_statement_is_refused_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned, or an error with a position, in reasonable time."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(_SEED)
    origins = list(_statements())
    refused = 0
    for _ in range(_MUTATIONS):
        declarations, statement = rng.choice(origins)
        text = _broken(statement, rng)
        if rng.random() < 0.3:
            text = f"EXPLAIN CHANGELOG_MODE {text}"
        began = time.process_time()
        error = _refusal(declarations, text)
        assert time.process_time() - began < _LIMIT_S, text
        if error is None:
            continue
        refused += 1
        assert not isinstance(error, InternalError), text
        assert error.span is not None, f"{text}\n{error}"
        assert error.sql is not None, text
        assert 0 <= error.span.start <= error.span.end <= len(error.sql) + 1, text
        assert "^" in str(error), text
    assert _MUTATIONS * 0.4 < refused < _MUTATIONS
