"""What a session says: to whoever listens, else to Python's logger `flowsql`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from flowsql.library.masking import in_program, short_text
from flowsql.runtime.log import LEVELS, Line

__all__ = ["Told"]

_LOG = logging.getLogger("flowsql")


class Told:
    """Hands lines on.

    A log record has the attributes `job`, `step` and `checkpoint`, for formatters and filters.

    Args:
        listener: takes the lines; None for the logger.
        program: a program has opened the session: what is advised is done in one.
    """

    def __init__(self, listener: Callable[[Line], None] | None, *, program: bool) -> None:
        self._listener = listener or _to_logger
        self._program = program

    def info(self, message: str) -> None:
        """What is good to know."""
        self._listener(Line(message))

    def warn(self, message: str) -> None:
        """What somebody should read."""
        self._listener(Line(message, "warning"))

    def of_query(self, line: Line) -> None:
        """Takes the lines of queries, whose jobs' names nobody gave."""
        self._listener(replace(line, named=True))

    def of_jobs(self, home: tuple[str, str]) -> Callable[[Line], None]:
        """Takes the lines of jobs.

        Args:
            home: catalog and database of which tables have bare names.
        """

        def tell(line: Line) -> None:
            message = short_text(line.message, home)
            if self._program:
                message = in_program(message)
            self._listener(replace(line, message=message))

        return tell


def _to_logger(line: Line) -> None:
    where = {"job": line.job, "step": line.step, "checkpoint": line.checkpoint}
    _LOG.log(LEVELS[line.level], "%s", line, extra=where)
