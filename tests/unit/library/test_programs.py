"""What a program that opens a session is told, and what its jobs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowsql
from flowsql.library.masking import in_program
from flowsql.runtime.job import Job

TABLES = (
    "CREATE TABLE a (a INT) WITH ('connector' = 'datagen', 'number-of-rows' = '2');"
    "CREATE TABLE b (a INT) WITH ('connector' = 'blackhole');"
)


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("/home/me/orders.py", "orders-1"),
        ("/home/me/orders/__main__.py", "orders-1"),
        ("-c", "flowsql-1"),
        ("", "flowsql-1"),
    ],
)
def test_jobs_are_called_by_the_program(
    argument: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that two programs in one folder are not one job."""
    monkeypatch.setattr("sys.argv", [argument])
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path)}) as session:
        job = session.execute(f"{TABLES} INSERT INTO b SELECT a FROM a")
        assert isinstance(job, Job)
        assert job.wait(60)
        assert job.id == name


def test_a_program_begins_anew_by_an_argument(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it is told to do can be done in it, and is no option of the command line."""
    config = {"execution.checkpointing.dir": str(tmp_path), "pipeline.name": "j"}
    endless = TABLES.replace("'number-of-rows' = '2'", "'rows-per-second' = '1000'")

    def run(column: str, *, fresh: bool) -> None:
        with flowsql.connect(config, fresh=fresh) as session:
            job = session.execute(f"{endless} INSERT INTO b SELECT {column} FROM a")
            assert isinstance(job, Job)
            while job.running and not job.status().get("rows_out"):
                job.wait(0.01)
            job.stop()
            job.wait(60)

    run("a", fresh=False)
    with pytest.raises(flowsql.FlowSQLError) as caught:
        run("a + 1", fresh=False)
    assert "run with flowsql.connect(fresh=True)" in str(caught.value)
    assert "--" not in str(caught.value)
    run("a + 1", fresh=True)
    assert "as flowsql.connect(fresh=True) asks" in caplog.text


def test_words_of_the_command_line() -> None:
    """Each has its counterpart."""
    assert in_program('Go on with --from "/x/chk-3".') == (
        "Go on with SET 'execution.state-recovery.path' = '/x/chk-3'."
    )
    assert in_program("Start with --from PATH, or anew with --fresh.") == (
        "Start with SET 'execution.state-recovery.path' = '…', or anew with "
        "flowsql.connect(fresh=True)."
    )
    assert in_program("Without --from it") == "Without 'execution.state-recovery.path' it"
