"""The overload of a function that takes given arguments."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span
from flowsql.expr.casting import cast_to
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.registry import Function, Overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.types import NullType

__all__ = ["resolve"]


def resolve(
    function: Function, args: Sequence[Expression], span: Span | None, name: str | None = None
) -> Expression:
    """A call of the first overload that takes the arguments, cast as it needs.

    Raises:
        SqlError: none does; the error calls the function `name`.
    """
    for overload in function.overloads:
        if _takes(overload, args):
            cast = tuple(_as_param(a, overload, i) for i, a in enumerate(args))
            return Call(type=overload.result(cast), function=function.name, args=cast, span=span)
    raise wrong_arguments(name or function.name, args, span, function.supported())


def _takes(overload: Overload, args: Sequence[Expression]) -> bool:
    return overload.takes(len(args)) and all(
        overload.param(i).null is not None
        if isinstance(a.type, NullType)
        else overload.param(i).accepts(a.type)
        for i, a in enumerate(args)
    )


def _as_param(arg: Expression, overload: Overload, index: int) -> Expression:
    param = overload.param(index)
    if isinstance(arg.type, NullType):
        assert param.null is not None
        return cast_to(arg, param.null)
    return arg if param.to is None else cast_to(arg, param.to(arg.type))
