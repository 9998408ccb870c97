"""Numbers: rounding, powers, logarithms, trigonometry, random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr import fdlibm
from flowsql.expr.casts_numeric import rescale
from flowsql.expr.faults import Fault
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.params import AS_DOUBLE, INT, NUMERIC
from flowsql.expr.registry import (
    Function,
    Maker,
    by_arguments,
    first_argument,
    overload,
    strict,
)
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    as_array,
    build,
    each,
    numbers,
    row_count,
    validity,
)
from flowsql.types import DataType, DecimalType, DoubleType, IntType, arrow_type
from flowsql.types.common import is_approximate, is_integer
from flowsql.types.decimals import round_type

__all__ = ["CEIL_NUMBER", "FLOOR_NUMBER", "FUNCTIONS"]

_DOUBLE = by_arguments(DoubleType())


def _no_fraction(args: Sequence[Expression]) -> DataType:
    """CEIL and FLOOR of DECIMAL(p, s) are DECIMAL(p, 0)."""
    arg = args[0].type
    if isinstance(arg, DecimalType):
        return DecimalType(arg.precision, 0, nullable=arg.nullable)
    return arg


def _whole(name: str) -> Maker:
    call = pc.get_function(name).call

    def make(node: Call, settings: EvalSettings) -> Kernel:
        del settings
        source, result = node.args[0].type, node.type
        if is_integer(source):
            return lambda _, value: value
        if isinstance(result, DecimalType) and isinstance(source, DecimalType):
            # One digit more, since CEIL(9.9) is 10.
            wide = (
                pa.decimal128(38, source.scale)
                if source.precision < 38
                else pa.decimal256(76, source.scale)
            )
            return lambda _, value: rescale(call([value.cast(wide)]), result)
        return lambda _, value: call([value])

    return make


def _digits(args: Sequence[Expression]) -> int | None:
    """The literal number of digits of ROUND and TRUNCATE; 0 if it is left out."""
    if len(args) == 1:
        return 0
    arg = args[1]
    return arg.value if isinstance(arg, Literal) and isinstance(arg.value, int) else None


def _rounded(args: Sequence[Expression]) -> DataType:
    arg = args[0].type
    nullable = any(a.type.nullable for a in args)
    digits = _digits(args)
    if isinstance(arg, DecimalType) and digits is not None:
        return round_type(arg, digits).with_nullable(nullable)
    return arg.with_nullable(nullable)


def _round_make(mode: str) -> Maker:
    """ROUND (half away from zero) and TRUNCATE, by Java's BigDecimal."""
    java = {"half_towards_infinity": "ROUND_HALF_UP", "towards_zero": "ROUND_DOWN"}[mode]

    def make(node: Call, settings: EvalSettings) -> Kernel:
        del settings
        source, result = node.args[0].type, node.type
        digits = _digits(node.args)
        if isinstance(source, DecimalType) and digits is not None:
            assert isinstance(result, DecimalType)
            return _round_decimal(source, result, digits, mode)
        if is_integer(source) and digits is not None and digits >= 0:
            return lambda _, value, *__: value
        one = _round_one(source, result, java)
        if is_approximate(source) and digits is not None and abs(digits) <= 22:
            return _round_floats(one, digits, mode)
        return lambda _, value, *count: each(
            one, arrow_type(result), value, *(count or (pa.scalar(0, pa.int32()),))
        )

    return make


def _round_floats(one: Callable[[Any, int], Any], digits: int, mode: str) -> Kernel:
    """Rounding of a whole column; values too near to a tie to be sure go through BigDecimal."""
    unit = 10.0 ** abs(digits)
    half = 0.5 if mode == "half_towards_infinity" else 1.0

    def kernel(_: Any, array: Value, *__: Value) -> Value:
        values = numbers(array).astype(np.float64)
        size = np.abs(values)
        with np.errstate(all="ignore"):
            scaled = size * unit if digits >= 0 else size / unit
            floor = np.floor(scaled)
            rest = scaled - floor
            up = floor + (rest > half)
            rounded = up / unit if digits >= 0 else up * unit
            # Scaling is off by an ulp at most, so that only a tie's neighbourhood is open.
            doubt = scaled * 4e-16
            sure = (scaled < 1e15) & (np.abs(rest - half) > doubt) & (rest > doubt)
            sure &= 1 - rest > doubt
        rounded = np.copysign(rounded, values) + 0.0
        open_rows = ~sure
        nulls = validity(array) if array.null_count else None
        if nulls is not None:
            open_rows &= ~nulls
        for i in np.flatnonzero(open_rows).tolist():
            rounded[i] = one(float(values[i]), digits)
        return build(rounded.astype(numbers(array).dtype), array.type, nulls)

    return kernel


def _round_decimal(source: DecimalType, result: DecimalType, digits: int, mode: str) -> Kernel:
    if digits >= source.scale:
        return lambda _, value, *__: rescale(value, result)
    narrow = source.precision < 38
    wide = pa.decimal128(38, source.scale) if narrow else pa.decimal256(76, source.scale)
    if -digits >= wide.precision - source.scale:
        zero = pa.scalar(Decimal(0), arrow_type(result))
        return lambda _, value, *__: pc.if_else(
            pc.is_valid(value), zero, pa.scalar(None, zero.type)
        )
    return lambda _, value, *__: rescale(pc.round(value.cast(wide), digits, mode), result)


def _round_one(source: DataType, result: DataType, mode: str) -> Callable[[Any, int], Any]:
    def one(value: Any, digits: int) -> Any:
        if is_approximate(source):
            if not math.isfinite(value):
                raise Fault(f"cannot round {value}")
            exact = Decimal(repr(value))  # FLOAT by way of DOUBLE, as in Java
            if -digits > 400:
                return 0.0
            if -exact.as_tuple().exponent <= digits:  # type: ignore[operator]
                return value + 0.0  # Java's BigDecimal has no negative zero
            return float(exact.quantize(Decimal(1).scaleb(-digits), rounding=mode)) + 0.0
        exact = Decimal(value)
        if digits >= 0 and -exact.as_tuple().exponent <= digits:  # type: ignore[operator]
            return value
        if -digits > 40:
            return type(value)(0)
        unit = Decimal(1).scaleb(-digits)
        rounded = (exact / unit).to_integral_value(rounding=mode) * unit
        if isinstance(value, int):
            bits = arrow_type(source).bit_width
            return (int(rounded) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
        assert isinstance(result, DecimalType)
        return rounded.quantize(Decimal(1).scaleb(-result.scale))

    return one


def _float_kernel(function: Callable[..., Any]) -> Maker:
    """A NumPy function on doubles; what has no value is NaN or infinite, as in Java."""

    def kernel(_: Any, *values: Value) -> Value:
        rows = row_count(values)
        with np.errstate(all="ignore"):
            result = function(*(numbers(v) for v in values))
        if np.ndim(result) == 0:
            result = np.full(rows, result)
        return build(np.asarray(result, dtype=np.float64), pa.float64(), validity(*values))

    return strict(kernel)


def _java_exact(function: Callable[..., float]) -> Maker:
    """Once a distinct value, where NumPy's vector code differs from Java in the last digit."""

    def one(*values: float) -> float:
        try:
            return function(*values)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return strict(lambda _, *values: each(one, pa.float64(), *values))


def _ln(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _ratio(a: float, b: float) -> float:
    if b == 0:
        return (
            math.nan
            if a == 0 or math.isnan(a)
            else math.copysign(math.inf, a) * (math.copysign(1.0, b))
        )
    return a / b


def _log(base: float, x: float) -> float:
    return _ratio(_ln(x), _ln(base))


def _log2(x: float) -> float:
    return _ratio(_ln(x), _ln(2.0))


def _power(a: float, b: float) -> float:
    try:
        result = a**b
    except ZeroDivisionError:
        odd = b == int(b) and int(b) % 2 == 1
        return math.copysign(math.inf, a) if odd else math.inf
    if isinstance(result, complex) or (abs(a) == 1 and math.isinf(b)):
        return math.nan
    return math.nan if math.isnan(b) else result


def _sign_make(node: Call, settings: EvalSettings) -> Kernel:
    del settings
    result = node.type
    if isinstance(result, DecimalType):
        zero = Decimal(0)
        unit = Decimal(1).quantize(Decimal(1).scaleb(-result.scale))

        def one(value: Decimal) -> Decimal:
            return unit if value > zero else -unit if value < zero else zero * unit

        return lambda _, value: each(one, arrow_type(result), value)
    arrow = arrow_type(result)
    return lambda _, value: build(
        np.sign(numbers(value)), arrow, validity(value) if value.null_count else None
    )


def _degrees(x: Any) -> Any:
    return x * 57.29577951308232


def _radians(x: Any) -> Any:
    return x * 0.017453292519943295


def _cot(x: float) -> float:
    return _ratio(1.0, math.tan(x))


class JavaRandom:
    """`java.util.Random`: the same numbers from the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = (seed ^ 0x5DEECE66D) & (1 << 48) - 1

    def _next(self, bits: int) -> int:
        self._seed = (self._seed * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        value = self._seed >> (48 - bits)
        return value - (1 << bits) if value >> (bits - 1) else value

    def next_double(self) -> float:
        """Uniform in [0, 1)."""
        high = self._next(26) & (1 << 26) - 1
        low = self._next(27) & (1 << 27) - 1
        return ((high << 27) + low) * 2.0**-53

    def next_int(self, bound: int) -> int:
        """Uniform in [0, bound)."""
        bits = self._next(31) & (1 << 31) - 1
        if bound & -bound == bound:
            return bound * bits >> 31
        value = bits % bound
        while bits - value + bound - 1 >= 1 << 31:
            bits = self._next(31) & (1 << 31) - 1
            value = bits % bound
        return value


def _rand_make(call: Call, settings: EvalSettings) -> Kernel:
    """RAND() draws anew for each row; RAND(seed) gives a row the stream's next number."""
    del settings
    if not call.args:
        return lambda context: build(np.random.default_rng().random(context.rows), pa.float64())
    streams: dict[int, JavaRandom] = {}

    def kernel(_: Any, seed: Value) -> Value:
        return each_row(
            lambda s: streams.setdefault(s, JavaRandom(s)).next_double(), pa.float64(), seed
        )

    return kernel


def _rand_integer_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    if len(call.args) == 1:
        return lambda _, bound: each_row(random.randrange, pa.int32(), bound)
    streams: dict[int, JavaRandom] = {}

    def kernel(_: Any, seed: Value, bound: Value) -> Value:
        rows = row_count((seed, bound))
        return each_row(
            lambda s, b: streams.setdefault(s, JavaRandom(s)).next_int(b),
            pa.int32(),
            as_array(seed, rows),
            as_array(bound, rows),
        )

    return kernel


def each_row(function: Callable[..., Any], arrow: Any, *values: Value) -> Any:
    """A draw for every row: equal arguments must not share one."""
    lists = [v.to_pylist() for v in values]
    drawn = [
        None if any(a is None for a in args) else function(*args)
        for args in zip(*lists, strict=True)
    ]
    return pa.array(drawn, arrow)


def _constant(value: float) -> Maker:
    scalar = pa.scalar(value, pa.float64())
    return strict(lambda _: scalar)


_SURE_DOUBLE = DoubleType(nullable=False)


def _double(name: str, doc: str, make: Maker, count: int = 1, **more: Any) -> Function:
    return Function(name, doc, (overload((AS_DOUBLE,) * count, _DOUBLE, make),), **more)


CEIL_NUMBER = Function(
    "CEIL_NUMBER",
    "The smallest whole number that is not smaller.",
    (overload((NUMERIC,), _no_fraction, _whole("ceil")),),
)
FLOOR_NUMBER = Function(
    "FLOOR_NUMBER",
    "The greatest whole number that is not greater.",
    (overload((NUMERIC,), _no_fraction, _whole("floor")),),
)
FUNCTIONS = (
    Function("ABS", "The absolute value.",
             (overload((NUMERIC,), first_argument,
                       strict(lambda _, v: pc.abs(v)), total=True),)),
    CEIL_NUMBER,
    FLOOR_NUMBER,
    Function("ROUND", "The number rounded to digits, half away from zero.",
             (overload((NUMERIC, INT), _rounded, _round_make("half_towards_infinity"),
                       optional=1),)),
    Function("TRUNCATE", "The number cut off after digits.",
             (overload((NUMERIC, INT), _rounded, _round_make("towards_zero"), optional=1),)),
    Function("SIGN", "-1, 0 or 1, in the type of the number.",
             (overload((NUMERIC,), first_argument, _sign_make),)),
    _double("POWER", "The first number to the power of the second.", _java_exact(_power), 2),
    _double("SQRT", "The square root.", _float_kernel(np.sqrt)),
    _double("EXP", "e to the power of the number.", _java_exact(math.exp)),
    _double("LN", "The natural logarithm.", _java_exact(_ln)),
    _double("LOG10", "The logarithm to base 10.", _float_kernel(np.log10)),
    _double("LOG2", "The logarithm to base 2.", _java_exact(_log2)),
    Function("LOG", "The natural logarithm, or that to a given base.",
             (overload((AS_DOUBLE,), _DOUBLE, _java_exact(_ln)),
              overload((AS_DOUBLE, AS_DOUBLE), _DOUBLE, _java_exact(_log)))),
    _double("SIN", "The sine.", _java_exact(math.sin)),
    _double("COS", "The cosine.", _java_exact(math.cos)),
    _double("TAN", "The tangent.", _java_exact(math.tan)),
    _double("COT", "The cotangent.", _java_exact(_cot)),
    _double("ASIN", "The arc sine.", _java_exact(fdlibm.asin)),
    _double("ACOS", "The arc cosine.", _java_exact(fdlibm.acos)),
    _double("ATAN", "The arc tangent.", _java_exact(fdlibm.atan)),
    _double("ATAN2", "The angle of a point.", _java_exact(fdlibm.atan2), 2),
    _double("SINH", "The hyperbolic sine.", _java_exact(fdlibm.sinh)),
    _double("COSH", "The hyperbolic cosine.", _java_exact(fdlibm.cosh)),
    _double("TANH", "The hyperbolic tangent.", _java_exact(math.tanh)),
    _double("DEGREES", "Radians as degrees.", _float_kernel(_degrees)),
    _double("RADIANS", "Degrees as radians.", _float_kernel(_radians)),
    Function("PI", "3.14159…", (overload((), lambda _: _SURE_DOUBLE, _constant(math.pi)),)),
    Function("E", "2.71828…", (overload((), lambda _: _SURE_DOUBLE, _constant(math.e)),)),
    Function("RAND", "A random number from 0 to 1; with a seed, the next of its sequence.",
             (overload((INT,), _DOUBLE, _rand_make, optional=1),), deterministic=False),
    Function("RAND_INTEGER", "A random whole number below a bound.",
             (overload((INT,), by_arguments(IntType()), _rand_integer_make),
              overload((INT, INT), by_arguments(IntType()), _rand_integer_make)),
             deterministic=False),
)  # fmt: skip
