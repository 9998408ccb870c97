"""A server that restarts in every way, and connections that are cut, while jobs are killed."""

from __future__ import annotations

import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from tests.recovery.jobs.kills import SqlJob
from tests.recovery.jobs.zygote import Child, Zygote
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

__all__ = ["LOST", "Plague", "PlaguedJob", "again_until"]

# What a run may end with by itself: it was reading the snapshot when the server went away.
LOST = (
    r"server \S+ (cannot be reached|does not answer|ended the (connection|reading of a table)"
    r"|has let go of the snapshot)"
)


class Plague:
    """Restarts and cuts in any order: one with every other run of a job, and some behind all runs.

    Args:
        server: restarts.
        proxy: its connections are cut.
        kills: how many runs of the job there will be, at least.
        restarts: of the server.
        cuts: of connections, every other one in the middle of a message, most likely.
        longest: seconds at most between the start of a run and what happens to it.

    Attributes:
        faults: how often what has happened.
        over: all of it has.
        left_alone: set from outside: no run is waited for any more.
    """

    def __init__(
        self,
        server: PostgresServer,
        proxy: CuttingProxy,
        *,
        kills: int,
        restarts: int,
        cuts: int,
        longest: float,
    ) -> None:
        self.faults: Counter[str] = Counter()
        self.over = threading.Event()
        self.left_alone = threading.Event()
        self._server, self._proxy = server, proxy
        self._kills, self._restarts, self._cuts = kills, restarts, cuts
        self._longest = longest
        self._runs = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._be_plagued)
        self._thread.start()

    def note_run(self) -> None:
        """One more was started."""
        self._runs += 1

    def close(self) -> None:
        """Nothing happens any more."""
        self._closed.set()
        self._thread.join()

    def _be_plagued(self) -> None:
        chance = random.Random(5)
        ways = ["fast", "immediate", "kill"]
        faults = [ways[i % 3] for i in range(self._restarts)] + ["cut"] * self._cuts
        chance.shuffle(faults)
        early = len(faults) * 2 // 3
        for number, fault in enumerate(faults):
            due = 1 + number * self._kills // early if number < early else sys.maxsize
            while self._runs < due and not self.left_alone.is_set():
                if self._closed.wait(0.02):
                    return
            if self._closed.wait(chance.uniform(0, self._longest) if number < early else 0.6):
                return
            if fault != "cut":
                self._server.restart(fault)
            elif number % 2:
                self._proxy.cut()
            else:
                self._proxy.cut_after(chance.randrange(100_000))
            self.faults[fault] += 1
        self.over.set()
        # A server ends with the thread that started it.
        self._closed.wait()


class PlaguedJob(SqlJob):
    """Reads in a process of its own, as it does by itself, and in that of the engine in turns."""

    def __init__(self, plague: Plague, zygote: Zygote, file: Path, jobs: Path, name: str) -> None:
        super().__init__(zygote, file, jobs, name)
        self._plague = plague
        self._readers = cycle(["process", "thread"])

    def start(self, *arguments: str, **faults: object) -> Child:
        self._plague.note_run()
        return super().start("-D", f"pipeline.reader={next(self._readers)}", *arguments, **faults)

    def has_snapshot(self) -> bool:
        """Whether a checkpoint was taken behind the snapshot."""
        manifest = self.manifest()
        return manifest is not None and all(s["consistent"] for s in manifest.sources.values())


def again_until(job: SqlJob, child: Child, reached: Callable[[], bool]) -> Child:
    """Wait until `reached()`; a run that lost the server amid the snapshot is followed by another."""
    end = time.monotonic() + 600
    while not reached():
        assert time.monotonic() < end, child.text
        if child.wait(0.05) is not None:
            assert re.search(LOST, child.text), child.text
            child = job.start()
    return child
