"""What Flink has and this engine has not: the refusal has one form."""

from __future__ import annotations

from flowsql.errors import Span, SqlError, nearest

__all__ = ["misplaced_hint", "not_supported"]

_BEHIND_TABLES = ("OPTIONS",)
_BEHIND_SELECT = (
    "BROADCAST",
    "MULTI_JOIN",
    "NEST_LOOP",
    "SHUFFLE_HASH",
    "SHUFFLE_MERGE",
    "STATE_TTL",
)
_OTHERS = ("LOOKUP",)


def not_supported(what: str, span: Span | None, hint: str | None = None) -> SqlError:
    """The error for SQL that Flink has and that is not built yet; it names what."""
    return SqlError(f"{what} is not supported yet", hint=hint, span=span)


def misplaced_hint(name: str, span: Span | None) -> SqlError:
    """The error for a hint that is unknown, stands in the wrong place, or is not built yet."""
    known = name.upper()
    if known in _BEHIND_TABLES:
        return SqlError(
            f'hint "{known}" stands behind the name of a table',
            hint="Write FROM orders /*+ OPTIONS('key' = 'value') */.",
            span=span,
        )
    if known in _BEHIND_SELECT:
        return SqlError(
            f'hint "{known}" stands behind SELECT',
            hint=f"Write SELECT /*+ {known}(…) */ ….",
            span=span,
        )
    if known in _OTHERS:
        return not_supported(f'hint "{name}"', span)
    all_ = (*_BEHIND_TABLES, *_BEHIND_SELECT)
    near = nearest(known, all_)
    return SqlError(
        f'there is no hint "{name}"',
        hint=f'Did you mean "{near}"?' if near else f"There are: {', '.join(sorted(all_))}.",
        span=span,
    )
