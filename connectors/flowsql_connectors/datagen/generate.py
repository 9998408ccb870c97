"""Columns from row numbers: a value follows from its row's number, its column and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError
from flowsql.types import (
    ArrayType,
    BigIntType,
    BinaryType,
    BitmapType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    RowType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
    arrow_type,
)

__all__ = ["Moment", "field_plans", "sequence_rows"]

Rows = npt.NDArray[np.uint64]

_BITS = {
    TinyIntType: 8,
    SmallIntType: 16,
    IntType: 32,
    BigIntType: 64,
    YearMonthIntervalType: 32,
    DayTimeIntervalType: 64,
}
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What a row's values follow from beside its number.

    Attributes:
        seed: of all random values.
        start: when row 0 is due, in milliseconds since 1970.
        rate: rows a second.
    """

    seed: int
    start: int
    rate: int


Generate = Callable[[Rows, Moment], pa.Array]


def _mix(rows: Rows, moment: Moment, stream: int) -> Rows:
    """uint64[n], evenly distributed (splitmix64)."""
    with np.errstate(over="ignore"):
        x = rows + np.uint64((stream ^ moment.seed) & (2**64 - 1))
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _stream(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def sequence_rows(table: ConnectorTable) -> int | None:
    """How many rows the shortest sequence has, or None where there is none."""
    counts = [
        _bounds(table, name)[1] - _bounds(table, name)[0] + 1
        for name, kind in table.options.matching("fields.#.kind").items()
        if kind == "sequence"
    ]
    return min(counts, default=None)


def _bounds(table: ConnectorTable, name: str) -> tuple[int, int]:
    start = table.options.matching("fields.#.start").get(name)
    end = table.options.matching("fields.#.end").get(name)
    if start is None or end is None:
        missing = "start" if start is None else "end"
        raise ConfigError(
            f'column "{name}" of table "{table.name}" is a sequence without option '
            f'"fields.{name}.{missing}"'
        )
    if end < start:
        raise ConfigError(f'the sequence of column "{name}" ends before it starts')
    return int(start), int(end)


def field_plans(table: ConnectorTable) -> dict[str, Generate]:
    """For each column a function from row numbers to values.

    Raises:
        ConfigError: a type that cannot be made, or options that do not fit it.
    """
    kinds = table.options.matching("fields.#.kind")
    plans: dict[str, Generate] = {}
    for field in table.schema.fields:
        if kinds.get(field.name) == "sequence":
            plans[field.name] = _sequence(table, field.name, field.type)
        else:
            plans[field.name] = _random(table, field.name, field.type)
    return plans


def _sequence(table: ConnectorTable, name: str, data_type: DataType) -> Generate:
    start, end = _bounds(table, name)
    limit = table.options["number-of-rows"]
    if not isinstance(
        data_type,
        TinyIntType
        | SmallIntType
        | IntType
        | BigIntType
        | FloatType
        | DoubleType
        | DecimalType
        | CharType
        | VarCharType,
    ):
        raise ConfigError(f'column "{name}" of type {data_type} cannot be a sequence')
    bits = _BITS.get(type(data_type))
    last = end if limit is None else min(end, start + limit - 1)
    if bits is not None and not -(1 << (bits - 1)) <= start <= last < 1 << (bits - 1):
        raise ConfigError(
            f'the sequence of column "{name}" leaves type {data_type}', option=f"fields.{name}.end"
        )
    target = arrow_type(data_type)

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        del moment
        return pa.array(rows.astype(np.int64) + start).cast(target)

    return generate


def _random(table: ConnectorTable, path: str, data_type: DataType) -> Generate:
    values = _values(table, path, data_type)
    rate = table.options.matching("fields.#.null-rate").get(path, 0.0)
    if not 0 <= rate <= 1:
        raise ConfigError(
            f'option "fields.{path}.null-rate" must lie in 0 to 1',
            option=f"fields.{path}.null-rate",
        )
    if not rate:
        return values
    if not data_type.nullable:
        raise ConfigError(
            f'column "{path}" is NOT NULL and cannot have a null-rate',
            option=f"fields.{path}.null-rate",
        )
    stream = _stream(f"{path}?")

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        keep = _mix(rows, moment, stream) >= np.uint64(min(int(rate * 2.0**64), 2**64 - 1))
        made = values(rows, moment)
        return pc.if_else(pa.array(keep), made, pa.scalar(None, made.type))

    return generate


_CURES = {
    VariantType: "Declare it as STRING or INT and make it of that in a query: "
    "PARSE_JSON(JSON_STRING(column)).",
    BitmapType: "Declare it as ARRAY<INT> and read BITMAP_BUILD(array).",
}


def _values(table: ConnectorTable, path: str, data_type: DataType) -> Generate:
    options = table.options
    low = options.matching("fields.#.min").get(path)
    high = options.matching("fields.#.max").get(path)
    length = options.matching("fields.#.length").get(path)
    if length is not None and length < 0:
        raise ConfigError(
            f'option "fields.{path}.length" must not be negative', option=f"fields.{path}.length"
        )
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f'option "fields.{path}.max" is less than "fields.{path}.min"',
            option=f"fields.{path}.max",
        )
    varies = options.matching("fields.#.var-len").get(path, False)
    stream = _stream(path)
    match data_type:
        case BooleanType():
            return lambda rows, moment: pa.array((_mix(rows, moment, stream) & np.uint64(1)) == 1)
        case (
            TinyIntType()
            | SmallIntType()
            | IntType()
            | BigIntType()
            | YearMonthIntervalType()
            | DayTimeIntervalType()
        ):
            return _integers(path, data_type, low, high, stream)
        case FloatType() | DoubleType():
            return _floats(data_type, low, high, stream)
        case DecimalType(precision=p, scale=s):
            return _decimals(p, s, low, high, stream)
        case CharType(length=n) | VarCharType(length=n):
            return _strings(min(n, 100 if length is None else length), stream, varies=varies)
        case BinaryType(length=n) | VarBinaryType(length=n):
            text = _strings(min(n, 100 if length is None else length), stream, varies=varies)
            return lambda rows, moment: text(rows, moment).cast(pa.binary())
        case DateType() | TimeType() | TimestampType() | LocalZonedTimestampType():
            past = options.matching("fields.#.max-past").get(path, 0)
            return _times(data_type, past, stream)
        case ArrayType(element=element):
            return _arrays(
                _random(table, f"{path}.element", element), 3 if length is None else length
            )
        case RowType(fields=fields):
            inner = [_random(table, f"{path}.{f.name}", f.type) for f in fields]
            target = arrow_type(data_type)
            return lambda rows, moment: pa.StructArray.from_arrays(
                [g(rows, moment) for g in inner], fields=list(target)
            )
        case _:
            raise ConfigError(
                f'connector "datagen" cannot make column "{path}" of type {data_type}',
                hint=_CURES.get(type(data_type)),
            )


def _integers(
    path: str, data_type: DataType, low: float | None, high: float | None, stream: int
) -> Generate:
    bound = 1 << (_BITS[type(data_type)] - 1)
    first = -bound if low is None else int(low)
    last = bound - 1 if high is None else int(high)
    if not -bound <= first <= last < bound:
        raise ConfigError(f'column "{path}" of type {data_type} cannot lie in {first} to {last}')
    span = last - first + 1
    target = arrow_type(data_type)

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        bits = _mix(rows, moment, stream)
        offset = bits if span == 1 << 64 else bits % np.uint64(span)
        with np.errstate(over="ignore"):
            values = (offset + np.uint64(first % (1 << 64))).view(np.int64)
        return pa.array(values).cast(target)

    return generate


def _unit(bits: Rows) -> npt.NDArray[np.float64]:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _floats(data_type: DataType, low: float | None, high: float | None, stream: int) -> Generate:
    target = arrow_type(data_type)
    most = float(np.finfo(target.to_pandas_dtype()).max)
    first, last = -most if low is None else low, most if high is None else high

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        share = _unit(_mix(rows, moment, stream))
        return pa.array((1 - share) * first + share * last).cast(target)

    return generate


def _decimals(
    precision: int, scale: int, low: float | None, high: float | None, stream: int
) -> Generate:
    # 18 digits fill an int64; more are not worth a slower way.
    most = 10 ** min(precision, 18) - 1
    first = -most if low is None else max(-most, round(low * 10**scale))
    last = most if high is None else min(most, round(high * 10**scale))

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        offset = _mix(rows, moment, stream) % np.uint64(last - first + 1)
        unscaled = offset.astype(np.int64) + first
        words = np.stack([unscaled, unscaled >> 63], axis=1)
        kind = pa.decimal128(precision, scale)
        return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(words.tobytes())])

    return generate


def _strings(length: int, stream: int, *, varies: bool) -> Generate:
    words = -(-length // 16)

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        columns = [_mix(rows, moment, (stream + k) % (1 << 64)) for k in range(1, words + 1)]
        data = (
            np.stack(columns, axis=1).view(np.uint8)
            if words
            else np.empty((len(rows), 0), np.uint8)
        )
        digits = np.stack([data >> 4, data & 15], axis=2).reshape(len(rows), -1)[:, :length]
        text = _HEX[digits]
        lengths = np.full(len(rows), length, np.int64)
        if varies and length:
            lengths = (_mix(rows, moment, stream) % np.uint64(length)).astype(np.int64) + 1
            text = text[np.arange(length) < lengths[:, None]]
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.tobytes())]
        return pa.Array.from_buffers(pa.string(), len(rows), buffers)

    return generate


def _times(data_type: DataType, past: int, stream: int) -> Generate:
    target = arrow_type(data_type)

    def generate(rows: Rows, moment: Moment) -> pa.Array:
        millis = moment.start + rows.astype(np.int64) * 1000 // moment.rate
        if past:
            millis -= (_mix(rows, moment, stream) % np.uint64(past + 1)).astype(np.int64)
        if isinstance(data_type, DateType):
            return pa.array((millis // _DAY).astype(np.int32)).view(target)
        if isinstance(data_type, TimeType):
            return pa.array((millis % _DAY).astype(np.int32)).view(target)
        return pa.array(millis).view(pa.timestamp("ms", target.tz)).cast(target)

    return generate


def _arrays(element: Generate, length: int) -> Generate:
    def generate(rows: Rows, moment: Moment) -> pa.Array:
        first = np.repeat(rows * np.uint64(length), length)
        inner: Rows = first + np.tile(np.arange(length, dtype=np.uint64), len(rows))
        offsets = np.arange(len(rows) + 1, dtype=np.int32) * length
        return pa.ListArray.from_arrays(pa.array(offsets), element(inner, moment))

    return generate
