"""Opens readers, in the engine's process or in one of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from flowsql.changelog import ChangelogMode
from flowsql.connector import JSON, ConnectorTable
from flowsql_connectors.postgres_cdc.decode.types import PgType
from flowsql_connectors.postgres_cdc.log.changing import ChangeMaker, LogTable
from flowsql_connectors.postgres_cdc.log.log_reader import LogReader
from flowsql_connectors.postgres_cdc.reader import PostgresReader
from flowsql_connectors.postgres_cdc.server.catalog import read_types
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.partitions import PartitionWatch, wholes_of
from flowsql_connectors.postgres_cdc.server.slot_checks import check_slot
from flowsql_connectors.postgres_cdc.setup import ReaderSetup
from flowsql_connectors.postgres_cdc.snapshot.copying import ChunkReader, SnapshotTable
from flowsql_connectors.postgres_cdc.snapshot.judging import KeyJudge
from flowsql_connectors.postgres_cdc.snapshot.visibility import ChunkedTable, Snapshot

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
        judge = KeyJudge(self._server)
        tables = {}
        for name, table in self._setup.tables.items():
            chunks = None
            if filtered and any(payload["read"][name]):
                snapshots = [known[i] for i in payload["read"][name]]
                chunks = ChunkedTable(table.key, judge, payload["lows"][name], snapshots)
            tables[table.source.oid] = LogTable(table.source, self._shapes[name], chunks)
        return LogReader(
            self._server,
            self._setup.slot,
            self._setup.publication,
            start=start,
            timeline=(payload if position is None else position)["timeline"],
            bound=payload["bound"],
            stop=payload["stop"],
            maker=ChangeMaker(
                tables, dict(self._setup.types), self._look_up, self._setup.held, self._watch()
            ),
            acknowledged=self._setup.acknowledged,
            connection=None if self._lend is None else self._lend(),
            idle_seconds=min(1.0, self._options["heartbeat.interval.ms"] / 1000),
            check=partial(check_slot, self._server, self._setup.slot),
        )

    def _watch(self) -> PartitionWatch | None:
        roots = {t.source.oid for t in self._setup.tables.values() if t.source.partitioned}
        return PartitionWatch(roots, self._wholes_of) if roots else None

    def _wholes_of(self, oid: int) -> list[int]:
        with contextlib.closing(self._server.connect()) as connection:
            return wholes_of(self._server, connection, oid)

    def _look_up(self, columns: Sequence[tuple[int, int]]) -> dict[tuple[int, int], PgType]:
        with contextlib.closing(self._server.connect()) as connection:
            return read_types(self._server, connection, columns)
