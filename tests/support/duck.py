"""DuckDB as a second opinion on a bounded answer, through one table of known differences.

Nothing else may excuse a difference: what DuckDB answers otherwise stands in `DIFFERENCES`, with
the reason, and is either written in another way for DuckDB or kept away from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from flowsql import types as t
from tests.support.rows import NEGATIVE_ZERO, batch_of, rows_of

__all__ = ["DIFFERENCES", "duck_rows", "duck_type", "wrap"]

#: construct → (what Flink does, what DuckDB does, how the two are brought together)
DIFFERENCES: dict[str, tuple[str, str, str]] = {
    "7 / 2": ("integers divide to an integer, cut off", "to a DOUBLE", "`//` for DuckDB"),
    "-7 % 2": ("sign of the dividend", "sign of the dividend", "same"),
    "1 / 0": ("error", "NULL", "divisors are guarded by NULLIF"),
    "overflow of + - *": ("wraps", "error", "computed as HUGEINT, then `wrap`"),
    "SUM(INT), SUM(BIGINT)": ("argument's type, wraps", "HUGEINT", "`wrap`"),
    "SUM(DECIMAL(p, s))": ("DECIMAL(38, s)", "DECIMAL(38, s)", "same"),
    "AVG(INT), AVG(BIGINT)": ("argument's type, cut off", "DOUBLE", "`SUM // COUNT`, wrapped"),
    "AVG(DECIMAL)": ("DECIMAL, rounded half up", "DOUBLE", "not given to DuckDB"),
    "CAST(1.5 AS INT)": ("cut off", "rounded half to even", "`trunc` first"),
    "CAST(DOUBLE AS STRING)": ("Java's text", "C's text", "not given to DuckDB"),
    "CAST(TRUE AS STRING)": ("TRUE", "true", "`upper`"),
    "NaN in comparisons": ("as in Java, all but <> are false", "greatest, equal to itself", "guarded by `isnan`"),
    "NaN and −0.0 as keys": ("NaN is one key, −0.0 another than 0.0", "0.0 = −0.0", "DOUBLE keys are not given to DuckDB"),
    "MIN, MAX of NaN and −0.0": ("by the order of arrival", "NaN is greatest", "kept out of the data"),
    "−0.0 in results": ("kept", "kept or lost by its rules", "both compared as 0.0"),
    "x = x of NaN": ("true, by its planner", "true", "not generated"),
    "NULL order": ("NULL is least", "NULL last", "results are compared as multisets"),
    "text comparison": ("UTF-16 code units", "bytes of UTF-8", "no code points above U+D7FF"),
    "COUNT": ("BIGINT", "BIGINT", "same"),
    "TUMBLE": ("a table function", "unknown", "`time_bucket` with an origin of 1970"),
}  # fmt: skip

_BITS = {t.TinyIntType: 8, t.SmallIntType: 16, t.IntType: 32, t.BigIntType: 64}


def wrap(expression: str, kind: t.DataType) -> str:
    """DuckDB text that brings a HUGEINT into the range of an integer type as Java does."""
    half = 1 << (_BITS[type(kind)] - 1)
    full = 2 * half
    shifted = f"(({expression}) + {half}::HUGEINT)"
    return f"(((({shifted} % {full}::HUGEINT) + {full}::HUGEINT) % {full}::HUGEINT) - {half}::HUGEINT)::{duck_type(kind)}"


def duck_type(kind: t.DataType) -> str:
    """The type's name in DuckDB."""
    match kind:
        case t.CharType() | t.VarCharType():
            return "VARCHAR"
        case t.TimestampType(precision=p):
            return "TIMESTAMP" if p <= 6 else "TIMESTAMP_NS"
        case t.LocalZonedTimestampType():
            return "TIMESTAMPTZ"
        case t.DecimalType(precision=p, scale=s):
            return f"DECIMAL({p}, {s})"
        case _:
            return kind.root


def _same_zero(value: Any) -> Any:
    return 0.0 if value is NEGATIVE_ZERO else value


def zeros_merged(rows: Counter[Any]) -> Counter[Any]:
    """The multiset with −0.0 read as 0.0."""
    merged: Counter[Any] = Counter()
    for row, count in rows.items():
        merged[tuple(map(_same_zero, row))] += count
    return merged


def duck_rows(
    query: str,
    views: Mapping[str, str],
    tables: Mapping[str, tuple[t.RowType, Counter[Any]]],
    schema: t.RowType,
) -> Counter[Any]:
    """The query's rows in the types of `schema`.

    Args:
        query: in DuckDB's SQL; backquotes become double quotes.
        views: name → query, defined in this order.
        tables: name → (type, rows with their count).
        schema: what the answer must be read as.
    """
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, (kind, rows) in tables.items():
            data = pa.Table.from_batches([batch_of(list(rows.elements()), kind)])
            connection.register(f"_{name}", data)
            columns = ", ".join(f'"{f.name}" {duck_type(f.type)}' for f in kind.fields)
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM "_{name}"')
        for name, text in views.items():
            connection.execute(f'CREATE VIEW "{name}" AS {_quoted(text)}')
        answer = connection.sql(_quoted(query)).to_arrow_table()
    wanted = t.arrow_schema(schema)
    columns = [c.cast(f.type) for c, f in zip(answer.columns, wanted, strict=True)]
    return Counter(rows_of(pa.Table.from_arrays(columns, schema=wanted), schema))


def _quoted(text: str) -> str:
    return re.sub(r"`([^`]*)`", r'"\1"', text)
