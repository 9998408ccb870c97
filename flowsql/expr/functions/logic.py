"""AND, OR, NOT, IS [NOT] TRUE | FALSE | UNKNOWN: three-valued logic.

AND and OR take any number of operands, so that a long chain is no deep tree. Their evaluation is
`lazy.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from flowsql.errors import InternalError, Span
from flowsql.expr.casting import cast_to
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.params import BOOLEAN
from flowsql.expr.registry import Function, Maker, by_arguments, overload, strict
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, arrow_function
from flowsql.types import BooleanType, NullType

__all__ = ["FUNCTIONS"]

_BOOLEAN = by_arguments(BooleanType())
_CERTAIN = BooleanType(nullable=False)


def _truth(name: str, args: Sequence[Expression], span: Span | None) -> list[Expression]:
    if not args or not all(isinstance(a.type, BooleanType | NullType) for a in args):
        raise wrong_arguments(name, args, span)
    return [cast_to(a, BooleanType()) if isinstance(a.type, NullType) else a for a in args]


def _bind_chain(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        operands: list[Expression] = []
        for a in _truth(name, args, span):
            if isinstance(a, Call) and a.function == name:
                operands.extend(a.args)
            else:
                operands.append(a)
        if len(operands) == 1:
            return operands[0]
        nullable = any(a.type.nullable for a in operands)
        result = BooleanType(nullable=nullable)
        return Call(type=result, function=name, args=tuple(operands), span=span)

    return bind


def _lazy(call: Call, settings: EvalSettings) -> Kernel:
    del settings

    def kernel(*_: Any) -> Any:
        raise InternalError(f'"{call.function}" is evaluated by branches')

    return kernel


def _test(value: bool | None, *, negated: bool) -> Maker:
    def kernel(_: Any, truth: Any) -> Any:
        if value is None:
            found = truth.is_null()
        else:
            found = truth if value else pc.invert(truth)
            found = found.fill_null(False) if found.null_count else found
        return pc.invert(found) if negated else found

    return strict(kernel)


def _is(word: str, value: bool | None) -> tuple[Function, ...]:
    made = []
    for negated in (False, True):
        name = f"IS NOT {word}" if negated else f"IS {word}"
        kinds = overload((BOOLEAN,), lambda _: _CERTAIN, _test(value, negated=negated), total=True)
        text = f"True if the condition is {'not ' if negated else ''}{word}."
        made.append(Function(name, text, (kinds,), signatures=(f"<BOOLEAN> {name}",)))
    return tuple(made)


FUNCTIONS = (
    Function(
        "AND",
        "True if all conditions are.",
        (overload((BOOLEAN, BOOLEAN), _BOOLEAN, _lazy, variadic=True, total=True),),
        _bind_chain("AND"),
        signatures=("<BOOLEAN> AND <BOOLEAN>",),
    ),
    Function(
        "OR",
        "True if a condition is.",
        (overload((BOOLEAN, BOOLEAN), _BOOLEAN, _lazy, variadic=True, total=True),),
        _bind_chain("OR"),
        signatures=("<BOOLEAN> OR <BOOLEAN>",),
    ),
    Function(
        "NOT",
        "The opposite of the condition.",
        (overload((BOOLEAN,), _BOOLEAN, strict(arrow_function("invert")), total=True),),
        signatures=("NOT <BOOLEAN>",),
    ),
    *_is("TRUE", True),
    *_is("FALSE", False),
    *_is("UNKNOWN", None),
)
