"""What the blackhole connector can do."""

from __future__ import annotations

from flowsql.changelog import ChangelogMode
from flowsql.connector import Connector, ConnectorTable, Role, Sink
from flowsql_connectors.blackhole.sink import BlackholeSink

__all__ = ["BlackholeConnector"]


class BlackholeConnector(Connector):
    """Nowhere."""

    name = "blackhole"
    roles = frozenset({Role.SINK})
    self_contained = True

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        del table
        return frozenset({ChangelogMode.APPEND, ChangelogMode.RETRACT, ChangelogMode.UPSERT})

    def sink(self, table: ConnectorTable) -> Sink:
        del table
        return BlackholeSink()
