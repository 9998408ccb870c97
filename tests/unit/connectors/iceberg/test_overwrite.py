"""INSERT OVERWRITE and SHOW PARTITIONS."""

from __future__ import annotations

import datetime as dt
import logging
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from flowsql.changelog import ChangelogMode, Changes
from flowsql.connector import Attempt
from flowsql.connector.plugins import find_connector
from flowsql.errors import FlowSQLError, SqlError
from flowsql.session import Session
from flowsql.testing import attempt_context, connector_table

from .lake import COLUMNS, Lake, add, commit, delete_rows, equality_file


@pytest.fixture(autouse=True)
def batch(session: Session) -> None:
    """Nothing is overwritten in streaming mode."""
    session.execute("SET 'execution.runtime-mode' = 'batch'")


def write(session: Session, sql: str) -> None:
    """To its end."""
    session.execute(sql).wait(60)


def rows(session: Session, table: str) -> list[tuple]:
    """All of a table."""
    return sorted(session.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def test_all_rows_are_replaced(lake: Lake, session: Session) -> None:
    """With what deletes some of them; an empty result empties the table, and readers see one step."""
    table = lake.make()
    add(table, range(4))
    delete_rows(table, 2)
    write(session, "INSERT OVERWRITE t VALUES (7, 'a')")
    assert rows(session, "t") == [(7, "a")]
    found = table.refresh().current_snapshot()
    assert found.summary.operation.value == "overwrite"
    assert found.summary["total-delete-files"] == "0"
    assert len(table.snapshots()) == 3
    session.execute("CREATE TABLE hollow (id BIGINT, name STRING)")
    write(session, "INSERT OVERWRITE t SELECT * FROM hollow")
    assert rows(session, "t") == []
    write(session, "INSERT OVERWRITE t SELECT * FROM hollow")
    assert rows(session, "t") == []


def test_partitions_that_get_rows_are_replaced(session: Session) -> None:
    """By what the rows say, or PARTITION; by transforms as well."""
    session.execute("CREATE TABLE p (a INT, d DATE, k STRING) PARTITIONED BY (d, k)")
    first, second = dt.date(2020, 1, 5), dt.date(2020, 1, 6)
    write(
        session,
        "INSERT INTO p VALUES (1, DATE '2020-01-05', 'x'), (2, DATE '2020-01-06', 'y'),"
        " (3, DATE '2020-01-06', CAST(NULL AS STRING))",
    )
    write(session, "INSERT OVERWRITE p PARTITION (d = '2020-01-06') SELECT 9, 'y'")
    assert rows(session, "p") == [(1, first, "x"), (3, second, None), (9, second, "y")]
    write(session, "INSERT OVERWRITE p SELECT a, d, k FROM (SELECT 1 a, DATE '2020-01-06' d,"
                   " CAST(NULL AS STRING) k) WHERE a > 1")  # fmt: skip
    assert len(rows(session, "p")) == 3
    write(session, "INSERT OVERWRITE p VALUES (4, DATE '2020-01-06', CAST(NULL AS STRING))")
    assert rows(session, "p") == [(1, first, "x"), (4, second, None), (9, second, "y")]
    session.execute("CREATE TABLE b (id BIGINT) WITH ('partitioning' = 'truncate(10, id)')")
    write(session, "INSERT INTO b VALUES (1), (2), (11), (21)")
    write(session, "INSERT OVERWRITE b VALUES (3), (25)")
    assert rows(session, "b") == [(11,), (25,), (3,)]


def test_the_partitions_of_a_table_are_shown(session: Session) -> None:
    """Those that have rows' files, as far as PARTITION wants them."""
    session.execute("CREATE TABLE p (a INT, d DATE, k STRING) PARTITIONED BY (d, k)")
    assert session.execute("SHOW PARTITIONS p").fetchall() == []
    write(
        session,
        "INSERT INTO p VALUES (1, DATE '2020-01-05', 'x'), (2, DATE '2020-01-06', 'y/z'),"
        " (3, DATE '2020-01-06', CAST(NULL AS STRING)), (4, DATE '2020-01-05', 'x')",
    )
    shown = [row[0] for row in session.execute("SHOW PARTITIONS p").fetchall()]
    assert shown == ["d=2020-01-05/k=x", "d=2020-01-06/k=null", "d=2020-01-06/k=y/z"]
    found = session.execute("SHOW PARTITIONS p PARTITION (d = '2020-01-05')").fetchall()
    assert found == [("d=2020-01-05/k=x",)]
    found = session.execute("SHOW PARTITIONS p PARTITION (k = 'y/z')").fetchall()
    assert found == [("d=2020-01-06/k=y/z",)]


def test_partitions_by_transforms_are_shown(session: Session) -> None:
    """By the names of the table's own partition fields; a table without any has nothing to show."""
    with_options = "WITH ('partitioning' = 'day(ts), bucket(4, id)')"
    session.execute(f"CREATE TABLE p (id BIGINT, ts TIMESTAMP(6)) {with_options}")
    assert session.execute("SHOW PARTITIONS p").fetchall() == []
    write(session, "INSERT INTO p VALUES (1, TIMESTAMP '2020-01-05 12:00:00')")
    (row,) = session.execute("SHOW PARTITIONS p").fetchall()
    assert re.fullmatch(r"ts_day=2020-01-05/id_bucket=[0-3]", row[0])
    session.execute("CREATE TABLE q (id BIGINT)")
    for statement in ("SHOW PARTITIONS q", "SHOW PARTITIONS p PARTITION (id = 1)"):
        with pytest.raises(SqlError, match="is not partitioned"):
            session.execute(statement)


def test_rows_by_key_are_not_added(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """A second job that writes by key is not told that it adds its rows; one that adds them is."""
    caplog.set_level(logging.INFO, "flowsql")
    session.execute(
        "CREATE TABLE u (id BIGINT, PRIMARY KEY (id) NOT ENFORCED)"
        " WITH ('write.upsert.enabled' = 'true')"
    )
    session.execute("CREATE TABLE a (id BIGINT)")
    for _ in range(2):
        write(session, "INSERT INTO u VALUES (1) ON CONFLICT DO DEDUPLICATE")
    assert "ADDED" not in caplog.text
    for _ in range(2):
        write(session, "INSERT INTO a VALUES (1)")
    assert "ADDED" in caplog.text


@pytest.mark.parametrize(
    ("made", "declared", "told"),
    [
        ("", "PARTITIONED BY (k)", "is declared as partitioned by k, and is not partitioned in"),
        (
            "PARTITIONED BY (k)",
            "PARTITIONED BY (id)",
            "is declared as partitioned by id, and is partitioned by k in",
        ),
        (
            "WITH ('partitioning' = 'bucket(4, id), k')",
            "'partitioning' = 'k, bucket(8, id)'",
            "is declared as partitioned by k, bucket(8, id), and is partitioned by bucket(4, id), k",
        ),
        ("PARTITIONED BY (k)", "", None),
        ("WITH ('partitioning' = 'bucket(4, id), k')", "'partitioning' = 'k,bucket(4,id)'", None),
    ],
)
def test_a_table_is_divided_as_its_catalog_says(
    lake: Lake,
    session: Session,
    caplog: pytest.LogCaptureFixture,
    *,
    made: str,
    declared: str,
    told: str | None,
) -> None:
    """A declaration that says otherwise is told of; INSERT OVERWRITE would replace other rows."""
    caplog.set_level(logging.INFO, "flowsql")
    session.execute(f"CREATE TABLE t (id BIGINT, k STRING) {made}")
    write(session, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    clause, option = (declared, "") if declared.startswith("PART") else ("", declared)
    options = ", ".join(f"'{k}' = '{v}'" for k, v in lake.declared().items())
    session.execute(
        f"CREATE TABLE default_catalog.default_database.t (id BIGINT, k STRING) {clause} "
        f"WITH ({options}{', ' * bool(option)}{option})"
    )
    session.execute("USE CATALOG default_catalog")
    (prepared,) = session.prepare("INSERT INTO t VALUES (3, 'c')")
    found = [f.error.message for f in session.preflight(prepared).found]
    write(session, "INSERT INTO t VALUES (3, 'c')")
    if told is None:
        assert not found
        assert "is declared as partitioned" not in caplog.text
        write(session, "INSERT OVERWRITE t VALUES (4, 'b')")
        return
    assert told in caplog.text
    assert [told in line for line in found] == [True]
    with pytest.raises(FlowSQLError, match=re.escape(told)) as caught:
        write(session, "INSERT OVERWRITE t VALUES (4, 'b')")
    assert caught.value.hint == "Declare the table's partitions, or none."
    assert len(rows(session, "t")) == 3


def test_what_cannot_be_overwritten(session: Session) -> None:
    """Streams, and tables whose rows of one key replace each other."""
    session.execute(
        "CREATE TABLE u (id BIGINT, PRIMARY KEY (id) NOT ENFORCED)"
        " WITH ('write.upsert.enabled' = 'true')"
    )
    with pytest.raises(FlowSQLError, match="is refused: it is kept by key"):
        write(session, "INSERT OVERWRITE u VALUES (1) ON CONFLICT DO DEDUPLICATE")
    hint = "/*+ OPTIONS('write.upsert.enabled' = 'false') */"
    write(session, f"INSERT OVERWRITE u {hint} VALUES (1), (2)")
    write(session, f"INSERT OVERWRITE u {hint} VALUES (3)")
    assert rows(session, "u") == [(3,)]
    session.execute("SET 'execution.runtime-mode' = 'streaming'")
    with pytest.raises(FlowSQLError, match="not possible in streaming mode"):
        session.execute(f"INSERT OVERWRITE u {hint} VALUES (1)")


def test_what_others_wrote_meanwhile_is_replaced_too(lake: Lake, tmp_path: Path) -> None:
    """A commit that meets theirs looks again; one that was made is not made twice."""
    table = lake.make()
    add(table, [1, 2])
    declared = connector_table("id BIGINT, name STRING", lake.declared())
    context = replace(
        attempt_context(tmp_path / "job"),
        attempt=Attempt("job", "r1", 1),
        mode=ChangelogMode.APPEND,
    )
    sink = find_connector("iceberg").sink(replace(declared, overwrite=True))
    writer = sink.open(context, [])
    batch = pa.RecordBatch.from_pylist([{"id": 7, "name": "a"}], schema=COLUMNS)
    writer.write(Changes(batch))
    token = writer.prepare(1)
    add(table, [3])
    target = writer.target
    refreshed = target.refresh

    def late() -> None:
        refreshed()
        add(table, [4])
        table.append(pa.Table.from_batches([batch]))

    target.refresh = late
    writer.commit(token)
    assert table.refresh().scan().to_arrow().column("id").to_pylist() == [7]
    target.refresh = refreshed
    writer.commit(token)
    # A later checkpoint of the same statement spares the rows of the first.
    writer.write(Changes(batch))
    writer.commit(writer.prepare(2))
    assert table.refresh().scan().to_arrow().column("id").to_pylist() == [7, 7]
    writer.close()


def test_equality_deletes_go_with_the_rows(lake: Lake, session: Session) -> None:
    """Whatever others delete by."""
    table = lake.make()
    add(table, [1, 2])
    commit(table, equality_file(table, {"id": [1]}))
    write(session, "INSERT OVERWRITE t VALUES (1, 'again')")
    assert rows(session, "t") == [(1, "again")]
