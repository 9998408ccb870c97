"""Constant sub-expressions computed while planning."""

from __future__ import annotations

from decimal import Decimal

from flowsql.expr.analysis import is_constant, is_deterministic
from flowsql.expr.evaluate import constant_value
from flowsql.expr.faults import Fault
from flowsql.expr.nodes import Call, Case, Cast, Expression, FieldAccess, Literal, transform
from flowsql.expr.settings import EvalSettings
from flowsql.types.common import is_nested

__all__ = ["fold"]


def fold(expression: Expression, settings: EvalSettings | None = None) -> Expression:
    """The expression with its constant parts as literals.

    A part that fails stays as it is: only a row that reaches it may fail. Nested values have no
    literals and stay as well.
    """
    chosen = settings or EvalSettings()

    def rewrite(node: Expression) -> Expression:
        if not isinstance(node, Call | Cast | Case | FieldAccess) or is_nested(node.type):
            return node
        if not all(isinstance(c, Literal) for c in node.children) or not is_constant(node):
            return node
        if not is_deterministic(node):
            return node
        try:
            scalar = constant_value(node, chosen)
        except Fault:
            return node
        value = None
        if scalar.is_valid:
            value = scalar.value if hasattr(scalar, "value") else scalar.as_py()
            if isinstance(value, Decimal) or not isinstance(
                value, bool | int | float | str | bytes
            ):
                value = scalar.as_py()
        return Literal(type=node.type, value=value, span=node.span)

    return transform(expression, rewrite)
