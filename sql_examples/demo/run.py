"""`make demo` and `make demo-postgres`: a database's log, joined and windowed, into Iceberg and Parquet.

Three processes: a shop that trades (`shop.py`), in files of changes or, with `--postgres`, in a real
PostgreSQL that this starts; `flowsql run job.sql`, which is killed in the middle and goes on where
it was; and this one, which ends the job and reads what it wrote, in flowsql and without it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import shop
from pyiceberg.catalog import load_catalog

HERE = Path(__file__).parent
FLOWSQL = Path(sys.executable).with_name("flowsql")
# Checkpoints after which the job is killed.
ENOUGH = 3
# Seconds after which a job that should long be there is not waited for any more.
PATIENCE = 60.0

_LINES = """
SELECT o.order_id, p.name AS product, CAST(o.quantity * p.price AS DECIMAL(20, 2)) AS total, o.status
FROM orders AS o JOIN products AS p ON o.product_id = p.product_id
"""
_REVENUE = """
SELECT time_bucket(INTERVAL '1 minute', paid_at) AS window_start, COUNT(*) AS payments, SUM(amount) AS revenue
FROM payments GROUP BY window_start
"""


def main() -> int:
    """Runs the demo; its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", action="store_true", help="a real server, not files")
    parser.add_argument("--seconds", type=float, default=20.0, help="that the shop trades")
    parser.add_argument("--folder", type=Path, help="for all of it, empty; else a new one")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="flowsql-demo-"))
    source = "postgres.sql" if asked.postgres else "files.sql"
    text = (HERE / source).read_text(), (HERE / "job.sql").read_text()
    (folder / "job.sql").write_text("\n".join(text))
    shutil.copy(HERE / "look.sql", folder)
    for table in shop.TABLES:
        (folder / table).mkdir()
    _say(f"A shop trades for {asked.seconds:.0f} seconds. All of it is in {folder}")
    with _database() if asked.postgres else contextlib.nullcontext("") as dsn:
        command = [sys.executable, HERE / "shop.py", folder, str(asked.seconds)]
        with subprocess.Popen([*command, dsn] if dsn else command) as trading:
            code = _run(folder, trading)
    if code == 0:
        _flowsql(folder, "run", "look.sql")
        code = _compare(folder)
    _say(f"When you have seen enough: rm -r {folder}")
    return code


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """A PostgreSQL server with the shop's tables; the job learns of it by the environment."""
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.services import binaries  # noqa: PLC0415 - not for the other demo
    from tests.services.postgres import PostgresServer  # noqa: PLC0415

    try:
        started = PostgresServer(15)
    except binaries.ServerUnavailable as reason:
        sys.exit(f"This needs PostgreSQL 15 (Debian: apt install postgresql-15): {reason}")
    with started as server:
        with server.connect() as connection:
            shop.make_tables(connection)
        os.environ |= {"PG_PORT": str(server.port), "PG_PASSWORD": "secret"}
        yield server.dsn()


def _run(folder: Path, trading: subprocess.Popen[bytes]) -> int:
    """The job, killed once, until the shop has closed and all is written."""
    with _job(folder) as job:
        _wait(job, lambda: _checkpoint(folder) >= ENOUGH)
        if job.poll() is not None:
            return job.returncode
    _say("Killed (kill -9) in the middle of its work.")
    _flowsql(folder, "status")
    with _job(folder) as job:
        trading.wait()
        _wait(job, lambda: _differences(folder, "FROM lines", _LINES)[1] == 0)
        # Windows whose minute is not over are written, too.
        _say("The shop has closed: flowsql stop --drain shop")
        stop = [FLOWSQL, "stop", "--drain", "shop"]
        _wait(job, lambda: _quiet(stop, folder) == 0)
        return job.wait(PATIENCE)


def _wait(job: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
    """Until it is done, the job has ended, or patience has: what is wrong is told by what follows."""
    end = time.monotonic() + PATIENCE
    while job.poll() is None and time.monotonic() < end and not done():
        time.sleep(0.2)


def _quiet(command: list[Path | str], folder: Path) -> int:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode


@contextlib.contextmanager
def _job(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the job; what still runs in the end is killed."""
    _say("$ flowsql run job.sql")
    with subprocess.Popen([FLOWSQL, "run", "job.sql"], cwd=folder) as job:
        try:
            yield job
        finally:
            job.kill()


def _checkpoint(folder: Path) -> int:
    """The number of the last one."""
    found = folder.glob(".flowsql/shop/checkpoints/chk-*/manifest.json")
    return max((int(path.parent.name.removeprefix("chk-")) for path in found), default=0)


def _flowsql(folder: Path, *arguments: str) -> None:
    _say(" ".join(["$ flowsql", *arguments]))
    subprocess.run([FLOWSQL, *arguments], cwd=folder, check=True)


def _compare(folder: Path) -> int:
    """What other programs read, beside the same queries over the shop's own tables."""
    _say("The Iceberg table as pyiceberg reads it, asked in DuckDB:")
    asked = "SELECT status, COUNT(*) AS orders, SUM(total) AS total FROM lines GROUP BY ALL"
    print(_other_programs(folder).sql(asked))
    code = 0
    for what, found, wanted in (
        ("order lines in Iceberg", "FROM lines", _LINES),
        ("minutes in Parquet", "SELECT window_start, payments, revenue FROM revenue", _REVENUE),
    ):
        number, differ = _differences(folder, found, wanted)
        print(f"{number:,} {what}: {differ} differ from that query over the shop's tables")
        code = code or int(differ > 0 or number == 0)
    return code


def _differences(folder: Path, found: str, wanted: str) -> tuple[int, int]:
    """How many rows were found, and how many of them or of those wanted have no counterpart."""
    duck = _other_programs(folder)
    ((number, differ),) = duck.execute(
        f"SELECT (SELECT COUNT(*) FROM ({found})), COUNT(*) FROM"
        f" (({found} EXCEPT ALL {wanted}) UNION ALL ({wanted} EXCEPT ALL {found}))"
    ).fetchall()
    return number, differ


def _other_programs(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB, with what the job wrote and what the shop's tables hold in the end."""
    properties = {
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": f"file://{folder}/warehouse",
    }
    table = load_catalog("demo", type="sql", **properties).load_table("shop.order_lines")
    duck = duckdb.connect()
    duck.register("lines", table.scan().to_arrow())
    for name in shop.TABLES:
        duck.execute(f"CREATE VIEW {name} AS FROM '{folder}/end/{name}.parquet'")
    if any(folder.glob("revenue/*.parquet")):
        duck.execute(f"CREATE VIEW revenue AS FROM '{folder}/revenue/*.parquet'")
    return duck


def _say(text: str) -> None:
    print(f"\n{text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
