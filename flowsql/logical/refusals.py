"""How refusals are made: "not built yet" has one form, and independent ones are told together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flowsql.errors import FlowSQLError, Span, SqlError

__all__ = ["Refusals", "not_supported"]

# More than a screen of them helps nobody.
_MOST = 5


def not_supported(what: str, span: Span | None, hint: str | None = None) -> SqlError:
    """The error for SQL that Flink has and that is not built yet; it names what."""
    return SqlError(f"{what} is not supported yet", hint=hint, span=span)


class Refusals:
    """Collects what is wrong with parts of a statement that do not depend on each other."""

    def __init__(self) -> None:
        self._found: list[FlowSQLError] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part; its error waits for those of the others."""
        try:
            yield
        except SqlError as error:
            self._found += (error, *error.more)
            error.more = ()

    def check(self) -> None:
        """Raise what was found: the error that stands first, the others as its `more`."""
        seen: dict[tuple[str, Span | None], FlowSQLError] = {}
        for error in self._found:
            seen.setdefault((error.message, error.span), error)
        errors = sorted(seen.values(), key=lambda e: e.span.start if e.span else 0)
        if errors:
            errors[0].more = tuple(errors[1:_MOST])
            raise errors[0]
