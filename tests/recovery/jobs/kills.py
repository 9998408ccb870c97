"""Kills a job again and again, at named moments and at random ones, and notes where it died."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowsql.checkpoint import CheckpointStore, Manifest
from flowsql.errors import StateError
from flowsql.runtime.control import request
from flowsql.runtime.folder import JobFolder
from tests.recovery.jobs.zygote import Child, Zygote

MOMENTS = tuple(
    f"{side}-{kind}"
    for kind in (
        "create", "write", "fsync", "replace", "link", "remove", "mkdir", "rmdir", "fsync_dir",
        "prepare", "commit", "acknowledge",
    )
    for side in ("before", "after")
)  # fmt: skip
_OFTEN = ("create", "write", "fsync", "fsync_dir")


@dataclass
class SqlJob:
    """`flowsql run` of one file with one job in it.

    Attributes:
        zygote: forks it.
        file: the statements.
        jobs: `execution.checkpointing.dir`.
        name: the job's id.
        poll_rows: see `Zygote.start`.
    """

    zygote: Zygote
    file: Path
    jobs: Path
    name: str
    poll_rows: int | None = None

    def start(self, *arguments: str, **faults: object) -> Child:
        """`flowsql run`."""
        faults.setdefault("poll_rows", self.poll_rows)
        return self.zygote.start("run", str(self.file), *arguments, **faults)  # type: ignore[arg-type]

    def run(self, *arguments: str, **faults: object) -> Child:
        """`flowsql run`, to its end."""
        return self.zygote.run("run", str(self.file), *arguments, **faults)  # type: ignore[arg-type]

    @property
    def folder(self) -> Path:
        """The job's own."""
        return self.jobs / self.name

    @property
    def store(self) -> CheckpointStore:
        """Its checkpoints."""
        return CheckpointStore(self.folder / "checkpoints")

    def record(self) -> dict[str, Any]:
        """What `job.json` says."""
        found: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        return found

    def manifest(self) -> Manifest | None:
        """That of the newest checkpoint; None where there is none, or it goes this moment."""
        try:
            numbers = self.store.numbers()
            return self.store.load(numbers[-1]).manifest if numbers else None
        except StateError:
            return None

    def stop(self, child: Child, *, drain: bool = False) -> None:
        """What `flowsql stop` does; waits until the child is over."""
        status = self._ask_to_stop(child, drain=drain)
        assert status is not None, child.text
        assert status["state"] == ("finished" if drain else "stopped"), status
        assert child.wait(60) == 0, child.text

    def _ask_to_stop(self, child: Child, *, drain: bool) -> Any:
        """What it said at last; None where it died before."""
        end = time.monotonic() + 60
        while child.wait(0.01) is None:
            # A socket may be there that a dead process has left.
            with contextlib.suppress(StateError):
                return request(
                    JobFolder(self.jobs, self.name).socket, "stop", drain=drain, timeout=60
                )
            assert time.monotonic() < end, child.text
        return None

    def run_until(
        self,
        child: Child,
        reached: Callable[[], object],
        seconds: float = 300,
        *,
        drain: bool = False,
    ) -> None:
        """Wait until `reached()`, and stop the child then, if it did not fail before."""
        end = time.monotonic() + seconds
        while child.wait(0.02) is None and not reached():
            assert time.monotonic() < end, child.text
        self._ask_to_stop(child, drain=drain)
        assert child.wait(60) is not None, child.text

    def until(self, child: Child, reached: Callable[[], object], seconds: float = 400) -> None:
        """Wait until `reached()`, while the child runs."""
        end = time.monotonic() + seconds
        while not reached():
            assert child.wait(0.03) is None, child.text
            assert time.monotonic() < end, child.text

    def check_tidy(self) -> None:
        """Nothing is left but what decides: every checkpoint is whole, no file is a leftover."""
        for kept in self.store.numbers():
            self.store.load(kept).check()
        names = {f"chk-{n}" for n in self.store.numbers()} | {"token-files"}
        assert {p.name for p in self.store.folder.iterdir()} == names
        # What it said of itself is there unless it was killed before it said anything.
        assert {p.name for p in self.folder.iterdir()} - {"status.json", "job.log"} == {
            "lock", "job.json", "checkpoints", "pending", "spool"
        }  # fmt: skip
        for folder in ("pending", "spool"):
            assert list((self.folder / folder).iterdir()) == []
        tokens = {p.name for p in self.store.token_files.iterdir()}
        named = {
            name
            for n in self.store.numbers()
            for pending in self.store.load(n).manifest.tokens.values()
            for token in pending
            for name in token["files"]
        }
        assert tokens <= named


@dataclass
class Record:
    """What the kills hit.

    Attributes:
        kills: how often the job died of one.
        moments: the last moment before each death.
        named: how many died at the moment that was named.
        resumed: the checkpoint that each later run resumed from.
        snapshots: how many of those were taken while a snapshot was being read.
        consistent: the first checkpoint seen that was not.
        failed: how many runs ended by themselves, as they may.
    """

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    named: int = 0
    resumed: list[int] = field(default_factory=list)
    snapshots: int = 0
    consistent: int | None = None
    failed: int = 0

    def note(self, child: Child) -> None:
        """A child died."""
        self.kills += 1
        self.moments[child.moment or "start"] += 1
        found = re.search(r"resuming from checkpoint (\d+)", child.text)
        if found:
            self.resumed.append(int(found[1]))

    def check(self) -> None:
        """The kills were spread, and the runs between them got somewhere."""
        assert len(self.moments) >= min(12, self.kills // 3), self
        assert len(self.resumed) >= self.kills // 3, self
        assert self.resumed == sorted(self.resumed), self
        assert len(set(self.resumed)) >= self.kills // 6, self
        assert self.named >= self.kills // 8, self

    def __str__(self) -> str:
        spread = ", ".join(f"{m} {n}" for m, n in self.moments.most_common())
        return (
            f"{self.kills} kills, {self.named} at a named moment; {len(self.resumed)} runs resumed "
            f"from {len(set(self.resumed))} checkpoints, {self.snapshots} amid a snapshot, {self.failed} failed; "
            f"died at: {spread}"
        )


def kill_at_each(
    job: SqlJob, points: Iterable[str], chance: random.Random, *, forgiven: str | None = None
) -> Record:
    """Start the job for each point, and wait until it dies there.

    Args:
        job: comes to every point again and again, whenever it runs.
        points: see `Faults`; without a number it dies at one of the first times.
        chance: says at which.
        forgiven: a run that fails saying what matches is followed by another.
    """
    record = Record()
    for point in points:
        while True:
            number = "" if ":" in point else f":{chance.choice([1, 1, 1, 2, 3])}"
            child = job.start(kill_at=f"{point}{number}")
            code = child.wait(120)
            if code == 1 and forgiven and re.search(forgiven, child.text):
                record.failed += 1
                continue
            assert code is not None, f"it never came to {point}\n{child.text}"
            assert code == -signal.SIGKILL, f"exit code {code}, waiting for {point}\n{child.text}"
            break
        record.note(child)
        record.named += 1
    return record


def wait_for_progress(child: Child, progress: Callable[[], object], before: object) -> None:
    """Until what it tells is another, or the child is over, or for a while."""
    end = time.monotonic() + 20
    while child.wait(0.005) is None and time.monotonic() < end:
        if progress() != before:
            return


def kill_often(
    job: SqlJob,
    kills: int,
    chance: random.Random,
    *,
    longest: float = 0.4,
    graceful: float = 0.0,
    patient: float = 0.5,
    forgiven: str | None = None,
    progress: Callable[[], object] | None = None,
) -> Record:
    """Start the job and kill it, so many times.

    Every second kill is at a named moment, if the run comes that far in time; the others at a
    random time after its first work, some of them before, a share `patient` behind a checkpoint, or
    behind a change of what `progress()` tells. A share `graceful` of the runs is asked to stop
    first, and killed while it does. A run that fails saying what matches `forgiven` is followed by
    another.
    """
    told = progress or (lambda: max(job.store.numbers(), default=0))
    record = Record()
    moments = list(MOMENTS)
    while record.kills < kills:
        if not moments:
            moments = list(MOMENTS)
        named = None
        if record.kills % 2:
            name = moments.pop(chance.randrange(len(moments)))
            often = name.partition("-")[2] in _OFTEN
            named = f"{name}:{chance.choice([3, 10, 25, 60] if often else [1, 1, 2, 3, 5])}"
        before = job.manifest()
        at = told()
        child = job.start(kill_at=named)
        if chance.random() < 0.1:
            child.wait(chance.uniform(0, 0.05))
        else:
            child.come_to_work()
            # Beside much other work a run takes longer to get anywhere.
            reach = max(longest, min(4.0, longest * child.slowness))
            if named:
                child.wait(2 * reach)
            else:
                if chance.random() < patient:
                    # However slow the machine is, some runs get somewhere.
                    wait_for_progress(child, told, at)
                child.wait(chance.uniform(0, reach))
        if chance.random() < graceful and child.wait(0) is None:
            os.kill(child.pid, signal.SIGTERM)
            child.wait(chance.uniform(0, 0.15))
        itself = child.wait(0) is not None
        child.kill()
        if graceful and child.code == 0:
            continue
        if graceful and child.code == 128 + signal.SIGTERM:  # asked before there was a job
            assert "no job was running" in child.text, child.text
            continue
        if forgiven and child.code == 1 and re.search(forgiven, child.text):
            record.failed += 1
            continue
        ends = {-signal.SIGKILL, -signal.SIGTERM if graceful else None}
        assert child.code in ends, f"exit code {child.code}, killed at {named}\n{child.text}"
        record.named += itself
        record.note(child)
        if before is not None:
            if not all(s["consistent"] for s in before.sources.values()):
                record.snapshots += 1
            elif record.consistent is None:
                record.consistent = before.checkpoint
    return record
