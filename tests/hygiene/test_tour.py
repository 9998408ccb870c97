"""The job of the README's five minutes, as its reader runs it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy.exc import OperationalError

from tests.support.pages import blocks

README = Path(__file__).parents[2] / "README.md"
FLOWSQL = Path(sys.executable).with_name("flowsql")


def test_the_job_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """A file before the kill, one between, and the table that the page shows."""
    files = {b.name: b.text for b in blocks(README) if b.name}
    (tmp_path / "best.sql").write_text(files["best.sql"])
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "monday.csv").write_text(files["bids.csv"])
    page = README.read_text()
    (shown,) = re.findall(r"(?m)^    (\[\{.*\}\])$", page)
    put = re.findall(r"(?m)^    \$ ((?:printf|mv) .*)$", page)

    job = _start(tmp_path)
    try:
        _wait(lambda: _best(tmp_path))
        job.kill()
        job.wait()
        for command in put:
            subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
        job = _start(tmp_path)
        _wait(lambda: str(_best(tmp_path)) == shown)
    finally:
        job.kill()
        job.wait()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [FLOWSQL, "run", "-D", "execution.checkpointing.interval=200ms", "best.sql"]
    return subprocess.Popen(command, cwd=folder)


def _best(folder: Path) -> list[dict]:
    """The table's rows, by key; none before it is there."""
    file = folder / "warehouse" / "catalog.db"
    if not file.exists():
        return []
    lake = load_catalog("lake", type="sql", uri=f"sqlite:///{file}", init_catalog_tables="false")
    try:
        rows = lake.load_table("auction.best").scan().to_arrow().to_pylist()
    except (NoSuchTableError, OperationalError):  # not made yet, or being written
        return []
    finally:
        lake.close()
    return sorted(rows, key=lambda row: row["item"])


def _wait(there: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)
