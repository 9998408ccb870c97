"""+ - * / % and the signs, over numbers, intervals and points in time.

Integers wrap, integer division cuts toward zero, division by zero is an error for exact types and
infinite or NaN for FLOAT and DOUBLE, as in Flink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span
from flowsql.expr.calendar import add_months
from flowsql.expr.casting import cast_to
from flowsql.expr.decimal_kernels import DIVISION_BY_ZERO, decimal_kernel
from flowsql.expr.faults import Fault
from flowsql.expr.nodes import Call, Column, Expression, Literal, walk
from flowsql.expr.params import DATETIME, DAY_TIME, NUMERIC, YEAR_MONTH
from flowsql.expr.registry import Function, Maker, first_argument, overload, strict
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    arrow_function,
    as_array,
    build,
    numbers,
    row_count,
    validity,
)
from flowsql.types import (
    BigIntType,
    DataType,
    DateType,
    DecimalType,
    IntType,
    TimeType,
    YearMonthIntervalType,
)
from flowsql.types.common import (
    common_type,
    is_datetime,
    is_exact,
    is_integer,
    is_interval,
    is_numeric,
    plain_type,
)
from flowsql.types.decimals import as_decimal, division_type, modulo_type, product_type, sum_type

__all__ = ["FUNCTIONS", "bind_sum", "shift_kernel"]

_DAY_MS = 86_400_000
_DECIMAL_TYPE = {"+": sum_type, "-": sum_type, "*": product_type, "/": division_type}
_ARROW_NAME = {"+": "add", "-": "subtract", "*": "multiply"}
_GUARD = "Guard it: CASE WHEN divisor <> 0 THEN … END."


def _numeric_call(
    symbol: str, left: Expression, right: Expression, span: Span | None
) -> Expression:
    """Two numbers: their common type, or Flink's DECIMAL rules if one is DECIMAL and none float."""
    nullable = left.type.nullable or right.type.nullable
    merged = common_type((left.type, right.type))
    assert merged is not None
    if isinstance(merged, DecimalType):
        a, b = as_decimal(left.type), as_decimal(right.type)
        assert a is not None
        assert b is not None
        result = _DECIMAL_TYPE[symbol](a, b).with_nullable(nullable)
        args = (cast_to(left, a), cast_to(right, b))
        return Call(type=result, function=symbol, args=args, span=span)
    args = (cast_to(left, merged), cast_to(right, merged))
    return Call(type=merged, function=symbol, args=args, span=span)


def _bind_sum(symbol: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 2:
            raise wrong_arguments(symbol, args, span)
        left, right = args
        if symbol == "+" and is_interval(left.type) and is_datetime(right.type):
            left, right = right, left
        a, b = left.type, right.type
        nullable = a.nullable or b.nullable
        if is_numeric(a) and is_numeric(b):
            return _numeric_call(symbol, left, right, span)
        if is_datetime(a) and is_interval(b):
            result = plain_type(a).with_nullable(nullable)
            return Call(type=result, function=symbol, args=(left, right), span=span)
        if is_interval(a) and is_interval(b) and type(a) is type(b):
            merged = common_type((a, b))
            assert merged is not None
            return Call(type=merged, function=symbol, args=(left, right), span=span)
        raise wrong_arguments(symbol, args, span)

    return bind


bind_sum = _bind_sum("+")


def _bind_product(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 2:
        raise wrong_arguments("*", args, span)
    left, right = args
    if is_numeric(left.type) and is_numeric(right.type):
        return _numeric_call("*", left, right, span)
    if is_interval(right.type):
        left, right = right, left
    if is_interval(left.type) and is_integer(right.type):
        whole = IntType() if isinstance(left.type, YearMonthIntervalType) else BigIntType()
        merged = common_type((left.type, left.type))
        assert merged is not None
        nullable = left.type.nullable or right.type.nullable
        args = (left, cast_to(right, whole))
        return Call(type=merged.with_nullable(nullable), function="*", args=tuple(args), span=span)
    raise wrong_arguments("*", args, span)


def _bind_quotient(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) == 2 and is_numeric(args[0].type) and is_numeric(args[1].type):
        return _numeric_call("/", args[0], args[1], span)
    raise wrong_arguments("/", args, span)


def _bind_modulo(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 2 or not all(is_exact(a.type) for a in args):
        raise wrong_arguments("%", args, span)
    left, right = args
    nullable = left.type.nullable or right.type.nullable
    merged = common_type((left.type, right.type))
    a, b = as_decimal(left.type), as_decimal(right.type)
    assert merged is not None
    assert a is not None
    assert b is not None
    if a.scale == 0 and b.scale == 0:
        # The remainder is below the divisor, whose type it takes.
        both = (cast_to(left, merged), cast_to(right, merged))
        rest = Call(type=merged, function="%", args=both, span=span)
        return cast_to(rest, right.type.with_nullable(nullable))
    result = modulo_type(a, b).with_nullable(nullable)
    return Call(type=result, function="%", args=(cast_to(left, a), cast_to(right, b)), span=span)


def _bind_sign(symbol: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 1 or not (is_numeric(args[0].type) or is_interval(args[0].type)):
            raise wrong_arguments(f"UNARY {symbol}", args, span)
        if symbol == "+":
            return args[0]
        return negated(args[0], span)

    return bind


def negated(arg: Expression, span: Span | None) -> Expression:
    """-arg; a literal becomes its negative literal."""
    if isinstance(arg, Literal) and arg.value is not None and not isinstance(arg.value, bool | str):
        value: Any = arg.value
        if is_integer(arg.type) and value == 1 << 31 and isinstance(arg.type, BigIntType):
            return Literal(type=IntType(nullable=arg.type.nullable), value=-value, span=span)
        wraps = is_integer(arg.type) or is_interval(arg.type)
        if not wraps or value > -(1 << 31):
            return Literal(type=arg.type, value=-value, span=span)
    return Call(type=arg.type, function="UNARY -", args=(arg,), span=span)


def _numeric(symbol: str) -> Maker:
    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        result = call.type
        if isinstance(result, DecimalType):
            left, right = (a.type for a in call.args)
            assert isinstance(left, DecimalType)
            assert isinstance(right, DecimalType)
            return decimal_kernel(symbol, left, right, result)
        if symbol in _ARROW_NAME:
            return arrow_function(_ARROW_NAME[symbol])
        if symbol == "/":
            if is_integer(result):
                return _divide_integers
            constant = not any(isinstance(n, Column) for n in walk(call))
            return _divide_constants if constant else _divide_floats
        return _remainder

    return make


_divide = pc.get_function("divide").call
_rest = pc.get_function("remainder").call


def _divide_floats(_: Any, left: Value, right: Value) -> Value:
    """IEEE division; Arrow's own raises where the divisor is 0."""
    rows = row_count((left, right))
    with np.errstate(all="ignore"):
        values = numbers(left) / numbers(right)
    arrow = left.type
    if np.ndim(values) == 0:
        values = np.full(rows, values)
    return build(values, arrow, validity(left, right))


def _divide_constants(context: Any, left: Value, right: Value) -> Value:
    """Flink computes constants while planning, and there 1e0 / 0e0 is an error."""
    if not numbers(right).all():
        raise Fault(DIVISION_BY_ZERO, hint=_GUARD)
    return _divide_floats(context, left, right)


def _divide_integers(_: Any, left: Value, right: Value) -> Value:
    try:
        value = _divide([left, right])
    except pa.ArrowInvalid as e:
        raise Fault(DIVISION_BY_ZERO, hint=_GUARD) from e
    # Arrow gives 0 for MIN / -1, where Java wraps to MIN.
    if isinstance(right, pa.Scalar):
        return pc.negate(left) if right.as_py() == -1 else value
    if (numbers(right) == -1).any():
        return pc.if_else(pc.equal(right, pa.scalar(-1, right.type)), pc.negate(left), value)
    return value


def _remainder(_: Any, left: Value, right: Value) -> Value:
    try:
        return _rest([left, right])
    except pa.ArrowInvalid as e:
        raise Fault(DIVISION_BY_ZERO, hint=_GUARD) from e


def _shift(sign: int) -> Maker:
    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        return shift_kernel(call.args[0].type, call.args[1].type, sign)

    return make


def shift_kernel(point: DataType, interval: DataType, sign: int) -> Kernel:
    """Point ± interval.

    A DATE moves by whole days only, a TIME within its day; months are counted in UTC for
    TIMESTAMP_LTZ, as in Flink.
    """
    months = isinstance(interval, YearMonthIntervalType)

    def kernel(_: Any, start: Value, length: Value) -> Value:
        rows = row_count((start, length))
        array = as_array(start, rows)
        nulls = validity(array, length)
        values = numbers(array).astype(np.int64)
        amount = numbers(length).astype(np.int64) * sign
        if isinstance(point, DateType):
            whole = np.sign(amount) * (np.abs(amount) // _DAY_MS)
            moved = add_months(values, amount) if months else values + whole
        elif isinstance(point, TimeType):
            moved = values + 0 * amount if months else (values + amount) % _DAY_MS
        else:
            per_ms = 1_000_000 if array.type.unit == "ns" else 1000
            if months:
                days, of_day = np.divmod(values, per_ms * _DAY_MS)
                moved = add_months(days, amount) * (per_ms * _DAY_MS) + of_day
            else:
                moved = values + amount * per_ms
        return build(moved, array.type, nulls)

    return kernel


def _signatures(symbol: str, *forms: str) -> tuple[str, ...]:
    return tuple(f.replace("?", symbol) for f in forms)


def _operator(symbol: str, doc: str, bind: Any, forms: tuple[str, ...]) -> Function:
    number = overload((NUMERIC, NUMERIC), first_argument, _numeric(symbol), total=symbol in "+-*")
    kinds = [number]
    if symbol in "+-":
        sign = 1 if symbol == "+" else -1
        for interval in (DAY_TIME, YEAR_MONTH):
            kinds.append(overload((DATETIME, interval), first_argument, _shift(sign)))
            name = "add" if sign == 1 else "subtract"
            kernel = strict(arrow_function(name))
            kinds.append(overload((interval, interval), first_argument, kernel, total=True))
    if symbol == "*":
        for interval in (DAY_TIME, YEAR_MONTH):
            kernel = strict(arrow_function("multiply"))
            kinds.append(overload((interval, NUMERIC), first_argument, kernel, total=True))
    return Function(symbol, doc, tuple(kinds), bind, signatures=_signatures(symbol, *forms))


_NUMBERS = "<NUMERIC> ? <NUMERIC>"

FUNCTIONS = (
    _operator(
        "+",
        "The sum; a point in time moved on by an interval.",
        _bind_sum("+"),
        (_NUMBERS, "<DATETIME> ? <INTERVAL>", "<INTERVAL> ? <DATETIME>", "<INTERVAL> ? <INTERVAL>"),
    ),
    _operator(
        "-",
        "The difference; a point in time moved back by an interval.",
        _bind_sum("-"),
        (_NUMBERS, "<DATETIME> ? <INTERVAL>", "<INTERVAL> ? <INTERVAL>"),
    ),
    _operator(
        "*",
        "The product; a multiple of an interval.",
        _bind_product,
        (_NUMBERS, "<INTERVAL> ? <INTEGER_NUMERIC>", "<INTEGER_NUMERIC> ? <INTERVAL>"),
    ),
    _operator("/", "The quotient.", _bind_quotient, (_NUMBERS,)),
    Function(
        "%",
        "The remainder, with the sign of the dividend.",
        (overload((NUMERIC, NUMERIC), first_argument, _numeric("%")),),
        _bind_modulo,
        aliases=("MOD",),
        signatures=("<EXACT_NUMERIC> % <EXACT_NUMERIC>", "MOD(<EXACT_NUMERIC>, <EXACT_NUMERIC>)"),
    ),
    Function(
        "UNARY -",
        "The negative.",
        tuple(
            overload((p,), first_argument, strict(arrow_function("negate")), total=True)
            for p in (NUMERIC, DAY_TIME, YEAR_MONTH)
        ),
        _bind_sign("-"),
        signatures=("-<NUMERIC>", "-<INTERVAL>"),
    ),
    Function(
        "UNARY +",
        "The number itself.",
        (),
        _bind_sign("+"),
        signatures=("+<NUMERIC>", "+<INTERVAL>"),
    ),
)
