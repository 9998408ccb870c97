"""A job's life: start, stop, resume, restart, refuse; and what it says meanwhile."""

from __future__ import annotations

import errno
import json
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import flowsql
from flowsql.checkpoint import load
from flowsql.config import EngineSettings, RestartStrategy
from flowsql.connector import FileOperation, observe_files
from flowsql.errors import ConnectorError, StateError
from flowsql.runtime.control import request
from flowsql.runtime.execution import Execution
from flowsql.runtime.folder import JobFolder
from flowsql.runtime.job import Job
from flowsql.runtime.metrics import NAMES
from tests.recovery.toys import (
    KnownPlan,
    Numbers,
    Parts,
    committed_changes,
    expected_sums,
    fold,
    job_plan,
)
from tests.unit.runtime.bench import Bench, FullDisk, endless, until

NOW = RestartStrategy("fixed-delay", 3, 1, 1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Empty."""
    return Bench(tmp_path)


def test_a_job_folder_is_private(bench: Bench) -> None:
    """Nobody else reads state or speaks to the job."""
    bench.run(Numbers(100))
    folders = [p for p in (bench.jobs / "sums").rglob("*") if p.is_dir()]
    assert len(folders) >= 4
    assert {stat.S_IMODE(p.stat().st_mode) for p in [*folders, bench.jobs / "sums"]} == {0o700}


def test_a_drained_job_is_finished(bench: Bench) -> None:
    """What is stopped with --drain does not go on."""
    bench.stop_after(endless(), 300, drain=True)
    record = json.loads((bench.jobs / "sums" / "job.json").read_text())
    assert record["finished"]
    manifest = bench.store().load(bench.store().numbers()[-1]).manifest
    assert manifest.finished
    assert manifest.operators["agg"]["reached"] == (1 << 63) - 1


def test_a_reader_that_hangs_is_left_behind(bench: Bench) -> None:
    """Its source says how long the end of a job waits for it."""

    class Hanging(Numbers):
        patience = 0.05

        def __init__(self) -> None:
            super().__init__(1000, size=100, pause=0.0, bounded=False)
            self.go = threading.Event()

        def open_source(self, *arguments: Any) -> Any:
            source = super().open_source(*arguments)
            opened = source.open

            def open_reader(splits: Any) -> Any:
                reader = opened(splits)
                poll = reader.poll

                def hang(*limits: Any) -> Any:
                    if self.polls >= 5:
                        self.go.wait(60)
                    return poll(*limits)

                reader.poll = hang
                return reader

            source.open = open_reader
            source.patience = 0.05
            return source

    source = Hanging()
    job = bench.job(source).start()
    until(lambda: job.status().get("rows_in", 0) >= 400)
    job.stop()
    assert job.wait(60)
    source.go.set()
    assert job.status()["state"] == "stopped"
    assert bench.events == ['a reader of "numbers" still waits for its input and is left behind']
    bench.run(Numbers(5000, size=100))
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


def test_a_requested_checkpoint_stays(bench: Bench) -> None:
    """The job's own come and go; a folder for all such can be set."""
    # Where nothing is read no checkpoint is due.
    many = 10**9
    job = bench.job(endless(many, pause=0.002)).start()
    until(lambda: job.status().get("rows_in", 0) >= 100)
    kept = job.checkpoint(20)
    number = load(kept).manifest.checkpoint
    until(lambda: bench.store().numbers()[0] > number)
    job.stop(savepoint=bench.folder / "last")
    assert job.wait(60)
    load(kept).check()
    assert load(bench.folder / "last").manifest.checkpoint == bench.store().numbers()[-1]
    again = bench.job(endless(many), savepoint_dir=bench.folder / "mine").start()
    until(lambda: again.status()["state"] == "running")
    path = again.savepoint(timeout=60)
    assert path.parent == bench.folder / "mine"
    assert path.name == (
        f"savepoint-sums-{load(path).manifest.run}-{load(path).manifest.checkpoint}"
    )
    again.stop()
    assert again.wait(60)


def test_a_failing_reader_is_tried_again(bench: Bench) -> None:
    """From the last checkpoint, as often as the strategy says."""
    source = Numbers(3000, size=50, pause=0.001, fail_at=[20, 45])
    job = bench.run(source, restart=NOW)
    assert job.status()["attempt"] == 3
    # What was mended is no error any more.
    assert job.status()["error"] is None
    assert fold(committed_changes(bench.out)) == expected_sums(3000)
    assert sum("restarting in 0.0 s: could not read numbers" in e for e in bench.events) == 2


def test_too_many_failures_end_the_job(bench: Bench) -> None:
    """The last error is the job's."""
    source = Numbers(3000, size=50, pause=0.001, fail_at=[20, 30, 40, 50, 60])
    with pytest.raises(ConnectorError, match="the server is away"):
        bench.run(source, restart=NOW)


def test_a_failure_before_the_first_step_is_final(bench: Bench) -> None:
    """A mistake in the job is not tried for ever."""
    with pytest.raises(ConnectorError):
        bench.run(Numbers(3000, fail_at=[1]), restart=NOW)
    assert bench.events == []


def test_a_failed_commit_is_made_good(bench: Bench) -> None:
    """The restart commits the tokens of the checkpoint again."""
    target = Parts(bench.out)
    job = bench.job(Numbers(2000, size=50, pause=0.001), target=target, restart=NOW)
    target.fail_commits = 1
    job.run()
    assert job.error is None
    assert job.status()["attempt"] == 2
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_a_failed_checkpoint_keeps_its_rows(bench: Bench) -> None:
    """Tolerated failures lose nothing: the next manifest holds all tokens."""
    disk = FullDisk()
    job = bench.job(endless(2000), tolerable_failed_checkpoints=1000)
    with observe_files(disk):
        job.start()
        until(lambda: disk.refused >= 3)
        assert committed_changes(bench.out) == []
        disk.full = False
        until(lambda: job.status()["rows_in"] == 2000)
        job.stop()
        job.wait(60)
    assert job.status()["checkpoint"]["failed"] >= 3
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_killed_after_failed_checkpoints(bench: Bench) -> None:
    """A restart commits the tokens of all checkpoints that had failed before the one that holds."""
    disk = FullDisk()
    target = Parts(bench.out)
    never = RestartStrategy("none")
    job = bench.job(endless(2000), target=target, tolerable_failed_checkpoints=1000, restart=never)
    with observe_files(disk):
        job.start()
        until(lambda: disk.refused >= 3)
        target.fail_commits = 1
        disk.full = False
        with pytest.raises(ConnectorError):
            job.wait(60)
    tokens = bench.store().load(bench.store().numbers()[-1]).manifest.tokens["sink"]
    assert len(tokens) >= 2
    bench.run(Numbers(2000, size=100))
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_a_full_disk_ends_the_job_with_its_cure(bench: Bench) -> None:
    """By default no failed checkpoint is tolerated."""
    with (
        pytest.raises(StateError, match="could not write checkpoint 1 of job") as caught,
        observe_files(FullDisk()),
    ):
        bench.run(endless(), restart=RestartStrategy("none"))
    assert "no space left on device" in caught.value.message
    assert "'execution.checkpointing.dir'" in (caught.value.hint or "")


def test_lost_permission_is_named(bench: Bench) -> None:
    """The folder and the right that is missing."""

    class Locked(FullDisk):
        def before(self, operation: FileOperation) -> None:
            if operation.path.endswith("manifest.json.tmp"):
                raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(StateError, match="permission denied") as caught, observe_files(Locked()):
        bench.run(endless(), restart=RestartStrategy("none"))
    assert "Give this user the right to write" in (caught.value.hint or "")


def test_a_slow_disk_times_out(bench: Bench) -> None:
    """A checkpoint that takes too long is given up; the rows are in the next."""

    class Slow(FullDisk):
        def before(self, operation: FileOperation) -> None:
            if self.full and operation.path.endswith(".arrow") and operation.kind == "create":
                self.full = False
                time.sleep(1.5)

    job = bench.job(endless(2000), checkpoint_timeout=1000, tolerable_failed_checkpoints=1000)
    with observe_files(Slow()):
        job.start()
        until(lambda: job.status().get("checkpoint", {}).get("failed"))
        until(lambda: job.status()["rows_in"] == 2000)
        job.stop()
        job.wait(60)
    assert job.status()["checkpoint"]["failed"] >= 1
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_sources_hear_of_the_oldest_checkpoint(bench: Bench) -> None:
    """What a retained checkpoint may still need is not let go."""
    source = Numbers(3000, size=50, pause=0.01)
    bench.run(source, num_retained=3)
    heard = [p["splits"].get("numbers-0", {"row": 3000})["row"] for p in source.acknowledged]
    assert heard == sorted(heard)
    oldest = bench.store().load(bench.store().numbers()[0]).manifest.sources["numbers"]["position"]
    assert len(bench.store().numbers()) == 3
    assert source.acknowledged[-1] == oldest


def test_nothing_is_kept_where_it_was_asked_for(bench: Bench) -> None:
    """`delete_on_cancellation`."""
    bench.stop_after(endless(), 300, checkpoint_retention="delete_on_cancellation")
    assert bench.store().numbers() == []


def test_the_socket_shows_and_stops(bench: Bench) -> None:
    """What `flowsql status`, `savepoint` and `stop` do."""
    job = bench.job(endless()).start()
    until(lambda: bench.store().numbers())
    path = JobFolder(bench.jobs, "sums").socket
    shown = request(path, "status", timeout=60)
    assert shown["state"] == "running"
    assert set(shown) <= set(NAMES)
    assert {o["title"] for o in shown["operators"]} >= {"Scan numbers", "GroupAggregate"}
    save = request(path, "checkpoint", savepoint=str(bench.folder / "save"), timeout=60)
    load(Path(save)).check()
    last = request(path, "stop", timeout=60)
    assert last["state"] == "stopped"
    assert job.wait(60)
    assert not path.exists()
    with pytest.raises(StateError, match='job "sums" is not running'):
        request(path, "status", timeout=60)


def test_a_checkpoint_of_a_job_that_is_over(bench: Bench) -> None:
    """Nobody waits in vain."""
    job = bench.run(Numbers(100))
    with pytest.raises(StateError, match='job "sums" is over'):
        job.checkpoint(1)


def test_killed_between_the_last_manifest_and_its_commit(bench: Bench) -> None:
    """The finished checkpoint's rows are committed, and the job is finished without reading."""
    target = Parts(bench.out)
    job = bench.job(Numbers(2000, size=100), target=target, checkpoint_interval=0)
    target.fail_commits = 1
    job.run()
    assert job.error is not None
    source = Numbers(2000, size=100)
    again = bench.run(source)
    assert source.polls == 0
    assert again.status()["state"] == "finished"
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_many_jobs_side_by_side(bench: Bench) -> None:
    """Each has its own folder and steps."""
    jobs = [
        bench.job(Numbers(1000, size=50), job_id=f"j{i}", target=Parts(bench.folder / f"o{i}"))
        for i in range(4)
    ]
    for job in jobs:
        job.start()
    for i, job in enumerate(jobs):
        assert job.wait(60)
        assert fold(committed_changes(bench.folder / f"o{i}")) == expected_sums(1000)
    left = {t.name for t in threading.enumerate() if t.name.startswith(("reader", "job j"))}
    assert left == set()


def test_a_stop_between_two_attempts(bench: Bench) -> None:
    """Nobody waits for the server to come back; that rows are not kept is no success."""
    source = Numbers(3000, size=50, pause=0.001, bounded=False)
    job = bench.job(source, restart=RestartStrategy("fixed-delay", 3, 60_000, 60_000)).start()
    until(bench.store().numbers)
    source.fail_at += range(source.polls + 1, source.polls + 1000)
    until(lambda: job.status()["state"] == "restarting")
    with pytest.raises(StateError) as caught:
        job.stop()
    assert caught.value.message == (
        'job "sums" was stopped without a last checkpoint: could not read numbers: the server is '
        "away"
    )
    newest = bench.store().numbers()[-1]
    assert caught.value.detail == (
        f'The next start goes on from checkpoint {newest} at "{bench.store().path(newest)}", and '
        "reads again what came after it."
    )
    with pytest.raises(StateError, match="was stopped without a last checkpoint"):
        job.wait(60)
    assert job.status()["state"] == "failed"
    bench.run(Numbers(3000, size=50))
    assert fold(committed_changes(bench.out)) == expected_sums(3000)


def test_a_stop_on_a_full_disk(bench: Bench) -> None:
    """Why there is no last checkpoint, where the next start goes on, and the cure."""
    disk = FullDisk()
    disk.full = False
    job = bench.job(endless(), checkpoint_interval=0).start()
    until(lambda: job.status().get("rows_in", 0) >= 300)
    with observe_files(disk):
        disk.full = True
        job.stop()
        with pytest.raises(StateError) as caught:
            job.wait(60)
    assert caught.value.message == (
        'job "sums" was stopped without a last checkpoint: could not write checkpoint 1 of job '
        '"sums": no space left on device'
    )
    assert caught.value.detail == "The next start begins anew: there is no checkpoint."
    assert "Free space on the disk of" in (caught.value.hint or "")


def test_waiting_for_the_first_row_is_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happened that a checkpoint could keep, so none is due, however often they are."""
    looks = []
    step = Execution.step

    def counted(execution: Execution, *, drain: bool = False) -> bool:
        looks.append(1)
        return step(execution, drain=drain)

    monkeypatch.setattr(Execution, "step", counted)
    (tmp_path / "in").mkdir()
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "10 ms",
    }
    with flowsql.connect(config) as session:
        session.execute(
            f"CREATE TABLE a (id INT) WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' ="
            f" '{tmp_path / 'in'}', 'source.monitor-interval' = '10 s');"
            "CREATE TABLE o (id INT) WITH ('connector' = 'blackhole')"
        )
        job = session.execute("INSERT INTO o SELECT * FROM a")
        assert isinstance(job, Job)
        until(lambda: job.status()["state"] == "running")
        time.sleep(0.5)
        before = len(looks)
        time.sleep(0.5)
        assert len(looks) - before < 20
        job.stop()
        job.wait()


def test_a_checkpoint_before_the_first_row(bench: Bench) -> None:
    """A source that is silent keeps nobody waiting, and the job starts from there."""
    job = bench.job(endless(0), checkpoint_interval=0).start()
    path = job.checkpoint(10)
    assert load(path).manifest.step == 0
    job.stop()
    assert job.wait(60)
    bench.run(Numbers(500))
    assert fold(committed_changes(bench.out)) == expected_sums(500)


def test_state_beyond_its_share_ends_the_job(bench: Bench) -> None:
    """The largest table is named, and trying again is no use."""
    with pytest.raises(StateError, match="cannot be kept in memory") as caught:
        bench.run(endless(), memory=1000, restart=NOW)
    assert "of GroupAggregate" in (caught.value.detail or "")
    assert bench.events == []


def test_a_job_without_a_folder(bench: Bench) -> None:
    """Nothing is written but the target."""
    plan = job_plan(Numbers(1000), Parts(bench.out))
    settings = EngineSettings(checkpoint_dir=bench.jobs, checkpoint_interval=5)
    job = Job("sums", plan, settings, persistent=False, codec=KnownPlan(plan.plan))
    job.run()
    assert job.error is None
    assert not bench.jobs.exists()
    assert fold(committed_changes(bench.out)) == expected_sums(1000)
