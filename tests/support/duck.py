"""DuckDB as a second opinion on a bounded answer, through one table of known differences.

Nothing else may excuse a difference: what DuckDB answers otherwise stands in `differences.py`, with
the reason, and is either written in another way for DuckDB or kept away from it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from flowsql import types as t
from tests.support.rows import NEGATIVE_ZERO, batch_of, rows_of

__all__ = ["duck_rows", "duck_type", "wrap", "zeros_merged"]

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
        case t.RowType(fields=fields):
            return f"STRUCT({', '.join(f'{f.name} {duck_type(f.type)}' for f in fields)})"
        case t.ArrayType(element=element):
            return f"{duck_type(element)}[]"
        case t.MapType(key=key, value=value):
            return f"MAP({duck_type(key)}, {duck_type(value)})"
        case t.MultisetType(element=element):
            return f"MAP({duck_type(element)}, INTEGER)"
        case t.VariantType():
            return "BLOB"  # equal where the bytes are
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
    tables: Mapping[str, tuple[t.RowType, Iterable[Any]]],
    schema: t.RowType,
) -> Counter[Any]:
    """The query's rows in the types of `schema`.

    Args:
        query: in DuckDB's SQL; backquotes become double quotes.
        views: name → query, defined in this order.
        tables: name → (type, rows in order).
        schema: what the answer must be read as.
    """
    # DuckDB 2.0.0 swaps columns where two branches of a union read the same join.
    settings = {"threads": 1, "disabled_optimizers": "common_subplan"}
    with duckdb.connect(config=settings) as connection:
        for name, (kind, rows) in tables.items():
            data = pa.Table.from_batches([batch_of(list(rows), kind)])
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
