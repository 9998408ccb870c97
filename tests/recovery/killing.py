"""Jobs in a child process that is killed at a named operation, or at a random moment.

The child runs `python -m tests.recovery.killing <module>:<function> <arguments as JSON>`; the
environment names the operation: `FLOWSQL_KILL_AT=before-fsync:7` kills before the seventh fsync,
`after-commit:1` after the first commit. Every kind of `FileOperation` can be named.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from flowsql.connector import FileOperation, observe_files

REPOSITORY = Path(__file__).resolve().parents[2]
MOMENTS = tuple(
    f"{side}-{kind}"
    for kind in (
        "create", "write", "fsync", "replace", "link", "remove", "mkdir", "rmdir", "fsync_dir",
        "prepare", "commit", "acknowledge",
    )
    for side in ("before", "after")
)  # fmt: skip


class Killer:
    """Ends the process without a word at the nth occurrence of a moment."""

    def __init__(self, moment: str, number: int) -> None:
        self._moment = moment
        self._left = number

    def before(self, operation: FileOperation) -> None:
        self._count(f"before-{operation.kind}")

    def after(self, operation: FileOperation) -> None:
        self._count(f"after-{operation.kind}")

    def _count(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Census:
    """Counts the moments that a run passes, so that kills can be spread over them."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def before(self, operation: FileOperation) -> None:
        self.seen[f"before-{operation.kind}"] += 1

    def after(self, operation: FileOperation) -> None:
        self.seen[f"after-{operation.kind}"] += 1


def run_child(target: str, arguments: dict[str, Any], kill_at: str | None) -> subprocess.Popen[str]:
    """Starts the child."""
    environment = {k: v for k, v in os.environ.items() if k != "FLOWSQL_KILL_AT"}
    if kill_at is not None:
        environment["FLOWSQL_KILL_AT"] = kill_at
    return subprocess.Popen(
        [sys.executable, "-m", "tests.recovery.killing", target, json.dumps(arguments)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_until_done(
    target: str,
    arguments: dict[str, Any],
    kills: int,
    chance: random.Random,
    *,
    limit: float = 240.0,
    longest: float = 1.5,
) -> list[str]:
    """Runs the child, kills it `kills` times, then lets it finish; gives how it was killed.

    Every second kill is at a named moment (if the child comes that far), the others at a random
    time after its start.
    """
    done: list[str] = []
    end = time.monotonic() + limit
    while True:
        assert time.monotonic() < end, f"not done in {limit} s; kills: {done}"
        named = f"{chance.choice(MOMENTS)}:{chance.choice([1, 1, 2, 3, 5, 9, 17, 33])}"
        kill = len(done) < kills
        child = run_child(target, arguments, named if kill and len(done) % 2 else None)
        try:
            wait = chance.uniform(0.25, longest) if kill else limit
            output, _ = child.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            assert kill, f"hangs: {output}"
            done.append("time")
            continue
        if child.returncode == 0:
            return done
        assert child.returncode == -signal.SIGKILL, output
        done.append(named)


def main() -> None:
    """The child."""
    module, function = sys.argv[1].split(":")
    run = getattr(importlib.import_module(module), function)
    arguments = json.loads(sys.argv[2])
    named = os.environ.get("FLOWSQL_KILL_AT")
    if named is None:
        run(**arguments)
        return
    moment, number = named.rsplit(":", 1)
    with observe_files(Killer(moment, int(number))):
        run(**arguments)


if __name__ == "__main__":
    main()
