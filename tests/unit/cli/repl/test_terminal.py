"""The prompt on a real terminal, in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOWSQL = str(Path(sys.executable).with_name("flowsql"))
DATAGEN = "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');"
PLAIN = "SET 'sql-client.execution.result-mode' = 'tableau';"

# Colours, and what moves the cursor.
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][A-Z0-9]?)")


class Terminal:
    """A terminal of 100 columns and 24 lines with `flowsql` on it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._side, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            [FLOWSQL],
            cwd=folder,
            env=environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            # Ctrl-C is a signal only to who has the terminal; it is the only thread's child.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(inner)
        self._seen = ""

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._side, keys.encode())

    def wait(self, text: str) -> str:
        """What came until the text did, which is not looked at again."""
        deadline = time.monotonic() + 60
        while (at := self._seen.find(text)) < 0:
            assert time.monotonic() < deadline, self._seen
            if select.select([self._side], [], [], 0.2)[0]:
                try:
                    more = os.read(self._side, 1 << 16).decode(errors="replace")
                except OSError:  # it has gone
                    more = ""
                assert more, self._seen
                self._seen = _ESCAPES.sub("", self._seen + more)
        found, self._seen = self._seen[: at + len(text)], self._seen[at + len(text) :]
        return found

    def run(self, statement: str) -> None:
        """Type a statement at the prompt."""
        self.wait("flowsql>")
        self.press(f"{statement}\r")

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(60)

    def close(self) -> None:
        """Take the terminal away."""
        os.close(self._side)

    def mapped(self) -> str:
        """The files the process has in its memory, native libraries among them."""
        return Path(f"/proc/{self.process.pid}/maps").read_text()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """One in the test's folder."""
    made = Terminal(
        tmp_path,
        {
            **os.environ,
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "XDG_STATE_HOME": str(tmp_path / "state"),
        },
    )
    yield made
    made.process.kill()
    made.process.wait()


def test_ctrl_c_ends_the_query_and_not_the_shell(terminal: Terminal) -> None:
    """In plain text; Ctrl-D then leaves."""
    terminal.run(DATAGEN)
    terminal.run(PLAIN)
    terminal.run("SELECT id FROM g;")
    terminal.wait("| +I |")
    terminal.press("\x03")
    terminal.wait("Received a total of")
    terminal.run("SELECT 40 + 2 AS a;")
    terminal.wait("| 42 |")
    terminal.wait("flowsql>")
    terminal.press("\x04")
    assert terminal.ended() == 0


def test_ctrl_c_ends_the_live_table(terminal: Terminal) -> None:
    """It leaves what was seen; what stands behind it is run."""
    terminal.run(DATAGEN)
    terminal.run("SELECT COUNT(*) AS n FROM g; SELECT 40 + 2 AS a;")
    terminal.wait("q leave")
    terminal.press("\x03")
    terminal.wait("rows so far")
    terminal.wait("| 42 |")
    terminal.run("quit")
    assert terminal.ended() == 0


def test_ctrl_c_ends_the_wait_for_a_job(terminal: Terminal) -> None:
    """With a last checkpoint, and the prompt is there again."""
    terminal.run(DATAGEN)
    terminal.run("CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');")
    terminal.run("SET 'table.dml-sync' = 'true';")
    terminal.run("INSERT INTO b SELECT id FROM g;")
    terminal.wait("running")
    terminal.press("\x03")
    terminal.wait(": stopped")
    terminal.run("quit;")
    assert terminal.ended() == 0


@pytest.mark.parametrize("how", ["SIGTERM", "hangup"])
def test_jobs_are_stopped_when_the_shell_is_ended(
    terminal: Terminal, tmp_path: Path, how: str
) -> None:
    """By a signal or a terminal that goes: with a last checkpoint, and without a question."""
    terminal.run(DATAGEN)
    terminal.run("CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');")
    terminal.run("SET 'pipeline.name' = 'mine'; SET 'execution.checkpointing.interval' = '0 ms';")
    terminal.run("INSERT INTO b SELECT id FROM g;")
    terminal.wait("its state is in")
    shown = ""
    while "mine: running" not in shown:
        terminal.run("\\j")
        shown = terminal.wait("state 0 B")
    terminal.wait("flowsql>")
    if how == "SIGTERM":
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM
    else:
        terminal.close()
        assert terminal.ended() == 128 + signal.SIGHUP
    assert list((tmp_path / ".flowsql" / "mine" / "checkpoints").glob("chk-*/manifest.json"))


def test_the_first_prompt_is_there_at_once(terminal: Terminal) -> None:
    """Before the engine is loaded, which the first statement waits for."""
    terminal.wait("flowsql>")
    assert "libarrow" not in terminal.mapped()
    terminal.press("SELECT 40 + 2 AS a;\r")
    terminal.wait("| 42 |")
    assert "libarrow" in terminal.mapped()
