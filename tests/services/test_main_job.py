"""The main job over a real server that is written to all the time, with everything dying.

Orders joined with products into an Iceberg table by key, payments counted by the minute into files.
In the end the table, read by DuckDB, is the query over the server's tables; the files are it for
every minute that is over; nothing came late; and nobody's leftovers lie about.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recovery.jobs.kills import kill_at_each, kill_often
from tests.recovery.jobs.zygote import Zygote
from tests.services.fixtures import started
from tests.services.main_job import NAME, MainJob
from tests.services.others import OtherWriters
from tests.services.plague import LOST, Plague, PlaguedJob, again_until
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

_ALL = bool(os.environ.get("FLOWSQL_TEST_ALL"))
# Each has a server and a table of its own.
_VERSIONS = (12, 14, 15, 17, 18) if _ALL else (15,)
_KILLS = int(os.environ.get("FLOWSQL_MAIN_JOB_KILLS") or (100 if _ALL else 20))
_ROUNDS = 2 if _ALL else 1  # of a kill at each named point
_SEED = int(os.environ.get("FLOWSQL_SEED") or 6)
_RESTARTS = 4
_CUTS = 8
_RATE = 2_000  # transactions a second
_LEAST = 1_000 if _ALL else 0  # of them that are made unless others keep the machine busy
_ORDERS = 20_000 if _ALL else 4_000  # from the beginning
_LONGEST = 1.0 if _ALL else 0.4  # seconds of a run that is killed at no named moment


_FILE = ("create", "write", "fsync")
# What every run does sooner or later, and where.
_COMMONLY = {
    "/jobs": (*_FILE, "fsync_dir", "replace", "link", "remove", "mkdir", "rmdir"),
    "order_lines/data": (*_FILE, "fsync_dir"),
    "order_lines/metadata": (*_FILE, "replace", "fsync_dir"),
    "/revenue": (*_FILE, "replace", "fsync_dir"),
}
# The same, one kind of file apart from another.
_EXACTLY = {
    "main/job.json:1": (*_FILE, "replace"),
    "main/spool:1": ("rmdir", "mkdir"),
    "main/checkpoints": (*_FILE, "fsync_dir", "replace", "link", "remove", "mkdir", "rmdir"),
    "order_lines/data": (*_FILE, "fsync_dir"),
    "order_lines/metadata*.avro": _FILE,
    "order_lines/metadata*.unfinished": (*_FILE, "replace"),
    "order_lines/metadata": ("fsync_dir",),
    "/revenue*.parquet": (*_FILE, "replace"),
    "/revenue*/committed.json": (*_FILE, "replace"),
    "/revenue": ("fsync_dir",),
}
# After one is before the next, nearly.
_SIDES = ("before", "after") if _ALL else ("before",)
_POINTS = [
    *(f"{side}-{kind}" for kind in ("prepare", "commit", "acknowledge") for side in ("before", "after")),
    *(
        f"{side}-{kind}@{part}"
        for part, kinds in (_EXACTLY if _ALL else _COMMONLY).items() for kind in kinds for side in _SIDES
    ),
]  # fmt: skip
# A start removes what a run has left that died before its file was whole.
_LEFT = {
    "before-fsync@order_lines/data": "remove@order_lines/data:1",
    "before-fsync@/revenue": "remove@/revenue:1",
    "before-fsync@/revenue*.parquet": "remove@/revenue:1",
    "before-replace@order_lines/metadata*.unfinished": "remove@order_lines/metadata:1",
}
# What happens once: the folders and the table are made.
_BORN = [
    f"{side}-{what}:1"
    for what in (
        "mkdir@/jobs", "mkdir@/lake", "mkdir@/lake", "mkdir@/lake",
        *(f"{kind}@order_lines/metadata" for kind in (*_FILE, "replace")),
        "mkdir@/revenue", "mkdir@/revenue", "mkdir@/revenue",
    )
    for side in _SIDES
]  # fmt: skip
# What is held back while the tables are read for the first time.
_AMID = [
    f"{side}-{what}:1"
    for what in (
        *(f"{kind}@main/pending" for kind in _FILE), "link@main/pending", "remove@main/pending",
    )
    for side in _SIDES
]  # fmt: skip


def _in_some_order(chance: random.Random) -> list[str]:
    """All points."""
    found = []
    for point in chance.sample(_POINTS, len(_POINTS)):
        found.append(point)
        if point in _LEFT:
            found += [f"{side}-{_LEFT[point]}" for side in ("before", "after")]
    return found


class _World:
    """A shop, what befalls its server, and the job.

    Args:
        interval: between checkpoints.
        restarts, cuts: what befalls the server.
    """

    def __init__(
        self,
        folder: Path,
        server: PostgresServer,
        proxy: CuttingProxy,
        zygote: Zygote,
        *,
        interval: str,
        restarts: int = 0,
        cuts: int = 0,
    ) -> None:
        self.shop = MainJob(folder, server, proxy.port, orders=_ORDERS, interval=interval)
        kills = _KILLS + _ROUNDS * len(_POINTS)
        self.plague = Plague(
            server, proxy, kills=kills, restarts=restarts, cuts=cuts, longest=_LONGEST
        )
        self.others: OtherWriters | None = None
        self.job = PlaguedJob(self.plague, zygote, self.shop.file, self.shop.jobs, NAME)

    def close(self) -> None:
        """Whatever happened."""
        if self.others is not None:
            self.others.close()
        self.shop.close()
        self.plague.close()


MakeWorld = Callable[..., _World]


@pytest.fixture(params=_VERSIONS)
def make_world(
    tmp_path: Path, request: pytest.FixtureRequest, zygote: Zygote
) -> Iterator[MakeWorld]:
    """Makes one, on a server of its own, which restarts."""
    with (
        started(request.param) as server,
        CuttingProxy(server.port) as proxy,
        contextlib.ExitStack() as stack,
    ):

        def make(**options: Any) -> _World:
            made = _World(tmp_path, server, proxy, zygote, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.timeout(600 + 20 * _KILLS)
def test_whatever_dies_when(make_world: MakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """Both results are exact, and nothing else is left."""
    world = make_world(interval="200 ms", restarts=_RESTARTS, cuts=_CUTS)
    shop, job = world.shop, world.job
    chance = random.Random(_SEED)
    shop.start_trading(_RATE)
    # Each is there once.
    first = kill_at_each(job, [*_BORN, *_AMID] if _ALL else [], chance, forgiven=LOST)
    how: dict[str, Any] = {"longest": _LONGEST, "patient": 0.8, "forgiven": LOST}
    early = kill_often(job, _KILLS // 3, chance, **how)
    # The rest of them die while only the log is read.
    again_until(job, job.start(), job.has_snapshot).kill()
    points = [p for _ in range(_ROUNDS) for p in _in_some_order(chance)]
    named = kill_at_each(job, points, chance, forgiven=LOST)
    late = kill_often(job, _KILLS - _KILLS // 3, chance, **how)
    world.plague.left_alone.set()
    child = again_until(job, job.start(), world.plague.over.is_set)
    made, seconds, watermark = shop.stop_trading()
    # What befell the server last may end a run that was about to start.
    child = again_until(job, child, lambda: shop.watermark() == watermark)
    status = shop.status()
    job.stop(child)
    lines, minutes = shop.check_lines(), shop.check_revenue(watermark)
    shop.check_tidy()
    job.check_tidy()
    assert {status[n] for n in ("late_rows", "orphan_retractions", "bad_records")} == {0}
    # One run more, which ends event time.
    child = job.start()
    job.until(child, lambda: shop.watermark() == watermark)
    job.stop(child, drain=True)
    assert shop.check_lines() == lines
    assert shop.check_revenue(None) > minutes
    shop.check_tidy()
    job.check_tidy()
    with capsys.disabled():
        kills = first.kills + early.kills + named.kills + late.kills
        print(
            f"\n{made} transactions, {made / seconds:.0f} a second; {kills} kills, "
            f"{dict(world.plague.faults)}; {shop.described()}; {lines} order lines, {minutes} minutes;"
            f" at {first.kills} points of the beginning; {early}; then at {len(set(points))} points;"
            f" then {late}"
        )
    assert made / seconds >= _LEAST or os.getloadavg()[1] > 4 * (os.cpu_count() or 1)


@pytest.mark.timeout(600 + 20 * _KILLS)
def test_others_write_the_table(make_world: MakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """They overwrite, compact, append, delete and expire between any two checkpoints."""
    # Others come first every now and then.
    world = make_world(interval="2 s")
    shop, job = world.shop, world.job
    shop.start_trading(_RATE // 4)
    again_until(job, job.start(), job.has_snapshot).kill()
    others = world.others = OtherWriters(shop.lake.folder, 3 * _ROUNDS, _SEED)
    chance = random.Random(_SEED)
    record = kill_often(job, _KILLS // 4, chance, longest=2.0, patient=0.8)
    child = job.start()
    job.until(child, others.are_done, 600)
    told = others.told()
    shop.stop_trading()
    # What they took from the job comes back with its next change.
    watermark = shop.touch(told.deleted)
    job.until(child, lambda: shop.watermark() == watermark, 300)
    job.stop(child)
    assert set(told.done.values()) == {3 * _ROUNDS}
    theirs = Counter(tuple(row) for row in told.rows)
    lines = shop.check_lines(theirs)
    snapshots = shop.described()
    # What cannot be right is refused, and goes on once it is mended.
    child = job.start()
    job.until(child, lambda: shop.watermark() == watermark)
    key = shop.put_one_row_too_many()
    shop.touch([(key, key)])
    assert child.wait(60) == 1, child.text
    assert f'table "order_lines" holds several rows with one key: ({key})' in child.text
    assert "Delete the rows that are too many, and let one job alone write a key." in child.text
    shop.take_it_back(key)
    child = job.start()
    watermark = shop.close_shop()
    job.until(child, lambda: shop.watermark() == watermark)
    job.stop(child)
    assert shop.check_lines(theirs) == lines
    shop.check_tidy("main_")
    job.check_tidy()
    with capsys.disabled():
        print(f"\n{told.done}, {told.late} times too late; {lines} rows, {snapshots}; {record}")
