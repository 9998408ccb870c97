"""One terminal for rows, log lines and status lines."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest

from flowsql.cli.console import Console


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent, and can show what stands on it."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that are left after every deletion."""
        lines: list[str] = []
        for part in re.split(r"(\x1b\[F\x1b\[2K)", self.getvalue()):
            if part == "\x1b[F\x1b[2K":
                lines.pop()
            else:
                assert not part or part.endswith("\n")
                lines += part.splitlines()
        return lines


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and error of the process are it from now on."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    return made


def give_size(monkeypatch: pytest.MonkeyPatch, columns: int, lines: int) -> None:
    """The terminal is so large, as the environment says."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))


def test_status_lines_stay_below_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was printed is taken away with them."""
    terminal = terminal_of(monkeypatch)
    console = Console()
    with console.attached():
        console.show(["a: 1", "b: 1"])
        print("row 1", flush=True)
        console.show(["a: 2", "b: 2"])
        print("to stderr", file=sys.stderr, flush=True)
        console.tell("log")
        assert terminal.screen() == ["row 1", "to stderr", "log", "a: 2", "b: 2"]
        console.show(["a: 3"])
        assert terminal.screen() == ["row 1", "to stderr", "log", "a: 3"]
    assert terminal.screen() == ["row 1", "to stderr", "log"]
    assert sys.stdout is terminal


def test_a_status_line_is_cut_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps would not be taken away whole."""
    terminal = terminal_of(monkeypatch)
    give_size(monkeypatch, 11, 5)
    console = Console()
    console.show(["0123456789abc"])
    assert terminal.screen() == ["0123456789"]


def test_more_lines_than_the_terminal_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has scrolled away could not be taken away."""
    terminal = terminal_of(monkeypatch)
    give_size(monkeypatch, 80, 5)
    console = Console()
    console.show(["a", "b", "c", "d"])
    assert terminal.screen() == ["a", "b", "..."]
    console.show(["a", "b", "c"])
    assert terminal.screen() == ["a", "b", "c"]


def test_a_terminal_that_became_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal has wrapped the line: all its rows are taken away."""
    terminal = terminal_of(monkeypatch)
    give_size(monkeypatch, 80, 24)
    console = Console()
    console.show(["x" * 70, "y"])
    give_size(monkeypatch, 30, 24)
    console.show(["x"])
    assert terminal.getvalue().count("\x1b[F\x1b[2K") == 4
    # A screen that is erased whole comes back in some terminals.
    assert "\x1b[J" not in terminal.getvalue()


def test_no_control_characters_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe or a file gets lines only."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    console = Console()
    with console.attached():
        console.show(["a: 1"])
        print("row", flush=True)
        console.log("said")
    assert out.getvalue() == "row\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ said\n", err.getvalue())


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once; rows are dropped from then on, and log lines are not."""
    reading, writing = os.pipe()
    os.close(reading)
    asked: list[str] = []
    err = io.StringIO()
    with open(writing, "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor has no path
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        console = Console()
        console.on_broken_pipe = lambda: asked.append("stop")
        with console.attached():
            for _ in range(3):
                print("row", flush=True)
            console.tell("log")
    assert asked == ["stop"]
    assert err.getvalue() == "log\n"
