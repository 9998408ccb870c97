"""PostgreSQL's types: what a column is in the server, and as what it can be read.

A domain is read as the type below it, an array as ARRAY of its element (but not one of boxes, whose
text has other separators: a STRING). What has no Flink type
(intervals, money, ranges, geometry, network addresses, composite values …) is a STRING holding the
server's own text.

| PostgreSQL | Flink, and what else may be declared |
| --- | --- |
| boolean | BOOLEAN |
| smallint, integer, bigint | SMALLINT, INT, BIGINT; wider ones, DECIMAL with room |
| oid | BIGINT |
| real, double precision | FLOAT, DOUBLE; real also DOUBLE |
| numeric(p, s) | DECIMAL(p, s); one with more room, DOUBLE |
| numeric | DECIMAL(38, 18); any other DECIMAL, DOUBLE |
| date, time(p) | DATE, TIME(p) |
| timestamp(p), timestamptz(p) | TIMESTAMP(p), TIMESTAMP_LTZ(p) |
| bytea | BYTES; BINARY, VARBINARY |
| text, varchar(n), char(n), enums, uuid, json, … | STRING, VARCHAR(n), CHAR(n) |
| T[] | ARRAY<T> |
| everything else, and all but boolean above | STRING |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from flowsql.errors import ConfigError, DataError
from flowsql.types import (
    ArrayType,
    BigIntType,
    BinaryType,
    BooleanType,
    CharType,
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
    VarBinaryType,
    VarCharType,
    quote_identifier,
)

__all__ = [
    "CatalogType",
    "ColumnReading",
    "PgType",
    "Shape",
    "default_type",
    "read_column",
    "resolve_type",
    "types_query",
]


class Shape(Enum):
    """How a value is sent, in binary and as text; the meaning of its bytes."""

    BOOL = "bool"
    INT2 = "int2"
    INT4 = "int4"
    INT8 = "int8"
    OID = "oid"
    FLOAT4 = "float4"
    FLOAT8 = "float8"
    NUMERIC = "numeric"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    BYTEA = "bytea"
    UUID = "uuid"
    JSONB = "jsonb"
    CHARACTERS = "characters"  # binary and text are the same bytes
    ARRAY = "array"
    TEXT = "text"  # the server's text of whatever it is


_SHAPES: Final = {
    16: Shape.BOOL,
    17: Shape.BYTEA,
    19: Shape.CHARACTERS,  # name
    20: Shape.INT8,
    21: Shape.INT2,
    23: Shape.INT4,
    25: Shape.CHARACTERS,  # text
    26: Shape.OID,
    114: Shape.CHARACTERS,  # json
    700: Shape.FLOAT4,
    701: Shape.FLOAT8,
    1042: Shape.CHARACTERS,  # char(n), blanks kept
    1043: Shape.CHARACTERS,  # varchar
    1082: Shape.DATE,
    1083: Shape.TIME,
    1114: Shape.TIMESTAMP,
    1184: Shape.TIMESTAMPTZ,
    1700: Shape.NUMERIC,
    2950: Shape.UUID,
    3802: Shape.JSONB,
}

# How SQL names what the catalog names otherwise.
_NAMES: Final = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bpchar": "char",
}
_WITH_LENGTH: Final = {1042, 1043, 1560, 1562}  # char, varchar, bit, varbit
_WITH_FRACTION: Final = {1083, 1266, 1114, 1184}  # time, timetz, timestamp, timestamptz
_NUMERIC: Final = 1700
_HEADER: Final = 4  # a length in a type modifier counts these bytes as well

_WHOLE: Final = {
    Shape.INT2: (SmallIntType(), 5),
    Shape.INT4: (IntType(), 10),
    Shape.INT8: (BigIntType(), 19),
    Shape.OID: (BigIntType(), 10),
}
_WHOLE_TYPES: Final[tuple[type[DataType], ...]] = (SmallIntType, IntType, BigIntType)


@dataclass(frozen=True, slots=True)
class CatalogType:
    """One row of `types_query`, in its order."""

    oid: int
    schema: str
    name: str
    kind: str  # typtype: b, c, d, e, p, r, m
    base: int
    base_modifier: int
    element: int
    is_array: bool


def types_query(oids: Iterable[int]) -> str:
    """The statement that describes the types, and those they are made of; no parameters.

    Its rows, `CatalogType(*row)` each, are what `resolve_type` looks oids up in.
    """
    wanted = ", ".join(str(int(oid)) for oid in sorted(set(oids)))
    return f"""
WITH RECURSIVE reached(oid) AS (
  SELECT unnest(ARRAY[{wanted}]::pg_catalog.oid[])
  UNION
  SELECT below.oid
  FROM reached
  JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) reached.oid
  CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) below(oid)
  WHERE below.oid OPERATOR(pg_catalog.<>) 0
)
SELECT t.oid::pg_catalog.int8, n.nspname::pg_catalog.text, t.typname::pg_catalog.text,
  t.typtype::pg_catalog.text, t.typbasetype::pg_catalog.int8, t.typtypmod,
  t.typelem::pg_catalog.int8,
  t.typoutput OPERATOR(pg_catalog.=) 'pg_catalog.array_out'::pg_catalog.regproc
    AND t.typdelim::pg_catalog.text OPERATOR(pg_catalog.=) ','
FROM reached
JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) reached.oid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
ORDER BY t.oid"""  # noqa: S608 (only integers are put in)


@dataclass(frozen=True, slots=True)
class PgType:
    """A column's type, domains resolved.

    Attributes:
        oid: of the type itself, or of what lies below a domain.
        modifier: typmod: a length, a precision; −1 without.
        name: as the column declares it, `numeric(10,2)`, with the domain's name where it is one.
        shape: how its values are sent.
        element: of an array.
    """

    oid: int
    modifier: int
    name: str
    shape: Shape
    element: PgType | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def precision_and_scale(self) -> tuple[int, int] | None:
        """Of a numeric that declares them; the scale may be negative, or above the precision."""
        if self.shape is not Shape.NUMERIC or self.modifier < _HEADER:
            return None
        declared = self.modifier - _HEADER
        # The scale has 11 bits and a sign.
        return declared >> 16 & 0xFFFF, (declared & 0x7FF ^ 1024) - 1024

    @property
    def fraction(self) -> int:
        """Digits of a second."""
        return self.modifier if self.modifier >= 0 else 6


def resolve_type(oid: int, modifier: int, catalog: Mapping[int, CatalogType]) -> PgType:
    """The type of a column from what the catalog, or a relation message of the log, says of it.

    Raises DataError where `catalog` lacks the type.
    """
    found = catalog.get(oid)
    if found is None:
        raise DataError(
            f"type {oid} is not in the server's catalog",
            hint="It was dropped after the change was written; read the table anew.",
        )
    if found.kind == "d":
        below = resolve_type(
            found.base, modifier if modifier >= 0 else found.base_modifier, catalog
        )
        return PgType(
            below.oid, below.modifier, f"{found.name} ({below})", below.shape, below.element
        )
    if found.is_array and found.element:
        element = resolve_type(found.element, modifier, catalog)
        return PgType(oid, modifier, f"{element}[]", Shape.ARRAY, element)
    shape = Shape.CHARACTERS if found.kind == "e" else _SHAPES.get(oid, Shape.TEXT)
    return PgType(oid, modifier, _name(found, modifier), shape)


def _name(found: CatalogType, modifier: int) -> str:
    if found.schema != "pg_catalog":
        return f"{found.schema}.{found.name}"
    name = _NAMES.get(found.name, found.name)
    if modifier < 0:
        return name
    if found.oid == _NUMERIC:
        declared = PgType(found.oid, modifier, name, Shape.NUMERIC).precision_and_scale
        return f"{name}({declared[0]}, {declared[1]})" if declared else name
    if found.oid in _WITH_LENGTH:
        # Bit strings count no header.
        return f"{name}({modifier - (_HEADER if found.oid in {1042, 1043} else 0)})"
    return f"{name}({modifier})" if found.oid in _WITH_FRACTION else name


def default_type(pg: PgType) -> DataType:
    """The Flink type of a column that is not declared otherwise."""
    match pg.shape:
        case Shape.BOOL:
            return BooleanType()
        case Shape.INT2 | Shape.INT4 | Shape.INT8 | Shape.OID:
            return _WHOLE[pg.shape][0]
        case Shape.FLOAT4:
            return FloatType()
        case Shape.FLOAT8:
            return DoubleType()
        case Shape.NUMERIC:
            return _decimal(pg)
        case Shape.DATE:
            return DateType()
        case Shape.TIME:
            return TimeType(pg.fraction)
        case Shape.TIMESTAMP:
            return TimestampType(pg.fraction)
        case Shape.TIMESTAMPTZ:
            return LocalZonedTimestampType(pg.fraction)
        case Shape.BYTEA:
            return VarBinaryType()
        case Shape.ARRAY:
            assert pg.element is not None
            return ArrayType(default_type(pg.element))
        case _:
            return VarCharType()


def _decimal(pg: PgType) -> DataType:
    declared = pg.precision_and_scale
    if declared is None:
        return DecimalType(38, 18)
    precision, scale = declared
    precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)
    return DecimalType(precision, scale) if precision <= 38 else VarCharType()


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """How one column is read, from snapshot and log alike.

    Attributes:
        name: the column's name in the server.
        pg: its type there.
        type: its declared type.
        shape: how its bytes are understood: of text where the declared type is one.
        binary: whether a snapshot sends it in binary; else as its text.
        element: how an array's elements are read.
    """

    name: str
    pg: PgType
    type: DataType
    shape: Shape
    binary: bool
    element: ColumnReading | None = None

    def expression(self) -> str:
        """What a snapshot's SELECT asks for, so that it agrees with the log.

        A cast to text would not: it has its own idea of boolean, char(n), inet and xml.
        `format` uses the output function that the log uses.
        """
        name = '"' + self.name.replace('"', '""') + '"'
        if self.binary:
            return name
        # IS DISTINCT FROM, as a row of NULLs is NULL to IS NULL.
        return f"CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {name}) END"


def read_column(name: str, pg: PgType, declared: DataType, table: str) -> ColumnReading:
    """How the column is read as its declared type.

    Raises ConfigError naming column, both types and the cure where it cannot be.
    """
    reading = _reading(name, pg, declared)
    if reading is not None:
        return reading
    mapped = default_type(pg)
    cure = f"{quote_identifier(name)} {mapped.with_nullable(declared.nullable)}"
    raise ConfigError(
        f'column "{name}" of table "{table}" is {pg} in the server and cannot be read as'
        f" {declared.with_nullable(nullable=True)}",
        hint=f"Declare it {cure}, and cast it in the query.",
    )


def _reading(name: str, pg: PgType, declared: DataType) -> ColumnReading | None:
    if isinstance(declared, VarCharType | CharType):
        if pg.shape is Shape.BOOL:
            return None
        if pg.shape in {Shape.CHARACTERS, Shape.UUID, Shape.JSONB}:
            return ColumnReading(name, pg, declared, pg.shape, binary=True)
        return ColumnReading(name, pg, declared, Shape.TEXT, binary=False)
    if pg.shape is Shape.ARRAY:
        element = _element(name, pg, declared)
        if element is None:
            return None
        return ColumnReading(name, pg, declared, pg.shape, binary=False, element=element)
    if pg.shape is Shape.NUMERIC and isinstance(declared, DoubleType):
        return ColumnReading(name, pg, declared, Shape.FLOAT8, binary=False)
    if not _fits(pg, declared):
        return None
    return ColumnReading(name, pg, declared, pg.shape, binary=True)


def _element(name: str, pg: PgType, declared: DataType) -> ColumnReading | None:
    """How elements are read; the number of dimensions is not part of the server's type."""
    if not isinstance(declared, ArrayType) or pg.element is None:
        return None
    if isinstance(declared.element, ArrayType):
        # A domain over arrays makes elements that are arrays; else it is one more dimension.
        below = pg.element if pg.element.shape is Shape.ARRAY else pg
        inner = _element(name, below, declared.element)
        if inner is None:
            return None
        return ColumnReading(
            name, below, declared.element, Shape.ARRAY, binary=False, element=inner
        )
    return _reading(name, pg.element, declared.element)


def _fits(pg: PgType, declared: DataType) -> bool:
    match pg.shape:
        case Shape.BOOL:
            return isinstance(declared, BooleanType)
        case Shape.INT2 | Shape.INT4 | Shape.INT8 | Shape.OID:
            natural, digits = _WHOLE[pg.shape]
            if isinstance(declared, DecimalType):
                return declared.precision - declared.scale >= digits
            order = _WHOLE_TYPES
            return type(declared) in order[order.index(type(natural)) :]
        case Shape.FLOAT4:
            return isinstance(declared, FloatType | DoubleType)
        case Shape.FLOAT8:
            return isinstance(declared, DoubleType)
        case Shape.NUMERIC:
            return isinstance(declared, DecimalType) and _has_room(pg, declared)
        case Shape.DATE:
            return isinstance(declared, DateType)
        case Shape.TIME:
            return isinstance(declared, TimeType)
        case Shape.TIMESTAMP:
            return isinstance(declared, TimestampType)
        case Shape.TIMESTAMPTZ:
            return isinstance(declared, LocalZonedTimestampType)
        case Shape.BYTEA:
            return isinstance(declared, BinaryType | VarBinaryType)
        case _:
            return False


def _has_room(pg: PgType, declared: DecimalType) -> bool:
    """Whether every value has its digits; one without precision, or with too many, is tried."""
    mapped = _decimal(pg)
    if pg.precision_and_scale is None or not isinstance(mapped, DecimalType):
        return True
    room = declared.precision - declared.scale
    return declared.scale >= mapped.scale and room >= mapped.precision - mapped.scale
