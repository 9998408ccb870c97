"""What `flowsql check` and CHECK TABLE find in a PostgreSQL server, all at once, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowsql
from flowsql.connector import Severity
from flowsql.runtime.preflight import Found, Report
from tests.services.fixtures import POSTGRES_VERSIONS, started
from tests.services.postgres import PostgresServer

KEEPS = "keeps its log for a job without limit"


@pytest.fixture(scope="module", params=POSTGRES_VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One of its own: settings are changed."""
    with started(request.param) as made:
        made.execute("CREATE ROLE reader LOGIN PASSWORD 'secret-word'")
        made.execute("CREATE TABLE good (id int PRIMARY KEY, v text, n int)")
        made.execute("ALTER TABLE good REPLICA IDENTITY FULL")
        made.execute("CREATE TABLE thin (id int PRIMARY KEY, v text)")
        made.execute('CREATE TABLE "Odd ""one" (id int PRIMARY KEY)')
        yield made


def _session(server: PostgresServer) -> flowsql.Session:
    session = flowsql.connect()
    session.execute(
        "CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) "
        "WITH ('connector' = 'blackhole')"
    )
    session.server = server  # type: ignore[attr-defined]
    return session


def _declare(
    session: flowsql.Session,
    name: str,
    columns: str,
    table: str,
    user: str = "postgres",
    **more: str,
) -> None:
    server = session.server  # type: ignore[attr-defined]
    options = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": user,
        "password": "secret-word",
        "database-name": "postgres",
        "schema-name": "public",
        "table-name": table,
        "slot.name": "checked",
        "connect.max-retries": "0",
        **{k.replace("__", "-").replace("_", "."): v for k, v in more.items()},
    }
    written = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
    key = "" if "PRIMARY" in columns else ", PRIMARY KEY (id) NOT ENFORCED"
    session.execute(f"CREATE TABLE {name} ({columns}{key}) WITH ({written})")


def _found(report: Report, severity: Severity = Severity.ERROR) -> list[Found]:
    return [f for f in report.found if f.severity is severity]


def _left(server: PostgresServer) -> list[tuple[object, ...]]:
    return server.execute(
        "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication"
    )


def test_nothing_stands_in_the_way(server: PostgresServer) -> None:
    """What a start would make is not made by looking."""
    with _session(server) as session:
        _declare(session, "g", "id INT, v STRING", "good")
        report = session.check("INSERT INTO o SELECT id, v FROM g")
        assert _found(report) == []
        assert _found(report, Severity.WARNING) == []
        (note,) = _found(report, Severity.NOTE)
        assert KEEPS in note.error.message
        assert session.check("SELECT id FROM g").found == []
        result = session.execute("CHECK TABLE g")
        assert isinstance(result, flowsql.Result)
        assert [row[1] for row in result.fetchall()] == ["note"]
    assert _left(server) == []


def test_everything_wrong_with_tables(server: PostgresServer) -> None:
    """Names, columns, types, keys, replica identity: each table, each column."""
    with _session(server) as session:
        _declare(session, "thin", "id INT, v INT, w STRING", "thin")
        _declare(session, "gone", "id INT", "godo")
        _declare(session, "good", "id INT, n INT NOT NULL, PRIMARY KEY (n) NOT ENFORCED", "good")
        report = session.check(
            "SELECT v FROM thin UNION ALL SELECT id FROM gone UNION ALL SELECT n FROM good"
        )
        said = [(f.table.rpartition(".")[2], f.error.message, f.error.hint) for f in _found(report)]
        texts = "\n".join(f"{t}: {m} [{h}]" for t, m, h in said)
        assert 'thin: table "public.thin" of the server has no column "w"' in texts
        assert 'column "v"' in texts
        assert (
            'the log has no whole old rows of "public.thin", which updates and deletes need in '
            'table "thin": its replica identity is default [Run in the server: ALTER TABLE '
            '"public"."thin" REPLICA IDENTITY FULL;'
        ) in texts
        assert 'matches "public"."godo"' in texts
        assert 'Did you mean "public.good"?' in texts
        assert 'good: the primary key ("n") of table "good" does not tell rows' in texts
        (warning,) = _found(report, Severity.WARNING)
        assert 'column "n" of "public.good" may hold NULL' in warning.error.message
    assert _left(server) == []


def test_upserts_need_less(server: PostgresServer) -> None:
    """Where the engine keeps the rows nothing is needed; straight into a sink whole rows are."""
    with _session(server) as session:
        _declare(session, "u", "id INT, v STRING", "thin", changelog__mode="upsert")
        assert _found(session.check("SELECT COUNT(*) FROM u"), Severity.WARNING) == []
        report = session.check("INSERT INTO o SELECT id, v FROM u")
        assert _found(report) == []
        (warning,) = _found(report, Severity.WARNING)
        assert warning.error.message == (
            'the log leaves out large values of "public.thin" that an update did not change, and '
            'nothing in this plan of table "u" keeps them: "v"'
        )


def test_generated_columns(server: PostgresServer) -> None:
    """Before version 18 the log has none."""
    server.execute("CREATE TABLE made (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED)")
    server.execute("ALTER TABLE made REPLICA IDENTITY FULL")
    with _session(server) as session:
        _declare(session, "m", "id INT, g INT", "made")
        said = [f.error.message for f in _found(session.check("SELECT g FROM m"))]
        refused = [
            'column "g" of table "public.made" is generated, and not in the log of the server'
        ]
        assert said == (refused if server.version < 18 else [])


def test_rights(server: PostgresServer) -> None:
    """Each right that is missing with the statement that gives it, names quoted."""
    with _session(server) as session:
        _declare(session, "r", "id INT", 'Odd "one', "reader", changelog__mode="upsert")
        report = session.check("SELECT id FROM r")
        cures = [f.error.hint for f in _found(report)]
        assert cures[:2] == [
            'Run in the server: ALTER ROLE "reader" REPLICATION;',
            'Run in the server: GRANT SELECT ON "public"."Odd ""one" TO "reader";',
        ]
        assert 'Run in the server: CREATE PUBLICATION "dbz_publication" FOR' in str(cures[2])
        assert '"public"."Odd ""one"' in str(cures[2])
        server.execute('GRANT SELECT ON "Odd ""one" TO reader')
        server.execute("ALTER ROLE reader REPLICATION")
        server.execute('CREATE PUBLICATION dbz_publication FOR TABLE "Odd ""one"')
        assert _found(session.check("SELECT id FROM r")) == []
        server.execute("DROP PUBLICATION dbz_publication")


def test_slots(server: PostgresServer) -> None:
    """One that is somebody else's; none that is free."""
    server.execute("SELECT pg_create_logical_replication_slot('checked', 'test_decoding')")
    with _session(server) as session:
        _declare(session, "g", "id INT, v STRING", "good")
        (found,) = _found(session.check("INSERT INTO o SELECT id, v FROM g"))
        assert 'slot "checked"' in found.error.message
        assert "test_decoding" in found.error.message
        server.execute("SELECT pg_drop_replication_slot('checked')")
        ((most,),) = server.execute("SELECT current_setting('max_replication_slots')::int")
        for i in range(int(str(most))):
            server.execute(f"SELECT pg_create_physical_replication_slot('full_{i}')")
        (found,) = _found(session.check("INSERT INTO o SELECT id, v FROM g"))
        assert f"has no replication slot left: {most} of {most} are in use" in found.error.message
        assert f"ALTER SYSTEM SET max_replication_slots = {int(str(most)) + 5}" in str(
            found.error.hint
        )
        server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_settings_and_reach() -> None:
    """A server that writes too little into its log; one that is not there; a wrong password."""
    with started(15, {"wal_level": "replica", "max_slot_wal_keep_size": "64MB"}) as server:
        server.execute("CREATE TABLE good (id int PRIMARY KEY)")
        server.execute("ALTER TABLE good REPLICA IDENTITY FULL")
        with _session(server) as session:
            _declare(session, "g", "id INT", "good")
            report = session.check("INSERT INTO o SELECT id, CAST(NULL AS STRING) FROM g")
            (found,) = _found(report)
            assert found.error.message.endswith("too little into its log: wal_level is replica")
            assert "ALTER SYSTEM SET wal_level = 'logical'" in str(found.error.hint)
            (warning,) = _found(report, Severity.WARNING)
            assert "falls behind by more than 64MB" in warning.error.message
            server.stop()
            (found,) = _found(session.check("SELECT id FROM g"))
            assert "cannot be reached" in found.error.message
            assert found.error.hint == "Check 'hostname' and 'port', and that the server runs."
            assert "secret-word" not in str(found.error)
