"""Calls of Python functions: the registry's entry for a place, and its kernels.

A deterministic function on values is called once for each distinct row of arguments in a batch. What
a function gives is checked strictly, since Arrow would turn 1.5 into 1 without a word.
"""

from __future__ import annotations

import datetime as dt
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import ConfigError, FlowSQLError, Span
from flowsql.expr.casting import can_cast_implicitly, same_type
from flowsql.expr.faults import Fault
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.python_functions import PREFIX, PythonFunction, declared, label_of
from flowsql.expr.registry import Function, Overload, Param, strict
from flowsql.expr.resolve import resolve
from flowsql.expr.vector import Context, Kernel, Value, as_array
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import is_nested

__all__ = ["bind_python_call", "python_function", "python_overload", "signatures"]

_CLASSES: dict[type[DataType], tuple[type, ...]] = {
    BooleanType: (bool, np.bool_),
    TinyIntType: (int, np.integer),
    SmallIntType: (int, np.integer),
    IntType: (int, np.integer),
    BigIntType: (int, np.integer),
    FloatType: (float, int, np.floating, np.integer),
    DoubleType: (float, int, np.floating, np.integer),
    DecimalType: (Decimal, int),
    VarCharType: (str,),
    VarBinaryType: (bytes, bytearray),
    DateType: (dt.date,),
    TimeType: (dt.time,),
    TimestampType: (dt.datetime,),
    LocalZonedTimestampType: (dt.datetime,),
    ArrayType: (list, tuple),
}
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def bind_python_call(
    place: str, name: str, args: Sequence[Expression], span: Span | None
) -> Expression:
    """A call of the function at `place`, which SQL calls `name`.

    Raises:
        FlowSQLError: it cannot be imported, or does not take these arguments.
    """
    try:
        function = python_function(place)
    except FlowSQLError as error:
        error.span = error.span or span
        raise
    known = replace(function, signatures=signatures(name, place))
    return resolve(known, args, span, name)


def python_function(place: str) -> Function:
    """The registry's entry for the function at a place; raises ConfigError if there is none."""
    return _entry(place, declared(place))


@cache
def _entry(place: str, python: PythonFunction) -> Function:
    label = label_of(place)
    kernel = _on_arrays(python, label) if python.arrow else _on_values(python, label)
    result = python.result_type
    overload = Overload(
        params=tuple(_param(t) for t in python.input_types),
        result=lambda _: result,
        make=strict(kernel),
        optional=python.optional,
    )
    return Function(
        name=PREFIX + place,
        doc=((python.call.__doc__ or "").strip().split("\n") or [""])[0],
        overloads=(overload,),
        deterministic=python.deterministic,
        signatures=signatures(label, place),
    )


def python_overload(call: Call) -> Overload:
    """What a bound call runs, which may come out of a stored plan.

    Raises:
        ConfigError: there is no such function, or it has other types than when the call was bound.
    """
    place = call.function.removeprefix(PREFIX)
    python, given = declared(place), [a.type for a in call.args]
    overload = python_function(place).overloads[0]
    kept = overload.takes(len(given)) and all(map(same_type, given, python.input_types))
    if not kept or not same_type(call.type, python.result_type):
        types = ", ".join(str(t.with_nullable(True)) for t in given)
        now = f"Now it is {', '.join(signatures(label_of(place), place))}."
        raise ConfigError(
            f'function "{label_of(place)}" has other types than in the plan: ({types}) → {call.type}',
            detail=now,
            hint="Bring the old types back, or begin anew without the plan.",
        )
    return overload


def signatures(name: str, place: str) -> tuple[str, ...]:
    """How the function at a place is called by a name, with what it gives."""
    python = declared(place)
    texts = [str(t) for t in python.input_types]
    required = len(texts) - python.optional
    return tuple(
        f"{name}({', '.join(texts[:n])}) → {python.result_type}"
        for n in range(required, len(texts) + 1)
    )


def _param(declared_type: DataType) -> Param:
    plain = declared_type.with_nullable(True)

    def accepts(given: DataType) -> bool:
        if given.nullable and not declared_type.nullable:
            return False
        return can_cast_implicitly(given.with_nullable(True), plain)

    null = plain if declared_type.nullable else None
    return Param(str(declared_type), accepts, null, lambda t: plain.with_nullable(t.nullable))


# Functions on values


def _on_values(python: PythonFunction, label: str) -> Kernel:
    nested = any(is_nested(t) for t in python.input_types)
    gather = _gathering(python, label)

    def kernel(context: Context, *values: Value) -> Value:
        rows = context.rows
        if not values:
            if python.deterministic:
                return gather([()])[0]
            return gather([()] * rows)
        if not all(isinstance(v, pa.Scalar) for v in values):
            rows = next(len(v) for v in values if not isinstance(v, pa.Scalar))
        arrays = [as_array(v, rows) for v in values]
        if not python.deterministic or nested or rows < 2:
            return gather(list(zip(*(a.to_pylist() for a in arrays), strict=True)))
        distinct, numbers = _distinct(arrays)
        given = gather(list(zip(*(a.to_pylist() for a in distinct), strict=True)))
        return given if numbers is None else given.take(numbers)

    return kernel


def _distinct(arrays: list[Any]) -> tuple[list[Any], Any]:
    """The distinct rows, and for each row the number of its equal; None where all are distinct."""
    if len(arrays) == 1:
        encoded = pc.dictionary_encode(arrays[0], null_encoding="encode")
        return [encoded.dictionary], encoded.indices
    codes, size = np.zeros(len(arrays[0]), np.int64), 1
    for array in arrays:
        encoded = pc.dictionary_encode(array, null_encoding="encode")
        width = len(encoded.dictionary)
        if size * width >= 1 << 62:
            known, codes = np.unique(codes, return_inverse=True)
            size = len(known)
        codes, size = codes * width + encoded.indices.to_numpy(), size * width
    _, first, numbers = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) == len(codes):
        return arrays, None
    rows = pa.array(first)
    return [a.take(rows) for a in arrays], pa.array(numbers)


def _gathering(python: PythonFunction, label: str) -> Callable[[list[tuple[Any, ...]]], Any]:
    """Calls the function for each tuple of arguments; gives the results as an Arrow array."""
    call, kind, arrow = python.call, python.result_type, arrow_type(python.result_type)

    def gather(rows: list[tuple[Any, ...]]) -> Any:
        results: list[Any] = []
        add = results.append
        try:
            for args in rows:
                add(call(*args))
        except Exception as error:
            raise _failed(label, f" for {_row(rows[len(results)])}", error) from error
        if not _fits(results, kind):
            at = next(i for i, r in enumerate(results) if not _fits([r], kind))
            raise _misfit(label, _row(rows[at]), results[at], kind)
        try:
            return pa.array(_truncated(results, kind), arrow)
        except (pa.ArrowException, OverflowError, ValueError) as error:
            for args, result in zip(rows, results, strict=True):
                try:
                    pa.array([result], arrow)
                except (pa.ArrowException, OverflowError, ValueError):
                    raise _misfit(label, _row(args), result, kind) from error
            raise

    return gather


def _fits(values: Sequence[Any], kind: DataType) -> bool:
    """Whether every value is one that the type can hold, ranges of exact numbers apart."""
    classes = _CLASSES[type(kind)]
    found = set(map(type, values))
    if type(None) in found:
        if not kind.nullable:
            return False
        found.discard(type(None))
        values = [v for v in values if v is not None]
    if not all(issubclass(c, classes) for c in found):
        return False
    match kind:
        case BooleanType():
            return True
        case DateType():
            return not any(issubclass(c, dt.datetime) for c in found)
        case TimestampType():
            return all(v.tzinfo is None for v in values)
        case LocalZonedTimestampType():
            return all(v.tzinfo is not None for v in values)
        case TimeType():
            return all(v.tzinfo is None for v in values)
        case FloatType():
            return all(abs(v) <= _LARGEST_FLOAT or not math.isfinite(v) for v in values)
        case ArrayType(element=element):
            return _fits(list(chain.from_iterable(values)), element)
        case _:
            return bool not in found


def _truncated(values: list[Any], kind: DataType) -> list[Any]:
    """Points in time without the digits that the type has not."""
    if isinstance(kind, ArrayType) and isinstance(
        kind.element, TimeType | TimestampType | LocalZonedTimestampType
    ):
        return [None if v is None else _truncated(list(v), kind.element) for v in values]
    if not isinstance(kind, TimeType | TimestampType | LocalZonedTimestampType):
        return values
    unit = 10 ** (6 - min(kind.precision, 6))
    return [
        v if v is None or not v.microsecond % unit
        else v.replace(microsecond=v.microsecond // unit * unit)
        for v in values
    ]  # fmt: skip


# Functions on Arrow arrays


def _on_arrays(python: PythonFunction, label: str) -> Kernel:
    call, kind, arrow = python.call, python.result_type, arrow_type(python.result_type)

    def kernel(context: Context, *values: Value) -> Value:
        rows = next((len(v) for v in values if not isinstance(v, pa.Scalar)), context.rows)
        if not rows:
            return pa.array([], arrow)
        arrays = [as_array(v, rows) for v in values]
        shown = "one row" if rows == 1 else f"{rows:,} rows"
        try:
            given = call(*arrays)
        except Exception as error:
            raise _failed(label, "", error) from error
        if isinstance(given, pa.ChunkedArray):
            given = given.combine_chunks()
        if not isinstance(given, pa.Array):
            raise Fault(
                f'function "{label}" gave a {type(given).__name__}, no Arrow array',
                hint="Return a pyarrow.Array, such as that of a function of pyarrow.compute.",
                whole=True,
            )
        if len(given) != rows:
            raise Fault(f'function "{label}" gave {len(given):,} values for {shown}', whole=True)
        if given.null_count and not kind.nullable:
            raise Fault(f'function "{label}" gave NULL, which {kind} cannot be')
        try:
            return _floored(_converted(given, arrow), kind)
        except pa.ArrowException as error:
            what = str(error).split("\n")[0]
            raise Fault(f'function "{label}" gave {given.type}, not {arrow}: {what}') from error

    return kernel


def _converted(given: Any, arrow: Any) -> Any:
    """The array as the type; raises ArrowException where a value would become another."""
    if isinstance(given, pa.DictionaryArray):
        given = given.dictionary_decode()
    source = given.type
    if source == arrow:
        return given
    is_ = pa.types
    exact = is_.is_integer(source) or is_.is_decimal(source)
    if (
        is_.is_null(source)
        or (exact and (is_.is_integer(arrow) or is_.is_decimal(arrow) or is_.is_floating(arrow)))
        or (is_.is_floating(source) and is_.is_floating(arrow))
        or (_is_text(source) and is_.is_string(arrow))
        or (_is_bytes(source) and is_.is_binary(arrow))
        or (is_.is_time(source) and is_.is_time(arrow))
        or (is_.is_list(source) and is_.is_list(arrow) and source.value_type == arrow.value_type)
        or (
            is_.is_timestamp(source)
            and is_.is_timestamp(arrow)
            and (source.tz is None) is (arrow.tz is None)
        )
    ):
        return given.cast(arrow)
    raise pa.ArrowTypeError("the types are of different kinds")


def _is_text(arrow: Any) -> bool:
    return bool(pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow))


def _is_bytes(arrow: Any) -> bool:
    return bool(pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow))


def _floored(array: Any, kind: DataType) -> Any:
    """Points in time without the digits that the type has not."""
    if not isinstance(kind, TimestampType | LocalZonedTimestampType):
        return array
    unit = 10 ** ((6 if kind.precision <= 6 else 9) - kind.precision)
    if unit == 1:
        return array
    stored = array.cast(pa.int64())
    values = stored.fill_null(0).to_numpy()
    floored = pa.array(values - values % unit, mask=np.asarray(stored.is_null()))
    return floored.cast(array.type)


# Messages


def _row(args: tuple[Any, ...]) -> str:
    return f"({', '.join(map(_shown, args))})"


def _shown(value: Any) -> str:
    text = "NULL" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _failed(label: str, rows: str, error: Exception) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)[1:]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = str(error).split("\n")[0]
    what = type(error).__name__ + (f": {text}" if text else "")
    return Fault(
        f'Python function "{label}" failed{rows} with {what}{where}',
        hint="Mend the function, or let it return None for what it has no answer to.",
    )


def _misfit(label: str, row: str, value: Any, kind: DataType) -> Fault:
    what = "NULL" if value is None else f"{_shown(value)} ({type(value).__name__})"
    return Fault(
        f'Python function "{label}" gave {what}{f" for {row}" if row != "()" else ""}, which is no {kind}',
        hint="Convert it in the function, or declare another result_type.",
    )
