"""Which row groups of a Parquet file may hold wanted rows, by the statistics in its footer.

A file need not have statistics, and a row group without them is read. Statistics are only looked
at where a column is stored as it is read: a value that is cast, shifted or filled in is another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowsql.types.predicates import Predicate, ValueRange, columns_of_predicate, may_hold

__all__ = ["group_runs", "wanted_groups"]


def wanted_groups(
    file: pq.ParquetFile, wanted: Sequence[Predicate], read_as: Callable[[str], pa.DataType | None]
) -> list[int]:
    """Numbers of the row groups that may hold a wanted row, ascending.

    Args:
        file: the open file.
        wanted: all of them are to hold.
        read_as: the type in which a column is read; None where its values are made another way.
    """
    metadata = file.metadata
    groups = range(metadata.num_row_groups)
    if not wanted or not groups:
        return list(groups)
    leaves = file.schema
    # A member `b` of a row `a` has the path of a column `a.b`, but not its name.
    held = {
        leaves.column(i).name: i
        for i in range(metadata.num_columns)
        if leaves.column(i).name == leaves.column(i).path
    }
    schema = file.schema_arrow
    names = {c for p in wanted for c in columns_of_predicate(p)}
    places = {c: held[c] for c in names if c in held and schema.field(c).type == read_as(c)}
    if not places:
        return list(groups)

    def may(group: int) -> bool:
        row_group = metadata.row_group(group)
        ranges = {
            c: _range(row_group.column(at).statistics, schema.field(c).type)
            for c, at in places.items()
        }
        return all(may_hold(p, ranges.get) for p in wanted)

    return [g for g in groups if may(g)]


def group_runs(
    file: pq.ParquetFile, row: int, wanted: Callable[[int, int, int], bool]
) -> Iterator[tuple[int, list[int]]]:
    """Neighbouring row groups that are read, and the first row of each run.

    Args:
        file: the open file.
        row: only groups with rows from this one on.
        wanted: whether a group is read, by its number, its first row, and the one behind it.
    """
    start, run, at = 0, list[int](), 0
    for group in range(file.metadata.num_row_groups):
        end = at + file.metadata.row_group(group).num_rows
        if end > row and wanted(group, at, end):
            if not run:
                start = at
            run.append(group)
        elif run:
            yield start, run
            run = []
        at = end
    if run:
        yield start, run


def _range(statistics: Any, kind: pa.DataType) -> ValueRange | None:
    if statistics is None:
        return None
    nulls = not statistics.has_null_count or statistics.null_count > 0
    # The number of values leaves NULLs out.
    values = statistics.num_values > 0 or not statistics.has_null_count
    low = high = None
    if statistics.has_min_max:
        low, high = _bound(statistics, "min", kind), _bound(statistics, "max", kind)
    return ValueRange(low, high, nulls=nulls, values=values, nan=pa.types.is_floating(kind))


def _bound(statistics: Any, name: str, kind: pa.DataType) -> Any:
    """The bound as a storage value; None where it says nothing."""
    if pa.types.is_decimal(kind):
        bound = getattr(statistics, name)
        return bound if isinstance(bound, Decimal) else None
    raw = getattr(statistics, f"{name}_raw")
    if pa.types.is_string(kind):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            # Cut off within a letter.
            return None
    if pa.types.is_floating(kind):
        return None if math.isnan(raw) else raw
    if pa.types.is_boolean(kind):
        return bool(raw)
    known = pa.types.is_integer(kind) or pa.types.is_temporal(kind)
    return raw if known and isinstance(raw, int) else None
