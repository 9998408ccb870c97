"""Which tables of the server the tables of a job are, and that they can be read as declared."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.changelog import ChangelogMode
from flowsql.connector import ConnectorTable, OptionValues
from flowsql.errors import ConfigError
from flowsql_connectors.postgres_cdc.decode.types import PgType
from flowsql_connectors.postgres_cdc.rows import check_generated, check_table
from flowsql_connectors.postgres_cdc.server.catalog import list_tables, matching, read_types
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.partitions import check_partitions
from flowsql_connectors.postgres_cdc.server.publications import GENERATED_SINCE
from flowsql_connectors.postgres_cdc.setup import shape_of
from flowsql_connectors.postgres_cdc.snapshot.chunked import SourceTable
from flowsql_connectors.postgres_cdc.snapshot.chunks import chunk_key

__all__ = ["check_startup", "find_tables"]


def check_startup(options: OptionValues) -> None:
    """Refuse what a query, whose slot is made with it, cannot begin with; raises ConfigError."""
    if options["scan.startup.mode"] == "committed-offset":
        raise ConfigError(
            f"a SELECT has a slot of its own, so that it cannot read what slot"
            f' "{options["slot.name"]}" has kept',
            hint="Read it with INSERT INTO; or, in the SELECT, give the table other options: /*+"
            " OPTIONS('scan.startup.mode' = 'latest-offset') */ for changes from now on.",
            option="scan.startup.mode",
        )


def find_tables(
    server: Server,
    connection: Connection,
    tables: Sequence[ConnectorTable],
    modes: Sequence[ChangelogMode],
    *,
    logged: bool,
) -> tuple[dict[str, SourceTable], dict[tuple[int, int], PgType]]:
    """The tables by their full names, and the types of their columns by oid and modifier.

    Args:
        server: where.
        connection: to it.
        tables: of the job.
        modes: what the scan of each carries.
        logged: whether the log is read as well.

    Raises:
        ConfigError: for what cannot be read.
    """

    def logs(kind: str) -> bool:
        """Whether generated columns of a kind (`s` stored, `v` virtual) can be read."""
        new = connection.info.server_version >= GENERATED_SINCE
        return not logged or (kind == "s" and new)

    found: dict[str, SourceTable] = {}
    types: dict[tuple[int, int], PgType] = {}
    listed = list_tables(server, connection)
    for table, mode in zip(tables, modes, strict=True):
        sources = matching(table, listed, server, connection)
        check_table(table, mode, sources)
        check_generated(table, sources, logs)
        columns = [(c.oid, c.modifier) for s in sources for c in s.columns]
        wanted = [c for c in columns if c not in types]
        if wanted:
            types.update(read_types(server, connection, wanted))
        for source in sources:
            name = str(source)
            if logged:
                check_partitions(server, connection, source)
            if name not in found:
                found[name] = SourceTable(source, chunk_key(table, source, types), table.options)
            found[name].shapes.append(shape_of(table, mode, source, types))
    return found, types
