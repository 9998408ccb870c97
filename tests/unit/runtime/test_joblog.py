"""The log file in a job's folder."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from flowsql.cli.main import main
from flowsql.config import EngineSettings, RestartStrategy
from flowsql.errors import ConnectorError
from flowsql.runtime.joblog import JobLog, LogFile
from flowsql.runtime.log import Line
from tests.recovery.toys import Numbers, Parts
from tests.unit.runtime.bench import Bench, endless, until

NOW = RestartStrategy("fixed-delay", 3, 1, 1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Empty."""
    return Bench(tmp_path)


def written(bench: Bench) -> list[str]:
    """The messages, without time, job and place."""
    lines = (bench.jobs / "sums" / "job.log").read_text().splitlines()
    return [re.sub(r'^\S+Z job "sums": | \[.*\]$', "", line) for line in lines]


def test_each_attempt_and_the_end(bench: Bench) -> None:
    """With process, run and checkpoint; later runs write behind it."""
    job = bench.run(Numbers(2000))
    begun, *_, over = written(bench)
    assert re.fullmatch(
        r"attempt 1 of run \w{8} starts at the beginning, by flowsql \S+ in process \d+", begun
    )
    assert re.fullmatch(r"finished: 2000 rows in, \d+ out", over)
    path = bench.jobs / "sums" / "job.log"
    assert job.status()["log"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    last = path.read_text().splitlines()[-1]
    assert re.search(r"\[step \d+, checkpoint \d+\]$", last)
    bench.run(Numbers(2000))
    assert written(bench)[0] == begun
    assert len([line for line in written(bench) if line.startswith("finished")]) == 2


def test_who_stops_it(bench: Bench) -> None:
    """By hand, and how it ended then."""
    bench.stop_after(endless(), 300, drain=True)
    asked = written(bench).index("asked to stop and drain")
    assert written(bench)[asked + 1].startswith("finished: ")
    job = bench.job(endless()).start()
    until(lambda: job.status()["state"] == "running")
    job.stop_with_savepoint(bench.folder / "kept")
    assert "asked to stop with a savepoint" in written(bench)
    assert written(bench)[-1].startswith("stopped: ")


def test_restarts_and_errors_in_full(bench: Bench) -> None:
    """The reason of each restart, and the whole text of the last error."""
    target = Parts(bench.out)
    target.fail_commits = 10
    with pytest.raises(ConnectorError):
        bench.run(endless(2000), target=target, restart=NOW)
    said = written(bench)
    assert sum(line.startswith("attempt ") for line in said) == 4
    assert sum(line.startswith("restarting in 0.0 s: could not commit") for line in said) == 3
    failed = next(i for i, line in enumerate(said) if line.startswith("failed after "))
    assert said[failed + 1] == "ConnectorError: could not commit: the target is away"
    assert said[failed + 2].startswith("Detail: Not restarted, though")


def test_lines_as_objects_and_by_level(bench: Bench) -> None:
    """As `log.format` and `log.level` say, whoever listens."""
    bench.run(Numbers(2000), log_format="json", log_level="debug")
    path = bench.jobs / "sums" / "job.log"
    said = [json.loads(line) for line in path.read_text().splitlines()]
    keys = ["time", "level", "job", "step", "checkpoint", "message"]
    assert all(list(line) == keys and line["job"] == "sums" for line in said)
    assert any(line["message"].endswith(" ms") for line in said if line["level"] == "debug")
    path.unlink()
    bench.run(Numbers(2000), log_level="error")
    assert not path.exists()
    bench.run(Numbers(2000), log_level="debug", log_files=0)
    assert not path.exists()
    assert bench.job(Numbers(10)).status()["log"] is None


def test_older_lines_move_on_and_are_forgotten(tmp_path: Path) -> None:
    """An entry is never cut."""
    for files in (1, 3):
        folder = tmp_path / str(files)
        folder.mkdir()
        log = LogFile(folder / "job.log", 25, files)
        for number in range(10):
            log.write(f"{number}" * 9)
        log.write("long " * 10)
        log.close()
        log.write("never")
        found = {p.name: p.read_text().split() for p in folder.iterdir()}
        assert found.pop("job.log") == ["long"] * 10
        kept = {"job.log.1": ["8" * 9, "9" * 9], "job.log.2": ["6" * 9, "7" * 9]}
        assert found == (kept if files == 3 else {})


def test_a_disk_that_takes_no_line(bench: Bench) -> None:
    """The job goes on without."""
    (bench.jobs / "sums" / "job.log").mkdir(parents=True)
    assert bench.run(Numbers(2000)).status()["state"] == "finished"


def test_secrets_are_masked(tmp_path: Path) -> None:
    """For who listens as in the file, in an error too."""
    heard: list[Line] = []
    log = JobLog(
        "sums",
        EngineSettings(),
        heard.append,
        masked=lambda text: text.replace("sesame", "'******'"),
        place=lambda: (3, None),
    )
    log.open(tmp_path)
    log.say("could not connect with sesame")
    log.ends("failed", ConnectorError("could not go on: sesame"), {"rows_in": 5})
    log.close()
    (line,) = heard
    assert line.message == "could not connect with '******'"
    said = (tmp_path / "job.log").read_text()
    assert (
        "failed after 5 rows in, 0 out [step 3]\nConnectorError: could not go on: '******'" in said
    )
    assert "sesame" not in said


def test_status_of_a_failed_job_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that fails before it begins leaves nothing, this neither."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("1\n0\n")
    Path("job.sql").write_text(
        "CREATE TABLE src (a INT) WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv');"
        "CREATE TABLE dst (a INT) WITH ('connector' = 'print'); INSERT INTO dst SELECT 6 / a FROM src;"
    )
    assert main(["run", "job.sql"]) == 1
    capsys.readouterr()
    assert main(["status", "job-1"]) == 0
    log = tmp_path / ".flowsql/job-1/job.log"
    assert f"log: {log}" in capsys.readouterr().out.splitlines()
    assert "division by zero" in log.read_text().lower()
    Path("in.csv").unlink()
    assert main(["run", "job.sql", "-D", "pipeline.name=other"]) == 3
    assert not Path(".flowsql/other").exists()
