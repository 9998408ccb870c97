"""What a column is in the server, and as what it may be declared."""

from __future__ import annotations

import pytest
from flowsql_connectors.postgres_cdc import (
    CatalogType,
    default_type,
    read_column,
    resolve_type,
    types_query,
)

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
)
from tests.unit.connectors.postgres_cdc.making import builtin


def _numeric(precision: int, scale: int) -> int:
    """The modifier of numeric(precision, scale)."""
    return (precision << 16 | scale & 0x7FF) + 4


@pytest.mark.parametrize(
    ("oid", "modifier", "name", "flink"),
    [
        (16, -1, "boolean", "BOOLEAN"),
        (21, -1, "smallint", "SMALLINT"),
        (23, -1, "integer", "INT"),
        (20, -1, "bigint", "BIGINT"),
        (26, -1, "oid", "BIGINT"),
        (700, -1, "real", "FLOAT"),
        (701, -1, "double precision", "DOUBLE"),
        (1700, -1, "numeric", "DECIMAL(38, 18)"),
        (1700, _numeric(10, 2), "numeric(10, 2)", "DECIMAL(10, 2)"),
        (1700, _numeric(38, 38), "numeric(38, 38)", "DECIMAL(38, 38)"),
        (1700, _numeric(39, 2), "numeric(39, 2)", "STRING"),
        (1700, _numeric(5, -2), "numeric(5, -2)", "DECIMAL(7, 0)"),
        (1700, _numeric(2, 5), "numeric(2, 5)", "DECIMAL(5, 5)"),
        (1082, -1, "date", "DATE"),
        (1083, -1, "time", "TIME(6)"),
        (1083, 0, "time(0)", "TIME(0)"),
        (1114, 3, "timestamp(3)", "TIMESTAMP(3)"),
        (1184, -1, "timestamptz", "TIMESTAMP_LTZ(6)"),
        (17, -1, "bytea", "BYTES"),
        (1043, 24, "varchar(20)", "STRING"),
        (1042, 9, "char(5)", "STRING"),
        (1560, 3, "bit(3)", "STRING"),
        (2950, -1, "uuid", "STRING"),
        (3802, -1, "jsonb", "STRING"),
        (1186, -1, "interval", "STRING"),
        (1007, -1, "integer[]", "ARRAY<INT>"),
        (1231, _numeric(5, 1), "numeric(5, 1)[]", "ARRAY<DECIMAL(5, 1)>"),
    ],
)
def test_the_default_type(oid: int, modifier: int, name: str, flink: str) -> None:
    """As Flink CDC maps it; a STRING where it has none."""
    pg = resolve_type(oid, modifier, builtin())
    assert (str(pg), str(default_type(pg))) == (name, flink)


def test_domains_and_enums() -> None:
    """A domain is what lies below it, with its modifier; an enum is text."""
    catalog = builtin() | {
        500: CatalogType(500, "shop", "price", "d", 501, -1, 0, is_array=False),
        501: CatalogType(501, "shop", "amount", "d", 1700, _numeric(8, 2), 0, is_array=False),
        502: CatalogType(502, "shop", "mood", "e", 0, -1, 0, is_array=False),
        503: CatalogType(503, "shop", "_mood", "b", 0, -1, 502, is_array=True),
        504: CatalogType(504, "shop", "pair", "c", 0, -1, 0, is_array=False),
    }
    price = resolve_type(500, -1, catalog)
    assert str(price) == "price (amount (numeric(8, 2)))"
    assert default_type(price) == DecimalType(8, 2)
    assert str(default_type(resolve_type(503, -1, catalog))) == "ARRAY<STRING>"
    mood, pair = (resolve_type(oid, -1, catalog) for oid in (502, 504))
    assert read_column("m", mood, VarCharType(), "t").binary
    assert not read_column("p", pair, VarCharType(), "t").binary
    with pytest.raises(DataError, match="type 505 is not in the server's catalog"):
        resolve_type(505, -1, catalog)


_BOOL, _INT2, _INT4, _INT8, _FLOAT4, _FLOAT8 = 16, 21, 23, 20, 700, 701


@pytest.mark.parametrize(
    ("oid", "modifier", "declared"),
    [
        (_INT2, -1, IntType()),
        (_INT2, -1, BigIntType()),
        (_INT4, -1, DecimalType(12, 2)),
        (_INT8, -1, VarCharType(20)),
        (_FLOAT4, -1, DoubleType()),
        (1700, _numeric(10, 2), DecimalType(12, 4)),
        (1700, _numeric(10, 2), DoubleType()),
        (1700, -1, DecimalType(5, 0)),
        (1700, _numeric(50, 2), DecimalType(38, 2)),
        (1082, -1, VarCharType()),
        (1083, -1, TimeType(0)),
        (1114, -1, TimestampType(3)),
        (1184, -1, LocalZonedTimestampType(9)),
        (17, -1, BinaryType(4)),
        (17, -1, VarBinaryType(4)),
        (2950, -1, CharType(36)),
        (1007, -1, ArrayType(BigIntType())),
        (1007, -1, ArrayType(ArrayType(IntType()))),
        (1007, -1, VarCharType()),
    ],
)
def test_what_else_may_be_declared(oid: int, modifier: int, declared: DataType) -> None:
    """Types with room for every value, and the server's text."""
    pg = resolve_type(oid, modifier, builtin())
    assert read_column("c", pg, declared, "s.t").type == declared


@pytest.mark.parametrize(
    ("oid", "modifier", "declared"),
    [
        (_BOOL, -1, VarCharType()),
        (_BOOL, -1, IntType()),
        (_INT4, -1, SmallIntType()),
        (_INT4, -1, DoubleType()),
        (_INT4, -1, DecimalType(11, 2)),
        (_FLOAT8, -1, FloatType()),
        (_FLOAT8, -1, DecimalType(38, 10)),
        (1700, _numeric(10, 2), DecimalType(10, 1)),
        (1700, _numeric(10, 2), DecimalType(10, 4)),
        (1700, -1, BigIntType()),
        (1114, -1, LocalZonedTimestampType(3)),
        (1184, -1, TimestampType(3)),
        (1082, -1, TimestampType(3)),
        (25, -1, IntType()),
        (25, -1, VarBinaryType()),
        (600, -1, BooleanType()),
        (1007, -1, ArrayType(SmallIntType())),
        (1007, -1, IntType()),
        (23, -1, ArrayType(IntType())),
        (1186, -1, DateType()),
    ],
)
def test_what_may_not_be_declared(oid: int, modifier: int, declared: DataType) -> None:
    """A type that would lose something, or has another meaning; the cure is the column's own."""
    pg = resolve_type(oid, modifier, builtin())
    with pytest.raises(ConfigError) as raised:
        read_column("c", pg, declared.not_null(), "s.t")
    assert raised.value.message == (
        f'column "c" of table "s.t" is {pg} in the server and cannot be read as {declared}'
    )
    assert raised.value.hint == (
        f"Declare it `c` {default_type(pg).not_null()}, and cast it in the query."
    )


def test_the_query_holds_only_numbers() -> None:
    """Nothing that is not an integer gets into the statement."""
    assert "ARRAY[23, 25]::pg_catalog.oid[]" in types_query([25, 23, 23])
