"""`log.format` and `log.level`: the lines of a run on standard error."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

import flowsql
from flowsql.cli.main import main
from flowsql.runtime.log import Line
from tests.unit.runtime.bench import Bench, endless, until

TABLES = """
CREATE TABLE src (a INT) WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv');
CREATE TABLE dst (a INT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
SET 'pipeline.name' = 'copy';
SET 'execution.checkpointing.interval' = '0 ms'; -- none but the last
"""
INSERT = "INSERT INTO dst SELECT 6 / a FROM src;"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one file to read."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("1\n2\n")


def run(capsys: pytest.CaptureFixture[str], sql: str, **settings: str) -> tuple[int, list[str]]:
    """Exit code and the lines of standard error; how it does meanwhile a slow machine tells."""
    Path("job.sql").write_text(sql)
    given = [x for k, v in settings.items() for x in ("-D", f"{k.replace('_', '.')}={v}")]
    code = main(["run", "job.sql", *given])
    lines = capsys.readouterr().err.splitlines()
    return code, [x for x in lines if not re.search("copy: (starting|running|stopping)", x)]


def test_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With job, step and checkpoint, of whatever level."""
    code, lines = run(capsys, TABLES + INSERT, log_format="json", log_level="debug")
    assert code == 0
    said = [json.loads(line) for line in lines]
    keys = ["time", "level", "job", "step", "checkpoint", "message"]
    assert all(list(line) == keys for line in said)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", x["time"]) for x in said)
    begun, checkpoint, ended = said
    assert (begun["level"], begun["job"], begun["checkpoint"]) == ("info", "copy", None)
    assert begun["message"].startswith('job "copy" starts')
    assert checkpoint["level"] == "debug"
    assert re.fullmatch(r"checkpoint 1 is complete: \d+ bytes in \d+ ms", checkpoint["message"])
    assert (ended["job"], ended["checkpoint"]) == ("copy", 1)
    assert ended["step"] >= 1
    # What was done before is a warning.
    _, lines = run(capsys, TABLES + INSERT, log_format="json", log_level="warning")
    (again,) = [json.loads(line) for line in lines]
    assert (again["level"], again["job"]) == ("warning", "copy")
    assert again["message"].startswith("the last run finished")


def test_errors_are_objects_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a job, with its place in the statement; and of what never became a job."""
    Path("in.csv").write_text("0\n")
    code, lines = run(capsys, TABLES + INSERT, log_format="json", log_level="error")
    (failed,) = [json.loads(line) for line in lines]
    assert (code, failed["level"], failed["job"]) == (1, "error", "copy")
    assert "INSERT INTO dst SELECT 6 / a FROM src" in failed["message"]
    code, lines = run(capsys, TABLES + "SELECT nothing FROM src;", log_format="json")
    (wrong,) = [json.loads(line) for line in lines]
    assert (code, wrong["level"], wrong["job"]) == (2, "error", None)
    assert "nothing" in wrong["message"]


def test_text_says_where_the_job_is(capsys: pytest.CaptureFixture[str]) -> None:
    """In the file SET does as well; what is not important enough is left out."""
    _, lines = run(capsys, "SET 'log.level' = 'debug';" + TABLES + INSERT)
    complete = r'\S+Z job "copy": checkpoint 1 is complete: \d+ bytes in \d+ ms \[step \d+(, .*)?\]'
    assert re.fullmatch(complete, lines[1])
    assert re.search(r" \[step \d+, checkpoint 1\]$", lines[2])
    assert run(capsys, "SET 'log.level' = 'error';" + TABLES + INSERT) == (0, [])


def test_what_is_no_form(capsys: pytest.CaptureFixture[str]) -> None:
    """The choices are named."""
    code, lines = run(capsys, TABLES, log_format="xml")
    assert code == 2
    assert "log.format" in lines[0]


def test_a_record_of_the_logger_knows_the_job(caplog: pytest.LogCaptureFixture) -> None:
    """For formatters of the program's own."""
    caplog.set_level(logging.DEBUG, "flowsql")
    with flowsql.connect() as session:
        session.execute(TABLES + INSERT).wait(60)
    (record,) = [r for r in caplog.records if "is complete" in r.getMessage()]
    assert (record.job, record.checkpoint) == ("copy", 1)
    assert record.step >= 1
    assert record.getMessage().startswith('job "copy": checkpoint 1 is complete')


def test_a_resumed_job_knows_its_checkpoint(tmp_path: Path) -> None:
    """Before it has taken one of its own."""
    bench = Bench(tmp_path / "bench")
    bench.stop_after(endless(2000), 500)
    taken = max(bench.store().numbers())
    bench.lines.clear()
    job = bench.job(endless(2000)).start()
    until(lambda: bench.lines, 60)
    job.stop()
    assert job.wait(60)
    first = bench.lines[0]
    assert first.message.startswith(f"resuming from checkpoint {taken} ")
    assert (first.job, first.checkpoint) == ("sums", taken)
    assert first.step


def test_further_lines_of_a_text_stay_below() -> None:
    """The place stands behind the first."""
    line = Line("one\ntwo", job="x", step=3)
    assert line.as_text().split(" ", 1)[1] == 'job "x": one [step 3]\ntwo'
