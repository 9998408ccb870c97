"""What a job says while it runs: to whoever listens, and to the log file in its folder.

<job folder>/job.log      the newest lines, in the form and of the importance that are set
<job folder>/job.log.1    those before them, up to `job.log.<log.file.max-files - 1>`

The file has more than who listens is told: each attempt with its process and where it begins, and
how it ended with the whole text of its error. A disk that takes no line costs that line.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flowsql.config import EngineSettings
from flowsql.connector import Attempt
from flowsql.errors import FlowSQLError
from flowsql.runtime.log import Line
from flowsql.version import __version__

__all__ = ["LOG_FILE", "JobLog", "LogFile"]

LOG_FILE: Final = "job.log"


class JobLog:
    """Takes the lines of one job, from any thread.

    Args:
        job: its id.
        settings: of the engine.
        events: whoever listens.
        masked: a text without its secrets.
        place: numbers of the last step and of the last checkpoint.
    """

    def __init__(
        self,
        job: str,
        settings: EngineSettings,
        events: Callable[[Line], None],
        *,
        masked: Callable[[str], str],
        place: Callable[[], tuple[int | None, int | None]],
    ) -> None:
        self._job = job
        self._settings = settings
        self._events = events
        self._masked = masked
        self._place = place
        self._file: LogFile | None = None

    def open(self, folder: Path) -> str | None:
        """Write into a folder from now on; gives the file's path, None where none is wanted."""
        settings, path = self._settings, folder / LOG_FILE
        if not settings.log_files:
            return None
        self._file = LogFile(path, settings.log_file_bytes, settings.log_files)
        return str(path)

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()

    def say(self, message: str, level: str = "warning") -> None:
        """A line for who listens, and for the file."""
        line = self._line(message, level)
        self._events(line)
        self._write(line)

    def stops(self, *, drain: bool, savepoint: bool) -> None:
        """A line of someone who wants it to end."""
        asked = " and drain" * drain + " with a savepoint" * savepoint
        self._write(self._line(f"asked to stop{asked}", "info"))

    def begins(self, attempt: Attempt, checkpoint: int | None) -> None:
        """A line of an attempt that starts."""
        at = "at the beginning" if checkpoint is None else f"from checkpoint {checkpoint}"
        self._write(
            self._line(
                f"attempt {attempt.number} of run {attempt.run} starts {at}, "
                f"by flowsql {__version__} in process {os.getpid()}",
                "info",
            )
        )

    def ends(self, state: str, error: FlowSQLError | None, status: dict[str, Any]) -> None:
        """A line of how the job ended."""
        rows = f"{status.get('rows_in', 0)} rows in, {status.get('rows_out', 0)} out"
        if error is None:
            self._write(self._line(f"{state}: {rows}", "info"))
        else:
            self._write(self._line(f"{state} after {rows}\n{error}", "error"))

    def _line(self, message: str, level: str) -> Line:
        return Line(self._masked(message), level, self._job, *self._place())

    def _write(self, line: Line) -> None:
        if self._file is not None and line.wanted(self._settings.log_level):
            form = self._settings.log_format
            self._file.write(line.as_json() if form == "json" else line.as_text())


class LogFile:
    """Lines on disk; where there are too many, older ones move to files with a number.

    Args:
        path: of the newest.
        most: bytes after which the next file begins.
        files: that are kept, the newest included.
    """

    def __init__(self, path: Path, most: int, files: int) -> None:
        self._path = path
        self._most = most
        self._files = files
        self._lock = threading.Lock()
        self._open: int | None = None
        self._size = 0
        self._closed = False

    def write(self, text: str) -> None:
        """One entry, whole, of one or more lines."""
        entry = f"{text}\n".encode("utf-8", "replace")
        with self._lock, contextlib.suppress(OSError):
            if self._closed:
                return
            if self._open is None:
                self._begin()
            if self._size and self._size + len(entry) > self._most:
                self._rotate()
            assert self._open is not None
            self._size += os.write(self._open, entry)

    def close(self) -> None:
        """What comes later is dropped."""
        with self._lock:
            self._closed = True
            self._leave()

    def _begin(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._open = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._open).st_size

    def _leave(self) -> None:
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _rotate(self) -> None:
        self._leave()
        if self._files == 1:
            self._path.unlink(missing_ok=True)
        for number in range(self._files - 1, 0, -1):
            newer = self._path if number == 1 else self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                newer.replace(self._numbered(number))
        self._begin()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
