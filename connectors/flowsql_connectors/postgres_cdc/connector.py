"""What the postgres-cdc connector can do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Finding,
    Needs,
    PreflightContext,
    Reader,
    Role,
    ServerSlot,
    Source,
    Split,
)
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError
from flowsql.types import DataType, LocalZonedTimestampType, VarCharType
from flowsql_connectors.postgres_cdc.options import OPTIONS

__all__ = ["PostgresConnector"]

_SLOT_NAME: Final = re.compile(r"[a-z0-9_]{1,63}")
_TEXT: Final = VarCharType().with_nullable(nullable=False)

# One slot and one log serve the tables of a group, so what tells how they are read is one as well.
_OF_THE_TABLE: Final = {
    "schema-name",
    "table-name",
    "changelog-mode",
    "scan.truncate",
    "scan.schema-change",
    "scan.incremental.snapshot.chunk.size",
    "scan.incremental.snapshot.chunk.key-column",
    "chunk-key.even-distribution.factor.upper-bound",
    "chunk-key.even-distribution.factor.lower-bound",
    "scan.read-changelog-as-append-only.enabled",
}


class PostgresConnector(Connector):
    """Tables of a PostgreSQL server: the rows that are there, and every change of them."""

    name = "postgres-cdc"
    options = OPTIONS
    roles = frozenset({Role.SCAN})
    reads_in = "process"
    keeps_slots = True
    metadata: ClassVar[Mapping[str, DataType]] = {
        "database_name": _TEXT,
        "schema_name": _TEXT,
        "table_name": _TEXT,
        "op_ts": LocalZonedTimestampType(3).with_nullable(nullable=False),
        "row_kind": _TEXT,
    }

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        options = table.options
        if not _SLOT_NAME.fullmatch(options["slot.name"]):
            raise ConfigError(
                f'"{options["slot.name"]}" is no name of a replication slot',
                hint="Use up to 63 lower case letters, digits and underscores.",
                option="slot.name",
            )
        for key in ("schema-name", "table-name"):
            try:
                re.compile(options[key])
            except re.error as error:
                raise ConfigError(
                    f'option "{key}" is no regular expression: {error}', option=key
                ) from None
        size = options["scan.incremental.snapshot.chunk.size"]
        if size is not None and size < 2:
            raise ConfigError(
                'option "scan.incremental.snapshot.chunk.size" must be more than 1',
                option="scan.incremental.snapshot.chunk.size",
            )
        if not options["scan.incremental.snapshot.enabled"]:
            raise ConfigError(
                "the rows that are there are always read in chunks",
                hint="Leave out 'scan.incremental.snapshot.enabled'; results are the same.",
                option="scan.incremental.snapshot.enabled",
            )
        if options["changelog-mode"] == "upsert" and not table.primary_key:
            raise ConfigError(
                f'table "{table.name}" needs a primary key for changelog mode "upsert"',
                hint="Add PRIMARY KEY (…) NOT ENFORCED to its columns.",
                option="changelog-mode",
            )

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        if table.options["scan.read-changelog-as-append-only.enabled"]:
            return ChangelogMode.APPEND
        upsert = table.options["changelog-mode"] == "upsert"
        return ChangelogMode.UPSERT if upsert else ChangelogMode.RETRACT

    def bounded(self, table: ConnectorTable) -> bool:
        return bool(table.options["scan.startup.mode"] == "snapshot")

    def group(self, table: ConnectorTable) -> Hashable:
        options = table.options
        return (
            self.name,
            options["hostname"].lower(),
            options["port"],
            options["database-name"],
            options["username"],
            options["slot.name"],
        )

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        self._check_alike(tables)
        with _needing_client():
            # The client library is loaded by who reads, not by who plans.
            from flowsql_connectors.postgres_cdc.preflight import with_all  # noqa: PLC0415
            from flowsql_connectors.postgres_cdc.source import PostgresSource  # noqa: PLC0415
        modes = [self.scan_mode(t) for t in tables]
        try:
            return PostgresSource(tables, modes, position, context)
        except FlowSQLError as error:
            away = error.message.endswith(("does not answer", "ended the connection"))
            if away or error.final or position is not None or not context.needs:
                raise
            raise with_all(error, tables, modes, context) from error.__cause__

    def load_reader(self) -> None:
        import flowsql_connectors.postgres_cdc.opening  # noqa: F401, PLC0415 - client

    def open_reader(
        self,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> Reader:
        from flowsql_connectors.postgres_cdc.opening import open_reader  # noqa: PLC0415 - client
        from flowsql_connectors.postgres_cdc.setup import ReaderSetup  # noqa: PLC0415 - client

        modes = [self.scan_mode(t) for t in tables]
        reader = open_reader(tables, modes, ReaderSetup.read(setup))
        reader.assign(splits)
        return reader

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding]:
        self._check_alike(tables)
        with _needing_client():
            from flowsql_connectors.postgres_cdc.preflight import find_obstacles  # noqa: PLC0415
        if context.quick:
            # A start connects at once, and says what is wrong.
            return ()
        return list(find_obstacles(tables, [self.scan_mode(t) for t in tables], needs, context))

    def slot_server(self, table: ConnectorTable) -> Hashable:
        options = table.options
        names = ("hostname", "port", "database-name", "username")
        return tuple(options[name] for name in names)

    def slots(
        self, tables: Sequence[ConnectorTable], positions: Mapping[str, Sequence[JSON]]
    ) -> Sequence[ServerSlot]:
        with _needing_client():
            from flowsql_connectors.postgres_cdc.server.slot_list import list_slots  # noqa: PLC0415
        return list_slots(tables, positions)

    def drop_slot(self, tables: Sequence[ConnectorTable], name: str) -> None:
        with _needing_client():
            from flowsql_connectors.postgres_cdc.server.slot_list import drop_slot  # noqa: PLC0415
        drop_slot(tables, name)

    def _check_alike(self, tables: Sequence[ConnectorTable]) -> None:
        """Refuse tables of one slot that want to be read in different ways."""
        for option in self.options:
            if "#" in option.key or option.key in _OF_THE_TABLE or option.refused:
                continue
            if len({t.options[option.key] for t in tables}) > 1:
                names = ", ".join(f'"{t.name}"' for t in tables)
                raise ConfigError(
                    f'tables {names} are read through one slot but differ in option "{option.key}"',
                    hint="Give them the same value, or another 'slot.name' each.",
                )


@contextlib.contextmanager
def _needing_client() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise ConnectorError(
            'connector "postgres-cdc" needs the package psycopg, which is not installed',
            hint='Run: pip install "flowsql[postgres]"',
        ) from None
