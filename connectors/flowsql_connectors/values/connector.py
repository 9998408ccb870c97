"""What the values connector can do."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.changelog import ChangelogMode
from flowsql.connector import JSON, Connector, ConnectorContext, ConnectorTable, Role, Source
from flowsql.errors import ConfigError
from flowsql.types import BitmapType
from flowsql.types.common import holds
from flowsql_connectors.values.options import OPTIONS
from flowsql_connectors.values.source import ValuesSource, read_rows

__all__ = ["ValuesConnector"]

_MODES = {
    "i": ChangelogMode.APPEND,
    "i,ub,ua,d": ChangelogMode.RETRACT,
    "i,ua,d": ChangelogMode.UPSERT,
}


class ValuesConnector(Connector):
    """Rows in the statement."""

    name = "values"
    options = OPTIONS
    roles = frozenset({Role.SCAN})
    self_contained = True

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        for field in table.schema.fields:
            if holds(field.type, BitmapType):
                raise ConfigError(
                    f'connector "{self.name}" cannot hold column "{field.name}" of type {field.type}',
                    hint="Declare it as ARRAY<INT> and read BITMAP_BUILD(array).",
                )
        if self.scan_mode(table) is ChangelogMode.UPSERT and not table.primary_key:
            raise ConfigError(
                f'table "{table.name}" needs a primary key for changelog mode I,UA,D',
                hint="Add PRIMARY KEY (…) NOT ENFORCED to its columns.",
            )
        read_rows(table)

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        return _MODES[table.options["changelog-mode"]]

    def bounded(self, table: ConnectorTable) -> bool:
        return bool(table.options["bounded"])

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del context
        (table,) = tables
        return ValuesSource(table, position)
