"""Rows of one table of the server as rows of a table of the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from flowsql.changelog import DELETE, ChangelogMode, Changes, Kinds
from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError, DataError, nearest
from flowsql.types import IntType, arrow_schema, quote_identifier
from flowsql_connectors.postgres_cdc.decode.types import ColumnReading, PgType, Shape, read_column
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable

__all__ = ["Mask", "RowShape", "Types", "check_generated", "check_table", "readings_of"]

Mask = npt.NDArray[np.bool_]
Types = Mapping[tuple[int, int], PgType]

_NAMES: Final = pa.array(["+I", "-U", "+U", "-D"])
_MOMENT: Final = pa.timestamp("us", "UTC")
_NO_COLUMN: Final = ColumnReading(
    "", PgType(23, -1, "integer", Shape.INT4), IntType(), Shape.INT4, binary=True
)


def readings_of(
    table: ConnectorTable, source: ServerTable, types: Types
) -> tuple[ColumnReading, ...]:
    """How the columns that a job reads are read; all that are declared must be readable.

    Raises ConfigError naming the column.
    """
    readings = {}
    for column in table.schema.fields:
        found = source.column(column.name)
        if found is None:
            near = nearest(column.name, [c.name for c in source.columns])
            raise ConfigError(
                f'table "{source}" of the server has no column "{column.name}"',
                hint=f'Did you mean "{near}"?' if near else None,
            )
        pg = types[found.oid, found.modifier]
        readings[column.name] = read_column(column.name, pg, column.type, str(source))
    return tuple(readings[name] for name in table.columns)


def check_table(table: ConnectorTable, mode: ChangelogMode, sources: Sequence[ServerTable]) -> None:
    """Refuse a primary key that does not tell rows apart, or of which deletes do not tell.

    Raises ConfigError.
    """
    declared = set(table.primary_key)
    if not declared:
        return
    for source in sources:
        unique = [k for k in source.keys if k.required and set(k.columns) <= declared]
        if not unique:
            names = ", ".join(f'"{c}"' for c in table.primary_key)
            own = ", ".join(f'"{c}"' for c in source.primary_key)
            raise ConfigError(
                f'the primary key ({names}) of table "{table.name}" does not tell rows of'
                f' "{source}" apart',
                hint=f"Its primary key in the server is ({own})."
                if own
                else "It has none in the server: add one there, or leave it out here.",
            )
        if mode is ChangelogMode.UPSERT and not declared <= source.identity_columns:
            quoted = sql.Identifier(source.schema, source.name).as_string(None)
            raise ConfigError(
                f'the log does not tell the primary key of rows that are deleted from "{source}":'
                f" its replica identity is {source.identity}",
                hint=f"Run in the server: ALTER TABLE {quoted} REPLICA IDENTITY FULL;",
            )


def check_generated(
    table: ConnectorTable, sources: Sequence[ServerTable], logged: Callable[[str], bool]
) -> None:
    """Refuse generated columns that the log does not have.

    Args:
        table: of the job.
        sources: the server's tables.
        logged: whether the log has generated columns of that kind.

    Raises:
        ConfigError: naming the column.
    """
    for source in sources:
        for name in table.columns:
            column = source.column(name)
            if column is not None and column.generated and not logged(column.generated):
                raise ConfigError(
                    f'column "{name}" of table "{source}" is generated, and not in the log of the'
                    " server",
                    hint=f'Compute it in table "{table.name}": {quote_identifier(name)} AS …, with'
                    " what the server has.",
                )


@dataclass(frozen=True, slots=True)
class RowShape:
    """What a table of the job gets of a table of the server.

    Attributes:
        table: of the job.
        mode: what its scan carries.
        database, schema, name: of the server's table.
        readings: of the columns read.
    """

    table: ConnectorTable
    mode: ChangelogMode
    database: str
    schema: str
    name: str
    readings: tuple[ColumnReading, ...]

    @property
    def upserts(self) -> bool:
        """Whether rows come as the last of a key, without what was before."""
        return bool(self.table.options["changelog-mode"] == "upsert")

    @property
    def copied(self) -> tuple[ColumnReading, ...]:
        """What a snapshot asks for: something, to count rows, where nothing is read."""
        return self.readings or (_NO_COLUMN,)

    def select(self) -> str:
        """The list of a snapshot's SELECT."""
        if not self.readings:
            return "1::pg_catalog.int4"
        return ", ".join(reading.expression() for reading in self.readings)

    def changes(
        self,
        columns: Sequence[pa.Array],
        rows: int,
        kinds: Kinds | None,
        times_ms: npt.NDArray[np.int64] | None,
        unchanged: Mapping[str, Mask] | None = None,
    ) -> Changes:
        """Rows with the metadata that is asked for.

        Args:
            columns: of `readings`.
            rows: how many.
            kinds: of the rows; None for all `+I`.
            times_ms: of their commits; None for a snapshot's.
            unchanged: see `Changes`.

        Raises:
            DataError: NULL where the table says NOT NULL.
        """
        arrays: list[Any] = list(columns)
        schema = arrow_schema(self.table.read_schema)
        self._check_nulls(columns, kinds, unchanged)
        names = list(schema.names)
        for name, key in self.table.metadata.items():
            names.append(name)
            arrays.append(self._metadata(key, rows, kinds, times_ms))
        if not arrays:
            # The number of rows is known even where no column is read.
            batch = pa.RecordBatch.from_arrays([pa.nulls(rows)], names=[""]).select([])
        else:
            batch = pa.RecordBatch.from_arrays(arrays, names=names)
        if self.mode is ChangelogMode.APPEND or (kinds is not None and not kinds.any()):
            kinds = None
        return Changes(batch, kinds, unchanged or None)

    def _metadata(
        self, key: str, rows: int, kinds: Kinds | None, times_ms: npt.NDArray[np.int64] | None
    ) -> pa.Array:
        if key == "op_ts":
            times = np.zeros(rows, np.int64) if times_ms is None else times_ms * 1000
            return pa.array(times).view(_MOMENT)
        if key == "row_kind":
            codes = np.zeros(rows, np.int8) if kinds is None else kinds
            return _NAMES.take(pa.array(codes))
        value = {
            "database_name": self.database,
            "schema_name": self.schema,
            "table_name": self.name,
        }[key]
        return pa.repeat(pa.scalar(value), rows)

    def _check_nulls(
        self, columns: Sequence[pa.Array], kinds: Kinds | None, unchanged: Mapping[str, Mask] | None
    ) -> None:
        for field, array in zip(self.table.read_schema.fields, columns, strict=True):
            if field.type.nullable or not array.null_count:
                continue
            null = array.is_null().to_numpy(zero_copy_only=False)
            if unchanged and field.name in unchanged:
                null = null & ~unchanged[field.name]
            if self.upserts and kinds is not None and field.name not in self.table.primary_key:
                null = null & (kinds != DELETE)
            if null.any():
                raise DataError(
                    f'column "{field.name}" of "{self.schema}.{self.name}" holds NULL, but is'
                    f' declared NOT NULL in table "{self.table.name}"',
                    hint="Declare the column without NOT NULL.",
                )
