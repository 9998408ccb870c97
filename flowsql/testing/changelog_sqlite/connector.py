"""What the changelog-sqlite connector can do."""

from __future__ import annotations

from flowsql.changelog import ChangelogMode
from flowsql.connector import Connector, ConnectorTable, Option, OptionType, Role, Sink
from flowsql.testing.changelog_sqlite.sink import ChangelogSqliteSink

__all__ = ["ChangelogSqliteConnector"]


class ChangelogSqliteConnector(Connector):
    """A SQLite file that holds a folded changelog."""

    name = "changelog-sqlite"
    roles = frozenset({Role.SINK})
    options = (
        Option("path", OptionType.STRING, "The SQLite file.", required=True, identifying=True),
        Option(
            "table-name",
            OptionType.STRING,
            "The table in the file; the last part of the table's own name where not set.",
            identifying=True,
        ),
        Option(
            "changelog-log",
            OptionType.BOOLEAN,
            "Keeps every change, in order, in a second table.",
            default=False,
        ),
        Option(
            "sink.modes",
            OptionType.ENUM,
            "What the sink takes: anything it can fold, or only one kind of changelog.",
            default="all",
            choices=("all", "append", "retract", "upsert"),
        ),
    )

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        asked = table.options["sink.modes"]
        modes = {ChangelogMode.APPEND, ChangelogMode.RETRACT}
        if table.primary_key:
            modes.add(ChangelogMode.UPSERT)
        if asked != "all":
            modes &= {ChangelogMode(asked), ChangelogMode.APPEND}
        return frozenset(modes)

    def sink(self, table: ConnectorTable) -> Sink:
        return ChangelogSqliteSink(table)
