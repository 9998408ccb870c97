"""Which partition a row goes to, and what becomes of partitions that others drop."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.write.partitions import Partitions
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, IdentityTransform, Transform
from pyiceberg.types import DoubleType, LongType, NestedField, StringType

from tests.support.iceberg import IcebergFolder
from tests.unit.connectors.iceberg.writing import KeyedTable


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


@pytest.mark.parametrize("transform", [BucketTransform(3), IdentityTransform()])
@pytest.mark.parametrize("restarted", [False, True])
def test_others_drop_what_the_table_was_partitioned_by(
    tmp_path: Path, transform: Transform[int, int], restarted: bool
) -> None:
    """Its files stay in their partitions, and can be told of; they are merged and replaced as others."""
    folder = IcebergFolder(tmp_path / "out", "t")
    folder.folder.mkdir()
    with closing(folder.catalog) as catalog:
        catalog.create_namespace("default")
        columns = [
            NestedField(1, "id", LongType(), required=True),
            NestedField(2, "name", StringType()),
            NestedField(3, "x", LongType()),
        ]
        made = catalog.create_table(
            "default.t",
            Schema(*columns, identifier_field_ids=[1]),
            partition_spec=PartitionSpec(PartitionField(3, 1000, transform, "px")),
        )
        rows = {"id": [101, 102], "name": ["a", "b"], "x": [1, 2]}
        made.append(pa.table(rows, schema=made.schema().as_arrow()))
    table = KeyedTable(tmp_path, **{"flink-maintenance.rewrite.min-input-files": "2"})
    table.others_wrote({101: "a", 102: "b"})
    table.step(("+I", 1, "c"), ("+U", 101, "d"))
    table.prepare()
    with folder.table.update_spec() as spec:
        spec.remove_field("px")
    with folder.table.update_schema(allow_incompatible_changes=True) as schema:
        schema.delete_column("x")
    with folder.table.update_schema() as schema:
        schema.add_column("x", StringType())
    table.commit()
    if restarted:
        table.restart()
    for number in range(3):
        table.step(("+U", 102, f"{number}"), ("+U", 1, f"{number}"), ("+I", 10 + number, "e"))
        table.checkpoint()
        found = [row[:2] for row in folder.rows()]
        assert len(found) == len(dict(found))
        assert dict(found) == table.kept
