"""Blocks of a page of documentation, and whether they show what happens.

A page that is checked holds

- files: a line with a name in backquotes and a colon, then the block with the file's text;
- ```` ```console ````: commands behind `$ ` and what they print, on either stream;
- ```` ```sql ````, without a name: statements, and in the ```` ```text ```` behind them what they print. All of
  a page are one script.

`…` stands for anything in a line, a line of nothing else for any lines. Lines that statements print may
come in another order: a table has none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks", "check_commands", "check_statements", "shows"]

_BLOCK = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        name: of the file that it is; None where it is none.
        kind: what stands behind the backquotes.
        text: its lines.
    """

    name: str | None
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    return [
        Block(name or None, kind, text) for name, kind, text in _BLOCK.findall(page.read_text())
    ]


def shows(expected: str, found: str) -> bool:
    """Whether this is what is shown there, but for what `…` stands for."""
    lines = []
    for line in expected.splitlines(keepends=True):
        if line == "…\n":
            lines.append("(?:.*\n)*")
        else:
            lines.append("[^\n]*".join(re.escape(part) for part in line.split("…")))
    return re.fullmatch("".join(lines), found) is not None


def check_commands(page: Path, folder: Path) -> None:
    """Writes the page's files into a folder, runs its commands there, and compares."""
    for block in blocks(page):
        if block.name is not None:
            (folder / block.name).write_text(block.text)
        elif block.kind == "console":
            for command, expected in _commands(block.text):
                found = _shell(command, folder)
                assert shows(expected, found), f"$ {command}\n{found}"


def check_statements(page: Path, folder: Path) -> None:
    """Runs the page's statements as one script in a folder, and compares what they print."""
    script, expected, before = "", "", ""
    for block in blocks(page):
        if block.name is None and block.kind == "sql":
            script += block.text
        elif block.kind == "text" and before == "sql":
            expected += block.text
        before = block.kind if block.name is None else ""
    (folder / "page.sql").write_text(script)
    found = _shell("flowsql run page.sql 2> log", folder)
    assert sorted(found.splitlines()) == sorted(expected.splitlines()), (
        found + (folder / "log").read_text()
    )


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def _shell(command: str, folder: Path) -> str:
    """What a command prints, by a shell that finds the `flowsql` of these tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )
    return done.stdout
