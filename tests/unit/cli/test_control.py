"""`flowsql status` and `flowsql stop` over a folder of jobs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import flowsql
from flowsql.checkpoint import load
from flowsql.cli.main import main
from tests.unit.library.feeds import SCHEMA, rows


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Holds a job that waits for more, one that is finished, and one that was stopped."""
    jobs = tmp_path / "jobs"
    held = threading.Event()

    def items() -> Iterator[pa.RecordBatch | None]:
        yield rows((1, 2), (3, 4))
        while not held.wait(0.02):
            yield None

    with flowsql.connect({"execution.checkpointing.dir": str(jobs)}) as session:
        session.execute("CREATE TABLE b (k BIGINT, n BIGINT) WITH ('connector' = 'blackhole')")
        session.from_arrow("t", rows((1, 2)))
        session.from_changes("held", SCHEMA, items())
        session.execute("SET 'pipeline.name' = 'done'")
        session.execute("INSERT INTO b SELECT k, v FROM t").wait(60)
        session.execute("SET 'pipeline.name' = 'halted'")
        session.execute("CREATE TABLE g (k BIGINT) WITH ('connector' = 'datagen')")
        halted = session.execute("INSERT INTO b SELECT k, k FROM g")
        halted.checkpoint(10)
        halted.stop()
        halted.wait(60)
        session.execute("SET 'pipeline.name' = 'here'")
        job = session.execute("INSERT INTO b SELECT k, COUNT(*) FROM held GROUP BY k")
        while job.status().get("step", 0) < 1:
            assert not job.wait(0.01)
        yield jobs
        job.stop()
        held.set()


def test_status_of_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What runs with its operators, and what does not with what a start would do."""
    assert main(["status", "--dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"done: finished at \S+Z  in 1  out 1  checkpoint 1  a start begins a new run", lines[0]
    )
    assert re.fullmatch(
        r"halted: stopped at \S+Z  in \d+  out \d+  a start goes on from checkpoint \d+", lines[1]
    )
    assert lines[2].startswith("here: running  in 2 (")
    assert lines[3].split() == ["tables", "connector", "phase", "splits", "rows"]
    assert lines[4].split()[0] == "held"
    operators = lines[5:]
    assert operators[0].split() == [
        "operator",
        "rows",
        "in",
        "rows",
        "out",
        "state",
        "p50",
        "ms",
        "p99",
        "ms",
    ]
    assert operators[1].split()[:4] == ["Scan", "held", "2", "2"]
    assert lines[-1].split()[:4] == ["Sink", "b", "2", "2"]
    assert len({len(line) for line in operators}) == 1


def test_status_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each job; of a job that runs, all that is known."""
    assert main(["status", "--dir", str(folder), "--json"]) == 0
    found = {s["job"]: s for s in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {"done", "halted", "here"} == set(found)
    assert [found[j]["state"] for j in ("done", "halted", "here")] == [
        "finished",
        "stopped",
        "running",
    ]
    assert found["done"]["rows_in"] == 1
    assert found["done"]["resumes_from"] is None
    assert found["halted"]["resumes_from"] == found["halted"]["checkpoint"]["number"]
    assert (found["done"]["pid"], found["halted"]["pid"]) == (None, None)
    assert found["here"]["rows_in"] == 2


def test_status_of_a_job_that_is_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is named shows what its operators did; that nobody runs it is no error."""
    assert main(["status", "done", "--dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("done: finished at ")
    assert lines[2].split()[:4] == ["Scan", "t", "1", "1"]
    assert main(["status", "done", "--dir", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"


def test_status_of_a_job_that_was_killed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an earlier attempt said last is not taken for its end."""
    record = json.loads((folder / "halted" / "job.json").read_text())
    record["attempt"] += 1
    (folder / "halted" / "job.json").write_text(json.dumps(record))
    assert main(["status", "halted", "--dir", str(folder)]) == 0
    number = max(int(p.name[4:]) for p in (folder / "halted" / "checkpoints").glob("chk-*"))
    assert capsys.readouterr().out == (
        "halted: lost, its process ended without a word  "
        f"a start goes on from checkpoint {number}\n"
        f"log: {folder / 'halted' / 'job.log'}\n"
    )
    (folder / "halted" / "job.json").write_text("{")
    assert main(["status", "halted", "--dir", str(folder)]) == 0
    assert f'"{folder}/halted/job.json" is damaged' in capsys.readouterr().out


def test_a_savepoint(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a name of its own, with a given one, and at the end."""
    assert main(["savepoint", "here", "--dir", str(folder)]) == 0
    kept = Path(capsys.readouterr().out.strip())
    assert kept.parent == folder / "here" / "savepoints"
    load(kept).check()
    mine = tmp_path / "mine"
    assert main(["savepoint", "here", str(mine), "--dir", str(folder)]) == 0
    assert capsys.readouterr().out == f"{mine}\n"
    load(mine).check()
    assert main(["savepoint", "here", str(mine), "--dir", str(folder)]) == 1
    assert capsys.readouterr().err == (
        f'StateError: savepoint folder "{mine}" is not empty\nHint: Name a new folder.\n'
    )
    last = tmp_path / "last"
    assert main(["stop", "here", "--savepointPath", str(last), "--dir", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"\nsavepoint: {last}\n")
    # The job's own checkpoints came and went.
    assert load(kept).manifest.checkpoint < load(last).manifest.checkpoint
    assert main(["savepoint", "here", "--dir", str(folder)]) == 1
    assert 'job "here" is not running' in capsys.readouterr().err


def test_a_stop_whose_savepoint_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is over, and that there is no savepoint is told."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    path = str(tmp_path / "full")
    assert main(["stop", "here", "--savepointPath", path, "--dir", str(folder)]) == 1
    assert f'savepoint folder "{path}" is not empty' in capsys.readouterr().err
    assert main(["status", "here", "--dir", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("here: stopped at ")


def test_stop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is over when the command is."""
    assert main(["stop", "here", "--dir", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("here: stopped  in 2  out 2  checkpoint ")
    assert main(["stop", "here", "--dir", str(folder)]) == 1
    assert capsys.readouterr().err == (
        'StateError: job "here" is not running\n'
        f'Hint: Its folder is "{folder}/here"; start it with "flowsql run".\n'
    )


def test_a_job_that_is_not_there(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nearest name, or the names there are, or where to look."""
    assert main(["status", "her", "--dir", str(folder)]) == 1
    assert capsys.readouterr().err == (
        f'StateError: job "her" is not in "{folder}"\nHint: Did you mean "here"?\n'
    )
    assert main(["stop", "zzz", "--dir", str(folder)]) == 1
    assert "Hint: Jobs there: done, halted, here." in capsys.readouterr().err
    empty = tmp_path / "empty"
    assert main(["stop", "x", "--dir", str(empty)]) == 1
    assert "--dir names the folder of execution.checkpointing.dir." in capsys.readouterr().err
    assert main(["status", "--dir", str(empty), "--json"]) == 0
    assert ("", f'there is no job in "{empty}"\n') == tuple(capsys.readouterr())
