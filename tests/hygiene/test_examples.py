"""Every example runs as its reader would run it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "sql_examples").glob("*.sql"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """`flowsql run` ends well, in a folder of its own."""
    shutil.copy(example, tmp_path)
    done = subprocess.run(
        [Path(sys.executable).with_name("flowsql"), "run", example.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_says_what_it_teaches(example: Path) -> None:
    """The header is a comment of at least two lines: what it teaches, how to run it."""
    lines = example.read_text().splitlines()
    header = [line for line in lines[:12] if line.startswith("--")]
    assert len(header) >= 2
    assert any(f"flowsql run sql_examples/{example.name}" in line for line in header)
