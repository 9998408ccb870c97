"""postgres-cdc and servers that follow others: reading a standby, and going on where one takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError
from tests.services.fixtures import POSTGRES_VERSIONS, started
from tests.services.following import Follow, make, server_table
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

_CHUNKS = {"scan__incremental__snapshot__chunk__size": "10"}


def _from(version: int) -> list[int]:
    return [v for v in POSTGRES_VERSIONS if v >= version]


def _table(server: PostgresServer, **options: str) -> ConnectorTable:
    return server_table(server, "id INT, v STRING", "t", key=("id",), **_CHUNKS, **options)


@contextmanager
def _busy(primary: PostgresServer) -> Iterator[None]:
    """A slot of a standby begins where the primary notes what runs, which an idle one does not."""
    over = threading.Event()

    def note() -> None:
        while not over.wait(0.1):
            primary.execute("SELECT pg_log_standby_snapshot()")

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("version", _from(16))
def test_a_standby_is_read(version: int, follow: Follow) -> None:
    """Snapshot and log, through a restart and a promotion; what it cannot do is said."""
    with started(version) as primary:
        make(primary, "t")
        primary.execute("CREATE PUBLICATION pub_t FOR TABLE t")
        with primary.standby() as standby:
            follower = follow(_table(standby))
            with _busy(primary):
                follower.start()
            follower.until(lambda f: any(p.finished for p in f.polls)).kill()
            with pytest.raises(ConnectorError, match="is a standby, where a snapshot") as caught:
                follower.start()
            assert "--fresh" in str(caught.value.hint)
            follower = follow(_table(standby, slot__name="other"))
            with _busy(primary):
                follower.start()
            follower.until(lambda f: f.polls and f.polls[-1].consistent)
            primary.execute("UPDATE t SET v = v || 'x' WHERE id < 9")
            follower.until_holds(primary, "t").kill()
            primary.execute("DELETE FROM t WHERE id % 3 = 0")
            follower.start().until_holds(primary, "t")
            _follows(primary, standby)
            primary.stop()
            standby.execute("SELECT pg_promote()")
            standby.execute("INSERT INTO t VALUES (1000, 'promoted')")
            follower.until_holds(standby, "t").kill()
            late = follow(_table(standby, slot__name="late", scan__startup__mode="latest-offset"))
            late.start()
            standby.execute("INSERT INTO t VALUES (1001, 'late')")
            late.until(lambda f: len(f.changes) == 1).kill()


def _follows(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until the standby has all that the primary has written."""
    ((position,),) = primary.execute("SELECT pg_current_wal_lsn()::text")
    end = time.monotonic() + 60
    while not standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")[0][0]:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("version", [v for v in POSTGRES_VERSIONS if v < 16])
def test_an_old_standby_is_refused(version: int, follow: Follow) -> None:
    """Its log cannot be read; nothing is tried."""
    with started(version) as primary:
        make(primary, "t", rows=1)
        with primary.standby() as standby:
            with pytest.raises(ConnectorError, match="is a standby, which sends its log from"):
                follow(_table(standby)).start()
            assert primary.execute("SELECT pubname FROM pg_publication") == []


@pytest.mark.parametrize("version", _from(17))
@pytest.mark.parametrize("behind", [False, True])
def test_a_standby_takes_over(version: int, behind: bool, follow: Follow) -> None:
    """With the slot that it kept: the job goes on; but not where it had read what was lost."""
    with started(version, {"hot_standby_feedback": "on"}) as primary:
        make(primary, "t")
        primary.execute("SELECT pg_create_physical_replication_slot('follower')")
        kept = {
            "primary_slot_name": "follower",
            "sync_replication_slots": "on",
            "hot_standby_feedback": "on",
        }
        with primary.standby(kept) as standby, CuttingProxy(primary.port) as proxy:
            follower = follow(_table(standby, port=proxy.port)).start()
            follower.until_holds(primary, "t")
            follower.acknowledge()
            _until_kept(primary, standby)
            if behind:
                standby.execute("SELECT pg_wal_replay_pause()")
                standby.stop()
            primary.execute("UPDATE t SET v = 'last' WHERE id < 5")
            follower.until_holds(primary, "t")
            if not behind:
                _follows(primary, standby)
            primary.stop("immediate")
            if behind:
                standby.start()
            proxy.turn(standby.port)
            standby.execute("SELECT pg_promote()")
            standby.execute("INSERT INTO t VALUES (1000, 'promoted')")
            if behind:
                with pytest.raises(ConnectorError, match=r"has gone another way|ends before") as e:
                    follower.until_holds(standby, "t")
                assert "--fresh" in str(e.value.hint)
            else:
                follower.until_holds(standby, "t")
            follower.kill()


def _until_kept(primary: PostgresServer, standby: PostgresServer) -> None:
    """Until the standby has the slot as one that stays."""
    asked = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'slot_t' AND NOT temporary"
    end = time.monotonic() + 60
    while not standby.execute(asked):
        assert time.monotonic() < end, standby.log()[-2000:]
        primary.execute("SELECT pg_log_standby_snapshot()")
        time.sleep(0.2)
