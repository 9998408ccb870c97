"""No query shows a state that the database was never in: two sums over two tables tell."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsql
from flowsql.changelog import kind_names
from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.probe import QUERY, TABLES, Pair, Probe, check_paired
from tests.recovery.jobs.zygote import Zygote

KILLS = 100 if os.environ.get("FLOWSQL_TEST_ALL") else 12
MODES = ("consistent", "progressive")
RUNS = [(mode, "thread") for mode in MODES]
if os.environ.get("FLOWSQL_TEST_ALL"):
    RUNS.append(("consistent", "process"))
WANTED = 500


@pytest.fixture
def reader() -> str:
    """Where readers run."""
    return "thread"


@pytest.fixture
def probe(tmp_path: Path, mode: str, reader: str) -> Iterator[Probe]:
    """The bank; nobody writes yet."""
    made = Probe(tmp_path, mode, reader)
    yield made
    made.close()


@pytest.mark.parametrize("mode", MODES)
def test_every_step_of_a_query(probe: Probe, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SELECT gives the sums of commits only; progressive, from consistency on."""
    monkeypatch.setattr("flowsql.runtime.readers._POLL_ROWS", 64)
    probe.start_writer()
    seen: list[tuple[int, str, Pair]] = []
    with flowsql.connect({
        "pipeline.snapshot-output": mode, "pipeline.max-transaction-bytes": "8 kb"
    }) as session:  # fmt: skip
        session.execute(TABLES.format(root=probe.root))
        result = session.execute(QUERY)
        changes = result.changes()
        first = next(changes)
        consistent: list[int] = []
        execution = session._queries[0][0]._execution

        def watch() -> None:
            # Asked in this order: a step of a higher number is one on consistent tables.
            while not all(g.consistent for g in execution.groups):
                time.sleep(0.0005)
            consistent.append(execution.step_number)

        watcher = threading.Thread(target=watch)
        watcher.start()
        good: set[Pair] = set()
        end = time.monotonic() + 400
        last = None
        for batch in itertools.chain([first], changes):
            pairs = list(zip(*(c.to_pylist() for c in batch.batch.columns), strict=True))
            seen += [
                (batch.step, kind, pair)
                for kind, pair in zip(kind_names(batch), pairs, strict=True)
            ]
            if consistent and batch.step > consistent[0]:
                good.update(p for _, k, p in seen[-len(pairs) :] if k[0] == "+")
            if last is None and len(good) > WANTED:
                probe.close()
                last = probe.sums()[-1]
            if last is not None and seen[-1][2] == last:
                break
            assert time.monotonic() < end, seen[-5:]
        watcher.join()
        result.close()
    check_paired([(kind, pair) for _, kind, pair in seen])
    since = -1 if mode == "consistent" else consistent[0]
    pairs = [pair for step, kind, pair in seen if kind[0] == "+" and step > since]
    probe.check(pairs)
    assert len(set(pairs)) >= WANTED
    assert len({step for step, _, _ in seen}) >= WANTED
    if mode == "progressive":
        known = set(probe.sums())
        assert any(pair not in known for step, _, pair in seen if step <= since)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("mode", "reader"), RUNS)
def test_every_step_through_restarts(
    probe: Probe, mode: str, reader: str, zygote: Zygote, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exactly-once sink holds the sums of commits only, whatever died when."""
    job = SqlJob(zygote, probe.file, probe.root / "jobs", "probe", poll_rows=64)
    probe.start_writer()
    # A process takes longer to start, and is to be killed at work.
    longest, kills = (0.6, KILLS) if reader == "thread" else (8.0, KILLS // 2)
    record = kill_often(job, kills, random.Random(11), longest=longest)
    since = 0 if mode == "consistent" else record.consistent
    assert since is not None
    child = job.start()

    def given() -> list[Pair]:
        return [pair for at, kind, pair in probe.log() if kind[0] == "+" and at > since]

    def many() -> bool:
        return len(set(given())) > WANTED + 50

    job.until(child, many)
    probe.close()
    last = probe.sums()[-1]
    job.until(child, lambda: probe.log()[-1][2] == last)
    job.stop(child)
    log = probe.log()
    check_paired([(kind, pair) for _, kind, pair in log])
    pairs = given()
    probe.check(pairs)
    assert len(set(pairs)) >= WANTED
    job.check_tidy()
    with capsys.disabled():
        print(f"\n{len(pairs)} pairs, {len(set(pairs))} distinct, after {since}; {record}")
