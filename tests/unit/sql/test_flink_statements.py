"""Every statement of Flink 2.3's grammar is read, or refused by its name with what to do instead."""

from __future__ import annotations

import pytest

from flowsql.errors import SqlError
from flowsql.sql import parse_statement
from flowsql.sql.unsupported import REFUSED_STATEMENTS

READ = """\
SELECT 1
VALUES (1, 'a')
TABLE t
WITH x AS (SELECT 1 AS a) SELECT * FROM x
CREATE TABLE t (a INT) DISTRIBUTED BY HASH(a) INTO 4 BUCKETS WITH ('connector' = 'blackhole')
CREATE TEMPORARY TABLE IF NOT EXISTS t LIKE u
CREATE TABLE t WITH ('connector' = 'blackhole') AS SELECT * FROM u
CREATE OR REPLACE TABLE t AS SELECT 1 AS a
REPLACE TABLE t AS SELECT 1 AS a
CREATE CATALOG IF NOT EXISTS c COMMENT 'x' WITH ('type' = 'generic_in_memory')
CREATE DATABASE IF NOT EXISTS d COMMENT 'x' WITH ('a' = 'b')
CREATE TEMPORARY VIEW IF NOT EXISTS v (x) COMMENT 'c' AS SELECT a FROM t
CREATE OR REPLACE VIEW v AS SELECT 1
CREATE TEMPORARY SYSTEM FUNCTION f AS 'm.f' LANGUAGE PYTHON
DROP TEMPORARY TABLE IF EXISTS t
DROP VIEW v
DROP CATALOG IF EXISTS c
DROP DATABASE IF EXISTS d RESTRICT
DROP TEMPORARY SYSTEM FUNCTION IF EXISTS f
ALTER TABLE t ADD (b INT, c INT FIRST)
ALTER TABLE t MODIFY WATERMARK FOR ts AS ts
ALTER TABLE t DROP CONSTRAINT x
ALTER TABLE t RENAME a TO b
ALTER TABLE t RENAME TO u
ALTER TABLE t SET ('a' = 'b')
ALTER TABLE t RESET ('a')
ALTER VIEW v AS SELECT 1
ALTER VIEW v RENAME TO w
ALTER DATABASE d SET ('a' = 'b')
ALTER CATALOG c COMMENT 'x'
ALTER FUNCTION f AS 'm.f' LANGUAGE PYTHON
INSERT INTO t PARTITION (a = 1) (b) SELECT 1
INSERT INTO t SELECT 1 ON CONFLICT DO NOTHING
INSERT OVERWRITE t SELECT 1
EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; END
EXECUTE INSERT INTO t SELECT 1
EXECUTE SELECT 1
EXPLAIN PLAN FOR SELECT 1
EXPLAIN ESTIMATED_COST, CHANGELOG_MODE, PLAN_ADVICE, JSON_EXECUTION_PLAN SELECT * FROM t
EXPLAIN STATEMENT SET BEGIN INSERT INTO t SELECT 1; END
EXPLAIN CREATE TABLE t AS SELECT 1 AS a
COMPILE PLAN 'p.json' IF NOT EXISTS FOR STATEMENT SET BEGIN INSERT INTO t SELECT 1; END
COMPILE AND EXECUTE PLAN 'p.json' FOR INSERT INTO t SELECT 1
EXECUTE PLAN 'p.json'
USE CATALOG c
USE c.d
USE MODULES core
LOAD MODULE hive WITH ('hive-version' = '3.1.3')
UNLOAD MODULE core
SHOW CATALOGS ILIKE 'x'
SHOW CURRENT CATALOG
SHOW CREATE CATALOG c
SHOW DATABASES IN c
SHOW CURRENT DATABASE
SHOW TABLES FROM c.d NOT LIKE 'x%'
SHOW MATERIALIZED TABLES FROM d LIKE 'x'
SHOW CREATE TABLE t
SHOW COLUMNS IN t LIKE 'a%'
SHOW VIEWS FROM d LIKE 'x'
SHOW CREATE VIEW v
SHOW USER FUNCTIONS FROM d LIKE 'a%'
SHOW FULL MODULES
SHOW PARTITIONS t
SHOW PARTITIONS c.d.t PARTITION (a = 1, b = 'x')
SHOW JARS
SHOW JOBS
SHOW MODELS FROM d LIKE 'x'
DESCRIBE EXTENDED t
DESC CATALOG EXTENDED c
DESCRIBE DATABASE EXTENDED d
DESCRIBE FUNCTION EXTENDED f
DESCRIBE JOB 'x'
SET
SET 'table.local-time-zone' = 'UTC'
RESET 'table.local-time-zone'
STOP JOB 'x' WITH SAVEPOINT WITH DRAIN
"""

REFUSED = """\
CREATE TEMPORARY MODEL IF NOT EXISTS m INPUT (a INT) OUTPUT (b INT) WITH ('provider' = 'x')
CREATE MODEL m AS SELECT 1
ALTER MODEL IF EXISTS m RENAME TO n
DROP MODEL m
SHOW CREATE MODEL m
DESCRIBE MODEL EXTENDED m
CREATE MATERIALIZED TABLE m FRESHNESS = INTERVAL '1' HOUR AS SELECT * FROM t
CREATE OR ALTER MATERIALIZED TABLE m AS SELECT * FROM t
ALTER MATERIALIZED TABLE m SUSPEND
DROP MATERIALIZED TABLE IF EXISTS m
SHOW CREATE MATERIALIZED TABLE m
CREATE TEMPORARY SYSTEM CONNECTION c WITH ('type' = 'basic')
ALTER CONNECTION c SET ('a' = 'b')
DROP CONNECTION c
SHOW CONNECTIONS
SHOW CREATE CONNECTION c
DESCRIBE CONNECTION c
ALTER TABLE t ADD IF NOT EXISTS PARTITION (p = 1) WITH ('a' = 'b')
ALTER TABLE t DROP PARTITION (p = 1)
UPSERT INTO t SELECT 1
DELETE FROM t WHERE a = 1
UPDATE t SET a = 1 WHERE a = 2
MERGE INTO t USING v ON t.a = v.a WHEN MATCHED THEN UPDATE SET a = 1
TRUNCATE TABLE t
ANALYZE TABLE t PARTITION (a) COMPUTE STATISTICS FOR ALL COLUMNS
CALL c.sys.p(a => 1)
SHOW PROCEDURES FROM d NOT ILIKE 'x'
DESCRIBE SELECT 1
ADD JAR 'x.jar'
REMOVE JAR 'x.jar'
CREATE FUNCTION f AS 'x.F' LANGUAGE JAVA USING JAR 'x.jar', ARTIFACT 'y.jar'
CREATE FUNCTION f AS 'm.f' LANGUAGE PYTHON WITH ('a' = 'b')
CLEAR
HELP
QUIT
EXIT
SOURCE 'x.sql'
"""


@pytest.mark.parametrize("statement", READ.splitlines())
def test_statements_that_are_read(statement: str) -> None:
    """Whether they can be carried out is another matter."""
    assert parse_statement(statement).span.end == len(statement)


@pytest.mark.parametrize("statement", REFUSED.splitlines())
def test_statements_that_are_refused(statement: str) -> None:
    """By name, at their place, with what to do instead."""
    with pytest.raises(SqlError) as caught:
        parse_statement(statement)
    assert "not supported" in caught.value.message
    assert caught.value.span is not None
    assert caught.value.hint


def test_every_refusal_is_one_of_a_statement() -> None:
    """What is read again leaves the list."""
    assert not [
        name for name in REFUSED_STATEMENTS if any(s.startswith(name) for s in READ.splitlines())
    ]


@pytest.mark.parametrize(
    ("statement", "words", "hint"),
    [
        ("COMMIT", "COMMIT", "no transactions"),
        ("BEGIN", "BEGIN", "BEGIN STATEMENT SET;"),
        ("BEGIN TRANSACTION", "BEGIN TRANSACTION", "no transactions"),
        ("STATEMENT SET BEGIN INSERT INTO t SELECT 1; END", "STATEMENT SET", "EXECUTE STATEMENT"),
        ("CREATE SCHEMA s", "CREATE SCHEMA", "DATABASE"),
        ("USE DATABASE d", "USE DATABASE", "USE and the name"),
        ("INSERT INTO TABLE t SELECT 1", "INSERT INTO TABLE", "INSERT INTO and the name"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE", "flowsql status"),
        ("GRANT SELECT ON t TO u", "GRANT", "no users"),
        ("CANCEL JOB 'x'", "CANCEL", "STOP JOB"),
        ("RESET ALL", "RESET ALL", "RESET alone"),
    ],
)
def test_statements_of_others(statement: str, words: str, hint: str) -> None:
    """Named whole, with what is meant here."""
    with pytest.raises(SqlError) as caught:
        parse_statement(statement)
    assert caught.value.message == f"there is no statement {words}"
    assert caught.value.span is not None
    assert (caught.value.span.start, caught.value.span.end) == (0, len(words))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("BEGIN STATEMENT SELECT 1", 'found "SELECT"'),
        ("EXPLAIN SELECT 1 FROM", "expected"),
        ("INSERT INTO t SELEC 1", 'found "SELEC"'),
    ],
)
def test_mistakes_further_on_are_told_there(statement: str, message: str) -> None:
    """What begins well is no statement of others."""
    with pytest.raises(SqlError, match="expected") as caught:
        parse_statement(statement)
    assert message in caught.value.message


@pytest.mark.parametrize("statement", ["USE `DATABASE`", "DESCRIBE commit_log", "DROP TABLE kill"])
def test_names_are_no_statements_of_others(statement: str) -> None:
    """What can be read is read."""
    parse_statement(statement)
