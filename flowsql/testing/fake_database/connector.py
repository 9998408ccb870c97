"""What the fake-database connector can do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Finding,
    Needs,
    Option,
    OptionType,
    PreflightContext,
    Reader,
    Role,
    Source,
    Split,
)
from flowsql.errors import ConfigError
from flowsql.testing.fake_database.reader import FakeDatabaseReader
from flowsql.testing.fake_database.source import FakeDatabaseSource, mismatches
from flowsql.testing.fake_database.store import connect

__all__ = ["FakeDatabaseConnector"]

_ALIKE = ("scan.startup.mode", "scan.bounded.mode")


class FakeDatabaseConnector(Connector):
    """A transactional database in a folder."""

    name = "fake-database"
    roles = frozenset({Role.SCAN})
    exclusive = True
    options = (
        Option(
            "path", OptionType.STRING, "The database's folder.", required=True, identifying=True
        ),
        Option(
            "table-name",
            OptionType.STRING,
            "The table in the database.",
            required=True,
            identifying=True,
        ),
        Option(
            "slot.name",
            OptionType.STRING,
            "Under this name the database remembers what of its log is still needed.",
            default="flowsql",
            identifying=True,
        ),
        Option(
            "scan.startup.mode",
            OptionType.ENUM,
            "The rows that are there and then the log; only new changes; or the whole log.",
            default="initial",
            choices=("initial", "latest-offset", "earliest-offset"),
        ),
        Option(
            "scan.bounded.mode",
            OptionType.ENUM,
            "The scan never ends, or ends where the log ended when it began.",
            default="unbounded",
            choices=("unbounded", "latest-offset"),
        ),
        Option(
            "scan.incremental.snapshot.chunk.size",
            OptionType.INT,
            "How many rows are read in one snapshot.",
            default=1000,
        ),
        Option(
            "changelog-mode",
            OptionType.ENUM,
            "Whole updates, or only the last row of a key (a delete then holds only the key).",
            default="all",
            choices=("all", "upsert"),
            identifying=True,
        ),
    )

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        if table.options["scan.incremental.snapshot.chunk.size"] < 1:
            raise ConfigError('option "scan.incremental.snapshot.chunk.size" must be at least 1')
        if self.scan_mode(table) is ChangelogMode.UPSERT and not table.primary_key:
            raise ConfigError(
                f'table "{table.name}" needs a primary key for changelog mode "upsert"',
                hint="Add PRIMARY KEY (…) NOT ENFORCED to its columns.",
            )

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        upsert = table.options["changelog-mode"] == "upsert"
        return ChangelogMode.UPSERT if upsert else ChangelogMode.RETRACT

    def bounded(self, table: ConnectorTable) -> bool:
        return bool(table.options["scan.bounded.mode"] != "unbounded")

    def group(self, table: ConnectorTable) -> Hashable:
        return (self.name, str(Path(table.options["path"]).resolve()), table.options["slot.name"])

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding]:
        del needs, context
        connection = connect(tables[0].options["path"])
        try:
            return list(mismatches(tables, connection))
        finally:
            connection.close()

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del context
        for key in _ALIKE:
            if len(values := {t.options[key] for t in tables}) > 1:
                names = ", ".join(f'"{t.name}"' for t in tables)
                raise ConfigError(
                    f'tables {names} are read through one log but differ in option "{key}": '
                    + " and ".join(f"'{v}'" for v in sorted(values)),
                    hint="Give them the same value, or another 'slot.name' each.",
                )
        return FakeDatabaseSource(tables, position)

    def open_reader(
        self,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> Reader:
        del setup
        reader = FakeDatabaseReader(tables)
        reader.assign(splits)
        return reader
