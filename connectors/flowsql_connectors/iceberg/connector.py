"""What the iceberg connector can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Finding,
    Needs,
    Predicate,
    PreflightContext,
    Role,
    Sink,
    Source,
    Taken,
)
from flowsql.errors import ConfigError
from flowsql.types import BinaryType, CharType, DecimalType, VarBinaryType, VarCharType
from flowsql_connectors.iceberg.address import (
    check_catalog_options,
    metadata_name,
    table_identifier,
)
from flowsql_connectors.iceberg.options import LEAST, OPTIONS, upserts
from flowsql_connectors.iceberg.scan.options import check_scan
from flowsql_connectors.iceberg.schema import check_types
from flowsql_connectors.iceberg.telling import needing_client

__all__ = ["IcebergConnector"]

_VERSION: Final = 2
# Of a key's place, its cell in the hash table and its marks.
_INDEX_BYTES: Final = 26
_TEXTS: Final = (CharType, VarCharType, BinaryType, VarBinaryType)


class IcebergConnector(Connector):
    """Tables of Apache Iceberg."""

    name = "iceberg"
    options = OPTIONS
    roles = frozenset({Role.SCAN, Role.SINK})
    overwrites = True

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        check_catalog_options(table.options)
        kind = _metadata_kind(table)
        if role is Role.SCAN:
            check_scan(table.options, kind)
        elif kind is not None:
            raise ConfigError(
                f'table "{table.declared_name}" tells about another table and cannot be written'
            )
        if role is Role.SINK:
            _check_sink(table)

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        streaming = table.options["streaming"] and table.primary_key
        return ChangelogMode.RETRACT if streaming else ChangelogMode.APPEND

    def bounded(self, table: ConnectorTable) -> bool:
        return not table.options["streaming"]

    def take_filters(
        self, table: ConnectorTable, predicates: Sequence[Predicate]
    ) -> Sequence[Taken]:
        """Files are chosen by their partitions and statistics, row groups by theirs."""
        del table
        return [Taken.COARSE] * len(predicates)

    def partitions(self, table: ConnectorTable) -> Sequence[str] | None:
        """Those that have files in the snapshot that is read."""
        if _metadata_kind(table) is not None:
            return None
        with needing_client():
            from flowsql_connectors.iceberg.partitions import partition_names  # noqa: PLC0415
        return partition_names(table)

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        (table,) = tables
        with needing_client():
            from flowsql_connectors.iceberg.scan.batch import SnapshotSource  # noqa: PLC0415
            from flowsql_connectors.iceberg.scan.metadata import MetadataSource  # noqa: PLC0415
            from flowsql_connectors.iceberg.scan.stream import StreamSource  # noqa: PLC0415
        if _metadata_kind(table) is not None:
            return MetadataSource(table, position)
        if not table.options["streaming"]:
            return SnapshotSource(table, position)
        inserts_only = self.scan_mode(table) is ChangelogMode.APPEND
        return StreamSource(table, position, context, inserts_only=inserts_only)

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding] | None:
        (table,) = tables
        if context.quick:
            # A start looks for the table at once, and says what is wrong.
            return ()
        with needing_client():
            from flowsql_connectors.iceberg.preflight import check_table  # noqa: PLC0415
        return check_table(table, needs[table.name].role)

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        if not table.primary_key:
            return frozenset({ChangelogMode.APPEND})
        if upserts(table.options):
            return frozenset({ChangelogMode.UPSERT})
        return frozenset({ChangelogMode.APPEND, ChangelogMode.RETRACT})

    def sink_keeps(self, table: ConnectorTable, mode: ChangelogMode) -> str | None:
        """The index of keys, unless rows are only added."""
        if mode is ChangelogMode.APPEND:
            return None
        types = [table.schema.types[table.schema.index(k)] for k in table.primary_key]
        texts = any(isinstance(t, _TEXTS) for t in types)
        size = _INDEX_BYTES + sum(16 if isinstance(t, (*_TEXTS, DecimalType)) else 8 for t in types)
        more = " and texts of more than 12 bytes" if texts else ""
        return f"an index of ({', '.join(table.primary_key)}), about {size} B a key{more}"

    def sink(self, table: ConnectorTable) -> Sink:
        with needing_client():
            from flowsql_connectors.iceberg.write.sink import IcebergSink  # noqa: PLC0415

        return IcebergSink(table)


def _metadata_kind(table: ConnectorTable) -> str | None:
    """What is asked about another table, if the table is one of these."""
    return metadata_name(table_identifier(table)[-1])[1]


def _check_sink(table: ConnectorTable) -> None:
    if table.options["format-version"] != _VERSION:
        raise ConfigError(
            f"tables of format version {table.options['format-version']} cannot be written",
            hint="Leave 'format-version' out, or set it to '2'.",
            option="format-version",
        )
    for key, least in LEAST.items():
        value = table.options[key]
        if value is not None and value < least:
            raise ConfigError(f'option "{key}" cannot be {value}: the least is {least}', option=key)
    if upserts(table.options) and not table.primary_key:
        raise ConfigError(
            f'table "{table.name}" takes upserts and has no PRIMARY KEY',
            hint="Declare PRIMARY KEY (…) NOT ENFORCED, or leave 'write.upsert.enabled' out.",
        )
    check_types(table)
