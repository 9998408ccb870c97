"""Looks at the server beside the log: how much of it is kept, and whether it still tells of all."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import psycopg

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server, lsn_number
from flowsql_connectors.postgres_cdc.server.parts import Parts, check_parts, look_at_parts
from flowsql_connectors.postgres_cdc.server.published import (
    Published,
    check_published,
    look_at_publication,
)
from flowsql_connectors.postgres_cdc.server.slots import (
    SlotState,
    find_slot,
    lost_slot,
    missing_slot,
)

__all__ = ["Budget", "Watch"]

_EVERY: Final = 2.0  # seconds
_PATIENCE: Final = 2.0
_MIB: Final = 1 << 20
_WRITTEN: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
  ELSE pg_current_wal_lsn() END::text
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of its log the server may keep for a slot.

    Attributes:
        bytes: so much; None for any.
        fails: what goes beyond it ends the job; else it is said.
    """

    bytes: int | None
    fails: bool


class Watch:
    """Asks the server every two seconds, in a thread of its own.

    Args:
        server: where.
        slot: that is looked at; None where it lives no longer than its reader.
        publication: that names the tables.
        tables: that are read.
        published: how they were published, as `Published.described` told; None where no log is
            read.
        renamed: a table may have got another name.
        budget: of the log that the server keeps.
        parts: the tables' partitions, as `Parts.described` told; None where there are none.
        ignoring: oids of tables of which rows that go without a word may stay.

    Attributes:
        parts: as of the last look at which nothing was missing.
        end: where the server's log ends; None where that is not known.
        kept: bytes of it that the server keeps for the slot.
        over: more than the budget is kept.
    """

    def __init__(
        self,
        server: Server,
        slot: str | None,
        publication: str,
        tables: Collection[ServerTable],
        *,
        published: JSON | None,
        renamed: bool,
        budget: Budget,
        parts: JSON | None = None,
        ignoring: Collection[int] = (),
    ) -> None:
        self._server = server
        self._slot = slot
        self._publication = publication
        self._tables = tables
        self._published = published
        self._renamed = renamed
        self._budget = budget
        self.parts = parts
        self._ignoring = ignoring
        self._connection: Connection | None = None
        self._error: ConnectorError | None = None
        self._notices: deque[str] = deque()
        self._endangered = False
        # Where more is kept at the start, the job gets the time to read it.
        self._armed = False
        self._over = threading.Event()
        self.end: int | None = None
        self.kept: int | None = None
        self.over = False
        self._thread = threading.Thread(target=self._run, name=f"watch {server}", daemon=True)
        self._thread.start()

    def notices(self) -> list[str]:
        """What a user should know, each once.

        Raises:
            ConnectorError: what was found that the job cannot go on with.
        """
        if self._error is not None:
            raise self._error
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._notices.popleft())
        return found

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            while not self._over.wait(_EVERY):
                try:
                    found = self._ask()
                except (psycopg.Error, ConnectorError):
                    # Who reads the log says so, and tries again.
                    self._away()
                    continue
                try:
                    self._judge(*found)
                except psycopg.Error:
                    self._away()
        except ConnectorError as error:
            self._error = error
        finally:
            self._away()

    def _away(self) -> None:
        connection, self._connection = self._connection, None
        self.end = None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _ask(self) -> tuple[int, SlotState | None, Published | None, Parts | None]:
        if self._connection is None:
            self._connection = self._server.open()
        connection = self._connection
        ((written,),) = self._server.rows(connection, _WRITTEN)
        slot = published = None
        if self._slot is not None:
            slot = find_slot(self._server, connection, self._slot)
        if self._published is not None:
            published = look_at_publication(
                self._server, connection, self._publication, self._tables
            )
        parts = None
        if self.parts is not None:
            parts = look_at_parts(self._server, connection, self._tables)
        return lsn_number(written), slot, published, parts

    def _judge(
        self, end: int, slot: SlotState | None, published: Published | None, parts: Parts | None
    ) -> None:
        self.end = end
        if published is not None and self._published is not None:
            check_published(
                self._server,
                self._publication,
                self._tables,
                published,
                self._published,
                renamed=self._renamed,
            )
        if parts is not None and self.parts is not None:
            assert self._connection is not None
            check_parts(
                self._server,
                self._connection,
                self._tables,
                parts,
                self.parts,
                ignoring=self._ignoring,
            )
            self.parts = parts.described()
        if self._slot is None:
            return
        if slot is None:
            raise missing_slot(self._server, self._slot)
        if slot.lost is not None:
            raise lost_slot(self._server, self._slot, slot.lost)
        self._measure(slot, end)

    def _measure(self, slot: SlotState, end: int) -> None:
        self.kept = max(0, end - slot.restart)
        if slot.endangered != self._endangered:
            self._endangered = slot.endangered
            if slot.endangered:
                self._notices.append(
                    f'PostgreSQL server "{self._server}" is about to remove log that slot'
                    f' "{self._slot}" needs: it keeps {self.kept / _MIB:.0f} MB, and'
                    " max_slot_wal_keep_size is reached"
                )
        limit = self._budget.bytes
        if limit is None:
            return
        over = self.kept > limit
        crossed, self.over = over and not self.over, over
        if not over:
            self._armed = True
            return
        fact = (
            f'PostgreSQL server "{self._server}" keeps {self.kept / _MIB:.0f} MB of its log for'
            f" slot \"{self._slot}\", which is more than 'scan.wal-lag-budget' allows"
            f" ({limit / _MIB:.0f} MB)"
        )
        if self._budget.fails and self._armed:
            raise ConnectorError(
                fact,
                detail="It keeps what no checkpoint has passed, and all since the oldest transaction"
                " that is open.",
                hint="A start of the job goes on with all that is kept, whatever the budget. Where it"
                " is not to go on, let the server clear up: flowsql slots drop.",
                final=True,
            )
        if crossed:
            self._notices.append(fact)
