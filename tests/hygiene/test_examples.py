"""Every example runs as its reader would run it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "sql_examples").glob("*.sql"))

# Another installation's, such as that of the wheel, where it is named.
FLOWSQL = Path(os.environ.get("FLOWSQL_COMMAND") or Path(sys.executable).with_name("flowsql"))
ENDLESS = [e for e in EXAMPLES if "Ctrl-C ends it" in e.read_text()]


def shell(example: Path, word: str, folder: Path) -> None:
    """Do what the header says behind `-- First:`, `-- Meanwhile:` or `-- Look at it:`."""
    for command in re.findall(rf"(?m)^-- {word}: (.*)$", example.read_text()):
        subprocess.run(["sh", "-c", command], cwd=folder, check=True)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e not in ENDLESS], ids=lambda p: p.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """`flowsql run` ends well, in a folder of its own."""
    for file in (example, *example.parent.glob("*.py")):
        shutil.copy(file, tmp_path)
    shell(example, "First", tmp_path)
    done = subprocess.run(
        [FLOWSQL, "run", example.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shell(example, "Look at it", tmp_path)


@pytest.mark.parametrize("example", ENDLESS, ids=lambda p: p.stem)
def test_an_endless_example_runs(example: Path, tmp_path: Path) -> None:
    """It gives rows of what was there, then of what came meanwhile, until Ctrl-C."""
    shutil.copy(example, tmp_path)
    shell(example, "First", tmp_path)
    with subprocess.Popen(
        [FLOWSQL, "run", example.name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(5)]
            shell(example, "Meanwhile", tmp_path)
            seen += [process.stdout.readline() for _ in range(2)]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert [line.split()[1] for line in seen[3:]] == ["+I", "+I", "-U", "+U"]
    assert out.splitlines()[-1] == "Received a total of 4 rows"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_says_what_it_teaches(example: Path) -> None:
    """The header is a comment of at least two lines: what it teaches, how to run it."""
    lines = example.read_text().splitlines()
    header = [line for line in lines[:12] if line.startswith("--")]
    assert len(header) >= 2
    assert any(f"flowsql run sql_examples/{example.name}" in line for line in header)


def test_the_list_has_every_example() -> None:
    """In order."""
    listed = re.findall(
        r"(?m)^\| \[(\S+\.sql)\]", (ROOT / "sql_examples" / "README.md").read_text()
    )
    assert listed == [e.name for e in EXAMPLES]
