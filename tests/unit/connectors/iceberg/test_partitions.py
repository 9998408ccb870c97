"""Which partition a row goes to."""

from __future__ import annotations

import math

import pyarrow as pa
from flowsql_connectors.iceberg.write.partitions import Partitions
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, NestedField


def test_numbers_that_equal_nothing_or_each_other() -> None:
    """NaN is one partition, batch after batch; the two zeros are two, as readers compare them."""
    schema = Schema(NestedField(1, "p", DoubleType()))
    spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "p"))
    partitions = Partitions(spec, schema)
    values = [math.nan, 0.0, -0.0, None]
    batch = pa.RecordBatch.from_pydict({"p": pa.array(values, pa.float64())})
    once, again = ([part for part, _ in partitions.split(batch)] for _ in range(2))
    assert len({*once, *again}) == 4
    assert all(a is b for a, b in zip(once, again, strict=True))
    assert {part.path for part in once} == {"p=nan/", "p=0.0/", "p=-0.0/", "p=null/"}
