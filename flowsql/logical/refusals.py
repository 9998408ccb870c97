"""What Flink has and this engine has not: the refusal has one form."""

from __future__ import annotations

from flowsql.errors import Span, SqlError

__all__ = ["not_supported"]


def not_supported(what: str, span: Span | None, hint: str | None = None) -> SqlError:
    """The error for SQL that Flink has and that is not built yet; it names what."""
    return SqlError(f"{what} is not supported yet", hint=hint, span=span)
