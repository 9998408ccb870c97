"""What surrounds a job fails: each time a message with its cure, and nothing is lost afterwards."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob
from tests.recovery.jobs.market import Market
from tests.recovery.jobs.zygote import Zygote

GIVE_UP = ("-D", "restart-strategy.type=none")


class Stand:
    """The market with some files in it, and its job."""

    def __init__(self, root: Path, zygote: Zygote) -> None:
        self.market = Market(root)
        self.job = SqlJob(zygote, self.market.file, root / "jobs", "market")
        self._files = 0

    def add(self, files: int) -> None:
        """More input."""
        for _ in range(files):
            self.market.write(self._files)
            self._files += 1

    def read_all(self) -> bool:
        """Whether the newest checkpoint has the whole input."""
        manifest = self.job.manifest()
        return manifest is not None and len(self.market.files("bid")) <= len(
            manifest.sources["default_catalog.default_database.bid"]["position"]["source"][
                "finished"
            ]
        )

    def run(self, *arguments: str) -> str:
        """Read all there is, then stop; gives what was printed."""
        child = self.job.start(*arguments)
        self.job.until(child, self.read_all)
        self.job.stop(child)
        return child.text

    def refused(self, *arguments: str, **faults: object) -> str:
        """Run to a failure; gives what was printed."""
        child = self.job.run(*arguments, **faults)
        assert child.code == 1, child.text
        assert "InternalError" not in child.text
        assert "Traceback" not in child.text
        return child.text

    def check(self) -> None:
        """Every row once."""
        assert self.market.sales() == self.market.expected_sales()
        mark = self.market.final_watermark()
        assert self.market.per_minute() == self.market.expected_per_minute(mark)

    def newest(self) -> Path:
        """The folder of the newest checkpoint."""
        return self.job.store.path(self.job.store.numbers()[-1])


@pytest.fixture
def stand(tmp_path: Path, zygote: Zygote) -> Iterator[Stand]:
    """With ten files read."""
    made = Stand(tmp_path, zygote)
    made.add(10)
    made.run()
    yield made
    if zygote.child is not None:
        zygote.child.kill()


def test_a_full_disk(stand: Stand) -> None:
    """The job fails with its cure; once there is room, it goes on."""
    disk = stand.job.jobs
    mount(disk, "600k")
    try:
        stand.add(60)
        text = stand.refused(*GIVE_UP)
        assert 'of job "market": no space left on device' in text
        assert f'Hint: Free space on the disk of "{stand.job.folder}' in text
        assert "'execution.checkpointing.dir'" in text
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert "resuming from checkpoint" in stand.run()
        stand.check()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_heals(stand: Stand) -> None:
    """By default the job tries again until there is room."""
    disk = stand.job.jobs
    mount(disk, "600k")
    try:
        stand.add(60)
        child = stand.job.start("-D", "restart-strategy.exponential-delay.initial-backoff=50 ms")
        stand.job.until(child, lambda: child.text.count("restarting in") >= 2)
        assert "no space left on device" in child.text
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        stand.job.until(child, stand.read_all)
        stand.job.stop(child)
        stand.check()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def mount(folder: Path, size: str) -> None:
    """A small disk in the place of a folder, with what stands there; skips where not allowed."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("this user may not mount a small disk")
    shutil.copytree(kept, folder, dirs_exist_ok=True)


KINDS = ("create", "write", "fsync", "replace", "link", "remove", "mkdir", "rmdir", "fsync_dir")
PLACES = ("/jobs/", "/sales/", "/per_minute/")


def test_a_disk_that_refuses_anything(stand: Stand) -> None:
    """Whatever is refused, first or later: an error for the user, and then every row once."""
    failed = 0
    untold = []
    for number, kind in enumerate(KINDS):
        for place in PLACES:
            for spared in (0, 7):
                stand.add(2)
                reason = errno.ENOSPC if (number + spared) % 2 else errno.EACCES
                fail = (kind, place, reason, spared)
                child = stand.job.start(*GIVE_UP, fail=fail)
                # Not every place knows every operation, nor so many of them.
                stand.job.run_until(child, stand.read_all)
                if child.code:
                    failed += 1
                    told = (
                        child.code == 1
                        and "InternalError" not in child.text
                        and os.strerror(reason).lower() in child.text.lower()
                        and "Hint:" in child.text
                    )
                    if not told:
                        untold.append((fail, child.text))
    stand.add(1)
    stand.run()
    stand.check()
    stand.job.check_tidy()
    assert failed >= 12
    assert not untold, "\n".join(f"{f}: {t[-700:]}" for f, t in untold)


def test_lost_permission(stand: Stand) -> None:
    """The folder is named, and the right that is missing."""
    stand.add(3)
    text = stand.refused(*GIVE_UP, fail=("create", "/checkpoints/", errno.EACCES, 2))
    assert 'of job "market": permission denied' in text
    assert f'Hint: Give this user the right to write to "{stand.job.store.folder}' in text
    stand.run()
    stand.check()


def flip(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    """The second half is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "what", "detail"),
    [
        (flip, "is damaged", "Detail: Its SHA-256 is "),
        (truncate, "is damaged", "bytes, "),
        (Path.unlink, "is missing", ""),
    ],
)
def test_a_damaged_checkpoint(
    stand: Stand, damage: Callable[[Path], None], what: str, detail: str
) -> None:
    """The file is named, nothing starts; with the file again as it was, nothing is lost."""
    stand.add(5)
    for name in ("*.rows*.arrow", "*left_rows*.arrow", "*.arrow"):
        victims = sorted(stand.newest().glob(name))
        if victims:
            break
    before = victims[0].read_bytes()
    damage(victims[0])
    sales = stand.market.sales()
    text = stand.refused()
    assert f'StateError: checkpoint file "{victims[0]}" {what}' in text
    assert detail in text
    older = re.search(r'Hint: Go on with --from "([^"]+)"', text)
    if older is not None:
        # The targets got nothing since then: it does what the hint says.
        shutil.copytree(older[1], aside := stand.market.root / "aside")
        shutil.rmtree(older[1])
        text = stand.refused()
    assert "Hint: Bring back the folder from a copy. To begin anew, empty " in text
    marker = stand.market.root / "sales" / ".flowsql"
    assert f'"{marker}/' in text
    assert "and run with --fresh; or give the job another 'pipeline.name'" in text
    assert stand.market.sales() == sales
    if older is not None:
        stand.run("--from", str(aside))
    else:
        victims[0].write_bytes(before)
        stand.run()
    stand.check()


@pytest.mark.parametrize("damage", [flip, truncate])
def test_a_damaged_manifest(stand: Stand, damage: Callable[[Path], None]) -> None:
    """It decides, so it is checked like the rest."""
    stand.add(5)
    manifest = stand.newest() / "manifest.json"
    before = manifest.read_bytes()
    damage(manifest)
    assert f'StateError: checkpoint file "{manifest}" is damaged' in stand.refused()
    manifest.write_bytes(before)
    stand.run()
    stand.check()


def test_a_newer_format(stand: Stand) -> None:
    """Both versions are named."""
    manifest = stand.newest() / "manifest.json"
    before = manifest.read_bytes()
    outer = json.loads(before)
    outer["manifest"]["version"] = 2
    text = json.dumps(outer["manifest"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    outer["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    manifest.write_text(json.dumps(outer))
    text = stand.refused()
    assert f'checkpoint "{stand.newest()}" has format 2, this version reads 1' in text
    assert "Hint: Restore it with the version of flowsql that wrote it, or a later one." in text
    manifest.write_bytes(before)
    stand.add(2)
    stand.run()
    stand.check()


def test_another_jobs_checkpoint(stand: Stand, tmp_path: Path, zygote: Zygote) -> None:
    """What differs is told, and nothing of either job is touched."""
    other = Stand(tmp_path / "other", zygote)
    other.market.file.write_text(
        other.market.file.read_text().replace("'market'", "'other'").replace("= 10", "= 9")
    )
    other.job.name = "other"
    other.add(2)
    other.run()
    text = stand.refused("--from", str(other.newest()))
    assert (
        f'checkpoint "{other.newest()}" is of job "other", whose statement is another one than '
        'that of job "market"'
    ) in text
    number = stand.job.store.numbers()[-1]
    assert f"Hint: Without --from it goes on from checkpoint {number}." in text
    stand.add(2)
    stand.run()
    stand.check()


def test_no_checkpoint_at_all(stand: Stand, tmp_path: Path) -> None:
    """A folder without one; and one of Apache Flink."""
    (tmp_path / "flink").mkdir()
    (tmp_path / "flink" / "_metadata").write_bytes(b"\x49\x60\x60\x72")
    for path in (tmp_path / "flink", tmp_path / "nowhere"):
        text = stand.refused("--from", str(path))
        assert f'there is no checkpoint at "{path}"' in text
        assert "Hint: Name the folder that holds manifest.json." in text
        flink = "Detail: It holds a checkpoint of Apache Flink, which cannot be read." in text
        assert flink is (path.name == "flink")
    text = stand.refused("--from", str(stand.job.store.folder))
    assert f"It has the checkpoints {stand.newest().name}" in text or ", chk-" in text


def test_a_changed_statement(stand: Stand) -> None:
    """The difference and its cures; the cures hold what they say."""
    stand.add(3)
    old = stand.market.file.read_text()
    stand.market.file.write_text(old.replace("a.category = 10", "a.category = 9"))
    text = stand.refused()
    assert 'the statement of job "market" is not the one its checkpoint was taken with' in text
    assert f'Detail: Checkpoint "{stand.newest()}": ' in text
    assert "10" in text.partition("Detail:")[2]
    assert "Hint: Run the old statement to go on. To begin anew, empty " in text
    # Begin anew: refused as well, as the targets hold rows of the job.
    text = stand.refused("--fresh")
    assert 'sales" holds rows of job "market" up to checkpoint' in text
    assert "and the job would start anew" in text
    assert "give the job another 'pipeline.name'" in text
    stand.market.file.write_text(old)
    assert "resuming from checkpoint" in stand.run()
    stand.check()
    # And what the hint says works: the targets emptied, with their markers.
    text = stand.refused("--fresh")
    number = stand.job.store.numbers()[-1]
    assert f"Hint: Without --fresh it goes on from checkpoint {number}. To begin anew, " in text
    for table in ("sales", "per_minute"):
        shutil.rmtree(stand.market.root / table)
    before = stand.job.manifest()
    child = stand.job.start("--fresh")
    stand.job.until(child, lambda: stand.job.manifest().run != before.run and stand.read_all())
    stand.job.stop(child)
    assert "this is a new run, as --fresh asks" in child.text
    stand.check()


def test_a_statement_that_is_only_written_otherwise(stand: Stand) -> None:
    """Blanks, comments and the order of tables are no change."""
    stand.add(3)
    text = stand.market.file.read_text()
    text = text.replace("WHERE a.category", "-- only some\n    where   a.category")
    stand.market.file.write_text(text)
    assert "resuming from checkpoint" in stand.run()
    stand.check()


def test_behind_the_sink(stand: Stand, tmp_path: Path) -> None:
    """Going back would double rows: both checkpoints are named; the newest is taken."""
    old, kept = stand.newest(), tmp_path / "kept"
    shutil.copytree(old, kept)
    number = stand.job.store.numbers()[-1]
    stand.add(30)
    stand.run()
    text = stand.refused("--from", str(kept))
    assert 'holds rows of job "market" up to checkpoint' in text
    assert f"and the job would go back to checkpoint {number} of run" in text
    assert f'Detail: The checkpoint is "{kept}".' in text
    number = stand.job.store.numbers()[-1]
    assert f"Hint: Without --from it goes on from checkpoint {number}. To begin anew, " in text
    stand.add(2)
    assert "resuming from checkpoint" in stand.run()
    stand.check()


def test_from_a_path(stand: Stand, tmp_path: Path) -> None:
    """A copy of the last checkpoint is enough, though the job's folder is lost."""
    shutil.copytree(stand.newest(), tmp_path / "kept")
    shutil.rmtree(stand.job.folder)
    # Without it the job would begin anew, which would double every row.
    text = stand.refused()
    assert "and the job would start anew" in text
    assert "Hint: If there is a copy of checkpoint " in text
    assert " or a later one, go on with --from PATH. To begin anew, empty " in text
    stand.add(3)
    assert f'at "{tmp_path / "kept"}"' in stand.run("--from", str(tmp_path / "kept"))
    stand.add(3)
    assert str(stand.job.store.folder) in stand.run()
    stand.check()


def test_a_second_process(stand: Stand) -> None:
    """It is told who runs the job, and disturbs nothing."""
    child = stand.job.start()
    socket = stand.job.folder / "control.sock"
    stand.job.until(child, socket.exists)
    second = subprocess.run(
        [sys.executable, "-m", "flowsql.cli.main", "run", str(stand.market.file)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert second.returncode == 1, second.stderr
    assert f'StateError: job "market" is already running in process {child.pid}' in second.stderr
    stop = f'"flowsql stop market --dir {stand.job.jobs}"'
    assert f"Hint: Stop it with {stop}, or give this one another" in second.stderr
    stand.add(3)
    stand.job.until(child, stand.read_all)
    stand.job.stop(child)
    stand.check()


def test_a_target_that_refuses_the_commit(stand: Stand) -> None:
    """What was prepared is in the checkpoint, and comes with the next start."""
    stand.add(3)
    text = stand.refused(*GIVE_UP, fail=("replace", "/sales/.flowsql/", errno.EACCES, 0))
    assert f'could not commit files to "{stand.market.root / "sales"}": Permission denied' in text
    assert "Hint: Trying again is safe." in text
    stand.run()
    stand.check()
