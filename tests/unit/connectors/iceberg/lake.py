"""A catalog in a folder, with tables that plain pyiceberg writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from flowsql_connectors.iceberg.write.commit import Delta, commit_delta
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import ListType, MapType, NestedField, StructType

import flowsql
from flowsql.session import Session

COLUMNS = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])
_NUMBER = itertools.count()


class Lake:
    """The catalog `lake`, with a database `default`."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = folder / "lake"
        self.warehouse.mkdir()
        self._opened: list[SqlCatalog] = []
        self.catalog = self.others()
        self.catalog.create_namespace("default")

    def others(self, name: str = "lake") -> SqlCatalog:
        """As another program would open it, under some name; closed with this."""
        uri = f"sqlite:///{self.warehouse}/catalog.db"
        self._opened.append(SqlCatalog(name, uri=uri, warehouse=str(self.warehouse)))
        return self._opened[-1]

    def close(self) -> None:
        """Let go of its file."""
        for catalog in self._opened:
            catalog.close()

    def make(self, name: str = "t", schema: Any = COLUMNS, **more: Any) -> Table:
        """A table without rows."""
        return self.catalog.create_table(("default", name), schema, **more)

    def session(self) -> Session:
        """A session in whose catalog `lake` it is."""
        session = flowsql.connect()
        session.execute(f"CREATE CATALOG lake WITH ({self.options})")
        return session

    @property
    def options(self) -> str:
        """Of CREATE CATALOG."""
        return f"'type' = 'iceberg', 'warehouse' = '{self.warehouse}'"

    def declared(self, name: str = "t") -> dict[str, str]:
        """WITH of the table."""
        return {
            "connector": "iceberg",
            "catalog-name": "lake",
            "warehouse": str(self.warehouse),
            "catalog-table": name,
        }


def add(table: Table, ids: Iterable[int], name: str = "n") -> int:
    """Append rows `(id, name + id)`; gives the id of the snapshot."""
    listed = list(ids)
    columns = [pa.array(listed, pa.int64()), pa.array([f"{name}{i}" for i in listed])]
    table.append(pa.table(columns, schema=COLUMNS))
    return head(table)


def head(table: Table) -> int:
    """The id of the current snapshot."""
    found = table.refresh().current_snapshot()
    assert found is not None
    return found.snapshot_id


def data_files(table: Table) -> list[DataFile]:
    """Of the current snapshot, in the order of the scan."""
    return sorted((t.file for t in table.refresh().scan().plan_files()), key=lambda f: f.file_path)


def file_of(table: Table, row: int, column: str = "id") -> tuple[DataFile, int]:
    """The data file that holds a row, and where it stands there."""
    for file in data_files(table):
        values = pq.read_table(file.file_path, columns=[column]).column(column).to_pylist()
        if row in values:
            return file, values.index(row)
    raise AssertionError(row)


def foreign_file(table: Table, rows: pa.Table, *, ids: bool = True, **how: Any) -> DataFile:
    """A data file as others write them: columns in any of Arrow's types, with the ids of the table's.

    Args:
        table: unpartitioned.
        rows: its columns are called as the table's.
        ids: whether they stand in the file.
        how: of `pyarrow.parquet.write_table`.
    """
    path = f"{table.location()}/data/foreign-{next(_NUMBER)}.parquet"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if ids:
        there = table.schema()
        form = pa.schema([_numbered(x, there.find_field(x.name)) for x in rows.schema])
        columns = [pa.concat_arrays(c.chunks) for c in rows.columns]
        # A cast of lists copies what only differs in the names of its parts.
        columns = [c.cast(x.type) for c, x in zip(columns, form, strict=True)]
        rows = pa.Table.from_arrays(columns, schema=form)
    pq.write_table(rows, path, **how)
    return _file(DataFileContent.DATA, path, rows.num_rows)


def _numbered(field: pa.Field, of: NestedField) -> pa.Field:
    kind, there = field.type, of.field_type
    match there:
        case StructType():
            known = {x.name: x for x in there.fields}
            kind = pa.struct([_numbered(x, known[x.name]) for x in kind])
        case ListType():
            item = _numbered(kind.value_field, there.element_field)
            if pa.types.is_fixed_size_list(kind):
                kind = pa.list_(item, kind.list_size)
            else:
                kind = (pa.large_list if pa.types.is_large_list(kind) else pa.list_)(item)
        case MapType():
            key = _numbered(kind.key_field, there.key_field)
            kind = pa.map_(key, _numbered(kind.item_field, there.value_field))
    return pa.field(
        field.name, kind, field.nullable, {"PARQUET:field_id": str(of.field_id).encode()}
    )


def delete_file(table: Table, rows: Mapping[str, Sequence[int]]) -> DataFile:
    """A file of position deletes: path of a data file → rows of it."""
    paths = [p for p in sorted(rows) for _ in rows[p]]
    places = [r for p in sorted(rows) for r in sorted(rows[p])]
    schema = pa.schema(
        [
            pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
            pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
        ]
    )
    path = f"{table.location()}/data/deletes-{next(_NUMBER)}.parquet"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table([paths, pa.array(places, pa.int64())], schema=schema), path)
    return _file(DataFileContent.POSITION_DELETES, path, len(places))


def equality_file(table: Table, rows: Mapping[str, Sequence[Any]], *partition: object) -> DataFile:
    """A file of equality deletes: column → values; of a partition, by its values."""
    path = f"{table.location()}/data/equal-{next(_NUMBER)}.parquet"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    form = table.schema().select(*rows).as_arrow()
    columns = [pa.array(rows[f.name], f.type) for f in form]
    pq.write_table(pa.Table.from_arrays(columns, schema=form), path)
    ids = [f.field_id for f in table.schema().select(*rows).fields]
    return _file(DataFileContent.EQUALITY_DELETES, path, len(columns[0]), ids, partition)


def _file(
    content: DataFileContent,
    path: str,
    rows: int,
    equality_ids: list[int] | None = None,
    partition: Sequence[object] = (),
) -> DataFile:
    """Without statistics: nothing is left out because of them."""
    made = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        record_count=rows,
        file_size_in_bytes=Path(path).stat().st_size,
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={},
        upper_bounds={},
        key_metadata=None,
        split_offsets=[],
        equality_ids=equality_ids,
        sort_order_id=None,
    )
    made.spec_id = 0
    return made


def commit(table: Table, *added: DataFile, removed: Iterable[str] = ()) -> int:
    """One snapshot that adds and removes these files; gives its id."""
    delta = Delta(added=added, removed=frozenset(removed))
    return commit_delta(
        table.refresh(),
        delta,
        check=lambda _: None,
        name=lambda: f"m{next(_NUMBER)}",
        settings={},
        branch="main",
    ).snapshot


def delete_rows(table: Table, *ids: int) -> int:
    """One snapshot of position deletes for these rows; gives its id."""
    places: dict[str, list[int]] = {}
    for row in ids:
        file, at = file_of(table, row)
        places.setdefault(file.file_path, []).append(at)
    return commit(table, delete_file(table, places))
