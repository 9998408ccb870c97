"""Errors about a function's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError
from flowsql.expr.nodes import Expression

__all__ = ["wrong_arguments"]


def wrong_arguments(
    name: str,
    args: Sequence[Expression],
    span: Span | None,
    supported: Sequence[str] = (),
) -> SqlError:
    """The error for arguments that no signature of `name` takes.

    `bind_call` adds the signatures where the function's own binder does not know them.
    """
    types = ", ".join(str(a.type) for a in args)
    return SqlError(
        f'"{name}" does not take ({types})',
        hint="Supported: " + ", ".join(supported) + "." if supported else None,
        span=span,
    )
