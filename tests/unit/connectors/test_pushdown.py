"""Conditions that files are chosen by: the answer is as if all were read, and less is."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flowsql

from .files import write_file

COLUMNS = """
  id BIGINT, small SMALLINT, word STRING, price DECIMAL(8, 2), x DOUBLE, born DATE, ts TIMESTAMP(3),
  flag BOOLEAN
"""
NAN = math.nan
ROWS = [
    (n, None if n % 5 == 4 else n % 7 - 3, None if n < 4 else f"w{n % 4}",
     None if n % 9 == 8 else Decimal(n - 20) / 4, [1.5, NAN, -0.0, float(n), None][n % 5],
     None if n < 8 else dt.date(2020, 1, 1 + n // 4), dt.datetime(2020, 1, 1, n % 24),
     [True, False, None][n // 4 % 3])
    for n in range(40)
]  # fmt: skip
PARTS = {"word": "STRING", "born": "DATE", "flag": "BOOLEAN", "small": "SMALLINT"}
CONDITIONS = [
    "id = 17", "id > 30 AND id <> 35", "id NOT BETWEEN 3 AND 36", "id IN (1, 39, 400)", "id < 0",
    "small = -2", "small <> -2", "small IS NULL", "small IS NOT NULL AND NOT (small > -1)",
    "word = 'w1'", "word IS NULL", "word > 'w1' OR word IS NULL", "word <> 'w3'", "word IN ('w0', 'w9')",
    "price < -1", "price >= 2.25", "price IS NULL OR price = 0", "NOT (price < 1 OR id > 30)",
    "x = 0e0", "x <> 1.5e0", "NOT (x = 1.5e0)", "x > 3e0", "x IS NULL", "NOT (x > 3e0)",
    "born = DATE '2020-01-04'", "born < DATE '2020-01-03' OR id = 39", "born IS NULL",
    "ts > TIMESTAMP '2020-01-01 20:00:00'", "ts = TIMESTAMP '2020-01-01 05:00:00.000'",
    "flag", "NOT flag", "flag IS NULL", "flag IS NOT TRUE", "flag OR word = 'w2'",
    "(word = 'w1' AND id > 3) OR (small = 1 AND flag) OR born IS NULL",
    "flag AND word = 'w2' AND id > 10", "word = 'w1' AND CHAR_LENGTH(word) = 2", "id = small",
]  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Iterator[flowsql.Session]:
    """The rows as a table `e`, of which nothing is pushed, and as files by each of the PARTS."""
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "jobs")}) as made:
        kinds = [
            pa.int64(), pa.int16(), pa.string(), pa.decimal128(8, 2), pa.float64(), pa.date32(),
            pa.timestamp("us"), pa.bool_(),
        ]  # fmt: skip
        names = ["id", "small", "word", "price", "x", "born", "ts", "flag"]
        columns = zip(*ROWS, strict=True)
        arrays = [pa.array(c, k) for c, k in zip(columns, kinds, strict=True)]
        data = pa.table(arrays, names=names)
        made.from_arrow("e", data)
        (tmp_path / "whole").mkdir()
        pq.write_table(data, tmp_path / "whole" / "f.parquet", row_group_size=4)
        made.execute(
            f"CREATE TABLE whole ({COLUMNS}) WITH ('connector' = 'filesystem', "
            f"'path' = '{tmp_path / 'whole'}', 'format' = 'parquet')"
        )
        for key in PARTS:
            made.execute(
                f"CREATE TABLE by_{key} ({COLUMNS}) PARTITIONED BY ({key}) WITH ('connector' = "
                f"'filesystem', 'path' = '{tmp_path / key}', 'format' = 'json')"
            )
            made.execute(f"INSERT INTO by_{key} SELECT * FROM e").wait(60)
        yield made


def _rows(session: flowsql.Session, sql: str) -> list[str]:
    return sorted(map(repr, session.execute(sql).fetchall()))


def test_the_answer_is_as_if_all_were_read(session: flowsql.Session) -> None:
    """For conditions of every type, by partitions and by row groups."""
    for condition in CONDITIONS:
        expected = _rows(session, f"SELECT * FROM e WHERE {condition}")
        for table in ("whole", *(f"by_{key}" for key in PARTS)):
            found = _rows(session, f"SELECT * FROM {table} WHERE {condition}")
            assert found == expected, (table, condition)


def test_explain_shows_what_is_pushed(session: flowsql.Session) -> None:
    """Partitions exactly, the rest of Parquet coarsely, nothing else of JSON."""
    (plan,) = session.execute(
        "EXPLAIN SELECT id FROM by_word WHERE word = 'w1' AND id > 3"
    ).fetchall()
    assert (
        "Filter(id > 3)\n   └─ Scan(by_word, columns=[id, word], partitions=[word = 'w1'])"
        in plan[0]
    )
    (plan,) = session.execute("EXPLAIN SELECT id FROM whole WHERE word = 'w1'").fetchall()
    assert (
        "Filter(word = 'w1')\n   └─ Scan(whole, columns=[id, word], filter=[word = 'w1'])"
        in plan[0]
    )


def _days(tmp_path: Path) -> str:
    write_file(tmp_path / "day=1" / "a.csv", "1,2020-01-01 00:00:01\n", 100)
    write_file(tmp_path / "day=2" / "a.csv", "2,2020-01-01 00:00:09\n", 200)
    write_file(tmp_path / "day=3" / "a.csv", "3,2020-01-01 00:00:02\n", 300)
    return (
        f"CREATE TABLE t (a INT, ts TIMESTAMP(3), `day` INT) PARTITIONED BY (`day`) "
        f"WITH ('connector' = 'filesystem', 'path' = '{tmp_path}', 'format' = 'csv')"
    )


def test_other_partitions_are_not_looked_at(tmp_path: Path) -> None:
    """Neither their files nor their bad records, nor folders below them."""
    ddl = _days(tmp_path)
    write_file(tmp_path / "day=2" / "b.csv", "bad,bad\n")
    write_file(tmp_path / "day=2" / "deeper" / "c.csv", "9,2020-01-01 00:00:01\n")
    with flowsql.connect() as session:
        session.execute(ddl)
        assert session.execute("SELECT a FROM t WHERE `day` <> 2").fetchall() == [(1,), (3,)]
        assert session.execute("SELECT a FROM t WHERE `day` = 7").fetchall() == []
        with pytest.raises(flowsql.FlowSQLError, match="is in no partition"):
            session.execute("SELECT a FROM t WHERE `day` = 2").fetchall()


def test_a_condition_on_more_than_partitions_chooses_among_them(tmp_path: Path) -> None:
    """What no row of a partition can fulfil leaves it out, whatever its other columns are."""
    ddl = _days(tmp_path)
    write_file(tmp_path / "day=3" / "b.csv", "bad,bad\n")
    query = "SELECT a FROM t WHERE (`day` = 1 AND a > 0) OR (`day` = 2 AND a > 5)"
    with flowsql.connect() as session:
        session.execute(ddl)
        assert session.execute(query).fetchall() == [(1,)]
        (plan,) = session.execute(f"EXPLAIN {query}").fetchall()
        assert "filter=[((day = 1) AND (a > 0)) OR ((day = 2) AND (a > 5))]" in plan[0]


def test_a_partition_value_that_cannot_be_read_is_still_refused(tmp_path: Path) -> None:
    """It may be one that is wanted."""
    ddl = _days(tmp_path)
    write_file(tmp_path / "day=x" / "a.csv", "1,2020-01-01 00:00:01\n")
    with flowsql.connect() as session:
        session.execute(ddl)
        with pytest.raises(flowsql.FlowSQLError, match=r'partition "day=x" of table .* as INT'):
            session.execute("SELECT a FROM t WHERE `day` = 1").fetchall()


def test_late_is_late_whatever_is_wanted(tmp_path: Path) -> None:
    """A row group that nobody wants has raised the watermark."""
    times = [dt.datetime(2020, 1, 1, 0, 0, s) for s in (1, 9, 2)]
    data = pa.table({"a": [1, 2, 3], "ts": pa.array(times, pa.timestamp("us"))})
    pq.write_table(data, tmp_path / "f.parquet", row_group_size=1)
    ddl = (
        "CREATE TABLE t (a BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = "
        f"'filesystem', 'path' = '{tmp_path}', 'format' = 'parquet')"
    )
    query = """
        SELECT window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
        WHERE a <> 2 GROUP BY window_start, window_end
    """
    end = dt.datetime(2020, 1, 1, 0, 0, 5)
    with flowsql.connect() as session:
        session.execute(ddl)
        assert session.execute(query).fetchall() == [(end, 1)]
        session.execute("SET 'execution.runtime-mode' = 'batch'")
        assert session.execute(query).fetchall() == [(end, 2)]


def test_a_job_goes_on_with_the_partitions_of_its_stored_plan(tmp_path: Path) -> None:
    """A file that comes later is read if it is in a wanted partition."""
    _days(tmp_path / "in")
    config = {"execution.checkpointing.dir": str(tmp_path / "jobs"), "pipeline.name": "j"}
    for run, expected in ((0, [1, 3]), (1, [1, 3, 4])):
        with flowsql.connect(config) as session:
            session.execute(_days(tmp_path / "in").replace(
                "'format'", "'source.monitor-interval' = '10ms', 'format'"
            ))  # fmt: skip
            session.execute(
                "CREATE TABLE o (a INT) WITH ('connector' = 'filesystem', "
                f"'path' = '{tmp_path / 'out'}', 'format' = 'csv')"
            )
            if run:
                write_file(tmp_path / "in" / "day=1" / "z.csv", "4,2020-01-01 00:00:01\n", 400)
                write_file(tmp_path / "in" / "day=2" / "z.csv", "bad,bad\n", 400)
            job = session.execute("INSERT INTO o SELECT a FROM t WHERE `day` <> 2")
            for _ in range(200):
                job.checkpoint(10)
                if _written(tmp_path / "out") == expected:
                    break
            job.stop()
            job.wait(60)
        assert _written(tmp_path / "out") == expected


def _written(folder: Path) -> list[int]:
    return sorted(int(line) for f in folder.glob("*.csv") for line in f.read_text().split())


def test_partitions_of_every_type_come_back_as_they_were(tmp_path: Path) -> None:
    """Written to folders, read from them, chosen among them; NULL and odd text too."""
    types = {
        "s": "STRING", "i": "INT", "l": "BIGINT", "t": "TINYINT", "d": "DATE", "tm": "TIME(3)",
        "ts": "TIMESTAMP(3)", "tl": "TIMESTAMP_LTZ(3)", "dc": "DECIMAL(10, 2)", "x": "DOUBLE",
        "f": "BOOLEAN", "c": "CHAR(3)",
    }  # fmt: skip
    first = (
        "'a/b=%41 ü'", "-7", "9000000000", "CAST(5 AS TINYINT)", "DATE '1969-12-31'",
        "TIME '10:11:12.5'", "TIMESTAMP '2020-01-01 00:00:00.12'",
        "CAST(TIMESTAMP '2020-01-01 00:00:00' AS TIMESTAMP_LTZ(3))", "1.50", "0.1e0", "TRUE", "'abc'",
    )  # fmt: skip
    config = {"execution.checkpointing.dir": str(tmp_path / "jobs"), "table.dml-sync": "true"}
    with flowsql.connect({**config, "table.local-time-zone": "Asia/Tokyo"}) as session:
        columns = ", ".join(f"{n} {k}" for n, k in types.items())
        session.execute(
            f"CREATE TABLE t (id INT, {columns}) PARTITIONED BY ({', '.join(types)}) WITH ("
            f"'connector' = 'filesystem', 'path' = '{tmp_path / 't'}', 'format' = 'csv')"
        )
        nulls = ", ".join(f"CAST(NULL AS {k})" for k in types.values())
        session.execute(f"INSERT INTO t SELECT 1, {', '.join(first)} UNION ALL SELECT 2, {nulls}")
        expected = session.execute(f"SELECT 1, {', '.join(first)}").fetchall()
        assert session.execute("SELECT * FROM t WHERE s IS NOT NULL").fetchall() == expected
        for name, value in zip(types, first, strict=True):
            query = f"SELECT id FROM t WHERE {name} = {value}"
            assert session.execute(query).fetchall() == [(1,)], name
            query = f"SELECT id FROM t WHERE {name} IS NULL"
            assert session.execute(query).fetchall() == [(2,)], name
            plan = session.execute(f"EXPLAIN SELECT id FROM t WHERE {name} IS NULL").fetchall()[0][
                0
            ]
            assert f"partitions=[{name} IS NULL]" in plan
