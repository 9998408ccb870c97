"""What `main_job.py` asks, and how the answers are found, whoever runs the job.

A shop in PostgreSQL; an engine that joins its orders with their products into a table of Iceberg,
keeping it up to date, and sums up its payments by the minute. The engine is asked nothing: what it
has done is read in the table's metadata, what it took in the system's figures for its processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from _postgres import PostgresServer, server
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import StaticTable, Table

from tests.support.iceberg_reader import seconds_by_duckdb

__all__ = ["CHECKPOINT_SECONDS", "SIZES", "Engine", "Shop", "measure", "shop"]

CHECKPOINT_SECONDS: Final = 5
SIZES: Final = {"orders": 2_000_000, "products": 20_000, "payments": 500_000}
_UPDATES_EACH: Final = 1_000  # of one transaction
_TABLES = """
CREATE TABLE products (product_id bigint PRIMARY KEY, name varchar(40), price numeric(10, 2));
CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id bigint, product_id bigint,
  quantity int, status varchar(20), updated_at timestamp(3));
CREATE TABLE payments (payment_id bigint PRIMARY KEY, order_id bigint, amount numeric(10, 2),
  paid_at timestamp(3));
CREATE PUBLICATION shop FOR TABLE products, orders, payments;
"""
_WHOLE = "ALTER TABLE {} REPLICA IDENTITY FULL"
# Factors that have nothing in common with the sizes: neighbours differ, every number comes up.
_ROWS = """
INSERT INTO products SELECT i, 'product number ' || i, (i * 7919 % 90000 + 100) / 100.0
  FROM generate_series(0::bigint, {products} - 1) i;
INSERT INTO orders SELECT i, i * 7927 % 100003, i * 7933 % {products}, i % 9 + 1,
  (ARRAY['placed', 'paid', 'sent', 'given up'])[i % 4 + 1], timestamp '2026-01-01' + i * interval '10 ms'
  FROM generate_series(0::bigint, {orders} - 1) i;
INSERT INTO payments SELECT i, i * 7937 % {orders}, (i * 7949 % 900000 + 100) / 100.0,
  timestamp '2026-01-01' + i * interval '20 ms' FROM generate_series(0::bigint, {payments} - 1) i;
"""
# Far apart, each order once; every transaction writes its rows anywhere in the table.
_UPDATES = """
DO $$ BEGIN
  FOR part IN 0 .. {parts} - 1 LOOP
    UPDATE orders SET status = 'returned', quantity = quantity + 1, updated_at = updated_at + interval '1 day'
      WHERE order_id IN (SELECT (i * 7951::bigint) % {orders}
        FROM generate_series(part * {each}, (part + 1) * {each} - 1) i);
    COMMIT;
  END LOOP;
END $$
"""
_LINES = """
SELECT COUNT(*), SUM(o.quantity * p.price), COUNT(*) FILTER (WHERE o.status = 'returned')
FROM orders o JOIN products p ON o.product_id = p.product_id
"""
_FOUND = "COUNT(*), SUM(total), COUNT(*) FILTER (WHERE status = 'returned')"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.1
_MEMORY_EVERY: Final = 10  # looks, as it takes the system a while
_PATIENCE_SECONDS: Final = 600.0
_READ_SECONDS: Final = 120.0


@dataclass
class Shop:
    """The database.

    Attributes:
        running: its server.
        sizes: rows by table.
    """

    running: PostgresServer
    sizes: dict[str, int]

    def update(self, number: int) -> None:
        """Change so many orders, in transactions of a thousand."""
        parts = number // _UPDATES_EACH
        # The order of a number times a prime: each comes once.
        self.running.execute(
            _UPDATES.format(parts=parts, each=_UPDATES_EACH, orders=self.sizes["orders"])
        )

    @contextlib.contextmanager
    def silent(self, slots: Sequence[str]) -> Iterator[None]:
        """Nothing is sent to anybody while the block changes what is to be read.

        Args:
            slots: of those who read the log; they are waited for.
        """
        asked = "SELECT active_pid FROM pg_replication_slots WHERE active AND slot_name IN ({})"
        statement = asked.format(", ".join(f"'{slot}'" for slot in slots))
        while len(pids := [pid for (pid,) in self.running.execute(statement)]) < len(slots):
            time.sleep(_LOOK_SECONDS)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def result(self) -> tuple[Any, ...]:
        """What the table of order lines must hold: rows, their sum, how many were changed."""
        ((rows, total, returned),) = self.running.execute(_LINES)
        return rows, total, returned


@contextlib.contextmanager
def shop(name: str, sizes: dict[str, int], *, whole: bool = True) -> Iterator[Shop]:
    """The database, with its rows.

    Args:
        name: of the benchmark.
        sizes: rows by table.
        whole: the log holds rows as they were before, too, and not only their keys.
    """
    with server(name) as running:
        running.execute(_TABLES)
        for table in sizes if whole else ():
            running.execute(_WHOLE.format(table))
        for statement in _ROWS.format(**sizes).split(";")[:-1]:
            running.execute(statement)
        for table in sizes:
            running.execute(f"VACUUM (ANALYZE, FREEZE) {table}")
        running.execute("CHECKPOINT")
        yield Shop(running, sizes)


class Engine(ABC):
    """Runs the job.

    Attributes:
        name: for the table of results.
        slots: through which it reads the database's log.
    """

    name: str
    slots: Sequence[str]

    @abstractmethod
    def start(self, running: PostgresServer) -> float:
        """Begin; the time (`time.time`) from which on it counts."""

    @abstractmethod
    def pids(self) -> list[int]:
        """Its processes; their children count as well."""

    @abstractmethod
    def metadata(self) -> str | None:
        """Where the newest metadata of the table of order lines are; None where there is none."""

    @abstractmethod
    def check(self) -> None:
        """Raise where the job has failed."""

    @abstractmethod
    def stop(self) -> None:
        """End the job; its processes are gone afterwards."""


def measure(engine: Engine, world: Shop, updates: int) -> dict[str, str]:
    """Run the job once, from an empty table.

    Returns:
        Answers by question, in order; they are printed on the way.
    """
    answers: dict[str, str] = {}

    def say(question: str, answer: str) -> None:
        answers[question] = answer
        print(f"main_job           {engine.name:<10} {question}: {answer}", flush=True)

    orders = world.sizes["orders"]
    table = _Watched(engine)
    try:
        with _Spending(engine, world.running) as spending:
            began = engine.start(world.running)
            live = table.wait_for(orders)
        say(f"from empty to live, {orders:,} orders", f"{live - began:.1f} s")
        say("its processor time; the server's", str(spending))
        say("memory at most", f"{spending.resident:,.0f} MB")
        say("written by then", table.written())
        before = table.written_rows()
        # Payments may be read for longer, and let it come to rest.
        with world.silent(engine.slots):
            pass
        time.sleep(2 * CHECKPOINT_SECONDS)
        with world.silent(engine.slots):
            world.update(updates)
            changed = time.time()
        with _Spending(engine, world.running) as spending:
            shown = table.wait_for(before + updates)
        say(
            f"{updates:,} updates until the table shows the last",
            f"{shown - changed:.1f} s, {updates / (shown - changed):,.0f} rows/s",
        )
        say("processor time of the updates; the server's", str(spending))
        say("memory at most while updated", f"{spending.resident:,.0f} MB")
        say("written in all", table.written())
        location = engine.metadata()
        assert location is not None
    finally:
        engine.stop()
    try:
        seconds, rows = seconds_by_duckdb(location, _FOUND, patience=_READ_SECONDS)
    except TimeoutError:
        say("read by DuckDB", f"given up after {_READ_SECONDS:.0f} s")
        return answers
    say("read by DuckDB", f"{seconds:.2f} s")
    found, wanted = [str(value) for value in rows[0]], [str(value) for value in world.result()]
    say("as PostgreSQL has it", "yes" if found == wanted else f"no: {found}, not {wanted}")
    return answers


class _Watched:
    """The table of order lines, as its metadata tell of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._location: str | None = None
        self._table: Table | None = None

    def wait_for(self, rows: int) -> float:
        """Until so many rows were added to it in all; when (`time.time`) that was seen."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while self.written_rows() < rows:
            self._engine.check()
            if time.monotonic() > end:
                raise SystemExit(f"{self._engine.name}: {self.written_rows():,} of {rows:,} rows")
            time.sleep(_LOOK_SECONDS)
        return time.time()

    def written_rows(self) -> int:
        """Rows added by all commits but those that arrange files anew."""
        location = self._engine.metadata()
        if location is None:
            return 0
        if location != self._location:
            self._table, self._location = StaticTable.from_metadata(location), location
        assert self._table is not None
        summaries = [s.summary for s in self._table.metadata.snapshots]
        return sum(
            int(s.additional_properties.get("added-records", 0))
            for s in summaries
            if s is not None and s.operation.value != "replace"
        )

    def written(self) -> str:
        """Files and bytes, of what was ever written and is still there."""
        assert self._location is not None
        assert self._table is not None
        kinds: dict[str, list[int]] = {"data": [], "deletes": [], "metadata": []}
        seen: set[str] = set()
        for snapshot in self._table.metadata.snapshots:
            for manifest in snapshot.manifests(self._table.io):
                if manifest.manifest_path in seen:
                    continue
                seen.add(manifest.manifest_path)
                for entry in manifest.fetch_manifest_entry(self._table.io, discard_deleted=False):
                    file = entry.data_file
                    if file.file_path not in seen:
                        seen.add(file.file_path)
                        kind = "data" if file.content == DataFileContent.DATA else "deletes"
                        kinds[kind].append(file.file_size_in_bytes)
        folder = Path(self._location.removeprefix("file:")).parent
        kinds["metadata"] = [p.stat().st_size for p in folder.iterdir() if p.is_file()]
        told = [f"{k} {len(v)} files, {sum(v) / 1e6:.1f} MB" for k, v in kinds.items()]
        return f"{len(self._table.metadata.snapshots)} commits; " + "; ".join(told)


@dataclass
class _Spending:
    """Processor time of an engine and of the server while the block runs, and its memory."""

    engine: Engine
    server: PostgresServer
    resident: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _first: dict[int, float] = field(default_factory=dict)
    _last: dict[int, tuple[str, float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._began = False
        self._look()
        self._began = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __str__(self) -> str:
        spent = {"engine": 0.0, "server": 0.0}
        for pid, (who, seconds) in self._last.items():
            spent[who] += seconds - self._first[pid]
        return f"{spent['engine']:.1f} s; {spent['server']:.1f} s"

    def _watch(self) -> None:
        looks = 0
        while not self._over.wait(_LOOK_SECONDS):
            self._look(with_memory=looks % _MEMORY_EVERY == 0)
            looks += 1
        self._look(with_memory=True)

    def _look(self, *, with_memory: bool = False) -> None:
        resident = 0.0
        for who, roots in (("engine", self.engine.pids()), ("server", [self.server.pid])):
            for pid in _with_children(roots):
                with contextlib.suppress(OSError, ValueError):
                    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
                    fields = text.rpartition(")")[2].split()
                    seconds = (int(fields[11]) + int(fields[12])) / _TICKS
                    # What comes later has spent nothing before.
                    self._first.setdefault(pid, 0.0 if self._began else seconds)
                    self._last[pid] = (who, seconds)
                    if who == "engine" and with_memory:
                        resident += _memory(pid)
        self.resident = max(self.resident, resident)


def _memory(pid: int) -> float:
    """MB of a process; what it shares with others (a fork does) is divided among them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _with_children(pids: Sequence[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                children = (task / "children").read_text().split()
                found += [int(child) for child in children]
    return found
