"""A job's life: start, stop, resume, restart, refuse; and what it says meanwhile."""

from __future__ import annotations

import errno
import json
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowsql.checkpoint import CheckpointStore, load
from flowsql.config import EngineSettings, RestartStrategy
from flowsql.connector import FileOperation, observe_files
from flowsql.errors import ConnectorError, StateError
from flowsql.runtime.control import request
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
    sums_plan,
)

NOW = RestartStrategy("fixed-delay", 3, 1, 1)


class Bench:
    """Makes jobs `sums` over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.jobs = folder / "jobs"
        self.events: list[str] = []

    def job(
        self, source: Numbers, *, target: Parts | None = None, fingerprint: str = "sums-1",
        job_id: str = "sums", fresh: bool = False, resume: bool = False, **settings: Any,
    ) -> Job:  # fmt: skip
        plan = job_plan(source, target or Parts(self.out), fingerprint=fingerprint)
        made = {"checkpoint_dir": self.jobs, "checkpoint_interval": 10, "step_max_rows": 300}
        return Job(
            job_id, plan, EngineSettings(**{**made, **settings}), fresh=fresh, resume=resume,
            codec=KnownPlan(sums_plan()), events=self.events.append,
        )  # fmt: skip

    def run(self, source: Numbers, **settings: Any) -> Job:
        """To its end; raises what went wrong."""
        job = self.job(source, **settings)
        job.run()
        if job.error is not None:
            raise job.error
        return job

    def store(self, job_id: str = "sums") -> CheckpointStore:
        return CheckpointStore(self.jobs / job_id / "checkpoints")

    def stop_after(
        self, source: Numbers, rows: int, *, drain: bool = False, **settings: Any
    ) -> Job:
        """Run until so many rows were read and a checkpoint was taken, then stop."""
        job = self.job(source, **settings).start()
        until(lambda: job.status().get("rows_in", 0) >= rows and self.store().numbers())
        job.stop(drain=drain)
        assert job.wait(20)
        return job


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Empty."""
    return Bench(tmp_path)


def endless(total: int = 5000, pause: float = 0.001) -> Numbers:
    """A source that stays open after its last row."""
    return Numbers(total, size=100, pause=pause, bounded=False)


def test_a_stopped_job_resumes(bench: Bench) -> None:
    """Where it was; every row once."""
    bench.stop_after(endless(), 500)
    job = bench.run(Numbers(5000, size=100))
    assert job.status()["state"] == "finished"
    assert job.status()["attempt"] == 2
    assert any(e.startswith("resuming from checkpoint") for e in bench.events)
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


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


def test_a_finished_job_run_again_is_a_new_run(bench: Bench) -> None:
    """INSERT appends again, and nobody overlooks it."""
    bench.run(Numbers(1000))
    first = json.loads((bench.jobs / "sums" / "job.json").read_text())
    assert bench.events == []
    created = bench.store().load(bench.store().numbers()[-1]).manifest.created
    bench.run(Numbers(1000))
    second = json.loads((bench.jobs / "sums" / "job.json").read_text())
    assert first["run"] != second["run"]
    assert second["past"] == [first["run"]]
    assert len(list(bench.out.glob("part-*"))) >= 2
    assert set(fold(committed_changes(bench.out)).values()) == {2}
    (said,) = bench.events
    assert said == (
        f"the last run finished at {created[:19]}Z, so this is a new one: all input is read again, "
        'and its rows are ADDED to those that "parts" got from the last run'
    )


def test_resuming_what_is_finished_is_refused(bench: Bench) -> None:
    """`--from latest`, and the path of the last checkpoint, say what a start would do."""
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(1000), resume=True)
    assert caught.value.message == (
        f'job "sums" has no checkpoint in "{bench.jobs / "sums"}": there is nothing to resume'
    )
    bench.run(Numbers(1000))
    last = bench.store().load(bench.store().numbers()[-1])
    hint = (
        'Without --from a new run begins, which reads all input again and adds its rows to "parts".'
    )
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(1000), resume=True)
    at = f"{last.manifest.created[:19]}Z"
    assert caught.value.message == (
        f'job "sums" is finished since {at}: there is nothing to resume'
    )
    assert caught.value.hint == hint
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(1000), recovery_path=last.folder)
    assert caught.value.message == (
        f'checkpoint "{last.folder}" is the last one of a run that is finished: there is nothing '
        "to go on with"
    )
    assert caught.value.hint == hint
    assert fold(committed_changes(bench.out)) == expected_sums(1000)


def test_a_fresh_start_into_what_it_wrote_is_refused(bench: Bench) -> None:
    """The target knows the job; another name is the cure."""
    bench.stop_after(endless(), 500)
    run = json.loads((bench.jobs / "sums" / "job.json").read_text())["run"]
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), fresh=True)
    assert 'table "parts" holds rows of job "sums" up to checkpoint' in caught.value.message
    assert f'of run "{run}", and the job would start anew' in caught.value.message
    assert "another 'pipeline.name'" in (caught.value.hint or "")
    bench.run(Numbers(100), fresh=True, job_id="other")


def test_going_back_behind_the_target_is_refused(bench: Bench) -> None:
    """Both checkpoints are named."""
    job = bench.job(endless(pause=0.002)).start()
    until(lambda: job.status().get("rows_in", 0) >= 300)
    old = job.savepoint(bench.folder / "save", 20)
    until(lambda: bench.store().numbers()[-1] > load(old).manifest.checkpoint + 1)
    job.stop()
    job.wait(20)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), recovery_path=old)
    number = load(old).manifest.checkpoint
    assert f"and the job would go back to checkpoint {number} of run" in caught.value.message
    assert str(old) in (caught.value.detail or "")


def test_a_savepoint_starts_a_job_elsewhere(bench: Bench, tmp_path: Path) -> None:
    """Its folder is enough: state, positions, and rows not yet committed."""
    job = bench.job(endless(), checkpoint_interval=0).start()
    until(lambda: job.status().get("rows_in", 0) >= 500)
    save = job.savepoint(tmp_path / "save", 20)
    job.stop()
    job.wait(20)
    elsewhere = Bench(tmp_path / "elsewhere")
    elsewhere.run(Numbers(5000, size=100), recovery_path=save, target=Parts(elsewhere.out))
    assert fold(committed_changes(elsewhere.out)) == expected_sums(5000)


def test_a_changed_statement_is_refused(bench: Bench) -> None:
    """With the difference and the cures."""
    bench.stop_after(endless(), 300)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), fingerprint="sums-2")
    assert 'the statement of job "sums" is not the one' in caught.value.message
    assert "sums-1 became sums-2." in (caught.value.detail or "")
    assert "--fresh" in (caught.value.hint or "")


def test_a_damaged_checkpoint_is_refused(bench: Bench) -> None:
    """The file is named; nothing is started."""
    bench.stop_after(endless(), 300)
    folder = bench.store().path(bench.store().numbers()[-1])
    victim = next(p for p in sorted(folder.glob("agg.*.arrow")))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(bytes(data))
    with pytest.raises(StateError, match="is damaged") as caught:
        bench.run(Numbers(5000))
    assert str(victim) in caught.value.message


def test_a_cure_is_offered_where_it_works(bench: Bench) -> None:
    """With the newest checkpoint damaged: an older one, a savepoint, and at last emptied targets."""
    job = bench.job(endless(500, pause=0.0), num_retained=3).start()
    until(lambda: job.status().get("rows_in", 0) == 500 and len(bench.store().numbers()) == 3)
    # All rows are committed: whatever checkpoint is taken from here on holds no token.
    until(lambda: fold(committed_changes(bench.out)) == expected_sums(500))
    kept = job.checkpoint(10)
    job.stop()
    job.wait(20)
    assert kept.parent == bench.jobs / "sums" / "savepoints"
    numbers = bench.store().numbers()
    paths = [bench.store().path(n) for n in numbers]
    for number, path in zip(reversed(numbers), reversed(paths), strict=True):
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text().replace("sums", "sumz", 1))
        with pytest.raises(StateError) as caught:
            bench.run(Numbers(500, size=100))
        newest = paths[-1] / "manifest.json"
        assert caught.value.message == f'checkpoint file "{newest}" is damaged'
        left = [p for n, p in zip(numbers, paths, strict=True) if n < number]
        cure = left[-1] if left else kept
        assert caught.value.hint == (
            f'Go on with --from "{cure}". Targets that are not exactly-once get the rows since '
            "then once more."
        )
    (kept / "manifest.json").unlink()
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(500, size=100))
    anew = (
        'To begin anew, empty "parts" together with what it knows of the job and run with --fresh; '
        "or give the job another 'pipeline.name' and another target."
    )
    assert caught.value.hint == f"Bring back the folder from a copy. {anew}"
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(500, size=100), fresh=True)
    copy = "If there is a copy of checkpoint "
    assert (caught.value.hint or "").startswith(copy)
    assert (caught.value.hint or "").endswith(f"or a later one, go on with --from PATH. {anew}")
    for part in bench.out.iterdir():
        part.unlink()
    bench.run(Numbers(500, size=100), fresh=True)
    assert fold(committed_changes(bench.out)) == expected_sums(500)


def test_a_damaged_record(bench: Bench) -> None:
    """The checkpoints say all that it said."""
    bench.stop_after(endless(), 300)
    path = bench.jobs / "sums" / "job.json"
    path.write_text("{")
    newest = bench.store().path(bench.store().numbers()[-1])
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000))
    assert caught.value.message == f'"{path}" is damaged'
    assert caught.value.hint == f'Remove it and start with --from "{newest}".'
    path.unlink()
    bench.run(Numbers(5000, size=100), recovery_path=newest)
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


def test_a_fresh_start_with_another_statement(bench: Bench) -> None:
    """Going on is possible with the old one only."""
    bench.stop_after(endless(), 300)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), fingerprint="sums-2", fresh=True)
    assert (caught.value.hint or "").startswith(
        'Run the old statement without --fresh to go on. To begin anew, empty "parts"'
    )


def test_another_jobs_checkpoint(bench: Bench) -> None:
    """Whose it is is told; with the same statement it is taken, unless its job went on since."""
    bench.stop_after(endless(), 300)
    taken = bench.store().path(bench.store().numbers()[-1])
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), job_id="more", fingerprint="sums-2", recovery_path=taken)
    assert caught.value.message == (
        f'checkpoint "{taken}" is of job "sums", whose statement is another one than that of job '
        '"more"'
    )
    assert (caught.value.hint or "").startswith('Name a checkpoint or savepoint of job "more".')
    aside = bench.folder / "aside"
    shutil.copytree(taken, aside)
    bench.stop_after(endless(), 600)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), job_id="more", recovery_path=aside)
    assert 'table "parts" holds rows of job "sums" up to checkpoint' in caught.value.message
    elsewhere = Parts(bench.folder / "elsewhere")
    bench.events.clear()
    bench.run(Numbers(5000, size=100), job_id="more", recovery_path=aside, target=elsewhere)
    number = load(aside).manifest.checkpoint
    assert bench.events == [
        f'resuming from checkpoint {number} at "{aside}", which job "sums" took'
    ]


def test_what_a_start_tells(bench: Bench) -> None:
    """Of a run that is left aside, and of one that had no checkpoint yet."""
    bench.stop_after(endless(), 300)
    last = bench.store().numbers()[-1]
    for part in bench.out.iterdir():
        part.unlink()
    bench.stop_after(endless(), 300, fresh=True)
    (said,) = bench.events
    assert said == (
        f"this is a new run, as --fresh asks, checkpoint {last} is left aside: all input is read "
        'again, and its rows are written again to "parts"'
    )
    bench.events.clear()
    for number in bench.store().numbers():
        bench.store().remove(number)
    for part in bench.out.iterdir():
        part.unlink()
    bench.run(Numbers(100))
    assert bench.events == ["beginning again: it ended before its first checkpoint"]


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
                        self.go.wait(20)
                    return poll(*limits)

                reader.poll = hang
                return reader

            source.open = open_reader
            source.patience = 0.05
            return source

    source = Hanging()
    job = bench.job(source).start()
    until(lambda: job.status().get("rows_in", 0) >= 400)
    began = time.monotonic()
    job.stop()
    assert job.wait(4)
    assert time.monotonic() - began < 4
    source.go.set()
    assert job.status()["state"] == "stopped"
    assert bench.events == ['a reader of "numbers" still waits for its input and is left behind']
    bench.run(Numbers(5000, size=100))
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


def test_a_requested_checkpoint_stays(bench: Bench) -> None:
    """The job's own come and go; a folder for all such can be set."""
    job = bench.job(endless(pause=0.002)).start()
    until(lambda: job.status().get("rows_in", 0) >= 100)
    kept = job.checkpoint(20)
    number = load(kept).manifest.checkpoint
    until(lambda: bench.store().numbers()[0] > number)
    job.stop(savepoint=bench.folder / "last")
    assert job.wait(20)
    load(kept).check()
    assert load(bench.folder / "last").manifest.checkpoint == bench.store().numbers()[-1]
    again = bench.job(endless(), savepoint_dir=bench.folder / "mine").start()
    until(lambda: again.status()["state"] == "running")
    path = again.savepoint(timeout=20)
    assert path.parent == bench.folder / "mine"
    assert path.name == (
        f"savepoint-sums-{load(path).manifest.run}-{load(path).manifest.checkpoint}"
    )
    again.stop()
    assert again.wait(20)


def test_one_process_at_a_time(bench: Bench) -> None:
    """The second one is told who runs the job."""
    bench.jobs.mkdir()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from flowsql.runtime.folder import JobFolder\n"
        f"f = JobFolder(Path({str(bench.jobs)!r}), 'sums'); f.open(); print('open', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            with pytest.raises(StateError) as caught:
                bench.run(Numbers(100))
        finally:
            other.kill()
    assert f'job "sums" is already running in process {other.pid}' in caught.value.message
    assert "flowsql stop sums" in (caught.value.hint or "")
    bench.run(Numbers(100))


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


class FullDisk:
    """No manifest can be written while `full`."""

    def __init__(self) -> None:
        self.full = True
        self.refused = 0

    def before(self, operation: FileOperation) -> None:
        if self.full and operation.path.endswith("manifest.json.tmp"):
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def after(self, operation: FileOperation) -> None:
        pass


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
        job.wait(20)
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
            job.wait(20)
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
                time.sleep(0.8)

    job = bench.job(endless(2000), checkpoint_timeout=300, tolerable_failed_checkpoints=5)
    with observe_files(Slow()):
        job.start()
        until(lambda: job.status().get("checkpoint", {}).get("failed"))
        until(lambda: job.status()["rows_in"] == 2000)
        job.stop()
        job.wait(20)
    assert job.status()["checkpoint"]["failed"] >= 1
    assert fold(committed_changes(bench.out)) == expected_sums(2000)


def test_sources_hear_of_the_oldest_checkpoint(bench: Bench) -> None:
    """What a retained checkpoint may still need is not let go."""
    source = Numbers(3000, size=50, pause=0.002)
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
    shown = request(path, "status", timeout=10)
    assert shown["state"] == "running"
    assert set(shown) <= set(NAMES)
    assert {o["title"] for o in shown["operators"]} >= {"Scan numbers", "GroupAggregate"}
    save = request(path, "checkpoint", savepoint=str(bench.folder / "save"), timeout=10)
    load(Path(save)).check()
    last = request(path, "stop", timeout=10)
    assert last["state"] == "stopped"
    assert job.wait(10)
    assert not path.exists()
    with pytest.raises(StateError, match='job "sums" is not running'):
        request(path, "status", timeout=10)


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
        assert job.wait(20)
        assert fold(committed_changes(bench.folder / f"o{i}")) == expected_sums(1000)
    left = {t.name for t in threading.enumerate() if t.name.startswith(("reader", "job j"))}
    assert left == set()


def test_a_stop_between_two_attempts(bench: Bench) -> None:
    """Nobody waits for the server to come back; that rows are not kept is no success."""
    source = Numbers(3000, size=50, pause=0.001, fail_at=[40])
    job = bench.job(source, restart=RestartStrategy("fixed-delay", 3, 60_000, 60_000)).start()
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
        job.wait(10)
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
            job.wait(10)
    assert caught.value.message == (
        'job "sums" was stopped without a last checkpoint: could not write checkpoint 1 of job '
        '"sums": no space left on device'
    )
    assert caught.value.detail == "The next start begins anew: there is no checkpoint."
    assert "Free space on the disk of" in (caught.value.hint or "")


def test_a_checkpoint_before_the_first_row(bench: Bench) -> None:
    """A source that is silent keeps nobody waiting, and the job starts from there."""
    job = bench.job(endless(0), checkpoint_interval=0).start()
    path = job.checkpoint(10)
    assert load(path).manifest.step == 0
    job.stop()
    assert job.wait(10)
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
