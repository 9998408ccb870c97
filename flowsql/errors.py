"""Every error a user can meet.

    FlowSQLError
    ├── SqlError         the statement is wrong              exit code 2
    ├── ConfigError      an option or a setting is wrong     exit code 2
    ├── PreflightError   a check before the start failed     exit code 3
    ├── ConnectorError   something outside did not answer    exit code 1
    ├── DataError        a row cannot be processed           exit code 1
    ├── StateError       a checkpoint or a job folder        exit code 1
    └── InternalError    our own mistake                     exit code 1

The class says who must act. A message is a lower-case fact without a full stop, names in double
quotes, "could not" where trying again may help and "cannot" where it never will. `detail` and
`hint` are sentences; the hint names the statement or setting that mends it.

A `Span` is attached where the name is known; the SQL text once, in `session.py`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "ConfigError",
    "ConnectorError",
    "DataError",
    "FlowSQLError",
    "InternalError",
    "PreflightError",
    "Refusals",
    "Span",
    "SqlError",
    "StateError",
    "nearest",
]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the SQL text: character offsets, `end` exclusive."""

    start: int
    end: int

    def shifted(self, by: int) -> Span:
        """The same piece in a text that has `by` more characters in front."""
        return Span(self.start + by, self.end + by)

    def to(self, other: Span) -> Span:
        """From the start of this piece to the end of `other`."""
        return Span(min(self.start, other.start), max(self.end, other.end))


class FlowSQLError(Exception):
    """Base of all; `str(error)` is what the user reads.

    Attributes:
        option: key of the option of a WITH clause that is wrong, so that it can be marked there.
        final: trying again does not help, though for errors of its class it often does: somebody
            has to do something first.
        more: what else is wrong with the statement, whatever becomes of this.
        file: of the text that `span` points into, where it is another one than the user ran.
        untold: how many further errors of the kind there were that nobody needs to read yet.
        partly: the statement as far as it could be read, so that what else is wrong can be found.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        span: Span | None = None,
        sql: str | None = None,
        option: str | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.span = span
        self.sql = sql
        self.option = option
        self.final = final
        self.more: tuple[FlowSQLError, ...] = ()
        self.file: str | None = None
        self.untold = 0
        self.partly: object = None

    def with_sql(self, sql: str) -> FlowSQLError:
        """Attach the text that `span` points into, unless it is there already."""
        for error in (self, *self.more):
            if error.sql is None:
                error.sql = sql
        return self

    def in_file(self, sql: str, file: str | None) -> FlowSQLError:
        """Name the file of the text `sql` wherever a span points into it."""
        for error in (self, *self.more):
            if error.sql is not None and len(error.sql) == len(sql) and error.file is None:
                # Of equal length: secrets may be starred.
                error.file = file
        return self

    @property
    def position(self) -> tuple[int, int] | None:
        """Line and column of the span, both from 1, or None."""
        if self.span is None or self.sql is None:
            return None
        before = self.sql[: self.span.start]
        return before.count("\n") + 1, self.span.start - (before.rfind("\n") + 1) + 1

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """As `str`, for a terminal of so many columns, where carets below a line that wraps lie."""
        lines = [e.alone(width) for e in (self, *self.more)]
        return "\n".join([*lines, f"and {self.untold} more"] if self.untold else lines)

    def alone(self, width: int | None = None) -> str:
        """What the user reads of this error, without `more`."""
        at = self.position
        place = f" at {at[0]}:{at[1]}" if at else ""
        place += f' of "{self.file}"' if at and self.file else ""
        lines = [f"{type(self).__name__}{place}: {self.message}"]
        if at is not None and self.span is not None and self.sql is not None:
            line = self.sql.split("\n")[at[0] - 1].rstrip("\r")
            widest = _WIDEST if width is None else max(_NARROWEST, min(_WIDEST, width - 4))
            lines += _marked(line, at[1] - 1, self.span.end - self.span.start, widest)
        if self.detail:
            lines.append(f"Detail: {self.detail}")
        if self.hint:
            lines.append(f"Hint: {self.hint}")
        return "\n".join(lines)


# Columns of a line that are shown; of a longer one, what stands around the mark.
_WIDEST = 160
_NARROWEST = 20


def _marked(line: str, start: int, length: int, widest: int) -> list[str]:
    """The line, and below it carets under `length` characters from `start` on."""
    if len(line) > widest:
        first = max(0, min(start - widest // 2, len(line) - widest))
        shown = line[first : first + widest]
        before, after = "…" * (first > 0), "…" * (first + widest < len(line))
        line, start = f"{before}{shown}{after}", start - first + len(before)
        length = min(length, len(line) - len(after) - start)
    # A tab in front of the caret keeps it under the text it marks.
    pad = "".join("\t" if c == "\t" else " " * _columns(c) for c in line[:start])
    carets = "^" * max(1, sum(map(_columns, line[start : start + length])))
    return [f"  {line}", f"  {pad}{carets}"]


def _columns(character: str) -> int:
    """Columns of a terminal that a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class SqlError(FlowSQLError):
    """The statement cannot be parsed, bound or planned."""

    exit_code = 2


class ConfigError(FlowSQLError):
    """A `SET`, a `WITH` option or an argument is unknown, missing or malformed."""

    exit_code = 2


class PreflightError(FlowSQLError):
    """A check made before the job starts did not pass."""

    exit_code = 3


class ConnectorError(FlowSQLError):
    """A server, file or client library did not do what was asked of it."""


class DataError(FlowSQLError):
    """A row cannot be decoded or computed."""


class StateError(FlowSQLError):
    """A checkpoint, a job folder or the disk below them."""


class InternalError(FlowSQLError):
    """A contract inside flowsql was broken; never the user's fault."""


# More than a screen of them helps nobody.
_MOST_TOLD = 5


class Refusals:
    """Collects what is wrong with parts of a statement that do not depend on each other."""

    def __init__(self) -> None:
        self._found: list[FlowSQLError] = []
        self._untold = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part; its error waits for those of the others."""
        try:
            yield
        except (SqlError, ConfigError) as error:
            self.add(error)

    def add(self, error: FlowSQLError) -> None:
        """An error, and all that it tells."""
        self._found += (error, *error.more)
        self._untold += error.untold
        error.more, error.untold = (), 0

    def check(self) -> None:
        """Raise what was found: the error that stands first, the others as its `more`."""
        found = self.first()
        if found is not None:
            raise found

    def first(self) -> FlowSQLError | None:
        """What `check` would raise."""
        seen: dict[tuple[str, Span | None], FlowSQLError] = {}
        for error in self._found:
            seen.setdefault((error.message, error.span), error)
        errors = sorted(seen.values(), key=lambda e: e.span.start if e.span else 0)
        if errors:
            errors[0].more = tuple(errors[1:_MOST_TOLD])
            errors[0].untold = self._untold + len(errors[_MOST_TOLD:])
        return errors[0] if errors else None


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name most like `name` (case ignored), or None if none is near.

    Args:
        name: the unknown name.
        known: those there are.
        cutoff: how like it must be, 0 to 1; higher where names are many and much alike.
    """
    by_fold = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=cutoff)
    return by_fold[found[0]] if found else None
