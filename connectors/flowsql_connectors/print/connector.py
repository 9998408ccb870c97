"""What the print connector can do."""

from __future__ import annotations

from flowsql.changelog import ChangelogMode
from flowsql.connector import Connector, ConnectorTable, Role, Sink
from flowsql_connectors.print.options import OPTIONS
from flowsql_connectors.print.sink import PrintSink

__all__ = ["PrintConnector"]


class PrintConnector(Connector):
    """Standard output."""

    name = "print"
    options = OPTIONS
    roles = frozenset({Role.SINK})
    self_contained = True

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        del table
        return frozenset({ChangelogMode.APPEND, ChangelogMode.RETRACT, ChangelogMode.UPSERT})

    def sink(self, table: ConnectorTable) -> Sink:
        return PrintSink(table)
