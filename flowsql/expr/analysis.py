"""Questions about bound expressions."""

from __future__ import annotations

from flowsql.expr.functions.catalogue import find_function
from flowsql.expr.nodes import Call, Column, Expression, walk

__all__ = ["is_constant", "is_deterministic"]


def is_deterministic(expression: Expression) -> bool:
    """False if two evaluations of the same row may differ (RAND, UUID, the clock)."""
    for node in walk(expression):
        if isinstance(node, Call):
            function = find_function(node.function)
            if function is not None and not function.deterministic:
                return False
    return True


def is_constant(expression: Expression) -> bool:
    """True if no column is read; a constant may still be non-deterministic."""
    return not any(isinstance(node, Column) for node in walk(expression))
