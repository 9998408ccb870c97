"""Statements about tables, catalogs and jobs: what they do, and what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import flowsql
from flowsql.runtime.job import Job

BASE = (
    "CREATE TABLE base (id INT, name STRING COMMENT 'x', ts TIMESTAMP(3), twice AS id * 2, "
    "WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, CONSTRAINT pk PRIMARY KEY (id) NOT ENFORCED) "
    "COMMENT 'base' DISTRIBUTED BY HASH(id) INTO 4 BUCKETS "
    "WITH ('connector' = 'datagen', 'number-of-rows' = '3')"
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flowsql.Session]:
    """A session with one table."""
    monkeypatch.chdir(tmp_path)
    with flowsql.connect() as made:
        made.execute(BASE)
        yield made


def rows(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    answer = session.execute(sql)
    assert isinstance(answer, flowsql.Result)
    return answer.fetchall()


def names(session: flowsql.Session, sql: str) -> list[object]:
    """The first column of the rows."""
    return [row[0] for row in rows(session, sql)]


def created(session: flowsql.Session, name: str) -> str:
    """The table's columns and clauses as SQL, on one line."""
    text = str(rows(session, f"SHOW CREATE TABLE {name}")[0][0])
    return " ".join(text.split()).partition(f"`{name}` ")[2]


def failing(session: flowsql.Session, sql: str) -> str:
    """The error's text."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql)
    return str(caught.value)


# LIKE


def test_like_takes_all_by_default(session: flowsql.Session) -> None:
    """Columns, key, watermark, distribution, options; not the comment."""
    session.execute("CREATE TABLE t (more AS id + 1) WITH ('number-of-rows' = '5') LIKE base")
    assert created(session, "t") == (
        "( `id` INT NOT NULL, `name` STRING COMMENT 'x', `ts` TIMESTAMP(3), `twice` AS id * 2, "
        "`more` AS id + 1, WATERMARK FOR `ts` AS ts - INTERVAL '1' SECOND, "
        "CONSTRAINT `pk` PRIMARY KEY (`id`) NOT ENFORCED ) "
        "DISTRIBUTED BY HASH(`id`) INTO 4 BUCKETS "
        "WITH ( 'connector' = 'datagen', 'number-of-rows' = '5' )"
    )


def test_like_leaves_out_what_is_excluded(session: flowsql.Session) -> None:
    """Physical columns always come along."""
    session.execute("CREATE TABLE t WITH ('connector' = 'blackhole') LIKE base (EXCLUDING ALL)")
    assert created(session, "t") == (
        "( `id` INT NOT NULL, `name` STRING COMMENT 'x', `ts` TIMESTAMP(3) ) "
        "WITH ( 'connector' = 'blackhole' )"
    )


def test_like_overwrites_what_it_is_told_to(session: flowsql.Session) -> None:
    """In the place of the old one."""
    session.execute(
        "CREATE TABLE t (twice AS id + id, WATERMARK FOR ts AS ts) "
        "LIKE base (OVERWRITING GENERATED OVERWRITING WATERMARKS EXCLUDING DISTRIBUTION)"
    )
    assert "`twice` AS id + id, WATERMARK FOR `ts` AS ts, CONSTRAINT" in created(session, "t")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE t (id INT) LIKE base", 'table "base" has column "id" already'),
        ("CREATE TABLE t (twice AS 1) LIKE base", "LIKE base (EXCLUDING GENERATED)"),
        ("CREATE TABLE t (twice INT) LIKE base (OVERWRITING GENERATED)", 'has column "twice"'),
        ("CREATE TABLE t (PRIMARY KEY (id) NOT ENFORCED) LIKE base", "has a primary key already"),
        ("CREATE TABLE t (WATERMARK FOR ts AS ts) LIKE base", "OVERWRITING WATERMARKS"),
        (
            "CREATE TABLE t WITH ('connector' = 'print') LIKE base (INCLUDING OPTIONS)",
            'has option "connector" already',
        ),
        ("CREATE TABLE t DISTRIBUTED BY (id) LIKE base", "has a distribution already"),
        ("CREATE TABLE t LIKE bse", 'Did you mean "base"?'),
        ("CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE t LIKE v", "is a view, and LIKE takes"),
        ("CREATE TABLE t (PRIMARY KEY (nome) NOT ENFORCED) LIKE base (EXCLUDING CONSTRAINTS)", "^"),
    ],
)
def test_like_refuses_what_collides(session: flowsql.Session, sql: str, message: str) -> None:
    """Nothing is declared, and the error says how to part the two."""
    text = failing(session, sql)
    assert message in text
    assert "^" in text
    assert "t" not in names(session, "SHOW TABLES")


def test_rows_of_the_program_are_not_taken_along(session: flowsql.Session) -> None:
    """LIKE takes a declaration; the rows of an embedded table are its own, hints or not."""
    session.from_arrow("given", pa.table({"a": [1, 2]}))
    session.execute("CREATE TABLE t LIKE given")
    text = failing(session, "SELECT * FROM t")
    assert 'table "t" holds no data' in text
    assert "^" in text
    hinted = "SELECT COUNT(*) FROM given /*+ OPTIONS('scan.bad-record' = 'skip') */"
    assert rows(session, hinted) == [(2,)]


# AS


def test_create_table_as_makes_and_fills(session: flowsql.Session, tmp_path: Path) -> None:
    """Types come from the query, without time attributes."""
    job = session.execute(
        "CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv') "
        "AS SELECT ts, id FROM base"
    )
    assert isinstance(job, Job)
    job.wait(60)
    lines = [f.read_text().splitlines() for f in (tmp_path / "out").glob("[!.]*")]
    assert sum(map(len, lines)) == 3
    assert [r[:3] for r in rows(session, "DESCRIBE t")] == [
        ("ts", "TIMESTAMP(3)", True),
        ("id", "INT", False),
    ]


def test_create_table_as_with_columns(session: flowsql.Session) -> None:
    """Declared columns come first; the query fills those that it has."""
    session.execute(
        "CREATE TABLE t (note STRING, name VARCHAR(5), len AS CHAR_LENGTH(name), "
        "PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'blackhole') "
        "AS SELECT id, name FROM base"
    )
    assert created(session, "t").startswith(
        "( `note` STRING, `name` VARCHAR(5), `len` AS CHAR_LENGTH(name), `id` INT NOT NULL, "
    )
    session.execute(
        "CREATE TABLE u (name, id) WITH ('connector' = 'blackhole') AS SELECT id, name FROM base"
    )
    assert [r[0] for r in rows(session, "DESCRIBE u")] == ["name", "id"]


def test_replace_table_as(session: flowsql.Session) -> None:
    """What was declared before is gone, or stays where the new one cannot be."""
    session.execute("CREATE TABLE t (x INT) WITH ('connector' = 'blackhole')")
    before = created(session, "t")
    failing(session, "REPLACE TABLE t WITH ('connector' = 'filesystem') AS SELECT id FROM base")
    failing(session, "REPLACE TABLE t WITH ('connector' = 'values') AS SELECT id FROM base")
    assert created(session, "t") == before
    session.execute("REPLACE TABLE t WITH ('connector' = 'blackhole') AS SELECT id FROM base")
    assert "`id` INT" in created(session, "t")
    session.execute(
        "CREATE TABLE IF NOT EXISTS t WITH ('connector' = 'blackhole') AS SELECT name FROM base"
    )
    assert "`id` INT" in created(session, "t")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("(id, nam) WITH ('connector' = 'blackhole') AS SELECT id, name FROM base", '"name"?'),
        ("(id) WITH ('connector' = 'blackhole') AS SELECT id, name FROM base", "is missing"),
        ("(id AS 1) WITH ('connector' = 'blackhole') AS SELECT id FROM base", "another name"),
        ("WITH ('connector' = 'blackhol') AS SELECT id FROM base", 'Did you mean "blackhole"?'),
        ("WITH ('connector' = 'values') AS SELECT id FROM base", "values"),
        ("WITH ('connector' = 'blackhole') AS SELECT nope FROM base", '"nope" does not exist'),
        ("WITH ('connector' = 'blackhole') AS SELECT NULL AS a FROM base", "has no type"),
    ],
)
def test_create_table_as_leaves_nothing_behind(
    session: flowsql.Session, sql: str, message: str
) -> None:
    """A table that cannot be filled is not made."""
    text = failing(session, f"CREATE TABLE t {sql}")
    assert message in text
    assert "^" in text
    assert names(session, "SHOW TABLES") == ["base"]


def test_create_table_as_is_explained(session: flowsql.Session) -> None:
    """Without being made."""
    plan = rows(
        session,
        "EXPLAIN CREATE TABLE t WITH ('connector' = 'blackhole') AS SELECT id FROM base",
    )
    assert "Sink(t" in str(plan[0][0])
    assert names(session, "SHOW TABLES") == ["base"]


# ALTER


def test_alter_table_step_by_step(session: flowsql.Session) -> None:
    """Each statement changes the declaration."""
    session.execute("ALTER TABLE base ADD (x INT COMMENT 'new' FIRST, y AS id + 5 AFTER x)")
    assert names(session, "DESCRIBE base") == ["x", "y", "id", "name", "ts", "twice"]
    session.execute("ALTER TABLE base DROP (twice, y); ALTER TABLE base DROP WATERMARK")
    session.execute("ALTER TABLE base DROP DISTRIBUTION; ALTER TABLE base RENAME id TO k")
    session.execute("ALTER TABLE base MODIFY name BIGINT AFTER ts")
    session.execute("ALTER TABLE base ADD WATERMARK FOR ts AS ts")
    session.execute("ALTER TABLE base SET ('rows-per-second' = '7', 'number-of-rows' = '2')")
    session.execute("ALTER TABLE base RESET ('rows-per-second')")
    assert created(session, "base") == (
        "( `x` INT COMMENT 'new', `k` INT NOT NULL, `ts` TIMESTAMP(3), `name` BIGINT COMMENT 'x', "
        "WATERMARK FOR `ts` AS ts, CONSTRAINT `pk` PRIMARY KEY (`k`) NOT ENFORCED ) "
        "COMMENT 'base' WITH ( 'connector' = 'datagen', 'number-of-rows' = '2' )"
    )
    session.execute("ALTER TABLE base DROP CONSTRAINT pk; ALTER TABLE base RENAME TO other")
    assert rows(session, "SELECT COUNT(*) FROM other") == [(2,)]
    session.execute("ALTER TABLE IF EXISTS base DROP x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ADD id BIGINT", 'table "base" has column "id" already'),
        ("ADD (PRIMARY KEY (name) NOT ENFORCED)", "the table has a primary key already"),
        ("ADD WATERMARK FOR ts AS ts", "the table has a watermark already"),
        ("ADD z AS nope + 1", "\n  ALTER TABLE base ADD z AS nope + 1\n"),
        ("ADD z INT AFTER nme", 'Did you mean "name"?'),
        ("MODIFY zz INT", 'table "base" has no column "zz"'),
        ("DROP id", 'column "id" is needed by computed column "twice" and the primary key'),
        ("DROP ts", "is needed by the watermark"),
        ("RENAME id TO k", "DISTRIBUTED BY"),
        ("RENAME name TO id", 'has column "id" already'),
        ("DROP CONSTRAINT q", 'Its primary key is called "pk".'),
        ("DROP (name, name)", "stands twice"),
        ("SET ('number-of-rowss' = '7')", 'Did you mean "number-of-rows"?'),
        ("RESET ('connector')", "the connector of a table cannot be reset"),
        ("RENAME TO other.t", "cannot be moved to another database"),
        ("RENAME TO base", "exists already"),
    ],
)
def test_alter_table_refuses(session: flowsql.Session, change: str, message: str) -> None:
    """The table stays as it was."""
    before = created(session, "base")
    text = failing(session, f"ALTER TABLE base {change}")
    assert message in text
    assert "^" in text
    assert created(session, "base") == before


def test_alter_refuses_what_it_cannot_change(session: flowsql.Session) -> None:
    """Views by ALTER TABLE, temporary objects, what is not there."""
    session.execute("CREATE VIEW v AS SELECT id FROM base")
    session.execute("CREATE TEMPORARY TABLE tt (a INT) WITH ('connector' = 'print')")
    assert "Hint: Use ALTER VIEW." in failing(session, "ALTER TABLE v DROP id")
    assert "Hint: Use ALTER TABLE." in failing(session, "ALTER VIEW base AS SELECT 1")
    assert "cannot be altered" in failing(session, "ALTER TABLE tt DROP a")
    assert 'table "x" does not exist' in failing(session, "ALTER TABLE x DROP a")


STARS = [
    ("SELECT * FROM a", "SELECT `a`.`k`, `a`.`s` FROM a"),
    (
        "SELECT x.*, y.w AS z /* c */ FROM a AS x JOIN b y ON x.k = y.k",
        "SELECT `x`.`k`, `x`.`s`, y.w AS z /* c */ FROM a AS x JOIN b y ON x.k = y.k",
    ),
    (
        "WITH c AS (SELECT k FROM a) SELECT * FROM c UNION ALL SELECT * FROM d2.b",
        "WITH c AS (SELECT k FROM a) SELECT `c`.`k` FROM c UNION ALL SELECT `b`.`k` FROM d2.b",
    ),
    (
        "SELECT * FROM a, b",
        "SELECT `a`.`k`, `a`.`s`, `b`.`k` AS `k0`, `b`.`w` FROM a, b",
    ),
    ("SELECT * FROM a JOIN b USING (k)", "SELECT `k`, `a`.`s`, `b`.`w` FROM a JOIN b USING (k)"),
    ("SELECT k, r.* FROM c", "SELECT k, `r`.`x`, `r`.`odd name` FROM c"),
    (
        "SELECT * FROM b, d2.b",
        "SELECT `default_database`.`b`.`k`, `default_database`.`b`.`w`, `d2`.`b`.`k` AS `k0` FROM b, d2.b",
    ),
    (
        "SELECT k FROM a WHERE EXISTS (SELECT * FROM b WHERE b.k = a.k)",
        "SELECT k FROM a WHERE EXISTS (SELECT `b`.`k`, `b`.`w` FROM b WHERE b.k = a.k)",
    ),
    # Nothing could stand for it.
    ("SELECT * FROM (SELECT k FROM a), (SELECT k FROM b)",) * 2,
    ("SELECT COUNT(*) FROM a",) * 2,
]


@pytest.mark.parametrize(("query", "shown"), STARS)
def test_the_stars_of_a_view(session: flowsql.Session, query: str, shown: str) -> None:
    """They stand for the columns of now; the view and its text mean the same."""
    for name in (
        "a (k INT, s STRING)", "b (k INT, w STRING)", "c (k INT, r ROW<x INT, `odd name` INT>)"
    ):  # fmt: skip
        session.execute(f"CREATE TABLE {name} WITH ('connector' = 'datagen')")
    session.execute("CREATE DATABASE d2; CREATE TABLE d2.b (k INT) WITH ('connector' = 'datagen')")
    session.execute(f"CREATE VIEW v AS {query}")
    (text,) = session.execute("SHOW CREATE VIEW v").fetchall()[0]
    assert text.endswith(f"\n)\nAS {shown}")
    columns = session.execute("DESCRIBE v").fetchall()
    session.execute("DROP VIEW v")
    session.execute(text)
    assert session.execute("DESCRIBE v").fetchall() == columns


def test_a_view_keeps_its_columns(session: flowsql.Session) -> None:
    """Whatever the table behind it is given; what it loses is said with the view."""
    session.execute("CREATE TABLE t (k INT, s STRING) WITH ('connector' = 'datagen')")
    session.execute("CREATE VIEW v AS SELECT * FROM t; CREATE VIEW w AS SELECT * FROM v")
    session.execute("ALTER TABLE t ADD z INT")
    assert names(session, "DESCRIBE v") == names(session, "DESCRIBE w") == ["k", "s"]
    session.execute("ALTER VIEW v AS SELECT * FROM t")
    assert names(session, "DESCRIBE v") == ["k", "s", "z"]
    session.execute("ALTER TABLE t DROP s")
    text = failing(session, "SELECT k FROM v")
    assert 'column "s" does not exist' in text
    assert "\n  AS SELECT `t`.`k`, `t`.`s`, `t`.`z` FROM t\n" in text


def test_alter_view(session: flowsql.Session) -> None:
    """A view that would read itself stays as it was."""
    session.execute("CREATE VIEW v AS SELECT id FROM base; CREATE VIEW w AS SELECT * FROM v")
    session.execute("ALTER VIEW v AS SELECT id, name FROM base")
    assert names(session, "DESCRIBE v") == ["id", "name"]
    for query in ("SELECT * FROM v", "SELECT * FROM w"):
        assert "reads itself" in failing(session, f"ALTER VIEW v AS {query}")
    assert names(session, "DESCRIBE w") == ["id"]
    session.execute("ALTER VIEW v RENAME TO u; ALTER VIEW IF EXISTS v RENAME TO z")
    assert names(session, "SHOW VIEWS") == ["u", "w"]


# SHOW and DESCRIBE


def test_lists_can_be_narrowed(session: flowsql.Session) -> None:
    """LIKE minds case, ILIKE does not."""
    session.execute("CREATE TABLE Big LIKE base")
    assert names(session, "SHOW TABLES") == ["Big", "base"]
    assert names(session, "SHOW TABLES LIKE 'b%'") == ["base"]
    assert names(session, "SHOW TABLES ILIKE 'b%'") == ["Big", "base"]
    assert names(session, "SHOW TABLES NOT ILIKE '%a%'") == ["Big"]
    assert names(session, "SHOW COLUMNS FROM base LIKE 't%'") == ["ts", "twice"]
    assert names(session, "SHOW FUNCTIONS LIKE 'JSON\\_A%'") == []
    assert "JSON_ARRAY" in names(session, "SHOW FUNCTIONS LIKE 'JSON_A%'")
    assert names(session, "SHOW USER FUNCTIONS") == []


def test_functions_are_described(session: flowsql.Session) -> None:
    """In Flink's rows; EXTENDED says more."""
    assert rows(session, "DESCRIBE FUNCTION upper") == [
        ("is system function", "true"),
        ("is temporary", "false"),
    ]
    more = dict(rows(session, "DESCRIBE FUNCTION EXTENDED count"))  # type: ignore[arg-type]
    assert more["kind"] == "AGGREGATE"
    assert "is deterministic" in dict(rows(session, "DESCRIBE FUNCTION EXTENDED upper"))  # type: ignore[arg-type]
    assert 'Did you mean "UPPER"?' in failing(session, "DESCRIBE FUNCTION uper")


def test_modules(session: flowsql.Session) -> None:
    """There is one, and it stays."""
    assert rows(session, "SHOW MODULES") == [("core",)]
    assert rows(session, "SHOW FULL MODULES") == [("core", True)]
    assert rows(session, "USE MODULES core") == [("OK",)]
    assert "is loaded already" in failing(session, "LOAD MODULE core")
    assert "cannot be unloaded" in failing(session, "UNLOAD MODULE core")
    assert 'module "hive" does not exist' in failing(session, "USE MODULES core, hive")


# Jobs


def test_jobs_are_listed_and_stopped(session: flowsql.Session, tmp_path: Path) -> None:
    """With a savepoint that a new job can start from."""
    assert rows(session, "SHOW JOBS") == []
    assert 'job "x" does not exist' in failing(session, "STOP JOB 'x'")
    session.execute("SET 'pipeline.name' = 'fill'")
    session.execute("CREATE TABLE endless (a INT) WITH ('connector' = 'datagen')")
    session.execute("CREATE TABLE hole (a INT) WITH ('connector' = 'blackhole')")
    session.execute("INSERT INTO hole SELECT a FROM endless")
    ((job, name, status, _),) = rows(session, "SHOW JOBS")
    assert (job, name) == ("fill", "fill")
    assert status in {"STARTING", "RUNNING"}
    assert 'Did you mean "fill"?' in failing(session, "DESCRIBE JOB 'fil'")
    ((path,),) = rows(session, "STOP JOB 'fill' WITH SAVEPOINT")
    assert (Path(str(path)) / "manifest.json").exists()
    assert rows(session, "DESCRIBE JOB 'fill'")[0][2] == "STOPPED"
    assert 'job "fill" is over' in failing(session, "STOP JOB 'fill'")
    session.execute("SET 'pipeline.name' = 'more'; INSERT INTO hole SELECT a FROM endless")
    assert rows(session, "STOP JOB 'more' WITH DRAIN") == [("OK",)]
    assert rows(session, "DESCRIBE JOB 'more'")[0][2] == "FINISHED"
