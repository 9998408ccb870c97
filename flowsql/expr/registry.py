"""What a function is: names, signatures, result type, determinism, implementation, doc.

A family of functions is one module of `functions/` with a tuple `FUNCTIONS`;
`functions/catalogue.py` puts the tuples into one table. `Overload.result` gives the type,
nullability included; most results are NULL exactly if an argument is (`by_arguments`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowsql.errors import Span
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.vector import EvalSettings, Kernel
from flowsql.types import DataType

__all__ = [
    "Bind",
    "Function",
    "Maker",
    "Overload",
    "Param",
    "Result",
    "by_arguments",
    "first_argument",
    "forced_nullable",
    "overload",
    "strict",
]


@dataclass(frozen=True, slots=True)
class Param:
    """A kind of argument.

    Attributes:
        text: how a signature names it: `<CHARACTER_STRING>`.
        accepts: whether a type may stand here.
        null: the type an untyped NULL takes here; None refuses it.
        to: the type an argument is cast to; None keeps it.
    """

    text: str
    accepts: Callable[[DataType], bool]
    null: DataType | None = None
    to: Callable[[DataType], DataType] | None = None


Result = Callable[[Sequence[Expression]], DataType]
Maker = Callable[[Call, EvalSettings], Kernel]
Bind = Callable[[Sequence[Expression], Span | None], Expression]


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature of a function.

    Attributes:
        params: the kinds of arguments in order.
        result: type of the result for arguments that are cast already.
        make: builds the kernel for a bound call.
        optional: so many params at the end may be left out.
        variadic: the last param may be repeated.
        total: computed for any value without a fault, and cheap: may be evaluated on rows that
            CASE or AND would not reach.
    """

    params: tuple[Param, ...]
    result: Result
    make: Maker
    optional: int = 0
    variadic: bool = False
    total: bool = False

    def takes(self, count: int) -> bool:
        """Whether that many arguments fit."""
        low = len(self.params) - self.optional
        return count >= low and (self.variadic or count <= len(self.params))

    def param(self, index: int) -> Param:
        """The kind of the argument at `index`."""
        return self.params[min(index, len(self.params) - 1)]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function or operator.

    Attributes:
        name: upper case; operators by symbol.
        doc: one sentence for the reference.
        overloads: tried in order.
        bind: replaces the choice by overloads where the rules are the function's own; it may
            give any expression, such as a `Case`.
        deterministic: False also for what reads the clock.
        aliases: further names.
        signatures: text of the signatures where `bind` decides.
    """

    name: str
    doc: str
    overloads: tuple[Overload, ...] = ()
    bind: Bind | None = None
    deterministic: bool = True
    aliases: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()

    def supported(self) -> tuple[str, ...]:
        """The signatures as a user reads them."""
        if self.signatures:
            return self.signatures
        texts = []
        for o in self.overloads:
            parts = [p.text for p in o.params]
            required = parts[: len(parts) - o.optional]
            text = ", ".join(required)
            for extra in parts[len(required) :]:
                text += f"[, {extra}]" if text else f"[{extra}]"
            texts.append(f"{self.name}({text}{'...' if o.variadic else ''})")
        return tuple(texts)


def overload(
    params: Sequence[Param],
    result: Result,
    make: Maker,
    *,
    optional: int = 0,
    variadic: bool = False,
    total: bool = False,
) -> Overload:
    """An `Overload`, with the fields most often given first."""
    return Overload(tuple(params), result, make, optional, variadic, total)


def strict(kernel: Kernel) -> Maker:
    """The maker of a kernel that depends on no literal and no setting."""

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del call, settings
        return kernel

    return make


def by_arguments(data_type: DataType) -> Result:
    """A fixed type, nullable if an argument is."""
    nullable, required = data_type.with_nullable(True), data_type.with_nullable(False)

    def result(args: Sequence[Expression]) -> DataType:
        return nullable if any(a.type.nullable for a in args) else required

    return result


def forced_nullable(data_type: DataType) -> Result:
    """A fixed type that is nullable whatever the arguments are."""
    nullable = data_type.with_nullable(True)
    return lambda _: nullable


def first_argument(args: Sequence[Expression]) -> DataType:
    """The first argument's type, nullable if any argument is."""
    return args[0].type.with_nullable(any(a.type.nullable for a in args))
