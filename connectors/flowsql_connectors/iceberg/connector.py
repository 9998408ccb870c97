"""What the iceberg connector can do."""

from __future__ import annotations

from flowsql.connector import Connector, ConnectorTable, Role, Sink
from flowsql.errors import ConfigError
from flowsql_connectors.iceberg.catalogs import check_catalog_options
from flowsql_connectors.iceberg.options import OPTIONS
from flowsql_connectors.iceberg.schema import check_types

__all__ = ["IcebergConnector"]

_VERSION = 2


class IcebergConnector(Connector):
    """Tables of Apache Iceberg."""

    name = "iceberg"
    options = OPTIONS
    roles = frozenset({Role.SINK})

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        check_catalog_options(table.options)
        if role is Role.SINK:
            _check_sink(table)

    def sink(self, table: ConnectorTable) -> Sink:
        from flowsql_connectors.iceberg.write.sink import IcebergSink  # noqa: PLC0415 - the client

        return IcebergSink(table)


def _check_sink(table: ConnectorTable) -> None:
    if table.options["format-version"] != _VERSION:
        raise ConfigError(
            f"tables of format version {table.options['format-version']} cannot be written",
            hint="Leave 'format-version' out, or set it to '2'.",
            option="format-version",
        )
    check_types(table)
