"""Partition values: from the text in a folder's name to a value of the column's type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from flowsql.connector import Constant, Predicate, ValueRange, columns_of_predicate, may_hold
from flowsql.formats import CSV_STYLE, TextStyle, parse_text
from flowsql.types import (
    DataType,
    DateType,
    LocalZonedTimestampType,
    RowType,
    TimestampType,
    TimeType,
)

__all__ = ["PartitionFilter", "partition_value"]

_DAYS = re.compile("-?[0-9]{1,10}")
_MILLISECONDS = re.compile("[0-9]{1,8}")
_END = 1 << 31
_DAY = 86_400_000


def partition_value(text: str | None, kind: DataType) -> pa.Scalar | None:
    """The value that a folder's name stands for; None where it stands for none of the type."""
    style = CSV_STYLE
    if text is not None:
        # Flink itself writes a DATE as the number of its day.
        if isinstance(kind, DateType) and _DAYS.fullmatch(text) and -_END <= int(text) < _END:
            return pa.array([int(text)], pa.int32()).view(pa.date32())[0]
        # And a TIME as its milliseconds.
        if isinstance(kind, TimeType) and _MILLISECONDS.fullmatch(text) and int(text) < _DAY:
            return pa.array([int(text)], pa.int32()).view(pa.time32("ms"))[0]
        if isinstance(kind, TimestampType | LocalZonedTimestampType) and "T" in text:
            style = TextStyle(separator="T")
            if text.removesuffix("Z").count(":") == 1:
                text = f"{text.removesuffix('Z')}:00{'Z' * text.endswith('Z')}"
    parsed = parse_text(pa.array([text], pa.string()), kind, style)
    return None if parsed.bad is not None else parsed.values[0]


class PartitionFilter:
    """Tells folders in which no wanted row can be.

    Args:
        predicates: what was taken; other columns than `keys` may have any value.
        keys: the partition columns.
        schema: has the types of the keys.
    """

    def __init__(
        self, predicates: Sequence[Predicate], keys: Sequence[str], schema: RowType
    ) -> None:
        self._predicates = [p for p in predicates if not columns_of_predicate(p).isdisjoint(keys)]
        read = {c for p in self._predicates for c in columns_of_predicate(p)}
        self._types = {k: schema.types[schema.index(k)] for k in keys if k in read}
        self._known: dict[tuple[str, str | None], ValueRange | None] = {}

    def __bool__(self) -> bool:
        """Whether it tells anything."""
        return bool(self._predicates)

    def may_hold(self, values: Mapping[str, str | None]) -> bool:
        """Whether rows of these partition values, as texts, may be wanted; others are not known."""
        ranges = {k: self._range(k, values[k]) for k in self._types if k in values}
        return all(may_hold(p, ranges.get) for p in self._predicates)

    def _range(self, key: str, text: str | None) -> ValueRange | None:
        if (key, text) not in self._known:
            kind = self._types[key]
            value = partition_value(text, kind)
            # What cannot be read is refused where it is read.
            self._known[key, text] = (
                None if value is None else ValueRange.point(_stored(value, kind))
            )
        return self._known[key, text]


def _stored(value: pa.Scalar, kind: DataType) -> Constant | None:
    if not value.is_valid:
        return None
    timed = DateType | TimeType | TimestampType | LocalZonedTimestampType
    stored: Constant = value.value if isinstance(kind, timed) else value.as_py()
    return stored
