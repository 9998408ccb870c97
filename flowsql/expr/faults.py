"""What a kernel raises when a value cannot be computed."""

from __future__ import annotations

from flowsql.errors import Span

__all__ = ["TRY_CAST", "Fault"]

# The cure of a cast; where the cast is known it is written out.
TRY_CAST = "Use TRY_CAST to get NULL instead."


class Fault(Exception):  # noqa: N818 - never reaches a user: evaluate.py turns it into a DataError
    """A row of the batch has no result; which one is found by bisecting.

    Attributes:
        message: the fact, as a user reads it.
        hint: its cure, or None.
        whole: it is said of all rows together: no row is looked for.
        span: the failing expression's place in the SQL, set while the fault rises.
    """

    def __init__(self, message: str, *, hint: str | None = None, whole: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.whole = whole
        self.span: Span | None = None
        self.expression: str | None = None
