"""Flink's data types, as frozen values.

`str(t)` is Flink's text (`ROW<a INT NOT NULL, b STRING>`), which `parser.parse_type` reads back.
Nullability is part of a type, as in Flink. Lengths, NOT NULL and time attributes live here and
nowhere else: Arrow's types (`arrow.py`) carry only the storage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, Self

__all__ = [
    "MAX_LENGTH",
    "ArrayType",
    "BigIntType",
    "BinaryType",
    "BitmapType",
    "BooleanType",
    "CharType",
    "DataType",
    "DateType",
    "DayTimeIntervalType",
    "DecimalType",
    "DoubleType",
    "Field",
    "FloatType",
    "IntType",
    "LocalZonedTimestampType",
    "MapType",
    "MultisetType",
    "NullType",
    "RowType",
    "SmallIntType",
    "StructuredType",
    "TimeAttribute",
    "TimeType",
    "TimestampType",
    "TinyIntType",
    "VarBinaryType",
    "VarCharType",
    "VariantType",
    "YearMonthIntervalType",
    "quote_identifier",
]

MAX_LENGTH = 2147483647


class TimeAttribute(Enum):
    """What a timestamp column means for time: nothing, event time, or processing time."""

    NONE = "none"
    ROWTIME = "rowtime"
    PROCTIME = "proctime"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataType:
    """Base of all types."""

    root: ClassVar[str]
    nullable: bool = True

    def _text(self) -> str:
        return self.root

    def __str__(self) -> str:
        return self._text() if self.nullable else f"{self._text()} NOT NULL"

    def with_nullable(self, nullable: bool) -> Self:
        """The same type, NULL allowed or not."""
        return self if self.nullable == nullable else replace(self, nullable=nullable)

    def not_null(self) -> Self:
        """The same type, NOT NULL."""
        return self.with_nullable(nullable=False)


@dataclass(frozen=True, slots=True)
class NullType(DataType):
    """The type of an untyped NULL."""

    root = "NULL"


@dataclass(frozen=True, slots=True)
class BooleanType(DataType):
    """TRUE, FALSE, NULL."""

    root = "BOOLEAN"


@dataclass(frozen=True, slots=True)
class TinyIntType(DataType):
    """8-bit signed; wraps."""

    root = "TINYINT"


@dataclass(frozen=True, slots=True)
class SmallIntType(DataType):
    """16-bit signed; wraps."""

    root = "SMALLINT"


@dataclass(frozen=True, slots=True)
class IntType(DataType):
    """32-bit signed; wraps."""

    root = "INT"


@dataclass(frozen=True, slots=True)
class BigIntType(DataType):
    """64-bit signed; wraps."""

    root = "BIGINT"


@dataclass(frozen=True, slots=True)
class FloatType(DataType):
    """32-bit IEEE."""

    root = "FLOAT"


@dataclass(frozen=True, slots=True)
class DoubleType(DataType):
    """64-bit IEEE."""

    root = "DOUBLE"


@dataclass(frozen=True, slots=True)
class DecimalType(DataType):
    """Exact numeric; 1 ≤ precision ≤ 38, 0 ≤ scale ≤ precision."""

    root = "DECIMAL"
    precision: int = 10
    scale: int = 0

    def _text(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class CharType(DataType):
    """Fixed length in characters."""

    root = "CHAR"
    length: int = 1

    def _text(self) -> str:
        return f"CHAR({self.length})"


@dataclass(frozen=True, slots=True)
class VarCharType(DataType):
    """Up to `length` characters; STRING is VARCHAR(2147483647)."""

    root = "VARCHAR"
    length: int = MAX_LENGTH

    def _text(self) -> str:
        return "STRING" if self.length == MAX_LENGTH else f"VARCHAR({self.length})"


@dataclass(frozen=True, slots=True)
class BinaryType(DataType):
    """Fixed length in bytes."""

    root = "BINARY"
    length: int = 1

    def _text(self) -> str:
        return f"BINARY({self.length})"


@dataclass(frozen=True, slots=True)
class VarBinaryType(DataType):
    """Up to `length` bytes; BYTES is VARBINARY(2147483647)."""

    root = "VARBINARY"
    length: int = MAX_LENGTH

    def _text(self) -> str:
        return "BYTES" if self.length == MAX_LENGTH else f"VARBINARY({self.length})"


@dataclass(frozen=True, slots=True)
class BitmapType(DataType):
    """A set of 32-bit integers, kept in the portable Roaring format."""

    root = "BITMAP"


@dataclass(frozen=True, slots=True)
class VariantType(DataType):
    """A value that says itself what it is: null, a scalar, an array or an object."""

    root = "VARIANT"


@dataclass(frozen=True, slots=True)
class DateType(DataType):
    """Days since 1970-01-01."""

    root = "DATE"


@dataclass(frozen=True, slots=True)
class TimeType(DataType):
    """Time of day, kept in milliseconds as in Flink."""

    root = "TIME"
    precision: int = 0

    def _text(self) -> str:
        return f"TIME({self.precision})"


@dataclass(frozen=True, slots=True)
class TimestampType(DataType):
    """Local date and time without a zone; 0 ≤ precision ≤ 9."""

    root = "TIMESTAMP"
    precision: int = 6
    attribute: TimeAttribute = TimeAttribute.NONE

    def _text(self) -> str:
        return f"TIMESTAMP({self.precision})"

    def __str__(self) -> str:
        return _marked(self)


@dataclass(frozen=True, slots=True)
class LocalZonedTimestampType(DataType):
    """An instant; text uses `table.local-time-zone`. 0 ≤ precision ≤ 9."""

    root = "TIMESTAMP_LTZ"
    precision: int = 6
    attribute: TimeAttribute = TimeAttribute.NONE

    def _text(self) -> str:
        return f"TIMESTAMP_LTZ({self.precision})"

    def __str__(self) -> str:
        return _marked(self)


def _marked(kind: TimestampType | LocalZonedTimestampType) -> str:
    """The text of a type with its time attribute behind NOT NULL, where Flink has it."""
    text = DataType.__str__(kind)
    return text if kind.attribute is TimeAttribute.NONE else f"{text} *{kind.attribute.name}*"


@dataclass(frozen=True, slots=True)
class YearMonthIntervalType(DataType):
    """Months; `unit` is the declared resolution: YEAR, MONTH or YEAR TO MONTH."""

    root = "INTERVAL YEAR TO MONTH"
    unit: str = "YEAR TO MONTH"
    precision: int = 2

    def _text(self) -> str:
        return f"INTERVAL {_qualified(self.unit, self.precision)}"


@dataclass(frozen=True, slots=True)
class DayTimeIntervalType(DataType):
    """Milliseconds; `unit` is the declared resolution: DAY, HOUR, … DAY TO SECOND."""

    root = "INTERVAL DAY TO SECOND"
    unit: str = "DAY TO SECOND"
    precision: int = 2
    fraction: int = 6

    def _text(self) -> str:
        text = f"INTERVAL {_qualified(self.unit, self.precision)}"
        return f"{text}({self.fraction})" if self.unit.endswith("SECOND") else text


def _qualified(unit: str, precision: int) -> str:
    first, _, rest = unit.partition(" ")
    if first in {"MONTH", "HOUR", "MINUTE", "SECOND"}:
        return unit
    return f"{first}({precision}) {rest}".rstrip()


@dataclass(frozen=True, slots=True)
class ArrayType(DataType):
    """A list of values of one type."""

    root = "ARRAY"
    element: DataType

    def _text(self) -> str:
        return f"ARRAY<{self.element}>"


@dataclass(frozen=True, slots=True)
class MultisetType(DataType):
    """A bag: stored as MAP<element, INT>."""

    root = "MULTISET"
    element: DataType

    def _text(self) -> str:
        return f"MULTISET<{self.element}>"


@dataclass(frozen=True, slots=True)
class MapType(DataType):
    """Key → value; entries have no order."""

    root = "MAP"
    key: DataType
    value: DataType

    def _text(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class Field:
    """A named, typed column or member of a ROW."""

    name: str
    type: DataType
    comment: str | None = None

    def __str__(self) -> str:
        return f"{quote_identifier(self.name)} {self.type}"


@dataclass(frozen=True, slots=True)
class RowType(DataType):
    """Named fields; also the schema of every relation."""

    root = "ROW"
    fields: tuple[Field, ...] = ()

    def _text(self) -> str:
        return f"ROW<{', '.join(map(str, self.fields))}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names in order."""
        return tuple(f.name for f in self.fields)

    @property
    def types(self) -> tuple[DataType, ...]:
        """The fields' types in order."""
        return tuple(f.type for f in self.fields)

    def index(self, name: str) -> int:
        """Position of the field called `name`; raises KeyError."""
        for i, field in enumerate(self.fields):
            if field.name == name:
                return i
        raise KeyError(name)

    def select(self, indices: tuple[int, ...] | list[int]) -> RowType:
        """The row of the chosen fields, in the order given."""
        return replace(self, fields=tuple(self.fields[i] for i in indices))


@dataclass(frozen=True, slots=True)
class StructuredType(RowType):
    """A row with the name of a class, which tells it from others with the same fields.

    The class itself has no meaning here.
    """

    root = "STRUCTURED"
    class_name: str = ""

    def _text(self) -> str:
        name = "'" + self.class_name.replace("'", "''") + "'"
        return f"STRUCTURED<{', '.join([name, *map(str, self.fields)])}>"


def quote_identifier(name: str) -> str:
    """A name as SQL text: in backquotes, a backquote doubled."""
    return "`" + name.replace("`", "``") + "`"
