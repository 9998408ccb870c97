"""Parsed JSON values to typed columns, with the cells that do not fit."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.formats.parse import TextStyle, parse_text
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    SmallIntType,
    TimeType,
    TinyIntType,
    VarCharType,
    YearMonthIntervalType,
    arrow_type,
)

__all__ = ["JsonColumns", "RawNumber", "as_json_time"]

_INTEGERS = (
    TinyIntType,
    SmallIntType,
    IntType,
    BigIntType,
    YearMonthIntervalType,
    DayTimeIntervalType,
)
_NUMBERS = (FloatType, DoubleType, DecimalType)

Bad = npt.NDArray[np.bool_] | None


class RawNumber(float):
    """A number with a fraction or exponent, and its text."""

    raw: str

    def __new__(cls, raw: str) -> Self:
        number = super().__new__(cls, raw)
        number.raw = raw
        return number


class JsonColumns:
    """Makes columns of lists of JSON values; numbers with a fraction carry their text as `raw`."""

    def __init__(self, style: TextStyle) -> None:
        self._style = style

    def column(self, values: list[Any], data_type: DataType) -> tuple[pa.Array, Bad]:
        """The typed values, NULL where one does not fit, and bool[n] of those (None for none)."""
        match data_type:
            case NullType():
                return pa.nulls(len(values)), None
            case ArrayType(element=element):
                return self._lists(values, element, data_type)
            case MapType(key=key, value=value):
                return self._maps(values, key, value, data_type)
            case MultisetType(element=element):
                return self._maps(values, element, IntType(), data_type)
            case RowType():
                return self._rows(values, data_type)
            case _:
                return self._atoms(values, data_type)

    def _atoms(self, values: list[Any], data_type: DataType) -> tuple[pa.Array, Bad]:
        bad = np.zeros(len(values), np.bool_)
        texts: list[str | None] = []
        for i, value in enumerate(values):
            text = None if value is None else _text(value, data_type)
            bad[i] = value is not None and text is None
            texts.append(text)
        text_column = pa.array(texts, pa.string())
        parsed = parse_text(text_column, as_json_time(data_type), self._style)
        if parsed.bad is not None:
            bad |= parsed.bad
        return parsed.values, bad if bad.any() else None

    def _lists(
        self, values: list[Any], element: DataType, data_type: DataType
    ) -> tuple[pa.Array, Bad]:
        bad = np.array([v is not None and not isinstance(v, list) for v in values], np.bool_)
        lists = [v if isinstance(v, list) else None for v in values]
        lengths = np.array([len(v) if v else 0 for v in lists], np.int64)
        flat, wrong = self.column([e for v in lists if v for e in v], element)
        if wrong is not None:
            bad[np.repeat(np.arange(len(values)), lengths)[wrong]] = True
        nulls = pa.array([v is None for v in lists], pa.bool_())
        array = pa.ListArray.from_arrays(_offsets(lengths), flat, mask=nulls)
        return array.cast(arrow_type(data_type)), bad if bad.any() else None

    def _maps(
        self, values: list[Any], key: DataType, value: DataType, data_type: DataType
    ) -> tuple[pa.Array, Bad]:
        bad = np.array([v is not None and not isinstance(v, dict) for v in values], np.bool_)
        maps = [v if isinstance(v, dict) else None for v in values]
        lengths = np.array([len(v) if v else 0 for v in maps], np.int64)
        owner = np.repeat(np.arange(len(values)), lengths)
        keys, wrong = self.column([k for v in maps if v for k in v], key)
        if wrong is not None:
            bad[owner[wrong]] = True
        items, wrong = self.column([i for v in maps if v for i in v.values()], value)
        if wrong is not None:
            bad[owner[wrong]] = True
        nulls = pa.array([v is None for v in maps], pa.bool_())
        array = pa.MapArray.from_arrays(_offsets(lengths), keys, items, mask=nulls)
        return array.cast(arrow_type(data_type)), bad if bad.any() else None

    def _rows(self, values: list[Any], data_type: RowType) -> tuple[pa.Array, Bad]:
        bad = np.array([v is not None and not isinstance(v, dict) for v in values], np.bool_)
        rows = [v if isinstance(v, dict) else None for v in values]
        columns = []
        for field in data_type.fields:
            column, wrong = self.column(
                [v.get(field.name) if v else None for v in rows], field.type
            )
            if wrong is not None:
                bad |= wrong
            columns.append(column)
        nulls = pa.array([v is None for v in rows], pa.bool_())
        array = pa.StructArray.from_arrays(columns, fields=list(arrow_type(data_type)), mask=nulls)
        return array, bad if bad.any() else None


def as_json_time(data_type: DataType) -> DataType:
    """The type as which text is read: Flink's json keeps the milliseconds of any TIME."""
    return TimeType(3) if isinstance(data_type, TimeType) else data_type


def _offsets(lengths: npt.NDArray[np.int64]) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets)


def _text(value: Any, data_type: DataType) -> str | None:
    """The text of a JSON value as its type reads it; None where it does not fit."""
    if isinstance(data_type, VarCharType | CharType):
        if isinstance(value, str):
            return value
        if isinstance(value, float):
            return value.raw if isinstance(value, RawNumber) else str(value)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower() if isinstance(data_type, BooleanType) else None
    if isinstance(value, int) and isinstance(data_type, _INTEGERS + _NUMBERS):
        return str(value)
    if isinstance(value, float):
        if isinstance(data_type, _NUMBERS):
            return value.raw if isinstance(value, RawNumber) else str(value)
        if isinstance(data_type, _INTEGERS) and value.is_integer():
            return str(int(value))
    return None
