"""Non-deterministic expressions over rows that may be taken back.

`SELECT k, RAND() FROM t` over updating rows: the value computed for a row's retraction is not the
one that was given with the row, so the row could never be found again. Such a plan is refused,
unless `table.optimizer.non-deterministic-update.strategy` = IGNORE, Flink's default, says that wrong
rows are acceptable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flowsql.changelog import ChangelogMode
from flowsql.errors import SqlError
from flowsql.expr import Expression, is_deterministic, render

if TYPE_CHECKING:
    from flowsql.physical.lower import Lowering

__all__ = ["require_deterministic"]

_STRATEGY = "table.optimizer.non-deterministic-update.strategy"


def require_deterministic(
    expressions: Iterable[Expression], mode: ChangelogMode, lowering: Lowering
) -> None:
    """Check expressions over rows of a changelog mode; with IGNORE, note which rows may be wrong.

    Raises:
        SqlError: one of them is not deterministic, and the rows may be taken back.
    """
    if mode is not ChangelogMode.RETRACT:
        return
    for expression in expressions:
        if is_deterministic(expression):
            continue
        found = _innermost(expression)
        if lowering.settings.ignore_nondeterminism:
            lowering.notices.setdefault(
                f'"{render(found)}" is not deterministic and is computed over updating rows: results '
                f"may keep rows that are gone, as '{_STRATEGY}' = 'IGNORE' allows"
            )
            continue
        raise SqlError(
            f'"{render(found)}" is not deterministic and cannot be computed over updating rows',
            detail="The retraction of a row would not have the value the row was given with.",
            hint=f"Compute it before the rows update, or SET '{_STRATEGY}' = 'IGNORE' to have wrong "
            "rows, as in Flink.",
            span=found.span or expression.span,
        )


def _innermost(expression: Expression) -> Expression:
    for child in expression.children:
        if not is_deterministic(child):
            return _innermost(child)
    return expression
