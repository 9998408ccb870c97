"""What a real server writes into its log, in every replica identity, decoded."""

from __future__ import annotations

import pytest
from flowsql_connectors.postgres_cdc import LogBatch, RelationChanges

from tests.services.fixtures import since
from tests.services.postgres import PostgresServer
from tests.services.reading import logged

_LONG = "repeat(md5(random()::text), 400)"  # too long for its row, and does not compress


def _rows(changes: RelationChanges) -> list[tuple[str, ...]]:
    """Kind and values: `?` for one that was not sent, `long` for a long one."""
    out = []
    columns = [changes.text(i).to_pylist() for i in range(len(changes.places))]
    unchanged = [changes.unchanged(i) for i in range(len(changes.places))]
    for r, kind in enumerate(changes.kinds.tolist()):
        cells = [
            "?" if mask is not None and mask[r] else str(column[r])
            for column, mask in zip(columns, unchanged, strict=True)
        ]
        key = ["key"] if changes.key_only is not None and changes.key_only[r] else []
        short = ["long" if len(cell) > 100 else cell for cell in cells]
        out.append((("+I", "-U", "+U", "-D")[kind], *short, *key))
    return out


@pytest.mark.parametrize(
    ("identity", "sent"),
    [
        (
            "DEFAULT",
            [
                ("+I", "1", "a", "long"),
                ("+U", "1", "b", "?"),
                ("-U", "1", "None", "None", "key"),
                ("+U", "2", "b", "?"),
                ("-D", "2", "None", "None", "key"),
            ],
        ),
        (
            "FULL",
            [
                ("+I", "1", "a", "long"),
                ("-U", "1", "a", "long"),
                ("+U", "1", "b", "long"),
                ("-U", "1", "b", "long"),
                ("+U", "2", "b", "long"),
                ("-D", "2", "b", "long"),
            ],
        ),
        (
            "USING INDEX by_name",
            [
                ("+I", "1", "a", "long"),
                ("-U", "None", "a", "None", "key"),
                ("+U", "1", "b", "?"),
                ("+U", "2", "b", "?"),
                ("-D", "None", "b", "None", "key"),
            ],
        ),
    ],
)
def test_replica_identities(
    postgres_version: PostgresServer, identity: str, sent: list[tuple[str, ...]]
) -> None:
    """An insert, an update, a change of the key, a delete, with a value out of line."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS identities")
    server.execute("CREATE TABLE identities (id int PRIMARY KEY, name text NOT NULL, big text)")
    server.execute("CREATE UNIQUE INDEX by_name ON identities (name)")
    server.execute("ALTER TABLE identities ALTER big SET STORAGE EXTERNAL")
    server.execute(f"ALTER TABLE identities REPLICA IDENTITY {identity}")
    with logged(server, "identities") as log:
        server.execute(f"INSERT INTO identities VALUES (1, 'a', {_LONG})")
        server.execute("UPDATE identities SET name = 'b'")
        server.execute("UPDATE identities SET id = 2")
        server.execute("DELETE FROM identities")
        batch = log.batch()
    assert _rows(batch.changes[0]) == sent
    assert len(batch.transactions) == 4
    wanted = {"D": "default", "F": "full", "U": "index"}[identity[0]]
    assert batch.changes[0].relation.identity == wanted


def test_the_full_old_row_gives_the_very_value(postgres: PostgresServer) -> None:
    """Not another row's, among many."""
    postgres.execute("DROP TABLE IF EXISTS toasted")
    postgres.execute("CREATE TABLE toasted (id int PRIMARY KEY, n int, big text)")
    postgres.execute("ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL")
    postgres.execute("ALTER TABLE toasted REPLICA IDENTITY FULL")
    postgres.execute(
        f"INSERT INTO toasted SELECT i, 0, CASE WHEN i % 3 > 0 THEN i || {_LONG} END"
        " FROM generate_series(1, 50) i"
    )
    with logged(postgres, "toasted") as log:
        postgres.execute("UPDATE toasted SET n = 1")
        postgres.execute("UPDATE toasted SET big = 'x' WHERE id = 2")
        changes = log.batch().changes[0]
    rows = dict(postgres.execute("SELECT id, big FROM toasted"))
    ids, big = changes.text(0).to_pylist(), changes.text(2).to_pylist()
    assert changes.unchanged(2) is None
    assert [big[i] == rows[int(ids[i])] for i in range(1, 100, 2)].count(False) == 1
    assert big[-1] == "x"
    assert all(big[i] == big[i + 1] for i in range(0, 100, 2))


def test_a_table_without_identity(postgres: PostgresServer) -> None:
    """Only inserts are published of a table that has none."""
    postgres.execute("DROP TABLE IF EXISTS nothing")
    postgres.execute("CREATE TABLE nothing (id int)")
    with logged(postgres, "nothing") as log:
        postgres.execute("INSERT INTO nothing VALUES (1)")
        batch = log.batch()
    assert batch.changes[0].relation.identity == "default"
    assert [c.key for c in batch.changes[0].relation.columns] == [False]
    postgres.execute("ALTER TABLE nothing REPLICA IDENTITY NOTHING")
    with logged(postgres, "nothing") as log:
        postgres.execute("INSERT INTO nothing VALUES (1)")
        assert log.batch().changes[0].relation.identity == "nothing"


def test_transactions_truncate_and_a_table_that_changes(postgres_version: PostgresServer) -> None:
    """In the order in which it happened, over two tables; nothing of what was rolled back."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS one, two")
    server.execute("CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY)")
    with logged(server, "one", "two") as log:
        server.execute("INSERT INTO one VALUES (1); INSERT INTO two VALUES (2); DELETE FROM one")
        with server.connect() as connection:
            connection.execute("BEGIN; INSERT INTO one VALUES (9); SAVEPOINT s")
            connection.execute("INSERT INTO one VALUES (10); ROLLBACK TO s; COMMIT")
            connection.execute("BEGIN; INSERT INTO one VALUES (11); ROLLBACK")
        server.execute("ALTER TABLE one ADD COLUMN more text DEFAULT 'x'")
        server.execute("INSERT INTO one VALUES (12)")
        server.execute("TRUNCATE one, two RESTART IDENTITY CASCADE")
        batch = log.batch()
        server.execute("INSERT INTO one VALUES (13)")
        after = log.batch()
    one, two, wider = batch.changes
    assert _rows(one) == [("+I", "1"), ("-D", "1", "key"), ("+I", "9")]
    assert _rows(two) == [("+I", "2")]
    assert _rows(wider) == [("+I", "12", "x")]
    assert one.transactions.tolist() == [0, 0, 1]
    assert one.ordinals[0] < two.ordinals[0] < one.ordinals[1] < wider.ordinals[0]
    (truncate,) = batch.truncates
    assert [r.name for r in truncate.relations] == ["one", "two"]
    assert (truncate.cascade, truncate.restart) == (True, True)
    assert truncate.ordinal > wider.ordinals[0]
    assert _positions_rise(batch)
    assert batch.complete
    assert (_rows(after.changes[0]), after.relations) == ([("+I", "13", "x")], ())
    assert after.transactions.xid[0] > batch.transactions.xid[-1]


def test_prepared_and_large_transactions(postgres_version: PostgresServer) -> None:
    """A prepared one comes when it is committed, one that the server had to spool in one piece."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS large")
    server.execute("CREATE TABLE large (id int PRIMARY KEY, v text)")
    memory = "-c logical_decoding_work_mem=64kB" if server.version >= 13 else ""
    with logged(server, "large", options=memory) as log, server.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO large VALUES (-1, 'prepared')")
        connection.execute("PREPARE TRANSACTION 'two'")
        server.execute(
            "INSERT INTO large VALUES (-2, 'between');"
            "INSERT INTO large SELECT i, repeat('x', 90) FROM generate_series(1, 5000) i"
        )
        before = log.batch()
        server.execute("COMMIT PREPARED 'two'")
        after = log.batch()
    assert before.changes[0].text(0).to_pylist() == ["-2", *map(str, range(1, 5001))]
    assert len(before.transactions) == 1
    assert _rows(after.changes[0]) == [("+I", "-1", "prepared")]
    assert after.transactions.xid[0] < before.transactions.xid[0]


def _positions_rise(batch: LogBatch) -> bool:
    t = batch.transactions
    return bool((t.final < t.end).all() and (t.end[:-1] <= t.final[1:]).all())


@since(13)
def test_a_partitioned_table_is_its_root(postgres_version: PostgresServer) -> None:
    """With publish_via_partition_root; version 12 publishes partitions only."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS parts")
    server.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    for i in (0, 10):
        server.execute(f"CREATE TABLE p{i} PARTITION OF parts FOR VALUES FROM ({i}) TO ({i + 10})")
    with logged(server, "parts") as log:
        server.execute("ALTER PUBLICATION log_of_parts SET (publish_via_partition_root = true)")
        server.execute("INSERT INTO parts VALUES (1), (11)")
        server.execute("UPDATE parts SET id = 12 WHERE id = 1")
        (changes,) = log.batch().changes
    assert changes.relation.name == "parts"
    # A row that moves to another partition leaves one and arrives in the other.
    assert _rows(changes) == [("+I", "1"), ("+I", "11"), ("-D", "1", "key"), ("+I", "12")]


@since(14)
def test_messages_of_the_user(postgres_version: PostgresServer) -> None:
    """In and outside of a transaction; before version 14 pgoutput has none."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS marked")
    server.execute("CREATE TABLE marked (id int PRIMARY KEY)")
    with logged(server, "marked") as log:
        with server.connect(autocommit=False) as connection:
            connection.execute("INSERT INTO marked VALUES (1)")
            connection.execute("SELECT pg_logical_emit_message(true, 'flowsql', 'mark')")
        position = server.execute("SELECT pg_logical_emit_message(false, 'bound', '') - '0/0'")
        batch = log.batch()
    inside, outside = sorted(batch.messages, key=lambda m: m.prefix == "bound")
    assert (inside.prefix, inside.content, inside.transaction) == ("flowsql", b"mark", 0)
    assert inside.ordinal > batch.changes[0].ordinals[0]
    assert (outside.prefix, outside.transaction) == ("bound", None)
    assert outside.position <= int(position[0][0])


def test_a_generated_column(postgres_version: PostgresServer) -> None:
    """Published from 18 on where the publication says so; never before."""
    server = postgres_version
    server.execute("DROP TABLE IF EXISTS made")
    server.execute(
        "CREATE TABLE made (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED)"
    )
    with logged(server, "made") as log:
        if server.version >= 18:
            server.execute("ALTER PUBLICATION log_of_made SET (publish_generated_columns = stored)")
        server.execute("INSERT INTO made VALUES (4)")
        (changes,) = log.batch().changes
    assert _rows(changes) == [("+I", "4", "8") if server.version >= 18 else ("+I", "4")]


def test_many_tables_and_transactions(postgres: PostgresServer) -> None:
    """However frames are cut into batches, every table's rows come out the same, in order."""
    tables = [f"many_{i}" for i in range(20)]
    for table in tables:
        postgres.execute(f"DROP TABLE IF EXISTS {table}")
        postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
        postgres.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    with logged(postgres, *tables) as log:
        with postgres.connect() as connection:
            for i in range(200):
                table = tables[i * 7 % 20]
                connection.execute(f"INSERT INTO {table} VALUES ({i}, 'v{i}')".encode())
                if i % 3 == 0:
                    connection.execute(f"UPDATE {table} SET v = v || '+', id = -id".encode())
        frames = log.frames()
    from flowsql_connectors.postgres_cdc import LogDecoder, read_frames

    def all_rows(size: int) -> dict[str, list[tuple[str, ...]]]:
        decoder, rows = LogDecoder(), {}
        for i in range(0, len(frames), size):
            for changes in decoder.decode(read_frames(frames[i : i + size])).changes:
                rows.setdefault(changes.relation.name, []).extend(_rows(changes))
        return rows

    whole = all_rows(len(frames))
    assert len(whole) == 20
    assert all_rows(1) == whole
    assert all_rows(7) == whole
