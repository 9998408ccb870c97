"""`flowsql` as a process: its signals, streams and exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from flowsql.cli.main import main

FLOWSQL = str(Path(sys.executable).with_name("flowsql"))

GENERATED = """
CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '200');
CREATE TABLE p (id BIGINT) WITH ('connector' = 'print');
CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');
"""
PRINTED = GENERATED + "INSERT INTO p SELECT id FROM g;"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begins `flowsql ARGUMENTS` in the test's folder, with `sql` in job.sql."""
    begun: list[subprocess.Popen[str]] = []

    def start(sql: str, *arguments: str) -> subprocess.Popen[str]:
        (tmp_path / "job.sql").write_text(sql)
        process = subprocess.Popen(
            [FLOWSQL, *(arguments or ("run", "job.sql"))],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def pipe(stream: IO[str] | None) -> IO[str]:
    """The stream, which is there."""
    assert stream is not None
    return stream


def test_a_terminated_job_resumes_and_says_so(start: Start) -> None:
    """SIGTERM takes a last checkpoint; standard output holds rows and nothing else."""
    for number in (1, 2):
        process = start(PRINTED)
        pipe(process.stdout).readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert all(line.startswith("+I[") for line in out.splitlines())
        assert 'job "job-1" starts, its state is in ".flowsql/job-1"' in err
        assert ('job "job-1": resuming from checkpoint' in err) is (number == 2)
        assert "stopping with a last checkpoint" in err
        assert "job-1: stopped" in err


def test_a_terminal_that_is_closed_stops_the_job(tmp_path: Path) -> None:
    """With a last checkpoint: there is no other."""
    (tmp_path / "job.sql").write_text(f"SET 'execution.checkpointing.interval' = '0 ms'; {PRINTED}")
    side, inner = pty.openpty()
    process = subprocess.Popen(
        [FLOWSQL, "run", "job.sql"],
        cwd=tmp_path,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        # It is the only thread's child.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(inner)
    seen = b""
    while b"+I[" not in seen:
        seen += os.read(side, 1 << 16)
    os.close(side)
    assert process.wait(60) == 0
    assert list((tmp_path / ".flowsql/job-1/checkpoints").glob("chk-*/manifest.json"))


@pytest.mark.parametrize("ignored", [False, True])
def test_a_hangup_counts_unless_it_is_ignored(start: Start, ignored: bool) -> None:
    """`nohup` starts a process with the signal ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        process = start(PRINTED)
    finally:
        signal.signal(signal.SIGHUP, before)
    pipe(process.stdout).readline()
    process.send_signal(signal.SIGHUP)
    if ignored:
        for _ in range(100):
            assert pipe(process.stdout).readline().startswith("+I[")
        process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "job-1: stopped" in err


def test_where_to_start(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--from PATH` takes that checkpoint, `--fresh` none."""
    process = start(PRINTED.replace("'200'", "'200', 'number-of-rows' = '300'"))
    pipe(process.stdout).readline()
    process.send_signal(signal.SIGTERM)
    ended = re.search(r"job-1: stopped .* out (\d+) ", process.communicate(timeout=60)[1])
    assert ended is not None
    monkeypatch.chdir(tmp_path)
    # The one that is named would be gone after the next checkpoint.
    Path(".flowsql/job-1/checkpoints/chk-1").rename("kept")
    assert main(["run", "job.sql", "--from", "kept"]) == 0
    out, err = capsys.readouterr()
    assert f'job "job-1": resuming from checkpoint 1 at "{tmp_path}/kept"' in err
    assert out.count("+I[") == 300 - int(ended[1])
    assert main(["run", "job.sql", "--fresh"]) == 0
    out, err = capsys.readouterr()
    assert "resuming" not in err
    assert out.count("+I[") == 300


def test_an_interrupted_stream_is_closed(start: Start) -> None:
    """Ctrl-C ends an endless SELECT with its foot; what stands behind it is not run."""
    process = start(GENERATED + "SELECT id FROM g; SELECT 1;")
    for _ in range(5):
        pipe(process.stdout).readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1].startswith("Received a total of ")
    assert "EXPR$0" not in out


def test_an_interrupted_stream_stops_the_jobs_beside_it(start: Start) -> None:
    """One Ctrl-C is enough for all."""
    process = start(GENERATED + "INSERT INTO b SELECT id FROM g; SELECT id FROM g;")
    for _ in range(5):
        pipe(process.stdout).readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Received a total of" in out
    assert "job-1: stopped" in err


def test_an_interrupted_table_says_so(start: Start) -> None:
    """What there is until then; words and exit code say that it is not all."""
    # Nothing tells that the second query runs: on a slow machine it has not begun so soon.
    for wait in (0.2, 2, 20):
        process = start(
            "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1', "
            "'number-of-rows' = '1000'); SELECT 1; SELECT COUNT(*) AS n FROM g WHERE id IS NULL; "
            "SELECT 2;"
        )
        while "in set" not in pipe(process.stdout).readline():
            pass
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if "no job was running" not in err:
            break
    assert (process.returncode, err) == (130, "")
    assert out in {
        "+---+\n| n |\n+---+\n| 0 |\n+---+\n1 row so far; interrupted, the result is incomplete\n",
        "Empty set so far; interrupted, the result is incomplete\n",
    }


def test_rows_of_a_bounded_query_come_at_once(start: Start) -> None:
    """Where none is taken back they need not wait for the last; widths are the first rows'."""
    process = start(
        "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '5', "
        "'number-of-rows' = '1000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '9', "
        "'fields.id.end' = '5000'); SELECT id, id * 1000 AS t FROM g;"
    )
    seen = []
    while not seen or "12000" not in seen[-1]:
        seen.append(pipe(process.stdout).readline())
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert seen[1].split() == ["|", "id", "|", "t", "|"]
    assert "".join(seen).count("+\n") == 2
    rows = [line for line in [*seen, *out.splitlines()] if re.match(r"\|\s+\d", line)]
    last = out.splitlines()[-1]
    assert last == f"{len(rows)} rows so far; interrupted, the result is incomplete"
    assert process.returncode == 130


def test_a_query_that_fails_on_the_way(start: Start) -> None:
    """Rows that were shown stay, closed by words that say there should be more."""
    process = start(
        "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '5', "
        "'number-of-rows' = '1000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', "
        "'fields.id.end' = '1000'); SELECT 10 / (8 - id) AS q FROM g;"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search(r"\n\d rows? before the error; the result is incomplete\n$", out)
    assert "division by zero" in err


def test_an_endless_query_that_cannot_begin(start: Start) -> None:
    """The reason, without the head of a table that never comes."""
    process = start(
        "CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = 'nowhere', "
        "'format' = 'csv', 'source.monitor-interval' = '1 s'); SELECT a FROM t;"
    )
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert 'nowhere" does not exist' in err


def test_dead_letters_are_no_input(start: Start, tmp_path: Path) -> None:
    """A table that only takes bad records does not make a bounded query an endless one."""
    (tmp_path / "t.csv").write_text("1\nx\n2\n")
    process = start(
        "CREATE TABLE dead (table_name STRING, place STRING, record BYTES, reason STRING) "
        "WITH ('connector' = 'blackhole');"
        "CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = 't.csv', "
        "'format' = 'csv', 'scan.bad-record' = 'dead-letter', "
        "'scan.dead-letter.table' = 'dead'); SELECT a FROM t;"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.fullmatch(
        r"\S+ left out: 1 record that could not be read \('scan.bad-record'\)\n", err
    )
    assert out == "+---+\n| a |\n+---+\n| 1 |\n| 2 |\n+---+\n2 rows in set\n"


def _unread(process: subprocess.Popen[str]) -> int:
    """Bytes that wait in the pipe of what it prints."""
    found = fcntl.ioctl(pipe(process.stdout).fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(found, sys.byteorder)


def test_a_second_interrupt_ends_it_at_once(start: Start) -> None:
    """Even where a step hangs, as on a reader who does not read; the same Ctrl-C twice is one."""
    process = start(PRINTED.replace("'200'", "'1000000'"))
    pipe(process.stdout).readline()
    waiting, before = _unread(process), -1
    while waiting < 32_768 or waiting != before:
        time.sleep(0.2)
        waiting, before = _unread(process), waiting
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (
        pipe(process.stderr).read().endswith("flowsql: ended at once, without a last checkpoint\n")
    )


def test_an_interrupt_delivered_twice_is_one(start: Start) -> None:
    """By a terminal and a process group, say: the last checkpoint is taken all the same."""
    process = start(PRINTED)
    pipe(process.stdout).readline()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "job-1: stopped" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_starts(tmp_path: Path, number: int, code: int) -> None:
    """Modules are loaded, or statements planned: one line and no stack trace."""
    slow = (
        "import sys, threading, os, signal, time\n"
        "from flowsql.cli.main import main\n"
        f"threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), {int(number)})).start()\n"
        "sys.argv[1:] = ['run', '-']\n"
        "sys.exit(main())\n"
    )
    silent, kept_open = os.pipe()
    try:
        for delay in ("0.2", "1.5"):
            done = subprocess.run(
                [sys.executable, "-c", slow, delay],
                cwd=tmp_path,
                stdin=silent,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert (done.returncode, done.stdout) == (code, "")
            assert done.stderr == "flowsql: interrupted, no job was running\n"
    finally:
        os.close(silent)
        os.close(kept_open)


@pytest.mark.parametrize(
    "sql",
    [
        PRINTED,
        GENERATED + "SELECT id FROM g;",
        GENERATED.replace("'200'", "'200', 'number-of-rows' = '100000'") + "SELECT id FROM g;",
    ],
    ids=["job", "endless", "bounded"],
)
def test_a_reader_that_goes_ends_it_well(start: Start, sql: str) -> None:
    """As in `flowsql run job.sql | head -1`."""
    process = start(sql)
    pipe(process.stdout).readline()
    pipe(process.stdout).close()
    assert process.wait(60) == 0
    assert "Error" not in pipe(process.stderr).read()


def test_statements_from_standard_input(start: Start) -> None:
    """`flowsql run -`; a key that Flink knows is noted once, on standard error."""
    process = start("", "run", "-", "-D", "state.backend.type=rocksdb")
    out, err = process.communicate("SET 'state.backend.type' = 'rocksdb';\nSELECT 1 AS n;\n", 60)
    assert out == "+---+\n| n |\n+---+\n| 1 |\n+---+\n1 row in set\n"
    assert err.count("has no effect") == 1
    assert process.returncode == 0


def test_jobs_of_standard_input_are_known_by_their_text(start: Start, tmp_path: Path) -> None:
    """Two different texts are two jobs; the same one goes on where it was, or begins a new run."""
    names = []
    for rows in ("1", "1", "2"):
        process = start("", "run", "-")
        text = PRINTED.replace("'200'", f"'200', 'number-of-rows' = '{rows}'")
        out, err = process.communicate(text, timeout=60)
        assert (process.returncode, out.count("+I[")) == (0, int(rows))
        found = re.search(r'job "(stdin-[0-9a-f]{8}-1)" starts', err)
        assert found is not None
        names.append(found[1])
        assert ("so this is a new one: all input is read again" in err) is (len(names) == 2)
    assert names[0] == names[1] != names[2]
    assert {p.name for p in (tmp_path / ".flowsql").iterdir()} == set(names)


def test_a_refused_start_is_told_once(start: Start) -> None:
    """And what the run before said of itself stands."""
    finite = PRINTED.replace("'200'", "'200', 'number-of-rows' = '3'")
    start(finite).communicate(timeout=60)
    process = start(finite, "run", "job.sql", "--from", "latest")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.count("there is nothing to resume") == 1
    assert "job-1: not started" in err
    assert start(finite, "status").communicate(timeout=60)[0].startswith("job-1: finished at ")


@pytest.mark.parametrize("by", ["signal", "command"])
def test_a_stop_without_a_last_checkpoint_is_a_failure(
    start: Start, tmp_path: Path, by: str
) -> None:
    """While the job waits to restart after a checkpoint that failed: why, and what comes next."""
    settings = {
        "execution.checkpointing.interval": "50 ms",
        "execution.checkpointing.timeout": "0 ms",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.delay": "60 s",
    }
    process = start("".join(f"SET '{k}' = '{v}';" for k, v in settings.items()) + PRINTED)
    err = ""
    while "restarting in 60.0 s" not in err:
        line = pipe(process.stderr).readline()
        assert line, err
        err += line
    told = r"StateError: job \"job-1\" was stopped without a last checkpoint: could not write "
    if by == "signal":
        process.send_signal(signal.SIGINT)
    else:
        done = subprocess.run(
            [FLOWSQL, "stop", "job-1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert re.match(told, done.stderr)
        assert "\nDetail: The next start " in done.stderr
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(re.findall(told, err)) == 1
    assert "\nDetail: The next start " in err


def test_one_failing_job_lets_the_others_end(start: Start) -> None:
    """The exit code is the failure's; every job tells its end."""
    process = start(
        "CREATE TABLE t (a INT, b INT) WITH ('connector' = 'values', 'data' = '[1, 0]');"
        + GENERATED.replace("'200'", "'200', 'number-of-rows' = '60'")
        + "INSERT INTO b SELECT a / b FROM t;\nINSERT INTO p SELECT id FROM g;"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(out.splitlines()) == 60
    assert "job-1: failed" in err
    assert "DataError at 5:22: division by zero" in err
    assert "job-2: finished" in err


def test_other_processes_ask_and_stop(start: Start, tmp_path: Path) -> None:
    """`flowsql status` and `flowsql stop --drain`, by words and by JSON."""
    process = start(PRINTED)
    pipe(process.stdout).readline()

    def ask(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [FLOWSQL, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    code, out, err = ask("status", "job-1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["state"] == "running"
    code, out, _ = ask("stop", "job-1", "--drain")
    assert code == 0
    assert out.startswith("job-1: finished")
    process.communicate(timeout=60)
    assert process.returncode == 0
    code, out, err = ask("status")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"job-1: finished at \S+Z  in \d+  out \d+  checkpoint \d+  a start begins a new run\n", out
    )


def test_a_stack_trace_is_asked_for(start: Start) -> None:
    """With `--debug` only."""
    plain = start("SELECT nope;")
    assert "Traceback" not in plain.communicate(timeout=60)[1]
    debug = start("SELECT nope;", "run", "job.sql", "--debug")
    assert "Traceback" in debug.communicate(timeout=60)[1]
    assert (plain.returncode, debug.returncode) == (2, 2)


def test_a_file_in_place_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command is named."""
    with pytest.raises(SystemExit):
        main(["job.sql"])
    shown = capsys.readouterr().err
    assert shown.endswith("'job.sql' is no command; a file is run by: flowsql run job.sql\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--debug", "run", "x.sql"], "--debug stands behind the command: flowsql run --debug …"),
        (["-D", "a=b", "run", "x.sql"], "-D stands behind the command: flowsql run -D …"),
        (["--format", "csv", "run", "x.sql"], "--format is not for 'run'"),
        (["-e", "SELECT 1", "status"], "-e is not for 'status'"),
    ],
)
def test_an_option_in_front_of_a_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """Where it stands is told, or that the command has none."""
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().err.endswith(f"flowsql: error: {told}\n")
