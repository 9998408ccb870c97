"""The terminal of a run, shared by results, log lines and the status lines.

Results go to standard output and nothing else does; log lines and status lines go to standard
error. Where both are the same terminal, the status lines stand below everything: whoever writes
takes them away first, and they are drawn again behind it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from flowsql.errors import ConnectorError, FlowSQLError
from flowsql.runtime.log import Line

__all__ = ["Console", "forget_terminal"]


class Console:
    """Everything a run writes passes here; from any thread.

    Attributes:
        on_broken_pipe: called once, when nobody reads standard output any more; what is written
            there afterwards is dropped.
        interactive: standard error is a terminal, so that lines can be redrawn.
        log_options: gives `log.format` and `log.level` as they are now.
    """

    def __init__(self) -> None:
        self.on_broken_pipe: Callable[[], None] = lambda: None
        self.log_options: Callable[[], tuple[str, str]] = lambda: ("text", "info")
        self._lock = threading.RLock()
        self._out, self._err = sys.stdout, sys.stderr
        self._broken = False
        self._lines: list[str] = []
        self._drawn: list[str] = []
        self.interactive = self._err.isatty()

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """`sys.stdout` and `sys.stderr` are this console's for as long."""
        out, err = _Stream(self, self._out), _Stream(self, self._err)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                yield
            finally:
                self.show(())

    def log(self, said: str | Line) -> None:
        """A line on standard error, in the form that is set, if it is important enough."""
        line = Line(said) if isinstance(said, str) else said
        form, least = self.log_options()
        if line.wanted(least):
            self.tell(line.as_json() if form == "json" else line.as_text())

    def tell(self, text: str) -> None:
        """Text on standard error."""
        with self._lock:
            self.write(self._err, f"{text}\n")
            self.flush(self._err)

    def fail(self, error: FlowSQLError, job: str | None = None) -> None:
        """An error on standard error; the SQL it shows is no wider than a terminal's line.

        Args:
            error: what went wrong.
            job: that failed.
        """
        if self.log_options()[0] == "json":
            self.tell(Line(str(error), "error", job).as_json())
            return
        self.tell(error.text(self.width if self.interactive else None))

    @property
    def width(self) -> int:
        """Characters of a line that does not wrap."""
        return max(1, self._size().columns - 1)

    def _size(self) -> os.terminal_size:
        try:
            return os.get_terminal_size(self._err.fileno())
        except (OSError, ValueError):
            return shutil.get_terminal_size()

    def show(self, lines: Sequence[str]) -> None:
        """The status lines from now on; none takes them away.

        Each is cut to the terminal's width, and those are left out that its height does not hold:
        what has scrolled away cannot be taken away any more.
        """
        if not self.interactive:
            return
        width, height = self.width, max(1, self._size().lines - 2)
        kept = list(lines) if len(lines) <= height else [*lines[: height - 1], "..."]
        with self._lock:
            self._clear()
            self._lines = [line[:width] for line in kept]
            self._draw()

    def write(self, stream: TextIO, text: str) -> None:
        """Write to one of the two streams."""
        with self._lock:
            if self._broken and stream is self._out:
                return
            self._clear()
            with self._pipe(stream):
                stream.write(text)

    def flush(self, stream: TextIO) -> None:
        """Let everyone see what was written."""
        with self._lock:
            if not (self._broken and stream is self._out):
                with self._pipe(stream):
                    stream.flush()
            if self._lines and not self._drawn:
                self._draw()

    def _clear(self) -> None:
        if self._drawn:
            # A terminal that was made narrower has wrapped them.
            rows = sum(1 + max(0, len(line) - 1) // (self.width + 1) for line in self._drawn)
            # Row by row: some terminals keep a screen that is erased whole, and show it again when
            # they become wider.
            with self._pipe(self._err):
                self._err.write("\x1b[F\x1b[2K" * rows)
                self._err.flush()
            self._drawn = []

    def _draw(self) -> None:
        with self._pipe(self._err):
            self._err.write("".join(f"{line}\n" for line in self._lines))
            self._err.flush()
        self._drawn = self._lines

    @contextlib.contextmanager
    def _pipe(self, stream: TextIO) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            if stream is not self._out:
                raise
            self._broken = True
            # Python flushes once more at its end, and would complain then.
            _to_nowhere(stream.fileno())
            self.on_broken_pipe()
        except OSError as error:
            if error.errno == errno.EIO:
                # The terminal has gone. What runs is stopped by its signal, unless nobody wants that.
                _to_nowhere(stream.fileno())
                if stream is self._out:
                    self._broken = True
                    self.on_broken_pipe()
                return
            if stream is not self._out:
                raise
            self._broken = True
            _to_nowhere(stream.fileno())
            raise ConnectorError(
                f"standard output cannot be written: {error.strerror or error}"
            ) from error


def forget_terminal() -> None:
    """A terminal that has gone takes no more words: what is written to it goes nowhere."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                _to_nowhere(descriptor)


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class _Stream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`."""

    def __init__(self, console: Console, target: TextIO) -> None:
        self._console = console
        self._target = target

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._target.encoding

    def fileno(self) -> int:
        return self._target.fileno()

    def isatty(self) -> bool:
        return self._target.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._console.write(self._target, text)
        return len(text)

    def flush(self) -> None:
        self._console.flush(self._target)
