"""Where a job starts, what it says of it, and what it refuses with which cure."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowsql.checkpoint import load
from flowsql.errors import StateError
from tests.recovery.toys import (
    Numbers,
    Parts,
    committed_changes,
    expected_sums,
    fold,
)
from tests.unit.runtime.bench import Bench, endless, until


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Empty."""
    return Bench(tmp_path)


def test_a_stopped_job_resumes(bench: Bench) -> None:
    """Where it was; every row once."""
    bench.stop_after(endless(), 500)
    job = bench.run(Numbers(5000, size=100))
    assert job.status()["state"] == "finished"
    assert job.status()["attempt"] == 2
    assert any(e.startswith("resuming from checkpoint") for e in bench.events)
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


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


def has_committed(bench: Bench, number: int) -> bool:
    """Whether the target has rows of a checkpoint or a later one, as the newest manifest tells."""
    # Older checkpoints are removed at any moment.
    with contextlib.suppress(StateError):
        newest = bench.store().load(bench.store().numbers()[-1]).manifest
        return any(known >= number for known in newest.committed.values())
    return False


def test_going_back_behind_the_target_is_refused(bench: Bench) -> None:
    """Both checkpoints are named."""
    # It does not run out of rows, however late the savepoint is taken.
    job = bench.job(endless(1_000_000, pause=0.002)).start()
    until(lambda: job.status().get("rows_in", 0) >= 300)
    old = job.savepoint(bench.folder / "save", 60)
    number = load(old).manifest.checkpoint
    until(lambda: has_committed(bench, number + 1))
    job.stop()
    job.wait(60)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000), recovery_path=old)
    assert f"and the job would go back to checkpoint {number} of run" in caught.value.message
    assert str(old) in (caught.value.detail or "")


def test_a_savepoint_starts_a_job_elsewhere(bench: Bench, tmp_path: Path) -> None:
    """Its folder is enough: state, positions, and rows not yet committed."""
    job = bench.job(endless(), checkpoint_interval=0).start()
    until(lambda: job.status().get("rows_in", 0) >= 500)
    save = job.savepoint(tmp_path / "save", 20)
    job.stop()
    job.wait(60)
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
    job.wait(60)
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
        saved = load(kept).manifest.checkpoint
        left = [p for n, p in zip(numbers, paths, strict=True) if saved <= n < number]
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
    # What is offered must not double the other job's rows.
    assert (caught.value.hint or "").endswith(
        'To begin anew, empty "parts" together with what it knows of the job and run with --fresh; '
        "or give the job another 'pipeline.name' and another target."
    )
    elsewhere = Parts(bench.folder / "elsewhere")
    bench.events.clear()
    bench.run(Numbers(5000, size=100), job_id="more", recovery_path=aside, target=elsewhere)
    number = load(aside).manifest.checkpoint
    assert bench.events == [
        f'resuming from checkpoint {number} at "{aside}", which job "sums" took'
    ]


def test_rows_of_other_jobs_are_told(bench: Bench) -> None:
    """Whoever adds to what a target holds is told whose rows these are, however it begins."""
    bench.run(Numbers(100))
    assert bench.events == []
    said = 'its rows are ADDED to those that "parts" holds of job "sums"'
    bench.stop_after(endless(), 300, job_id="more", fresh=True)
    assert bench.events == [said]
    bench.events.clear()
    bench.run(Numbers(5000, size=100), job_id="more")
    (resumed,) = bench.events
    assert resumed.startswith("resuming from checkpoint ")
    bench.events.clear()
    bench.run(Numbers(100))
    (again,) = bench.events
    assert again.endswith(
        ': all input is read again, and its rows are ADDED to those that "parts" holds of jobs '
        '"more" and "sums"'
    )


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
