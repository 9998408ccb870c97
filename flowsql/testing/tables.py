"""What a connector is handed, made without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowsql.config import parse_options
from flowsql.connector import Attempt, ConnectorContext, ConnectorTable
from flowsql.connector.plugins import find_connector
from flowsql.formats import find_format
from flowsql.logical import TABLE_OPTIONS
from flowsql.types import RowType
from flowsql.types.parser import parse_type

__all__ = ["attempt_context", "connector_table"]


def connector_table(
    columns: str,
    options: Mapping[str, str],
    *,
    name: str = "t",
    primary_key: tuple[str, ...] = (),
    partition_keys: tuple[str, ...] = (),
    read: tuple[str, ...] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ConnectorTable:
    """A table as the engine would hand it to its connector.

    Args:
        columns: as in a ROW type, `id INT, name STRING`.
        options: the WITH options, `connector` among them.
        name: the table's full name.
        primary_key: names of its columns.
        partition_keys: names of its columns.
        read: names of the columns to read, all by default.
        metadata: column name → metadata key.

    Raises:
        ConfigError: an option that the connector and its format do not have.
    """
    schema = parse_type(f"ROW<{columns}>")
    assert isinstance(schema, RowType)
    connector = find_connector(options["connector"])
    declared = [*TABLE_OPTIONS, *connector.options]
    if connector.formats and "format" in options:
        declared += find_format(options["format"]).options
    where = f'table "{name}" (connector "{connector.name}")'
    return ConnectorTable(
        name=name,
        schema=schema,
        options=parse_options(declared, options, where=where),
        primary_key=primary_key,
        partition_keys=partition_keys,
        columns=schema.names if read is None else read,
        metadata=metadata or {},
        declared_name=name.rpartition(".")[2],
    )


def attempt_context(
    folder: Path, *, job: str = "job", run: str = "r1", number: int = 1
) -> ConnectorContext:
    """A context whose files stand below `folder`."""
    spool, files = folder / "spool", folder / "files"
    spool.mkdir(parents=True, exist_ok=True)
    files.mkdir(parents=True, exist_ok=True)
    return ConnectorContext(Attempt(job, run, number), spool, files)
