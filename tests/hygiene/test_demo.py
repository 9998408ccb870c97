"""The demo, shorter than its reader sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
