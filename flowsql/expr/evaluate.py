"""Bound expressions compiled to functions from a batch to Arrow arrays.

An expression is compiled once into closures. Equal deterministic sub-expressions of a projection
are computed once a batch. Constants are computed at compile time; one that fails is left for the
row that reaches it. A failing row is found by bisecting the batch, and the DataError names the
expression's place in the SQL, the row's number and the values it reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.errors import DataError, InternalError, SqlError
from flowsql.expr.analysis import is_deterministic
from flowsql.expr.casting import cast_kernel
from flowsql.expr.faults import TRY_CAST, Fault
from flowsql.expr.frame import Frame
from flowsql.expr.functions.catalogue import find_function, overload_of
from flowsql.expr.lazy import Branch, Run, conjunction, first_not_null, searched_case
from flowsql.expr.nodes import (
    Call,
    Case,
    Cast,
    Column,
    Expression,
    FieldAccess,
    Literal,
    columns_read,
    walk,
)
from flowsql.expr.python_functions import PREFIX
from flowsql.expr.render import render
from flowsql.expr.settings import EvalSettings, StepClock
from flowsql.expr.text import to_text
from flowsql.expr.vector import Kernel, Value, as_array, true_mask
from flowsql.types import BitmapType, DataType, RowType, VariantType, arrow_type

__all__ = ["Predicate", "Projection", "compile_predicate", "compile_projection", "constant_value"]

_NO_ROWS = pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])))


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A closure and what is known of its value.

    `scalar`: gives a `pa.Scalar`; `constant`: that scalar, if it is known already;
    `total`: see `Overload.total`.
    """

    run: Run
    scalar: bool = False
    total: bool = False
    constant: Any = None

    def branch(self) -> Branch:
        return Branch(self.run, self.total)


class _Compiler:
    def __init__(self, expressions: Sequence[Expression], settings: EvalSettings) -> None:
        self.settings = settings
        counts = Counter(n for e in expressions for n in walk(e) if n.children)
        self._shared = {n for n, c in counts.items() if c > 1 and is_deterministic(n)}
        self._slots: dict[Expression, tuple[int, _Compiled]] = {}

    @property
    def slots(self) -> int:
        return len(self._slots)

    def compile(self, node: Expression) -> _Compiled:
        if node not in self._shared:
            return self._node(node)
        known = self._slots.get(node)
        if known is None:
            inner = self._node(node)
            if inner.constant is not None:
                return inner
            known = (len(self._slots), inner)
            self._slots[node] = known
        slot, inner = known

        def run(frame: Frame) -> Value:
            value = frame.recall(slot)
            if value is None:
                value = frame.shared[slot] = inner.run(frame)
            return value

        return _Compiled(run, inner.scalar, inner.total)

    def _node(self, node: Expression) -> _Compiled:
        match node:
            case Column(index=index):
                return _Compiled(lambda frame: frame.column(index), total=True)
            case Literal():
                return _constant(literal_scalar(node))
            case Cast(arg=arg):
                inner = self.compile(arg)
                kernel = cast_kernel(arg, node.type, safe=node.safe, settings=self.settings)
                if kernel is None:
                    return inner
                return self._call(node, kernel, [inner], total=False)
            case FieldAccess(arg=arg, index=index):
                return self._call(node, _member(index), [self.compile(arg)], total=True)
            case Case(conditions=conditions, results=results):
                run = searched_case(
                    [self.compile(c).branch() for c in conditions],
                    [self.compile(r).branch() for r in results],
                    arrow_type(node.type),
                )
                return self._lazy(node, run)
            case Call(function="AND" | "OR" as name, args=args):
                operands = [self.compile(a).branch() for a in args]
                return self._lazy(node, conjunction(operands, every=name == "AND"))
            case Call(function="COALESCE", args=args):
                operands = [self.compile(a).branch() for a in args]
                return self._lazy(node, first_not_null(operands, arrow_type(node.type)))
            case Call():
                chosen = overload_of(node)
                kernel = chosen.make(node, self.settings)
                compiled = [self.compile(a) for a in node.args]
                return self._call(node, kernel, compiled, total=chosen.total)
            case _:
                raise InternalError(f"no evaluation for {type(node).__name__}")

    def _lazy(self, node: Expression, run: Run) -> _Compiled:
        children = [self.compile(c) for c in node.children]
        scalar = all(c.scalar for c in children)
        total = all(c.total for c in children)
        if scalar:
            return _once(node, run)

        def column(frame: Frame) -> Value:
            # Where every row takes a constant branch too: a kernel gets at least one array.
            return as_array(run(frame), frame.rows)

        return _Compiled(column, total=total)

    def _call(
        self, node: Expression, kernel: Kernel, args: list[_Compiled], *, total: bool
    ) -> _Compiled:
        total = total and all(a.total for a in args)
        if args and all(a.scalar for a in args) and not _draws_by_row(node):
            return _once(node, _on_one_row(node, kernel, [a.run for a in args]))
        place = _placed(node)
        match [a.run for a in args]:
            case []:

                def run(frame: Frame) -> Value:
                    try:
                        return kernel(frame)
                    except (Fault, pa.ArrowException, ArithmeticError, ValueError) as e:
                        raise place(e) from e

                return _Compiled(run, scalar=not _draws_by_row(node))
            case [one]:

                def run(frame: Frame) -> Value:
                    try:
                        return kernel(frame, one(frame))
                    except (Fault, pa.ArrowException, ArithmeticError, ValueError) as e:
                        raise place(e) from e
            case [left, right]:

                def run(frame: Frame) -> Value:
                    try:
                        return kernel(frame, left(frame), right(frame))
                    except (Fault, pa.ArrowException, ArithmeticError, ValueError) as e:
                        raise place(e) from e
            case runs:

                def run(frame: Frame) -> Value:
                    try:
                        return kernel(frame, *[r(frame) for r in runs])
                    except (Fault, pa.ArrowException, ArithmeticError, ValueError) as e:
                        raise place(e) from e

        return _Compiled(run, total=total)


def _placed(node: Expression) -> Callable[[Exception], Fault]:
    """Names the innermost failing expression in a fault that rises through it."""

    def place(error: Exception) -> Fault:
        fault = error if isinstance(error, Fault) else Fault(str(error).split("\n")[0])
        if fault.expression is None:
            fault.expression = render(node)
            fault.span = node.span
        return fault

    return place


def _constant(scalar: Any) -> _Compiled:
    return _Compiled(lambda _: scalar, scalar=True, total=True, constant=scalar)


def _on_one_row(node: Expression, kernel: Kernel, runs: list[Run]) -> Run:
    """A call with constant arguments: the kernel on arrays of one element."""
    place = _placed(node)

    def run(frame: Frame) -> Value:
        try:
            values = [
                pa.array([v.as_py()], v.type) if _plain(v) else pa.repeat(v, 1)
                for v in (r(frame) for r in runs)
            ]
            result = kernel(frame, *values)
        except (Fault, pa.ArrowException, ArithmeticError, ValueError) as e:
            raise place(e) from e
        return result if isinstance(result, pa.Scalar) else result[0]

    return run


def _plain(value: Any) -> bool:
    return pa.types.is_string(value.type) or pa.types.is_boolean(value.type)


def _once(node: Expression, run: Run) -> _Compiled:
    """A value that is the same for all rows; computed now if nothing but constants makes it."""

    def scalar(frame: Frame) -> Value:
        value = run(frame)
        return value if isinstance(value, pa.Scalar) else value[0]

    if is_deterministic(node):
        try:
            return _constant(scalar(_constant_frame()))
        except Fault:
            return _Compiled(scalar, scalar=True)
    return _Compiled(scalar, scalar=True)


def _constant_frame() -> Frame:
    return Frame(_NO_ROWS, StepClock(0), 4096)


def _draws_by_row(node: Expression) -> bool:
    """Whether another value is made for each row, whatever the arguments are."""
    if not isinstance(node, Call):
        return False
    if node.function.startswith(PREFIX):
        function = find_function(node.function)
        return function is not None and not function.deterministic
    return not node.args and node.function in {"RAND", "UUID", "RAND_INTEGER"}


def _member(index: int) -> Kernel:
    def kernel(context: Any, value: Value) -> Value:
        del context
        # `flatten` applies the row's own NULLs to its members; `field` does not.
        return value.flatten()[index]

    return kernel


def literal_scalar(node: Literal) -> Any:
    """The Arrow constant of a literal."""
    arrow = arrow_type(node.type)
    return pa.scalar(node.value, arrow)


def constant_value(expression: Expression, settings: EvalSettings) -> Any:
    """The `pa.Scalar` of a constant deterministic expression; raises Fault where it has none."""
    compiled = _Compiler((expression,), settings).compile(expression)
    value = compiled.run(_constant_frame())
    return value if isinstance(value, pa.Scalar) else value[0]


class Projection:
    """Compiled expressions: `projection(batch, clock)` gives one array each."""

    __slots__ = ("_arrow", "_compiled", "_expressions", "_slots", "_types")

    def __init__(
        self, expressions: Sequence[Expression], input_type: RowType, settings: EvalSettings
    ) -> None:
        del input_type
        self._expressions = tuple(expressions)
        try:
            compiler = _Compiler(expressions, settings)
            self._compiled = [compiler.compile(e).run for e in expressions]
        except RecursionError as e:
            raise SqlError(
                "the expression is nested too deeply",
                hint="Compute parts of it in a sub-query.",
                span=expressions[0].span,
            ) from e
        self._arrow = [arrow_type(e.type) for e in expressions]
        self._slots = compiler.slots

    def __call__(self, batch: Any, clock: StepClock, marks: Any = None) -> list[Any]:
        """The value of each expression for every row of the batch.

        Args:
            batch: the rows.
            clock: the step's.
            marks: the watermark before each row, int64 milliseconds, where there is event time.

        Raises:
            DataError: a row has no result; it names expression, row and values.
        """
        try:
            return self._evaluate(batch, clock, marks)
        except Fault as fault:
            raise self._named(batch, clock, fault) from fault

    def _evaluate(self, batch: Any, clock: StepClock, marks: Any = None) -> list[Any]:
        frame = Frame(batch, clock, self._slots, marks)
        rows = frame.rows
        result = []
        for run, arrow in zip(self._compiled, self._arrow, strict=True):
            value = run(frame)
            value = as_array(value, rows)
            if value.type != arrow:
                value = value.cast(arrow)
            result.append(value)
        return result

    def _named(self, batch: Any, clock: StepClock, fault: Fault) -> DataError:
        low, high = 0, batch.num_rows
        while high - low > 1 and not fault.whole:
            middle = (low + high) // 2
            try:
                self._evaluate(batch.slice(low, middle - low), clock)
            except Fault as e:
                high, fault = middle, e
            else:
                low = middle
        read = sorted(frozenset().union(*(columns_read(e) for e in self._expressions)))
        nodes = {n.index: n for e in self._expressions for n in walk(e) if isinstance(n, Column)}
        values = ", ".join(
            f"{nodes[i].name} = {_shown(batch.column(i).slice(low, 1), nodes[i].type)}"
            for i in read[:8]
        )
        where = f"In a row with {values}." if values else None
        hint = fault.hint
        if fault.whole:
            where = f"The batch has {batch.num_rows:,} row{'s' * (batch.num_rows != 1)}."
        elif hint == TRY_CAST and (fault.expression or "").startswith("CAST("):
            hint = f"Write TRY_{fault.expression} to get NULL instead."
        return DataError(
            f'{fault.message} in "{fault.expression}"' if fault.expression else fault.message,
            detail=where,
            hint=hint,
            span=fault.span,
        )


def _shown(value: Any, data_type: DataType) -> str:
    """The only value of an array; those whose bytes say nothing as their text."""
    if isinstance(data_type, VariantType | BitmapType):
        value = to_text(value, data_type, EvalSettings())
    scalar = value[0]
    if not scalar.is_valid:
        return "NULL"
    text = str(scalar)
    return text if len(text) <= 60 else text[:57] + "..."


class Predicate:
    """A compiled condition: `predicate(batch, clock)` is True where it holds; NULL does not."""

    __slots__ = ("_projection",)

    def __init__(self, expression: Expression, input_type: RowType, settings: EvalSettings) -> None:
        self._projection = Projection((expression,), input_type, settings)

    def __call__(
        self, batch: Any, clock: StepClock, marks: Any = None
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A NumPy mask of the batch's rows; raises DataError as `Projection` does."""
        value = self._projection(batch, clock, marks)[0]
        return true_mask(as_array(value, batch.num_rows), batch.num_rows)


def compile_projection(
    expressions: Sequence[Expression], input_type: RowType, settings: EvalSettings
) -> Projection:
    """Compile expressions over rows of `input_type`."""
    return Projection(expressions, input_type, settings)


def compile_predicate(
    expression: Expression, input_type: RowType, settings: EvalSettings
) -> Predicate:
    """Compile a BOOLEAN expression over rows of `input_type`."""
    return Predicate(expression, input_type, settings)
