"""Opens readers, in the engine's process or in one of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import psycopg

from flowsql.changelog import ChangelogMode
from flowsql.connector import JSON, ConnectorTable
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc import slots
from flowsql_connectors.postgres_cdc.catalog import read_types
from flowsql_connectors.postgres_cdc.changing import ChangeMaker, LogTable
from flowsql_connectors.postgres_cdc.copying import ChunkReader, SnapshotTable
from flowsql_connectors.postgres_cdc.log_reader import LogReader
from flowsql_connectors.postgres_cdc.reader import PostgresReader
from flowsql_connectors.postgres_cdc.server import Connection, Server, lsn_number
from flowsql_connectors.postgres_cdc.setup import ReaderSetup
from flowsql_connectors.postgres_cdc.types import PgType
from flowsql_connectors.postgres_cdc.visibility import ChunkedTable, Snapshot

__all__ = ["open_reader"]


def open_reader(
    tables: Sequence[ConnectorTable],
    modes: Sequence[ChangelogMode],
    setup: ReaderSetup,
    lend: Callable[[], Connection | None] | None = None,
) -> PostgresReader:
    """A reader without splits.

    Args:
        tables: of the job.
        modes: what the scan of each carries.
        setup: what its source found out.
        lend: gives the connection on which the slot lives, where it is temporary.
    """
    opening = _Opening(tables, modes, setup, lend)
    return PostgresReader(opening.chunks(), opening.log)


class _Opening:
    """Makes what reads chunks, and what reads the log."""

    def __init__(
        self,
        tables: Sequence[ConnectorTable],
        modes: Sequence[ChangelogMode],
        setup: ReaderSetup,
        lend: Callable[[], Connection | None] | None,
    ) -> None:
        self._server = Server(tables[0])
        self._options = tables[0].options
        self._setup = setup
        self._lend = lend
        self._shapes = {name: setup.shapes(name, tables, modes) for name in setup.tables}

    def chunks(self) -> ChunkReader:
        tables = {
            name: SnapshotTable(t.source, self._shapes[name], t.key)
            for name, t in self._setup.tables.items()
        }
        return ChunkReader(self._server, tables)

    def log(self, payload: JSON, position: JSON | None) -> LogReader:
        """The log from a position on, or from its split's beginning."""
        start = payload["start"] if position is None else position["lsn"]
        known = [None, *(Snapshot.stored(s) for s in payload["snapshots"])]
        filtered = start < payload["bound"]
        tables = {}
        for name, table in self._setup.tables.items():
            chunks = None
            if filtered and any(payload["read"][name]):
                snapshots = [known[i] for i in payload["read"][name]]
                chunks = ChunkedTable(table.key, payload["lows"][name], snapshots)
            tables[table.source.oid] = LogTable(table.source, self._shapes[name], chunks)
        return LogReader(
            self._server,
            self._setup.slot,
            self._setup.publication,
            start=start,
            timeline=(payload if position is None else position)["timeline"],
            bound=payload["bound"],
            maker=ChangeMaker(tables, dict(self._setup.types), self._look_up),
            acknowledged=self._setup.acknowledged,
            connection=None if self._lend is None else self._lend(),
            idle_seconds=min(1.0, self._options["heartbeat.interval.ms"] / 1000),
            check=self._check_slot,
        )

    def _look_up(self, columns: Sequence[tuple[int, int]]) -> dict[tuple[int, int], PgType]:
        with contextlib.closing(self._server.connect()) as connection:
            return read_types(self._server, connection, columns)

    def _check_slot(self, replication: Connection, position: int, timeline: int) -> int:
        """Raise where the slot cannot be read on from a position in a timeline; the timeline now.

        Raises psycopg.Error for a server that is away.
        """
        slot = self._setup.slot
        now_in = slots.check_timeline(self._server, replication, timeline, position)
        with contextlib.closing(self._server.open()) as connection:
            try:
                found = slots.find_slot(self._server, connection, slot)
                ((now,),) = self._server.rows(
                    connection,
                    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                    " ELSE pg_current_wal_lsn() END::text",
                )
            except ConnectorError:
                if connection.broken or connection.closed:
                    raise psycopg.OperationalError("the connection is lost") from None
                raise
        if found is None:
            raise ConnectorError(
                f'PostgreSQL server "{self._server}" has no replication slot "{slot}" any more',
                detail="It was dropped, or another server has taken over without it.",
                hint="Begin anew with --fresh.",
            )
        if found.lost is not None:
            raise slots.lost_slot(self._server, slot, found.lost)
        if found.confirmed > position:
            raise slots.slot_ahead(self._server, slot, found.confirmed, position)
        if lsn_number(now) < position:
            raise ConnectorError(
                f'the log of PostgreSQL server "{self._server}" ends before the position that was'
                " read",
                detail="Another server has taken over that had not all of it.",
                hint="Begin anew with --fresh.",
            )
        return now_in
