"""From the records' JSON to plain values, rows and Flink's row text."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Any

from flowsql import types as t
from tests.support.cells import parse_value
from tests.support.roaring import bitmap_bytes, jvm_members
from tests.support.rows import plain_float

__all__ = ["NotRepresentable", "infer_type", "normal_text", "plain", "plain_row", "same_text"]

_EXACT = Context(prec=80)


class NotRepresentable(Exception):  # noqa: N818 (says of a record, not of us)
    """A value of the record that is an object of the JVM."""


def plain(value: Any, kind: t.DataType) -> Any:
    """The value as `tests.support.rows` wants it for this type."""
    if value is None:
        return None
    if isinstance(value, dict):
        return _tagged(value, kind)
    match kind:
        case t.BooleanType():
            return bool(value)
        case t.FloatType() | t.DoubleType():
            return plain_float(float(value))
        case t.DecimalType():
            return _decimal(str(value), kind)
        case t.CharType() | t.VarCharType():
            return str(value)
        case t.ArrayType(element=element):
            return tuple(plain(v, element) for v in value)
        case t.RowType(fields=fields) if isinstance(value, list):
            return tuple(plain(v, f.type) for v, f in zip(value, fields, strict=True))
        case (
            t.DateType()
            | t.TimeType()
            | t.TimestampType()
            | t.LocalZonedTimestampType()
            | t.BinaryType()
            | t.VarBinaryType()
        ) if isinstance(value, str):
            return parse_value(value, kind)
        case _:
            return value


def _decimal(text: str, kind: t.DecimalType) -> Decimal | None:
    """NULL where the type has too few digits, as Flink's sources do."""
    value = Decimal(text).quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT)
    return value if len(value.as_tuple().digits) <= kind.precision else None


def _tagged(value: dict[str, Any], kind: t.DataType) -> Any:
    if "$class" in value and "$row_named" in value and isinstance(kind, t.StructuredType):
        value = {"$row_named": value["$row_named"]}
    if isinstance(kind, t.VariantType) and "str" in value:
        return value["str"]
    if isinstance(kind, t.BitmapType):
        members = jvm_members(value)
        if members is not None:
            return bitmap_bytes(members)
    if "$class" in value or "$java" in value:
        raise NotRepresentable(str(value)[:80])
    ((tag, inner),) = value.items()
    match tag, kind:
        case "$bytes", _:
            return bytes.fromhex(inner)
        case "$decimal", t.DecimalType():
            return _decimal(inner, kind)
        case (("$timestamp" | "$timestamp_ltz" | "$date" | "$time"), _):
            return parse_value(inner, kind)
        case "$row", t.RowType(fields=fields):
            return tuple(plain(v, f.type) for v, f in zip(inner, fields, strict=True))
        case "$row_named", t.RowType(fields=fields):
            return tuple(plain(inner.get(f.name), f.type) for f in fields)
        case "$map", t.MapType(key=key, value=item):
            return tuple((plain(k, key), plain(v, item)) for k, v in inner)
        case "$map", t.MultisetType(element=element):
            return tuple((plain(k, element), int(v)) for k, v in inner)
        case "$double", _:
            return plain_float(float(inner.replace("Infinity", "inf")))
        case (("$interval_ms" | "$interval_months"), _):
            return int(inner)
        case _:
            raise NotRepresentable(f"{tag} as {kind}")


def plain_row(cells: list[Any], kind: t.RowType) -> tuple[str, tuple[Any, ...]]:
    """`["+I", v1, …]` or `["+I", {"$named": {…}}]`; cells beyond the columns are left out."""
    sign, *values = cells
    if len(values) == 1 and isinstance(values[0], dict) and "$named" in values[0]:
        named = values[0]["$named"]
        values = [named.get(f.name) for f in kind.fields]
    if len(values) < len(kind.fields):
        raise NotRepresentable(f"{len(values)} cells for {len(kind.fields)} columns")
    return sign, tuple(plain(v, f.type) for v, f in zip(values, kind.fields, strict=False))


def infer_type(value: Any) -> t.DataType:
    """The type of a literal whose record names none."""
    match value:
        case bool():
            return t.BooleanType(nullable=False)
        case int():
            small = -(2**31) <= value < 2**31
            return t.IntType(nullable=False) if small else t.BigIntType(nullable=False)
        case float():
            return t.DoubleType(nullable=False)
        case str():
            return t.CharType(max(1, len(value)), nullable=False)
        case {"$decimal": text}:
            _, digits, exponent = Decimal(text).as_tuple()
            scale = max(0, -int(exponent))
            return t.DecimalType(max(len(digits), scale), scale, nullable=False)
        case None:
            return t.NullType()
        case _:
            raise NotRepresentable(f"no type for {str(value)[:80]}")


_FLOAT = re.compile(r"-?\d+\.\d+(?:E-?\d+)?")


def normal_text(text: str) -> str:
    """The text with the entries of every map sorted: Java gives them in the order of hashes."""
    return re.sub(r"\{([^{}]*)\}", lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", text)


def same_text(expected: str, actual: str) -> bool:
    """Equal but for the last digits of approximate numbers."""
    if expected == actual:
        return True
    if _FLOAT.sub("#", expected) != _FLOAT.sub("#", actual):
        return False
    pairs = zip(_FLOAT.findall(expected), _FLOAT.findall(actual), strict=True)
    return all(abs(float(a) - float(b)) <= 1e-6 * max(abs(float(a)), 1e-300) for a, b in pairs)
