"""Transactions that are in the log, and wait for a standby while nobody sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from flowsql_connectors.postgres_cdc.server.connections import Server
from flowsql_connectors.postgres_cdc.server.slots import find_slot

from flowsql.errors import ConnectorError
from tests.services.fixtures import started
from tests.services.following import Follow, Follower, make, server_table
from tests.services.postgres import PostgresServer

_CHUNKS = {"scan__incremental__snapshot__chunk__size": "7"}
_WAITS_FOR = "SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = '{}'::xid"


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Its commits wait for a standby that is not there, where a session asks for that."""
    with started(15, {"synchronous_commit": "local"}) as made:
        _wait_for(made, "silent")
        yield made


def _wait_for(server: PostgresServer, standby: str) -> None:
    server.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")
    server.execute("SELECT pg_reload_conf()")
    _until(lambda: server.execute("SHOW synchronous_standby_names") == [(standby,)])


class _Writer:
    """A transaction with a number."""

    def __init__(self, server: PostgresServer, stack: ExitStack, setting: str = "local") -> None:
        self.connection = server.connect(
            autocommit=False, options=f"-c synchronous_commit={setting}"
        )
        stack.callback(self.connection.close)
        ((self.xid,),) = self.connection.execute(
            "SELECT mod(txid_current(), 4294967296)::text"
        ).fetchall()


def _hang(server: PostgresServer, stack: ExitStack) -> threading.Thread:
    """A commit that does not return, of the rows 1 and 20."""
    hanging = _Writer(server, stack, "on")
    hanging.connection.execute("UPDATE t SET v = 'hung' WHERE id IN (1, 20)")
    commit = threading.Thread(target=hanging.connection.commit, daemon=True)
    commit.start()
    _until(lambda: server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
    return commit


def _start(server: PostgresServer, follower: Follower, commit: threading.Thread) -> None:
    """A start that waits for the commit, which is let go then."""
    assert server.execute("SELECT v FROM t WHERE id = 20") == [("n20",)]
    told = len(follower.told)
    start = threading.Thread(target=follower.start)
    start.start()
    _until(lambda: len(follower.told) > told or not start.is_alive())
    _wait_for(server, "")
    commit.join(60)
    start.join(60)
    assert not start.is_alive()


def test_a_commit_that_hangs_while_the_slot_is_made(server: PostgresServer, follow: Follow) -> None:
    """It is before the slot's log, and a restart's snapshot does not see it: it is waited for.

    The slot's own snapshot is made from the log, which has the commit.
    """
    make(server, "t", rows=20)
    follower = follow(server_table(server, "id INT, v STRING", "t", key=("id",), **_CHUNKS))
    with ExitStack() as stack:
        # The server looks twice for an end of all that runs before a slot is consistent.
        first = _Writer(server, stack)
        start = threading.Thread(target=follower.start)
        start.start()
        _until(lambda: server.execute(_WAITS_FOR.format(first.xid)))
        second = _Writer(server, stack)
        first.connection.commit()
        _until(lambda: server.execute(_WAITS_FOR.format(second.xid)))
        commit = _hang(server, stack)
        second.connection.commit()
        start.join(60)
        assert not start.is_alive()
        follower.until(lambda f: any(p.finished for p in f.polls))
        read = [row for _, _, row in follower.changes]
        assert read[0] == (1, "hung")
        assert 20 not in [row[0] for row in read]
        follower.kill()
        _start(server, follower, commit)
    assert "wait for a standby since before" in follower.told[-1]
    follower.until(lambda f: f.polls[-1].consistent)
    follower.until_holds(server, "t")


def test_a_commit_that_hangs_before_a_slot_that_is_there(
    server: PostgresServer, follow: Follow
) -> None:
    """The slot has let go of it: a first start's snapshot must see it."""
    make(server, "t", rows=20)
    server.execute("CREATE PUBLICATION pub_t FOR TABLE t")
    server.execute("SELECT pg_create_logical_replication_slot('slot_t', 'pgoutput')")
    follower = follow(server_table(server, "id INT, v STRING", "t", key=("id",), **_CHUNKS))
    with ExitStack() as stack:
        commit = _hang(server, stack)
        server.execute("SELECT pg_replication_slot_advance('slot_t', pg_current_wal_lsn())")
        _start(server, follower, commit)
    follower.until(lambda f: f.polls and f.polls[-1].consistent)
    follower.until_holds(server, "t")


def test_a_transaction_that_is_open_while_the_slot_is_made(
    server: PostgresServer, follow: Follow
) -> None:
    """The server waits for its end, however long that takes: whose it is is said."""
    make(server, "t", rows=3)
    follower = follow(server_table(server, "id INT, v STRING", "t"), lasting=False)
    with ExitStack() as stack:
        writer = _Writer(server, stack)
        start = threading.Thread(target=follower.start, daemon=True)
        start.start()
        _until(lambda: follower.told or not start.is_alive())
        (told,) = follower.told
        assert "when the transactions that are open have ended; it waits for: process " in told
        assert f"process {writer.connection.info.backend_pid} (" in told
        writer.connection.commit()
        start.join(60)
        assert not start.is_alive()
    follower.until_holds(server, "t")


def test_a_connection_that_is_cut_while_the_slot_is_made(
    server: PostgresServer, follow: Follow
) -> None:
    """It is told as that; and a slot that is being made is not taken for one that is lost."""
    make(server, "t", rows=3)
    table = server_table(server, "id INT, v STRING", "t")
    at = Server(table)
    with ExitStack() as stack:
        writer = _Writer(server, stack)
        asking = stack.enter_context(closing(at.connect()))
        failed: list[ConnectorError] = []

        def start() -> None:
            try:
                follow(table).start()
            except ConnectorError as error:
                failed.append(error)

        starting = threading.Thread(target=start, daemon=True)
        starting.start()
        _until(lambda: server.execute(_WAITS_FOR.format(writer.xid)))
        made = find_slot(at, asking, "slot_t")
        assert made is not None
        assert made.lost is None
        assert made.active_pid is not None
        server.cut_connections("backend_type = 'walsender'")
        starting.join(60)
        assert failed[0].message.endswith("ended the connection")


def test_what_a_query_makes_for_itself(server: PostgresServer, follow: Follow) -> None:
    """It is there and gone at once, whatever the role's commits wait for otherwise."""
    make(server, "t", rows=3)
    server.execute(
        "CREATE ROLE reader SUPERUSER LOGIN; ALTER ROLE reader SET synchronous_commit = on"
    )
    table = server_table(server, "id INT, v STRING", "t", username="reader")
    follower = follow(table, lasting=False)
    query = threading.Thread(
        target=lambda: follower.start().until_holds(server, "t").kill(), daemon=True
    )
    query.start()
    query.join(60)
    ended = not query.is_alive()
    _wait_for(server, "")
    query.join(60)
    assert ended
    assert server.execute("SELECT 1 FROM pg_publication") == []
