"""The engine's side of postgres-cdc: what is read, in which chunks, under which snapshots.

A first start makes the slot, and reads all chunks under the snapshot that was exported with it: the
tables as they were exactly where the slot's log begins. What a restart finds unread, and all of a
first start on a slot that is there, is read under a snapshot taken now; the log, which begins
earlier, is then filtered by what that snapshot saw (see `visibility`). The log is read behind the
last chunk: until then the slot keeps it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    ConnectorContext,
    ConnectorTable,
    Reader,
    Source,
    SourceStatus,
    Split,
)
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.decode.types import PgType
from flowsql_connectors.postgres_cdc.finding import check_startup, find_tables
from flowsql_connectors.postgres_cdc.log.log_reader import FORMAT, LOG
from flowsql_connectors.postgres_cdc.opening import open_reader
from flowsql_connectors.postgres_cdc.reader import NAME, check_format
from flowsql_connectors.postgres_cdc.resuming import (
    check_partitions_since,
    check_publication,
    check_snapshot,
    check_system,
    ignoring_parts,
    resume_tables,
)
from flowsql_connectors.postgres_cdc.server import own, slots
from flowsql_connectors.postgres_cdc.server.catalog import count_about
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.locks import LockWatch
from flowsql_connectors.postgres_cdc.server.parts import look_at_parts
from flowsql_connectors.postgres_cdc.server.publications import ensure_publication, own_publication
from flowsql_connectors.postgres_cdc.server.published import look_at_publication
from flowsql_connectors.postgres_cdc.server.slot_checks import drop_idle_slot, end_of_log, idle_slot
from flowsql_connectors.postgres_cdc.server.watching import Budget, Watch
from flowsql_connectors.postgres_cdc.setup import ReaderSetup, TableSetup, log_payload
from flowsql_connectors.postgres_cdc.snapshot.chunked import (
    EXPORTED,
    UNREAD,
    SourceTable,
    read_anew,
)
from flowsql_connectors.postgres_cdc.snapshot.cutting import Cutter, rows_about
from flowsql_connectors.postgres_cdc.snapshot.holding import (
    Exported,
    SnapshotHolder,
    wait_for_commits,
    wait_for_running,
)
from flowsql_connectors.postgres_cdc.snapshot.visibility import Snapshot

__all__ = ["PostgresSource"]

_LOOK: Final = 1.0  # seconds
_LONG: Final = 3600.0
_SHORT: Final = 0.2
_FIRST_CHUNKS: Final = 0.1  # that a start waits for all chunks of small tables


class PostgresSource(Source):
    """The tables of a job on one server, through one slot.

    Args:
        tables: of the job.
        modes: what the scan of each carries.
        position: of a checkpoint.
        context: of the job.
    """

    def __init__(
        self,
        tables: Sequence[ConnectorTable],
        modes: Sequence[ChangelogMode],
        position: JSON | None,
        context: ConnectorContext,
    ) -> None:
        options = tables[0].options
        self._options = options
        self._job_tables, self._modes = tables, modes
        self._context, self._attempt = context, context.attempt
        self._server = Server(tables[0])
        self._mode: str = options["scan.startup.mode"]
        self.bounded = self._mode == "snapshot"
        self._temporary = not context.lasting
        self._held = tuple(name for name, needs in context.needs.items() if needs.holds_rows)
        self._slot: str = own.draw_name() if self._temporary else options["slot.name"]
        self._publication: str = options["debezium.publication.name"]
        self._types: dict[tuple[int, int], PgType] = {}
        self._tables: dict[str, SourceTable] = {}
        self._snapshots: list[Snapshot] = []
        self._snapshot: str | None = None
        self._snapshot_rows: int | None = None
        self._start = 0
        self._acknowledged = 0
        delay = max(0, options["scan.lsn-commit.checkpoints-num-delay"])
        self._acknowledgements: deque[int] = deque(maxlen=delay + 1)
        self._current = EXPORTED
        self._given: set[str] = set()
        self._log_given = False
        self._log_read = False
        # Whether a slot keeps the log for a restart, or for what comes behind the snapshot.
        self._logged = self._mode != "snapshot"
        # What holds the snapshot, or the connection on which the slot was made.
        self._holder: SnapshotHolder | None = None
        self._replication: Connection | None = None
        # Made by this start, with no checkpoint yet; and what goes at the job's end.
        self._made_slot = self._made_publication = False
        self._own_slot = self._own_publication = False
        # Transactions that only the slot's own snapshot saw.
        self._hanging: list[int] = []
        self._cutter = Cutter(self._server, ())
        self._published: JSON | None = None
        self._parts: JSON | None = None
        self._newly_published = False
        self._watch: Watch | None = None
        if self._temporary:
            check_startup(options)
        self._connection = self._server.connect()
        self._locks = LockWatch(self._server, self._connection, self._unread, context)
        try:
            self._open(tables, modes, position)
            self._locks.started()
            self._cutter = Cutter(self._server, [t for t in self._tables.values() if not t.cut])
        except BaseException:
            self._close(begun=False)
            self._locks.check()
            raise

    def discover(self) -> Sequence[Split]:
        if self._watch is not None:
            for notice in self._watch.notices():
                self._context.tell(notice)
        self._take_chunks()
        found = []
        for name, table in self._tables.items():
            feeds = tuple(s.table.name for s in table.shapes)
            for index, chunk in enumerate(table.chunks):
                split = f"{name}:{index}"
                if table.read[index] != UNREAD or split in self._given:
                    continue
                if table.anew and index:
                    # The first one takes back what was read before.
                    break
                self._given.add(split)
                payload = {
                    "table": name,
                    "low": chunk.low,
                    "high": chunk.high,
                    "snapshot": self._snapshot,
                    "anew": table.anew,
                }
                found.append(Split(split, feeds, payload, snapshot=True))
        if self._all_read and self._needs_log and not self._log_given:
            self._log_given = True
            feeds = tuple(
                dict.fromkeys(s.table.name for t in self._tables.values() for s in t.shapes)
            )
            payload = log_payload(
                self._start, self._timeline, self._snapshots, self._tables, bounded=self.bounded
            )
            found.append(Split(LOG, feeds, payload, owner=LOG))
        return found

    @property
    def discovery_interval(self) -> float | None:
        if not self._cutter.over or any(t.anew for t in self._tables.values()):
            return _SHORT
        if self._watch is not None:
            # What it finds may end the job at any time.
            return _LOOK
        # The log follows when the last chunk ends, which is asked for then.
        return None if self._log_given or not self._needs_log else _LONG

    @property
    def complete(self) -> bool:
        return self._cutter.over and (self._log_given or not self._needs_log)

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        lend = self._lend_replication if self._temporary else None
        reader = open_reader(self._job_tables, self._modes, self._reader_setup(), lend)
        reader.assign(splits)
        return reader

    def setup(self) -> JSON | None:
        # A temporary slot is read by the connection that made it, which cannot move.
        return None if self._temporary else self._reader_setup().described()

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del result
        if split == LOG:
            self._log_read = True
            return ()
        name, _, index = split.rpartition(":")
        self._tables[name].was_read(int(index), self._current)
        if not self._all_read:
            return ()
        self._let_go_of_snapshot()
        return ({"chunks": "read"},)

    def position(self) -> JSON:
        # From now on somebody may go on with them.
        self._made_slot = self._made_publication = False
        return {
            "format": FORMAT,
            "connector": NAME,
            "system": self._system,
            "timeline": self._timeline,
            "slot": self._slot if self._logged else None,
            "ours": self._own_slot,
            "publication": self._publication if self._own_publication else None,
            "over": self._over,
            "start": self._start,
            "tables": {name: t.described() for name, t in self._tables.items()},
            "snapshots": [s.described() for s in self._snapshots],
            "published": self._published,
            "hanging": self._hanging,
            "parts": self._parts if self._watch is None else self._watch.parts,
        }

    def status(self) -> SourceStatus:
        watch = self._watch
        return SourceStatus(
            slot=self._slot if self._logged else None,
            snapshot_rows=self._snapshot_rows,
            read_to=None if self.bounded else self._start,
            log_end=None if watch is None else watch.end,
            kept_bytes=None if watch is None else watch.kept,
            over_budget=watch is not None and watch.over,
        )

    def end(self) -> None:
        if self._over:
            self._let_go_of_server()

    def acknowledge(self, position: Mapping[str, JSON]) -> Sequence[JSON]:
        if position["source"]["over"]:
            self._let_go_of_server()
        log = position["splits"].get(LOG)
        if log is None:
            return ()
        self._acknowledgements.append(int(log["lsn"]))
        if len(self._acknowledgements) < (self._acknowledgements.maxlen or 1):
            return ()
        self._acknowledged = max(self._acknowledged, self._acknowledgements[0])
        return ({"acknowledged": self._acknowledged},)

    def close(self) -> None:
        # What begins a snapshot job anew makes a slot of its own; this would keep the log for ever.
        self._close(begun=not self.bounded)

    def _close(self, *, begun: bool) -> None:
        """Let go of everything; what was made for a start that did not get to begin goes."""
        self._cutter.close()
        self._locks.close()
        if self._watch is not None:
            self._watch.close()
        self._let_go_of_snapshot()
        if self._temporary or self._made_publication:
            self._drop_publication()
        if self._replication is not None:
            self._replication.close()
            self._replication = None
        self._connection.close()
        if self._made_slot and not begun:
            self._made_slot = False
            with contextlib.suppress(psycopg.Error), contextlib.closing(self._server.open()) as c:
                slots.drop_slot(c, self._slot)

    @property
    def _all_read(self) -> bool:
        return all(t.all_read for t in self._tables.values())

    def _unread(self) -> list[int]:
        return [t.source.oid for t in self._tables.values() if not t.all_read]

    @property
    def _needs_log(self) -> bool:
        """Whether the log is read behind the snapshot.

        Where only the snapshot is wanted it brings what was read before a restart to the state of
        what was read behind it.
        """
        return not self.bounded or (bool(self._snapshots) and not self._log_read)

    @property
    def _over(self) -> bool:
        return self.bounded and self._all_read and not self._needs_log

    def _open(
        self,
        tables: Sequence[ConnectorTable],
        modes: Sequence[ChangelogMode],
        position: JSON | None,
    ) -> None:
        if position is not None:
            check_format(position)
            if position.get("publication") is not None:
                self._publication, self._own_publication = position["publication"], True
        self._tables, self._types = find_tables(
            self._server, self._connection, tables, modes, logged=not self.bounded
        )
        oids = [t.source.oid for t in self._tables.values()]
        self._snapshot_rows = count_about(self._server, self._connection, oids)
        if self._snapshot_rows is None:
            self._snapshot_rows = sum(
                rows_about(t, self._server, self._connection) for t in self._tables.values()
            )
        replication = self._server.connect(replication=True)
        self._replication = replication
        self._system, self._timeline = slots.system_of(self._server, replication)
        if position is not None:
            check_system(self._server, self._system, position)
        slots.check_standby(self._server, self._connection)
        if not self.bounded or (position is not None and position["slot"] and not position["over"]):
            self._check_published(position)
            self._publish(create=position is None and not self._goes_on_from_slot())
        if position is None:
            self._start_anew(replication)
        else:
            self._resume(position)
        # A lasting slot is there without the connection that made it; its snapshot is not.
        if not self._temporary and (self._snapshot is None or self._holder is not None):
            replication.close()
            self._replication = None
        if not self.bounded:
            self._watch = self._start_watch()

    def _goes_on_from_slot(self) -> bool:
        """Whether a first start reads what a slot has kept, and no rows that were there."""
        if self._temporary or self._mode != "committed-offset":
            return False
        return slots.find_slot(self._server, self._connection, self._slot) is not None

    def _start_watch(self) -> Watch:
        return Watch(
            self._server,
            None if self._temporary else self._slot,
            self._publication,
            [t.source for t in self._tables.values()],
            published=self._published,
            parts=self._parts,
            ignoring=ignoring_parts(self._tables),
            renamed=self._renamed,
            budget=Budget(
                self._options["scan.wal-lag-budget"],
                self._options["scan.wal-lag-budget.exceeded"] == "fail",
            ),
        )

    @property
    def _renamed(self) -> bool:
        """Whether a table may have got another name."""
        return all(t.options["scan.schema-change"] == "ignore" for t in self._job_tables)

    def _check_published(self, position: JSON | None) -> None:
        """Raise where the publication has left out changes since the checkpoint."""
        if position is None or position["system"] != self._system:
            return
        self._published = position.get("published")
        check_publication(
            self._server,
            self._connection,
            self._publication,
            self._tables,
            position,
            renamed=self._renamed,
        )
        self._parts = check_partitions_since(self._server, self._connection, self._tables, position)

    def _publish(self, *, create: bool) -> None:
        sources = [t.source for t in self._tables.values()]
        columns = {
            name: {r.name for s in t.shapes for r in s.readings} for name, t in self._tables.items()
        }
        where = (self._server, self._connection)
        for told in own.clear_up(*where):
            self._context.tell(told)
        if create and (self._temporary or self.bounded):
            made = own_publication(
                *where,
                self._publication,
                sources,
                self._options,
                slot=self._slot,
                columns=columns,
            )
            if made is not None:
                self._publication = made
                self._own_publication = self._made_publication = True
                if not self._temporary:
                    self._context.tell(
                        f'publication "{made}" was made in PostgreSQL server "{self._server}":'
                        " it goes when the snapshot is read"
                    )
        done = ensure_publication(
            *where,
            self._publication,
            sources,
            self._options,
            create=create,
            columns=columns,
            kept=not create,
        )
        self._newly_published = done is not None
        if done is not None and not self._temporary:
            self._context.tell(done)
        if self._published is None:
            found = look_at_publication(*where, self._publication, sources)
            self._published = found.described()
        if self._parts is None:
            parts = look_at_parts(*where, sources)
            self._parts = None if parts is None else parts.described()

    def _start_anew(self, replication: Connection) -> None:
        snapshot = self._mode in {"initial", "snapshot"}
        if self.bounded:
            self._logged = not self._temporary and self._try_slot(replication)
            if not self._logged:
                self._hold_snapshot()
        elif self._temporary:
            self._create_slot(replication, export=snapshot)
        elif (found := self._idle_slot()) is None:
            self._make_slot(replication, export=snapshot)
        else:
            self._start = found.confirmed
            if self._mode == "latest-offset":
                if self._newly_published:
                    # What began before has changes that were not published.
                    wait_for_running(self._server, self._connection, self._slot, self._context)
                self._start = max(self._start, end_of_log(self._server, self._connection))
            elif snapshot:
                wait_for_running(self._server, self._connection, self._slot, self._context)
                self._take_snapshot()
        self._acknowledged = self._start
        for table in self._tables.values():
            table.cut = not snapshot

    def _idle_slot(self) -> slots.SlotState | None:
        return idle_slot(self._server, self._connection, self._slot, self._context.tell)

    def _make_slot(self, replication: Connection, *, export: bool) -> None:
        self._create_slot(replication, export=export)
        self._made_slot = self._own_slot = True
        if self._own_publication:
            made = (self._attempt.run, self._start)
            own.mark(self._server, self._connection, self._publication, self._slot, made)
        if self._snapshot is not None and not slots.is_standby(self._server, self._connection):
            exported = Exported(self._server, self._snapshot, self._tables)
            self._hanging = exported.hanging
            for name, table in self._tables.items():
                table.files = exported.files[name]
        until = "its snapshot is read" if self.bounded else "it is dropped"
        self._context.tell(
            f'replication slot "{self._slot}" was made in PostgreSQL server "{self._server}":'
            f" it keeps the log for this job until {until}"
        )

    def _create_slot(self, replication: Connection, *, export: bool) -> None:
        self._start, self._snapshot = slots.create_slot(
            self._server,
            replication,
            self._slot,
            temporary=self._temporary,
            export=export,
            context=self._context,
        )

    def _try_slot(self, replication: Connection) -> bool:
        """Make a slot for restarts in mid-snapshot; whether the server lets us.

        One that is there may be another job's: neither its position nor its life is ours.
        """
        try:
            ((level,),) = self._server.rows(self._connection, "SHOW wal_level")
            if level != "logical":
                why = f"wal_level is {level}"
            elif not own.free_slot(self._server, self._connection, self._slot, self._attempt):
                why = f'replication slot "{self._slot}" is there already'
            else:
                self._publish(create=True)
                self._make_slot(replication, export=True)
                return True
        except ConnectorError as error:
            why = error.message
        self._let_go_of_server()
        self._context.tell(
            f"a restart in the middle of the snapshot could not go on, but would begin anew: {why}"
        )
        return False

    def _let_go_of_server(self) -> None:
        """Nothing is asked of what was made in the server any more."""
        if self._own_slot:
            self._own_slot = self._made_slot = False
            if (trouble := drop_idle_slot(self._server, self._slot)) is not None:
                self._context.tell(trouble)
        self._drop_publication()

    def _drop_publication(self) -> None:
        if self._own_publication:
            self._own_publication = self._made_publication = False
            own.drop_own(self._server, self._connection, self._publication)

    def _resume(self, position: JSON) -> None:
        resume_tables(self._tables, position)
        self._start = position["start"]
        self._timeline = position["timeline"]
        self._snapshots = [Snapshot.stored(s) for s in position["snapshots"]]
        self._logged = position["slot"] is not None
        self._own_slot = position["ours"]
        self._log_read = position["over"]
        self._hanging = position.get("hanging", [])
        if self._over:
            return
        if not self._logged:
            # Without a log a snapshot begins once more, if nothing of it was read.
            check_snapshot(self._tables)
            self._hold_snapshot()
            return
        found = self._idle_slot()
        if found is None:
            raise slots.missing_slot(self._server, self._slot)
        if found.confirmed > self._start and not self._all_read:
            raise slots.slot_ahead(self._server, self._slot, found.confirmed, self._start)
        self._acknowledged = found.confirmed
        if not self._all_read:
            self._take_snapshot()

    def _hold_snapshot(self) -> SnapshotHolder:
        """A snapshot of now, shared with the readers."""
        self._holder = SnapshotHolder(self._server)
        self._snapshot = self._holder.name
        return self._holder

    def _take_snapshot(self) -> None:
        """The snapshot for what is unread, with the bound behind all that it sees."""
        wait_for_commits(self._server, self._connection, self._hanging, self._context)
        self._hanging = []
        holder = self._hold_snapshot()
        self._snapshots.append(holder.bounded(self._connection))
        self._current = len(self._snapshots)
        for told in read_anew(self._tables.values(), holder.files, self._held):
            self._context.tell(told)

    def _take_chunks(self) -> None:
        """Those that were cut meanwhile."""
        if self._cutter.over:
            return
        # A table that somebody has locked must not hold up the engine.
        for cut in self._cutter.take(0.0 if self._given else _FIRST_CHUNKS):
            cut.table.add(cut.bound)

    def _reader_setup(self) -> ReaderSetup:
        return ReaderSetup(
            self._slot,
            self._publication,
            None if self._temporary else self._acknowledged,
            {
                name: TableSetup(t.source, t.key, tuple(s.table.name for s in t.shapes))
                for name, t in self._tables.items()
            },
            self._types,
            self._held,
        )

    def _lend_replication(self) -> Connection | None:
        """The connection that the slot lives as long as; its reader closes it."""
        connection, self._replication = self._replication, None
        return connection

    def _let_go_of_snapshot(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        if self._replication is not None and not self._temporary:
            self._replication.close()
            self._replication = None
