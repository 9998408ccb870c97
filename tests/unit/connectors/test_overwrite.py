"""INSERT OVERWRITE into files: new rows take the place of old ones, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsql
from flowsql.connector.durable import FileOperation, observe_files
from flowsql.runtime.job import Job


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flowsql.Session]:
    """A session in batch mode with a plain and a partitioned table, each with two rows."""
    monkeypatch.chdir(tmp_path)
    with flowsql.connect({"execution.runtime-mode": "batch", "table.dml-sync": "true"}) as made:
        made.execute(
            "CREATE TABLE plain (a INT) "
            "WITH ('connector' = 'filesystem', 'path' = 'plain', 'format' = 'csv'); "
            "CREATE TABLE parts (a INT, p STRING, q STRING) PARTITIONED BY (p, q) "
            "WITH ('connector' = 'filesystem', 'path' = 'parts', 'format' = 'csv')"
        )
        made.execute("INSERT INTO plain VALUES (1), (2)")
        made.execute("INSERT INTO parts VALUES (1, 'x', 'u'), (2, 'y', 'u')")
        yield made


def rows(session: flowsql.Session, table: str) -> list[tuple[object, ...]]:
    """The table's rows."""
    answer = session.execute(f"SELECT * FROM {table}")
    assert isinstance(answer, flowsql.Result)
    return sorted(answer.fetchall(), key=str)


def failing(session: flowsql.Session, sql: str) -> str:
    """The error's text."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql)
    return str(caught.value)


def test_all_rows_are_replaced(session: flowsql.Session, tmp_path: Path) -> None:
    """Again and again; what readers leave out stays, and an empty result empties the table."""
    (tmp_path / "plain/_note").write_text("kept")
    session.execute("INSERT OVERWRITE plain VALUES (3)")
    assert rows(session, "plain") == [(3,)]
    session.execute(
        "INSERT OVERWRITE TABLE plain SELECT a + 1 FROM parts; INSERT INTO plain VALUES 9"
    )
    assert rows(session, "plain") == [(2,), (3,), (9,)]
    session.execute("INSERT OVERWRITE plain SELECT a FROM parts WHERE a > 100")
    assert rows(session, "plain") == []
    assert (tmp_path / "plain/_note").read_text() == "kept"


def test_partitions_that_get_rows_are_replaced(session: flowsql.Session) -> None:
    """The others stay; so do all where the query has no row."""
    session.execute("INSERT OVERWRITE parts VALUES (3, 'x', 'u'), (4, 'z', 'u')")
    expected = [(2, "y", "u"), (3, "x", "u"), (4, "z", "u")]
    assert rows(session, "parts") == expected
    session.execute("INSERT OVERWRITE parts SELECT a, 'x', 'u' FROM plain WHERE a > 100")
    assert rows(session, "parts") == expected
    session.execute("INSERT OVERWRITE parts PARTITION (p = 'x') SELECT a, 'u' FROM plain")
    assert rows(session, "parts") == [(1, "x", "u"), (2, "x", "u"), (2, "y", "u"), (4, "z", "u")]
    session.execute("INSERT OVERWRITE parts PARTITION (p = 'y', q = 'u') SELECT a + 7 FROM plain")
    expected = [(1, "x", "u"), (2, "x", "u"), (4, "z", "u"), (8, "y", "u"), (9, "y", "u")]
    assert rows(session, "parts") == expected
    one = "INSERT OVERWRITE parts PARTITION (p = 'y', q = 'u') SELECT a FROM plain WHERE a > 100"
    session.execute(one)
    assert rows(session, "parts") == expected


def test_rows_are_there_whenever_the_process_ends(
    session: flowsql.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows go when the new ones are in place; a restart does the rest."""

    class Breaks:
        """The disk refuses to remove a visible file, once."""

        broken = False

        def before(self, operation: FileOperation) -> None:
            visible = "/.flowsql/" not in operation.path and "/plain/" in operation.path
            if operation.kind == "remove" and visible and not self.broken:
                self.broken = True
                raise OSError(5, "broken")

        def after(self, operation: FileOperation) -> None: ...

    monkeypatch.setattr("time.sleep", lambda _: None)
    session.execute(
        "SET 'restart-strategy.type' = 'fixed-delay'; "
        "SET 'restart-strategy.fixed-delay.attempts' = '2'; "
        "SET 'restart-strategy.fixed-delay.delay' = '1 ms'"
    )
    breaks = Breaks()
    with observe_files(breaks):
        job = session.execute("INSERT OVERWRITE plain VALUES (7)")
    assert isinstance(job, Job)
    assert breaks.broken
    assert rows(session, "plain") == [(7,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT OVERWRITE hole SELECT a FROM plain", 'connector "blackhole" cannot overwrite'),
        ("INSERT OVERWRITE plain SELECT a FROM plain", "is read and written by one job"),
        (
            (
                "EXECUTE STATEMENT SET BEGIN INSERT OVERWRITE plain SELECT a FROM parts; "
                "INSERT OVERWRITE plain SELECT a FROM parts; END"
            ),
            "is overwritten twice by one job",
        ),
        (
            (
                "EXECUTE STATEMENT SET BEGIN INSERT OVERWRITE plain SELECT a FROM parts; "
                "INSERT INTO plain SELECT a FROM parts; END"
            ),
            "is written with different options by one job",
        ),
        (
            "SET 'execution.runtime-mode' = 'streaming'; INSERT OVERWRITE plain SELECT a FROM parts",
            "Hint: SET 'execution.runtime-mode' = 'batch', or use INSERT INTO.",
        ),
    ],
)
def test_refused(session: flowsql.Session, sql: str, message: str) -> None:
    """Before anything is removed."""
    session.execute("CREATE TABLE hole (a INT) WITH ('connector' = 'blackhole')")
    text = failing(session, sql)
    assert message in text
    assert "^" in text
    assert rows(session, "plain") == [(1,), (2,)]


def test_a_linked_folder_is_not_emptied(session: flowsql.Session, tmp_path: Path) -> None:
    """Its rows belong to the table, its files to somebody else."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file.csv").write_text("8\n")
    (tmp_path / "plain/link").symlink_to(tmp_path / "other")
    assert "is a link to a folder" in failing(session, "INSERT OVERWRITE plain VALUES (1)")
    assert (tmp_path / "other/file.csv").exists()


def test_errors_call_the_table_by_its_name(session: flowsql.Session, tmp_path: Path) -> None:
    """As an INSERT INTO does."""
    (tmp_path / "taken").write_text("")
    session.execute(
        "CREATE TABLE taken (a INT) "
        "WITH ('connector' = 'filesystem', 'path' = 'taken', 'format' = 'csv')"
    )
    assert 'is a file (table "taken")' in failing(session, "INSERT OVERWRITE taken VALUES (1)")
