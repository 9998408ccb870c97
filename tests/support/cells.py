"""Cells of script files: `+I | 1 | ann | NULL` to plain values and back, by type."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Any

import numpy as np

from flowsql import types as t
from tests.support.javatext import value_text
from tests.support.rows import plain_float

__all__ = ["line_of", "parse_line", "parse_value", "rows_text"]

_EXACT = Context(prec=80)
_TIME = re.compile(r"(\d+):(\d\d)(?::(\d\d)(?:\.(\d+))?)?")
_KINDS = ("+I", "-U", "+U", "-D")


def _units(text: str, per_second: int) -> int:
    """A timestamp's text in units since 1970."""
    day, _, time = text.rstrip("Z").replace(" ", "T").partition("T")
    days = int(np.datetime64(day, "D").astype(np.int64))
    return days * 86_400 * per_second + _time_units(time or "00:00", per_second)


def _time_units(text: str, per_second: int) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    hours, minutes, seconds, fraction = match.groups()
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
    nanos = int((fraction or "").ljust(9, "0")[:9])
    return whole * per_second + nanos * per_second // 1_000_000_000


def parse_value(text: str, kind: t.DataType) -> Any:
    """The plain value (see `rows.py`) of a cell's text; `NULL` is None."""
    text = text.strip()
    if text == "NULL":
        return None
    match kind:
        case t.BooleanType():
            return {"true": True, "false": False}[text.lower()]
        case t.TinyIntType() | t.SmallIntType() | t.IntType() | t.BigIntType():
            return int(text)
        case t.YearMonthIntervalType() | t.DayTimeIntervalType():
            return int(text)
        case t.FloatType() | t.DoubleType():
            return plain_float(float(text))
        case t.DecimalType(scale=scale):
            return Decimal(text).quantize(Decimal(1).scaleb(-scale), context=_EXACT)
        case t.DateType():
            return int(np.datetime64(text, "D").astype(np.int64))
        case t.TimeType():
            return _time_units(text, 1000)
        case t.TimestampType(precision=p) | t.LocalZonedTimestampType(precision=p):
            return _units(text, 10**6 if p <= 6 else 10**9)
        case t.BinaryType() | t.VarBinaryType():
            return bytes.fromhex(text.removeprefix("x'").removesuffix("'"))
        case t.ArrayType(element=element):
            inner = text.removeprefix("[").removesuffix("]").strip()
            return tuple(parse_value(part, element) for part in inner.split(",")) if inner else ()
        case _:
            quoted = len(text) > 1 and text[0] == text[-1] == "'"
            return text[1:-1].replace("''", "'") if quoted else text


def parse_line(line: str, kind: t.RowType) -> tuple[str, tuple[Any, ...]]:
    """Kind and row of `+I | 1 | ann`; `+I` may be left out."""
    cells = line.split(" | ") if " | " in line else [line]
    sign = cells.pop(0).strip() if cells[0].strip() in _KINDS else "+I"
    if len(cells) != len(kind.fields):
        raise ValueError(f"{len(cells)} cells for {len(kind.fields)} columns: {line!r}")
    return sign, tuple(parse_value(c, f.type) for c, f in zip(cells, kind.fields, strict=True))


def line_of(row: tuple[Any, ...], kind: t.RowType, sign: str | None = None) -> str:
    """The reverse of `parse_line`."""
    cells = [value_text(v, f.type, null="NULL") for v, f in zip(row, kind.fields, strict=True)]
    return " | ".join(cells if sign is None else [sign, *cells])


def rows_text(rows: Any, kind: t.RowType) -> list[str]:
    """The lines of a multiset of rows (row → count), sorted."""
    return sorted(line_of(row, kind) for row, count in rows.items() for _ in range(count))
