"""What the datagen connector can do."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.connector import JSON, Connector, ConnectorContext, ConnectorTable, Role, Source
from flowsql.errors import ConfigError, nearest
from flowsql_connectors.datagen.generate import field_plans, sequence_rows
from flowsql_connectors.datagen.options import OPTIONS
from flowsql_connectors.datagen.source import DatagenSource

__all__ = ["DatagenConnector"]


class DatagenConnector(Connector):
    """Made-up rows."""

    name = "datagen"
    options = OPTIONS
    roles = frozenset({Role.SCAN})
    self_contained = True

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        if table.options["rows-per-second"] <= 0:
            raise ConfigError(
                'option "rows-per-second" must be greater than 0', option="rows-per-second"
            )
        if (table.options["number-of-rows"] or 0) < 0:
            raise ConfigError(
                'option "number-of-rows" must not be negative', option="number-of-rows"
            )
        for option in OPTIONS:
            if "#" not in option.key:
                continue
            for path in table.options.matching(option.key):
                column = path.split(".")[0]
                if column not in table.schema.names:
                    near = nearest(column, table.schema.names)
                    raise ConfigError(
                        f'option "{option.key.replace("#", path)}" names no column of table '
                        f'"{table.name}"',
                        hint=f'Did you mean "{near}"?' if near else None,
                        option=option.key.replace("#", path),
                    )
        field_plans(table)

    def bounded(self, table: ConnectorTable) -> bool:
        return table.options["number-of-rows"] is not None or sequence_rows(table) is not None

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del context
        (table,) = tables
        return DatagenSource(table, position, bounded=self.bounded(table))
