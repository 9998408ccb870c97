"""Tables of any kind, written by anybody: a random history, and what a reader has to find in the end."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg import transforms as t
from pyiceberg import types as i
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from .lake import Lake, commit, delete_file, equality_file

_LONG = "a long text that has the same beginning as others, "
_DAY = dt.datetime(2024, 2, 28, 22, 59, 59, 999999)  # noqa: DTZ001
_STRUCT = i.StructType(
    i.NestedField(101, "x", i.LongType()), i.NestedField(102, "s", i.StringType())
)


@dataclass(frozen=True)
class Kind:
    """A type: its values, and how a query writes them."""

    type: Any
    values: tuple[Any, ...]
    literals: tuple[str, ...]
    wider: tuple[Any, ...] = ()
    transforms: tuple[Callable[[], Any], ...] = ()


def _days(*hours: int) -> tuple[dt.datetime, ...]:
    return tuple(_DAY + dt.timedelta(hours=h) for h in hours)


_TIMES = (
    *_days(0, 1, 2, 24, 800),
    dt.datetime(1969, 12, 31, 23, 59, 59, 500000),  # noqa: DTZ001
    dt.datetime(1960, 2, 29, 1),  # noqa: DTZ001
)
_STAMPS = tuple(f"TIMESTAMP '{x.isoformat(' ')}'" for x in _TIMES)
_OVER_TIME: tuple[Callable[[], Any], ...] = (
    t.YearTransform, t.MonthTransform, t.DayTransform, t.IdentityTransform,
    lambda: t.BucketTransform(3),
)  # fmt: skip

KINDS = {
    "int": Kind(
        i.IntegerType(), (-(2**31), -11, -1, 0, 1, 9, 10, 2**31 - 1),
        ("-11", "0", "1", "10", "1.5", "3000000000", "CAST(9 AS BIGINT)", "9E0"),
        (i.LongType(),),
        (lambda: t.BucketTransform(2), lambda: t.TruncateTransform(10), t.IdentityTransform),
    ),
    "float": Kind(
        i.FloatType(), (math.nan, -math.inf, -0.0, 0.0, 0.1, 1.5, 3.0e38),
        ("0.1", "0.1E0", "CAST(0.1 AS FLOAT)", "0", "CAST('NaN' AS FLOAT)", "1.5", "-0.0E0", "1E39"),
        (i.DoubleType(),),
    ),
    "double": Kind(
        i.DoubleType(), (math.nan, math.inf, -0.0, 0.0, 0.1, 1.5, 1e300),
        ("0.1", "0.1E0", "0", "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)", "-0.0E0"),
    ),
    "decimal": Kind(
        i.DecimalType(5, 2), tuple(map(Decimal, ("-899.99", "-0.01", "0.00", "0.10", "9.99"))),
        ("0.1", "0.10", "0.101", "9.99", "-0.015", "1000", "123456789012345678901234567890.123", "0.1E0"),
        (i.DecimalType(9, 2), i.DecimalType(38, 2)),
        (lambda: t.TruncateTransform(7), lambda: t.BucketTransform(3), t.IdentityTransform),
    ),
    "big": Kind(
        i.DecimalType(38, 10), tuple(map(Decimal, ("-1234567890123456789012345678.0000000001", "0", "9e27"))),
        ("0", "1234567890123456789012345678.5", "-1234567890123456789012345678.0000000001"),
        (),
        (lambda: t.TruncateTransform(7), lambda: t.BucketTransform(3), t.IdentityTransform),
    ),
    "text": Kind(
        i.StringType(), ("", "a", "A", "a ", "b", "é", "\U0001f600", "\uffff", f"{_LONG}1", f"{_LONG}2"),
        ("''", "'a'", "'a '", "'A'", "'b'", "'é'", "'\U0001f600'", f"'{_LONG}1'", f"'{_LONG}'",
         "CAST('a' AS CHAR(3))"),
        (),
        (lambda: t.TruncateTransform(1), lambda: t.BucketTransform(3), t.IdentityTransform),
    ),
    "date": Kind(
        i.DateType(), tuple(x.date() for x in _TIMES),
        tuple(f"DATE '{x.date()}'" for x in _TIMES) + _STAMPS[:2],
        (), _OVER_TIME,
    ),
    "ts": Kind(
        i.TimestampType(), _TIMES, (*_STAMPS, "DATE '2024-02-28'", "TIMESTAMP '2024-02-28 22:59:59.9999991'"),
        (), (*_OVER_TIME, t.HourTransform),
    ),
    "tz": Kind(
        i.TimestamptzType(), tuple(x.replace(tzinfo=dt.UTC) for x in _TIMES),
        tuple(f"CAST({x} AS TIMESTAMP_LTZ(6))" for x in _STAMPS),
        (), (*_OVER_TIME, t.HourTransform),
    ),
    "time": Kind(
        i.TimeType(), (dt.time(0), dt.time(1, 2, 3), dt.time(1, 2, 3, 4000), dt.time(23, 59, 59, 999000)),
        ("TIME '00:00:00'", "TIME '01:02:03'", "TIME '01:02:03.004'", "TIME '23:59:59.999'"),
        (), (t.IdentityTransform,),
    ),
    "fixed": Kind(
        i.FixedType(2), (b"aa", b"ab", b"\x00\x00", b"\xff\xff"), ("x'6161'", "x'00'", "x'ffff'", "x'61'"),
        (), (t.IdentityTransform, lambda: t.BucketTransform(3)),
    ),
    "bool": Kind(i.BooleanType(), (True, False), ("TRUE", "FALSE"), (), (t.IdentityTransform,)),
    "bytes": Kind(
        i.BinaryType(), (b"", b"a", b"\xff\x00", b"x" * 40), ("x''", "x'61'", "x'ff'"),
        (), (t.IdentityTransform, lambda: t.BucketTransform(3)),
    ),
    "row": Kind(_STRUCT, ({"x": 1, "s": "a"}, {"x": None, "s": None}), ()),
    "list": Kind(
        i.ListType(103, i.StringType(), element_required=False), ([], ["a", None]), ()
    ),
    "map": Kind(
        i.MapType(104, i.StringType(), 105, i.LongType(), value_required=False),
        ([], [("k", 1), ("l", None)]), (),
    ),
}  # fmt: skip


@dataclass
class Written:
    """A data file as it was written: its rows by field id, and the number of its commit."""

    file: DataFile
    commit: int
    rows: list[dict[int, Any]]
    live: list[bool] = field(default_factory=list)


class Anything:
    """The table `t` of a lake, with a random past.

    Args:
        lake: has the table.
        choose: makes every choice.
    """

    def __init__(self, lake: Lake, choose: random.Random) -> None:
        self._choose = choose
        self._commits = 0
        self._names = itertools.count()
        kinds = choose.sample(list(KINDS), choose.randint(2, 6))
        fields = [i.NestedField(1, "rid", i.LongType())]
        fields += [
            i.NestedField(at, f"c_{kind}", KINDS[kind].type) for at, kind in enumerate(kinds, 2)
        ]
        # What the catalog makes of a schema has other numbers.
        self.version = choose.choice([1, 2, 2, 2])
        properties = {
            "format-version": str(self.version),
            "write.parquet.row-group-limit": str(choose.choice([2, 5, 1000])),
            "write.metadata.metrics.default": choose.choice(["truncate(16)", "truncate(1)", "full", "none"]),
        }  # fmt: skip
        self.table = lake.make("t", Schema(*fields), properties=properties)
        self.kinds = {
            f.field_id: kind for f, kind in zip(self.table.schema().fields[1:], kinds, strict=True)
        }
        self._rid = self.table.schema().fields[0].field_id
        self._fresh = 0
        self.files: dict[str, Written] = {}
        self.log: list[str] = []
        if choose.random() < 0.7:
            self._partition()

    def act(self) -> None:
        """Something happens to the table."""
        acts: list[Callable[[], None]] = [self._append] * 4
        acts += [self._add, self._rename, self._drop, self._move, self._widen, self._partition]
        if self.version > 1 and self.files:
            acts += [self._delete] * 3 + [self._delete_equal] * 3
        act = self._choose.choice(acts)
        self.log.append(act.__name__)
        act()
        self.table.refresh()

    def rows(self) -> list[tuple[Any, ...]]:
        """What the table holds, in the order of its columns."""
        ids = [f.field_id for f in self.table.schema().fields]
        return [
            tuple(row.get(at) for at in ids)
            for file in self.files.values()
            for row, live in zip(file.rows, file.live, strict=True)
            if live
        ]

    def _append(self) -> None:
        choose = self._choose
        self._commits += 1
        rows = []
        fields = self.table.schema().fields
        few = {f.field_id: choose.random() < 0.3 for f in fields}
        for _ in range(choose.randint(1, 12)):
            row: dict[int, Any] = {self._rid: self._fresh}
            self._fresh += 1
            for f in fields:
                if f.field_id == self._rid:
                    continue
                values = KINDS[self.kinds[f.field_id]].values
                if few[f.field_id]:
                    values = values[:1]
                value = None if choose.random() < 0.2 else choose.choice(values)
                if value is not None and isinstance(f.field_type, i.FloatType):
                    value = float(np.float32(value))
                row[f.field_id] = value
            rows.append(row)
        named = [{f.name: r[f.field_id] for f in fields} for r in rows]
        try:
            self.table.append(pa.Table.from_pylist(named, schema=self.table.schema().as_arrow()))
        except ValueError as error:
            if "redundant partitions" not in str(error):
                raise
            # The client cannot: a column that was a partition of version 1 is one again.
            return
        self._take_files({r[self._rid]: r for r in rows})

    def _take_files(self, rows: dict[int, dict[int, Any]]) -> None:
        for file in _all_files(self.table):
            if file.file_path in self.files:
                continue
            held = pq.read_table(file.file_path, columns=["rid"]).column("rid").to_pylist()
            written = Written(file, self._commits, [rows[r] for r in held], [True] * len(held))
            self.files[file.file_path] = written

    def _some(self) -> i.NestedField | None:
        found = [f for f in self.table.schema().fields if f.field_id != self._rid]
        return self._choose.choice(found) if found else None

    def _partitioned(self, at: int) -> bool:
        return any(f.source_id == at for f in self.table.spec().fields)

    def _add(self) -> None:
        kind = self._choose.choice(list(KINDS))
        name = f"n{next(self._names)}"
        with self.table.update_schema() as update:
            update.add_column(name, KINDS[kind].type)
        self.kinds[self.table.refresh().schema().find_field(name).field_id] = kind

    def _rename(self) -> None:
        if (one := self._some()) is not None:
            with self.table.update_schema() as update:
                update.rename_column(one.name, f"n{next(self._names)}")

    def _drop(self) -> None:
        one = self._some()
        if one is None or self._partitioned(one.field_id):
            return
        with self.table.update_schema() as update:
            update.delete_column(one.name)
        name = one.name
        if self._choose.random() < 0.5:
            # Another column of the same name.
            with self.table.update_schema() as update:
                update.add_column(name, one.field_type)
            at = self.table.refresh().schema().find_field(name).field_id
            self.kinds[at] = self.kinds[one.field_id]

    def _move(self) -> None:
        if (one := self._some()) is not None:
            with self.table.update_schema() as update:
                update.move_first(one.name)

    def _widen(self) -> None:
        one = self._some()
        if one is None:
            return
        for wider in KINDS[self.kinds[one.field_id]].wider:
            try:
                with self.table.update_schema() as update:
                    update.update_column(one.name, wider)
            except Exception:  # noqa: BLE001 - it is as wide already
                continue
            return

    def _partition(self) -> None:
        """By other columns than before."""
        with self.table.update_spec() as update:
            for one in self.table.spec().fields:
                update.remove_field(one.name)
        self.table.refresh()
        fields = []
        for one in self.table.schema().fields[1:]:
            made = KINDS[self.kinds.get(one.field_id, "row")].transforms
            if made and one.field_id != self._rid and self._choose.random() < 0.4:
                fields.append((one, self._choose.choice(made)()))
        if not fields:
            return
        with self.table.update_spec() as update:
            for one, transform in fields:
                update.add_field(one.name, transform, f"p{next(self._names)}")

    def _delete(self) -> None:
        """Some rows, by their places; a file of deletes for each data file, or for a partition."""
        self._commits += 1
        files = self._choose.sample(list(self.files.values()), min(2, len(self.files)))
        made = []
        for file in files:
            places = [p for p in range(len(file.rows)) if self._choose.random() < 0.3]
            if not places:
                continue
            one = delete_file(self.table, {file.file.file_path: places})
            made.append(_of_partition(one, file.file))
            for place in places:
                file.live[place] = False
        if made:
            commit(self.table, *made)

    def _delete_equal(self) -> None:
        """Rows with some values: of one partition, or of all where the deletes have none."""
        simple = [
            f for f in self.table.schema().fields if f.field_type.is_primitive
            and not isinstance(f.field_type, i.FloatType | i.DoubleType)
        ]  # fmt: skip
        keys = self._choose.sample(simple, min(len(simple), self._choose.randint(1, 2)))
        near = self._choose.choice(list(self.files.values()))
        rows = self._choose.sample(near.rows, min(3, len(near.rows)))
        values = {k.name: [r.get(k.field_id) for r in rows] for k in keys}
        self._commits += 1
        one = _of_partition(equality_file(self.table, values), near.file)
        everywhere = self.table.specs()[near.file.spec_id].is_unpartitioned()
        gone = {tuple(r.get(k.field_id) for k in keys) for r in rows}
        for file in self.files.values():
            same = (file.file.spec_id, file.file.partition) == (
                near.file.spec_id,
                near.file.partition,
            )
            if not (everywhere or same):
                continue
            for place, row in enumerate(file.rows):
                if tuple(row.get(k.field_id) for k in keys) in gone:
                    file.live[place] = False
        commit(self.table, one)


def _of_partition(made: DataFile, of: DataFile) -> DataFile:
    made._data[3] = of.partition
    made.spec_id = of.spec_id
    return made


def _all_files(table: Table) -> list[DataFile]:
    snapshot = table.refresh().current_snapshot()
    assert snapshot is not None
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.data_file.content == DataFileContent.DATA
    ]
