"""`make demo`: a live job over files that another process keeps writing, then a look at its result.

Three processes: a writer that puts a Parquet file of bids and one of auctions into watched folders
every half second, as an upstream system would; `flowsql run job.sql`; and this one, which stops the
job after a while (`flowsql stop --drain`) and shows what it wrote.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
FLOWSQL = Path(sys.executable).with_name("flowsql")
ITEMS = ("bicycle", "camera", "lamp", "piano", "stamp")
SECONDS = 20
BIDS_A_FILE = 20_000


def write_files(folder: Path, seconds: float) -> None:
    """Writes files until the time is over; one file stands for ten seconds of event time."""
    chance = random.Random(7)
    now = datetime(2026, 1, 1, 10)  # noqa: DTZ001 (event time has no zone)
    stop = time.monotonic() + seconds
    number = 0
    while time.monotonic() < stop:
        ids = range(number * 50, number * 50 + 50)
        auctions = pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "item": [chance.choice(ITEMS) for _ in ids],
                "seller": pa.array([chance.randrange(100) for _ in ids], pa.int64()),
                "category": pa.array([chance.randrange(8, 12) for _ in ids], pa.int64()),
            }
        )
        times = sorted(chance.random() for _ in range(BIDS_A_FILE))
        bids = pa.table(
            {
                "auction": pa.array(
                    [chance.randrange(ids.stop) for _ in times],
                    pa.int64(),
                ),
                "bidder": pa.array([chance.randrange(500) for _ in times], pa.int64()),
                "price": pa.array([chance.randrange(1, 10_000) for _ in times], pa.int64()),
                "channel": [chance.choice(("web", "app")) for _ in times],
                "ts": pa.array(
                    [now + timedelta(seconds=10 * t) for t in times], pa.timestamp("ms")
                ),
            }
        )
        for name, table in (("auction", auctions), ("bid", bids)):
            # A file is seen once it is whole: written under a hidden name, then renamed.
            hidden = folder / name / f".{number:05}.parquet"
            pq.write_table(table, hidden)
            hidden.rename(hidden.with_name(hidden.name[1:]))
        number += 1
        now += timedelta(seconds=10)
        time.sleep(0.5)


def ask(folder: Path, *arguments: str) -> str:
    """What a command says of the running job, below the command."""
    done = subprocess.run(
        [FLOWSQL, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return f"$ flowsql {' '.join(arguments)}\n{done.stdout}{done.stderr}"


def main() -> int:
    """Runs the demo; its exit code."""
    folder = Path(tempfile.mkdtemp(prefix="flowsql-demo-"))
    for table in ("bid", "auction"):
        (folder / table).mkdir()
    print(f"data and results in {folder}; the job runs for {SECONDS} s\n", flush=True)
    with subprocess.Popen([sys.executable, __file__, "--write", folder]) as writer:
        job = subprocess.Popen([FLOWSQL, "run", HERE / "job.sql"], cwd=folder)
        time.sleep(SECONDS)
        # Shown later: the job draws its status line on this terminal as long as it runs.
        status = ask(folder, "status", "demo")
        writer.wait()
        stop = ask(folder, "stop", "--drain", "demo")
        code = job.wait(timeout=30)
    print(f"\nmeanwhile, from another process:\n\n{status}\n{stop}", flush=True)
    print("$ flowsql run look.sql", flush=True)
    looked = subprocess.run([FLOWSQL, "run", HERE / "look.sql"], cwd=folder, check=False)
    print(f"\ndata, results and checkpoints are still there: {folder}")
    print(f"when you have seen enough: rm -r {folder}")
    return code or looked.returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_files(Path(sys.argv[2]), SECONDS - 2)
    else:
        sys.exit(main())
