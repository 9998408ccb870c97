"""A world that a process beside the job keeps writing, until it is told to stop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


class Written:
    """Runs a module of this folder as the writer: `<module> <root> <pause> <more> …`.

    Attributes:
        root: folder of the world; the writer ends once a file `stop` is there.
    """

    def __init__(self, root: Path, module: str, *more: object) -> None:
        self.root = root
        self._module = f"{__package__}.{module}"
        self._more = [str(value) for value in more]
        self._writer: subprocess.Popen[bytes] | None = None

    def start_writer(self, pause: float) -> None:
        """It goes on by itself, with so many seconds between two writes."""
        given = [str(self.root), str(pause), *self._more]
        self._writer = subprocess.Popen([sys.executable, "-m", self._module, *given])

    def stop_writer(self) -> None:
        """Nothing more is written."""
        assert self._writer is not None
        (self.root / "stop").touch()
        assert self._writer.wait(60) == 0
        self._writer = None

    def close(self) -> None:
        """Whatever happened."""
        if self._writer is not None:
            self._writer.kill()
            self._writer.wait(60)
