"""The demo, shorter than its reader sees it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from runpy import run_path

import pytest

DEMO = Path(__file__).parents[2] / "sql_examples" / "demo" / "run.py"


@pytest.mark.parametrize("more", [(), ("--postgres",)], ids=["files", "postgres"])
def test_the_demo_ends_with_equal_tables(more: tuple[str, ...], tmp_path: Path) -> None:
    """Though its job is killed."""
    done = subprocess.run(
        [sys.executable, DEMO, "--seconds", "4", "--folder", tmp_path, *more],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Killed (kill -9)" in said
    assert said.count(": 0 differ from that query") == 2


def test_the_shops_times_are_those_of_any_file() -> None:
    """Whole milliseconds, or a payment at the end of a minute is in the next one elsewhere."""
    shop = run_path(str(DEMO.with_name("shop.py")))["_Shop"](
        datetime(2026, 1, 1, 0, 0, 59, 999_600, UTC)
    )
    for _ in range(3):
        shop.trade()
    times = {payment["paid_at"].microsecond % 1000 for payment in shop.rows["payments"].values()}
    assert times == {0}
