"""Rows by the partition that they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from flowsql.changelog import Keys
from flowsql.errors import ConnectorError
from flowsql.types import type_of

__all__ = ["Partition", "Partitions"]

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition.

    Attributes:
        values: of its fields, as the table keeps them.
        path: of its folder below the table's data, with a slash behind; empty where there is one
            partition only.
    """

    values: tuple[Any, ...]
    path: str

    @property
    def record(self) -> Record:
        """The values, as the client takes them."""
        return Record(*self.values)


class Partitions:
    """Tells rows apart by a partition spec.

    Raises:
        ConnectorError: it has a transform that cannot be computed.
    """

    def __init__(self, spec: PartitionSpec, schema: Schema) -> None:
        self.spec = spec
        self._schema = schema
        self._computed = [
            (schema.find_column_name(field.source_id), _compute(field, schema))
            for field in spec.fields
        ]
        self._known: dict[tuple[Any, ...], Partition] = {}

    def split(
        self, batch: pa.RecordBatch
    ) -> Iterator[tuple[Partition, npt.NDArray[np.int64] | None]]:
        """Each partition that has rows, and which; None for all.

        Args:
            batch: rows as data files hold them.
        """
        if not self.spec.fields:
            yield self._partition(()), None
            return
        names = batch.schema.names
        columns = [
            compute(batch.column(name)) if name in names else pa.nulls(batch.num_rows, pa.int32())
            for name, compute in self._computed
        ]
        numbers, first = Keys.of(columns, [type_of(c.type) for c in columns]).group()
        if len(first) == 1:
            yield self._partition(tuple(_kept(c[0]) for c in columns)), None
            return
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers))
        for row, rows in zip(first.tolist(), np.split(order, ends[:-1]), strict=True):
            yield self._partition(tuple(_kept(c[row]) for c in columns)), rows

    def path(self, record: Record) -> str:
        """The folder of a partition."""
        return self._partition(tuple(record[i] for i in range(len(self.spec.fields)))).path

    def _partition(self, values: tuple[Any, ...]) -> Partition:
        # A NaN equals nothing, and the two zeros each other: to readers they are values like others.
        name = tuple(value.hex() if isinstance(value, float) else value for value in values)
        known = self._known.get(name)
        if known is None:
            path = self.spec.partition_to_path(Record(*values), self._schema) if values else ""
            parts = [_short(part) for part in path.split("/") if part]
            known = Partition(values, "".join(f"{part}/" for part in parts))
            self._known[name] = known
        return known


def _compute(field: Any, schema: Schema) -> Any:
    kind = schema.find_type(field.source_id)
    if isinstance(field.transform, IdentityTransform):
        return lambda column: column
    try:
        return field.transform.pyarrow_transform(kind)
    except (NotImplementedError, ValueError) as error:
        raise ConnectorError(
            f'the table is partitioned by "{field.transform}", which cannot be computed: {error}',
            hint="Give the table another partition spec; rows that are there stay where they are.",
        ) from None


def _kept(value: pa.Scalar) -> Any:
    """A partition value as the table keeps it: days and microseconds are numbers."""
    if not value.is_valid:
        return None
    return value.value if pa.types.is_temporal(value.type) else value.as_py()


def _short(part: str) -> str:
    """The name of a folder, which no file system finds too long; it means nothing to readers."""
    if len(part) <= _LONGEST:
        return part
    return f"{part[:_LONGEST]}_{hashlib.sha256(part.encode()).hexdigest()[:10]}"
