"""Text to types: the one meaning of a type's text, for DDL, CAST and stored plans.

All types of Flink and their synonyms; `parse_type(str(t)) == t` for every type. Missing
parameters have the defaults of Flink SQL: DECIMAL(10, 0), CHAR(1), BINARY(1), VARCHAR and VARBINARY
without a limit, TIME(0), TIMESTAMP(6), INTERVAL DAY(2) TO SECOND(6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from flowsql.errors import Span, SqlError, nearest
from flowsql.types import datatypes as t

__all__ = ["parse_type", "parse_type_prefix"]

_TOKEN = re.compile(
    r"""(?:\s+|--[^\r\n]*|//[^\r\n]*|/\*(?!\+).*?\*/)*
    (?: (?P<word>(?:\$|[^\W\d])[\w$]*) | (?P<quoted>`[^`]*(?:``[^`]*)*`)
      | (?P<string>'[^']*(?:''[^']*)*') | (?P<number>[0-9]+) | (?P<symbol>\*(?=(?i:ROW|PROC)TIME)|.) | $ )""",
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTES = {"ROWTIME": t.TimeAttribute.ROWTIME, "PROCTIME": t.TimeAttribute.PROCTIME}
_LARGE = ("YEAR", "MONTH")
_SMALL = ("DAY", "HOUR", "MINUTE", "SECOND")
_DEEPEST = 60


def parse_type(text: str) -> t.DataType:
    """The type that `text` says.

    Raises:
        SqlError: No type is called so, a parameter is out of range, or text follows the type.
    """
    reader = _Reader(text, 0)
    found = reader.type()
    if reader.kind != "":
        raise reader.unexpected("the end of the type")
    return found


def parse_type_prefix(text: str, start: int, *, nullability: bool = True) -> tuple[t.DataType, int]:
    """The type that SQL declares at offset `start` of `text`, and the offset behind it.

    NULL and NOT NULL behind it are left alone if `nullability` is False, as CAST has it. As Flink SQL does, TIME keeps milliseconds at most and intervals lose the units written.

    Raises:
        SqlError: As parse_type; spans are offsets into `text`.
    """
    reader = _Reader(text, start, declared=True)
    found = reader.type(nullability=nullability)
    return found, reader.last


class _Reader:
    """Recursive descent over the text; one token ahead."""

    def __init__(self, text: str, at: int, *, declared: bool = False) -> None:
        self.text = text
        self.declared = declared
        self.depth = 0
        self.next = at
        self.end = at
        self.last = at
        self.advance()

    def advance(self) -> None:
        self.last = self.end
        found = _TOKEN.match(self.text, self.next)
        self.kind = (found.lastgroup or "") if found else ""
        self.raw = found[self.kind] if found and self.kind else ""
        self.start = found.start(self.kind) if found and self.kind else len(self.text)
        self.end = self.start + len(self.raw)
        self.next = self.end
        self.key = self.raw.upper() if self.kind in {"word", "symbol"} else ""

    def take(self, *keys: str) -> bool:
        saved = (self.kind, self.raw, self.start, self.end, self.next, self.key, self.last)
        for key in keys:
            if self.key != key:
                (self.kind, self.raw, self.start, self.end, self.next, self.key, self.last) = saved
                return False
            self.advance()
        return True

    def expect(self, *keys: str) -> None:
        for key in keys:
            if not self.take(key):
                raise self.unexpected(f'"{key}"')

    def unexpected(self, expected: str) -> SqlError:
        found = f'"{self.raw}"' if self.kind else "the end of the text"
        return SqlError(
            f"expected {expected}, found {found}",
            span=Span(self.start, max(self.end, self.start + 1)),
        )

    # Types

    def type(self, *, nullability: bool = True) -> t.DataType:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise SqlError("the type is nested too deeply", span=Span(self.start, self.end))
        found = self.base()
        found = self.nullability(found) if nullability else found
        while self.key in {"ARRAY", "MULTISET"}:
            wrap: type[t.ArrayType | t.MultisetType]
            wrap = t.ArrayType if self.key == "ARRAY" else t.MultisetType
            self.advance()
            # A type in front of the word ARRAY is NOT NULL, one in brackets is not: Flink's rule.
            found = wrap(found.not_null())
            found = self.nullability(found) if nullability else found
        self.depth -= 1
        return found

    def nullability(self, found: t.DataType) -> t.DataType:
        if self.take("NOT", "NULL"):
            found = found.not_null()
        else:
            self.take("NULL")
        if isinstance(found, t.TimestampType | t.LocalZonedTimestampType):
            return replace(found, attribute=self.attribute())
        return found

    def base(self) -> t.DataType:
        key, start, end = self.key, self.start, self.end
        if self.kind != "word":
            raise self.unexpected("a data type")
        read = _TYPES.get(key)
        if read is None:
            meant = _FOREIGN.get(key) or nearest(self.raw, _TYPES)
            raise SqlError(
                f'data type "{self.raw}" does not exist',
                span=Span(start, end),
                hint=f'Did you mean "{meant}"?' if meant else _COMMON,
            )
        self.advance()
        return read(self)

    def number(self, what: str, low: int, high: int) -> int:
        """An integer of the range; its name is for the error."""
        if self.kind != "number":
            raise self.unexpected("an integer")
        value = int(self.raw)
        if not low <= value <= high:
            raise SqlError(
                f"{what} must be between {low} and {high} (both inclusive), not {self.raw}",
                span=Span(self.start, self.end),
            )
        self.advance()
        return value

    def parameter(self, what: str, low: int, high: int, default: int) -> int:
        """`(n)`, or the default."""
        if not self.take("("):
            return default
        value = self.number(what, low, high)
        self.expect(")")
        return value

    def length(self, kind: str, default: int = 1) -> int:
        return self.parameter(f"the length of {kind}", 1, t.MAX_LENGTH, default)

    def character(self) -> t.DataType:
        if self.take("VARYING"):
            return t.VarCharType(self.length("VARCHAR", t.MAX_LENGTH))
        return t.CharType(self.length("CHAR"))

    def binary(self) -> t.DataType:
        if self.take("VARYING"):
            return t.VarBinaryType(self.length("VARBINARY", t.MAX_LENGTH))
        return t.BinaryType(self.length("BINARY"))

    def double(self) -> t.DataType:
        self.take("PRECISION")
        return t.DoubleType()

    def decimal(self) -> t.DataType:
        precision, scale = 10, 0
        if self.take("("):
            precision = self.number("the precision of DECIMAL", 1, 38)
            if self.take(","):
                scale = self.number("the scale of DECIMAL", 0, precision)
            self.expect(")")
        return t.DecimalType(precision, scale)

    def time(self) -> t.DataType:
        start = self.last
        precision = self.parameter("the precision of TIME", 0, 9, 0)
        if self.take("WITH"):
            raise SqlError(
                "TIME with a time zone is not supported",
                span=Span(start, self.end),
                hint="Use TIME, or TIMESTAMP_LTZ for an instant.",
            )
        self.without_zone()
        return t.TimeType(min(precision, 3) if self.declared else precision)

    def timestamp(self) -> t.DataType:
        start = self.last
        precision = self.parameter("the precision of TIMESTAMP", 0, 9, 6)
        if self.take("WITH"):
            if self.take("LOCAL"):
                self.expect("TIME", "ZONE")
                return t.LocalZonedTimestampType(precision)
            raise SqlError(
                "TIMESTAMP WITH TIME ZONE is not supported",
                span=Span(start, self.end),
                hint="Use TIMESTAMP_LTZ, or TIMESTAMP WITH LOCAL TIME ZONE.",
            )
        self.without_zone()
        return t.TimestampType(precision)

    def timestamp_ltz(self) -> t.DataType:
        precision = self.parameter("the precision of TIMESTAMP_LTZ", 0, 9, 6)
        return t.LocalZonedTimestampType(precision)

    def without_zone(self) -> None:
        if self.take("WITHOUT"):
            self.expect("TIME", "ZONE")

    def attribute(self) -> t.TimeAttribute:
        """The mark that `str` of a time attribute carries."""
        if self.declared or self.key != "*":
            return t.TimeAttribute.NONE
        self.advance()
        found = _ATTRIBUTES[self.key]
        self.advance()
        self.expect("*")
        return found

    def interval(self) -> t.DataType:
        if self.key not in {*_LARGE, *_SMALL}:
            raise self.unexpected("an interval unit (YEAR, MONTH, DAY, HOUR, MINUTE or SECOND)")
        first = self.key
        self.advance()
        units = _LARGE if first in _LARGE else _SMALL
        top = 4 if first == "YEAR" else 6
        precision, fraction = 2, 6
        if first == "SECOND" and self.take("("):
            fraction = self.number("the precision of SECOND", 0, 9)
            if self.take(","):
                precision, fraction = fraction, self.number("the fraction of SECOND", 0, 9)
            self.expect(")")
        else:
            precision = self.parameter(f"the precision of {first}", 1, top, 2)
            # Only YEAR and DAY keep it: Flink's text of the others has none.
            precision = precision if first in {"YEAR", "DAY"} else 2
        unit = first
        if self.take("TO"):
            later = units[units.index(first) + 1 :]
            if self.key not in later:
                raise self.unexpected(" or ".join(later) or "no smaller unit")
            unit = f"{first} TO {self.key}"
            self.advance()
            if unit.endswith("SECOND"):
                fraction = self.parameter("the precision of SECOND", 0, 9, 6)
        if self.declared:
            unit, precision, fraction = ("MONTH" if units is _LARGE else "SECOND"), 2, 3
        if units is _LARGE:
            return t.YearMonthIntervalType(unit, precision)
        return t.DayTimeIntervalType(unit, precision, fraction)

    def element(self) -> t.DataType:
        self.expect("<")
        found = self.type()
        self.expect(">")
        return found

    def map(self) -> t.DataType:
        self.expect("<")
        key = self.type()
        self.expect(",")
        value = self.type()
        self.expect(">")
        return t.MapType(key, value)

    def row(self) -> t.DataType:
        if not self.take("<") and not self.take("("):
            raise self.unexpected('"<"')
        close = ">" if self.text[self.last - 1] == "<" else ")"
        fields: list[t.Field] = []
        while self.key != close:
            if fields:
                self.expect(",")
            fields.append(self.field())
        self.advance()
        return t.RowType(tuple(fields))

    def structured(self) -> t.DataType:
        self.expect("<")
        if self.kind != "string":
            raise self.unexpected("the name of a class in quotes")
        name = self.raw[1:-1].replace("''", "'")
        self.advance()
        fields: list[t.Field] = []
        while self.take(","):
            fields.append(self.field())
        self.expect(">")
        return t.StructuredType(tuple(fields), class_name=name)

    def field(self) -> t.Field:
        start, end = self.start, self.end
        if self.kind == "word":
            name = self.raw
        elif self.kind == "quoted":
            name = self.raw[1:-1].replace("``", "`")
        else:
            raise self.unexpected("a field name")
        self.advance()
        if self.key in {",", ">", ")"}:
            raise SqlError(
                f'field "{name}" has no type',
                span=Span(start, end),
                hint="Write ROW<name TYPE, …>.",
            )
        found = self.type()
        comment = None
        if self.kind == "string":
            comment = self.raw[1:-1].replace("''", "'")
            self.advance()
        return t.Field(name, found, comment)


_CURES = {
    "RAW": "A class of the JVM has no meaning here; use a SQL type.",
    "REAL": "Flink does not know it either; use FLOAT.",
}


# What other systems call a type.
_FOREIGN = {
    "BIGDECIMAL": "DECIMAL",
    "BIT": "BOOLEAN",
    "BLOB": "BYTES",
    "BOOL": "BOOLEAN",
    "BYTE": "TINYINT",
    "BYTEA": "BYTES",
    "CLOB": "STRING",
    "DATETIME": "TIMESTAMP",
    "ENUM": "STRING",
    "FLOAT32": "FLOAT",
    "FLOAT4": "FLOAT",
    "FLOAT64": "DOUBLE",
    "FLOAT8": "DOUBLE",
    "INT16": "SMALLINT",
    "INT2": "SMALLINT",
    "INT32": "INT",
    "INT4": "INT",
    "INT64": "BIGINT",
    "INT8": "BIGINT",
    "JSON": "STRING",
    "JSONB": "STRING",
    "LIST": "ARRAY",
    "LONG": "BIGINT",
    "MONEY": "DECIMAL",
    "NUMBER": "DECIMAL",
    "NVARCHAR": "STRING",
    "OBJECT": "ROW",
    "SERIAL": "BIGINT",
    "SHORT": "SMALLINT",
    "STR": "STRING",
    "STRUCT": "ROW",
    "TEXT": "STRING",
    "TIMESTAMPTZ": "TIMESTAMP_LTZ",
    "UUID": "STRING",
    "VARCHAR2": "STRING",
}
_COMMON = (
    "Types: STRING, BOOLEAN, INT, BIGINT, DECIMAL(p, s), DOUBLE, DATE, TIME, TIMESTAMP(p), "
    "TIMESTAMP_LTZ(p), BYTES, ARRAY<…>, MAP<…, …>, ROW<…>."
)


def _refused(name: str) -> Callable[[_Reader], t.DataType]:
    def refuse(reader: _Reader) -> t.DataType:
        raise SqlError(
            f"data type {name} is not supported" + ("" if name in _CURES else " yet"),
            span=Span(reader.last - len(name), reader.last),
            hint=_CURES.get(name),
        )

    return refuse


def _fixed(value: t.DataType) -> Callable[[_Reader], t.DataType]:
    return lambda _: replace(value)


_TYPES: dict[str, Callable[[_Reader], t.DataType]] = {
    "ARRAY": lambda r: t.ArrayType(r.element()),
    "BIGINT": _fixed(t.BigIntType()),
    "BINARY": _Reader.binary,
    "BITMAP": _fixed(t.BitmapType()),
    "BOOLEAN": _fixed(t.BooleanType()),
    "BYTES": _fixed(t.VarBinaryType()),
    "CHAR": _Reader.character,
    "CHARACTER": _Reader.character,
    "DATE": _fixed(t.DateType()),
    "DEC": _Reader.decimal,
    "DECIMAL": _Reader.decimal,
    "DOUBLE": _Reader.double,
    "FLOAT": _fixed(t.FloatType()),
    "INT": _fixed(t.IntType()),
    "INTEGER": _fixed(t.IntType()),
    "INTERVAL": _Reader.interval,
    "MAP": _Reader.map,
    "MULTISET": lambda r: t.MultisetType(r.element()),
    "NULL": _fixed(t.NullType()),
    "NUMERIC": _Reader.decimal,
    "RAW": _refused("RAW"),
    "REAL": _refused("REAL"),
    "ROW": _Reader.row,
    "SMALLINT": _fixed(t.SmallIntType()),
    "STRING": _fixed(t.VarCharType()),
    "STRUCTURED": _Reader.structured,
    "TIME": _Reader.time,
    "TIMESTAMP": _Reader.timestamp,
    "TIMESTAMP_LTZ": _Reader.timestamp_ltz,
    "TINYINT": _fixed(t.TinyIntType()),
    "VARBINARY": lambda r: t.VarBinaryType(r.length("VARBINARY", t.MAX_LENGTH)),
    "VARCHAR": lambda r: t.VarCharType(r.length("VARCHAR", t.MAX_LENGTH)),
    "VARIANT": _fixed(t.VariantType()),
}
