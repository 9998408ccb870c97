"""What a user reads over the life of a job: its start, its failures, its end."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowsql.cli.console import Console
from flowsql.cli.main import main
from flowsql.cli.run import _Stopping
from flowsql.connector import Attempt
from flowsql.errors import ConnectorError, FlowSQLError, Span, SqlError
from flowsql.runtime.execution import Execution
from flowsql.runtime.folder import JobFolder
from flowsql.runtime.measures import Rate
from flowsql.runtime.status import StatusBoard
from flowsql.session import connect

WORDS = """
CREATE TABLE src (a INT) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'csv');
CREATE TABLE dst (a INT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one file to read."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.csv").write_text("1\n2\n")


def run(sql: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, rows, and what was said."""
    Path("job.sql").write_text(sql)
    code = main(["run", "job.sql", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_folder_knows_whose_rows_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Another job that adds to it says so; not once its files are gone, or are replaced."""
    insert = "INSERT INTO dst SELECT a FROM src;"
    assert run(WORDS + insert, capsys)[0] == 0
    other = f"SET 'pipeline.name' = 'o@1';{WORDS}"
    code, _, err = run(other + insert, capsys, "--fresh")
    assert code == 0
    assert 'job "o@1": its rows are ADDED to those that "dst" holds of job "job-1"\n' in err
    third = other.replace("o@1", "third")
    err = run(third + insert, capsys)[2]
    assert 'those that "dst" holds of jobs "job-1" and "o@1"\n' in err
    anew = f"{third.replace('third', 'fourth')}SET 'execution.runtime-mode' = 'batch';"
    assert "ADDED" not in run(anew + insert.replace("INTO", "OVERWRITE"), capsys)[2]
    for path in Path("out").glob("*"):
        if path.is_file():
            path.unlink()
    assert "ADDED" not in run(third.replace("third", "fifth") + insert, capsys)[2]


WATCHED = (
    WORDS.replace("'path' = 'in', ", "'path' = 'in', 'source.monitor-interval' = '50 ms', ")
    + "SET 'execution.checkpointing.interval' = '50 ms';"
)


def until(condition: Callable[[], object]) -> None:
    """Wait for another thread."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_file_that_changed_ends_the_job_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Trying again would not mend it; `status` knows how it ended."""

    def change() -> None:
        with contextlib.suppress(AssertionError):
            until(lambda: any(p.is_file() for p in Path("out").glob("*")))
        with Path("in/a.csv").open("a") as file:
            file.write("3\n")

    threading.Thread(target=change).start()
    strategy = "SET 'restart-strategy.type' = 'exponential-delay';"
    code, _, err = run(strategy + WATCHED + "INSERT INTO dst SELECT a FROM src;", capsys)
    assert code == 1
    assert 'in/a.csv" has changed after it was read, and cannot be read again\n' in err
    assert "restarting in" not in err
    assert (
        "\nNot restarted, though 'restart-strategy.type' is 'exponential-delay': trying again "
        "cannot mend this.\nHint: Its new rows are not read. " in err
    )
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("job-1: failed at ")
    assert "has changed after it was read" in said
    # It fails again when it is opened, and says so, not what an earlier start said.
    code, _, err = run(WATCHED + "INSERT INTO dst SELECT a FROM src;", capsys)
    assert code == 1
    assert "starts, its state is in" not in err
    assert "job-1: not started\n" in err
    record = json.loads(Path(".flowsql/job-1/job.json").read_text())
    status = JobFolder(Path(".flowsql"), "job-1").last_status()
    assert status is not None
    assert (status["state"], status["attempt"]) == ("failed", record["attempt"])
    assert record["attempt"] == 2


def test_a_stop_while_it_waits_to_restart_is_written_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the second attempt did not get as far as its first step."""
    opened, steps = Execution.open, Execution.step
    attempts: list[Execution] = []

    def open_(self: Execution, *arguments: object) -> None:
        attempts.append(self)
        if len(attempts) > 1:
            raise ConnectorError("could not reach the server")
        opened(self, *arguments)  # type: ignore[arg-type]

    def step(self: Execution, **arguments: bool) -> bool:
        if self.step_number > 0:
            raise ConnectorError("could not reach the server")
        return steps(self, **arguments)

    monkeypatch.setattr(Execution, "open", open_)
    monkeypatch.setattr(Execution, "step", step)
    settings = {
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "3",
        "pipeline.name": "w",
    }
    with connect(settings) as session:
        session.execute(WATCHED)
        session.execute("SET 'restart-strategy.fixed-delay.delay' = '10 ms'")
        job = session.execute("INSERT INTO dst SELECT a FROM src")
        with pytest.raises(FlowSQLError) as caught:
            job.wait(60)
    assert len(attempts) == 4
    assert "it was tried again 3 times, and that is the limit" in (caught.value.detail or "")
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("w: failed at ")
    assert "has no checkpoint, a start begins at the beginning  could not reach the server" in said


def test_rates_begin_again_with_an_attempt() -> None:
    """Counters do, and a rate is never below zero."""
    board = StatusBoard("j")
    old = board._rate_in
    old.update(0.0, 100)
    board.begun(Attempt("j", "r", 2))
    assert isinstance(board._rate_in, Rate)
    assert board._rate_in.update(1.0, 0) == 0.0


def test_a_query_says_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error; the status of a job that is over counts it as well."""
    Path("in/a.csv").write_text("1\nx\n2\ny\n")
    skipping = WORDS.replace("'path' = 'in', ", "'path' = 'in', 'scan.bad-record' = 'skip', ", 1)
    code, out, err = run(skipping + "SELECT a FROM src;", capsys)
    assert code == 0
    assert out.endswith("2 rows in set\n")
    assert err.endswith(" left out: 2 records that could not be read ('scan.bad-record')\n")
    assert run(skipping + "INSERT INTO dst SELECT a FROM src;", capsys)[0] == 0
    assert main(["status"]) == 0
    assert "  in 2  out 2  2 bad  " in capsys.readouterr().out


@pytest.mark.parametrize("endless", [False, True])
def test_jobs_in_front_of_a_query_that_fails(
    endless: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that end are waited for, others are stopped; each has its last line."""
    Path("in/a.csv").write_text("x\n")
    source = "VALUES (1), (2)"
    declared = WORDS
    if endless:
        declared += (
            "CREATE TABLE g (id INT) WITH ('connector' = 'datagen', 'rows-per-second' = '9');"
        )
        source = "SELECT id FROM g"
    code, _, err = run(f"{declared}INSERT INTO dst {source}; SELECT a FROM src; SELECT 1;", capsys)
    assert code == 1
    assert 'DataError: a record of table "src" cannot be decoded' in err
    if endless:
        assert 'stopping job "job-1" with a last checkpoint\n' in err
        assert "job-1: stopped  in " in err
    else:
        assert "job-1: finished  in 0  out 2 [step " in err
        rows = "".join(p.read_text() for p in Path("out").glob("*") if p.is_file())
        assert sorted(rows.split()) == ["1", "2"]


def test_a_refused_job_does_not_say_that_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    """The line comes when it has started, in front of the others."""
    insert = "INSERT INTO dst SELECT a FROM src;"
    code, _, err = run(WORDS + insert, capsys, "--from", "latest")
    assert code == 1
    assert "starts, its state is in" not in err
    assert 'has no checkpoint in "' in err
    run(WORDS + insert, capsys)
    lines = run(WORDS + insert, capsys)[2].splitlines()
    assert 'job "job-1" starts, its state is in ".flowsql/job-1"' in lines[0]
    assert 'job "job-1": the last run finished at ' in lines[1]


def test_a_damaged_checkpoint_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """`status` says what a start would say."""
    generated = (
        "CREATE TABLE g (id INT) WITH ('connector' = 'datagen'); CREATE TABLE b (id INT) "
        "WITH ('connector' = 'blackhole')"
    )
    with connect({"pipeline.name": "w"}) as session:
        session.execute(generated)
        session.execute("INSERT INTO b SELECT id FROM g").checkpoint(10)
    store = JobFolder(Path(".flowsql"), "w").store
    manifest = store.path(store.numbers()[-1]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"w"', '"v"', 1))
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert f'  a start is refused: checkpoint file "{manifest}" is damaged\n' in said
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumes_from"] is None


def test_carets_stand_below_their_words_in_a_narrow_terminal() -> None:
    """A line that would wrap is cut on both sides of what is marked."""
    sql = f"SELECT {'a, ' * 40}wrong{', a' * 40} FROM t"
    start = sql.index("wrong")
    error = SqlError("there is no column", span=Span(start, start + 5), sql=sql)
    line, carets = error.text(79).splitlines()[1:3]
    assert len(line) <= 79
    assert line[carets.index("^") : carets.rindex("^") + 1] == "wrong"
    assert len(str(error).splitlines()[1]) > 100


def test_a_hangup_that_comes_behind_the_end_of_its_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who wrote to it found it gone before: all has stopped by then, and well."""
    monkeypatch.setattr("flowsql.cli.run.forget_terminal", lambda: None)
    with connect() as session:
        stopping = _Stopping(session, Console())
        stopping.ask()
        stopping._handle(signal.SIGHUP, None)
        assert stopping.code == 0
        with pytest.raises(KeyboardInterrupt):
            stopping._handle(signal.SIGINT, None)
