"""What `flowsql check` and CHECK TABLE find in a PostgreSQL server, all at once, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import flowsql
from flowsql.connector import Severity
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError
from flowsql.runtime.preflight import Found, Report
from tests.services.fixtures import POSTGRES_VERSIONS, started
from tests.services.postgres import PostgresServer
from tests.services.reading import Log

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
    *,
    password: str = "secret-word",
    **more: str,
) -> None:
    server = session.server  # type: ignore[attr-defined]
    options = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": user,
        **({"password": password} if password else {}),
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


_CATALOGUES = (
    "pg_class", "pg_attribute", "pg_index", "pg_trigger", "pg_proc", "pg_authid", "pg_auth_members",
    "pg_namespace", "pg_db_role_setting", "pg_publication", "pg_publication_rel", "pg_constraint",
    "pg_default_acl", "pg_event_trigger", "pg_database",
)  # fmt: skip


def _state(server: PostgresServer) -> dict[str, object]:
    """All that a look could change: each row of the catalogues by who wrote it, slots, settings."""
    found: dict[str, object] = {
        name: server.execute(f"SELECT ctid::text, xmin::text FROM {name} ORDER BY 1")
        for name in _CATALOGUES
    }
    found["slots"] = server.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
    found["settings"] = server.execute("SELECT name, setting FROM pg_file_settings ORDER BY 1, 2")
    return found


def _check(session: flowsql.Session, statement: str) -> Report:
    """What is found; looking changes nothing."""
    server = session.server  # type: ignore[attr-defined]
    before = _state(server)
    report = session.check(statement)
    assert _state(server) == before
    return report


def test_nothing_stands_in_the_way(server: PostgresServer) -> None:
    """What a start would make is not made by looking."""
    with _session(server) as session:
        _declare(session, "g", "id INT, v STRING", "good")
        report = _check(session, "INSERT INTO o SELECT id, v FROM g")
        assert _found(report) == []
        assert _found(report, Severity.WARNING) == []
        (note,) = _found(report, Severity.NOTE)
        assert KEEPS in note.error.message
        assert _check(session, "SELECT id FROM g").found == []
        result = session.execute("CHECK TABLE g")
        assert isinstance(result, flowsql.Result)
        assert [row[1] for row in result.fetchall()] == ["note"]


def test_everything_wrong_with_tables(server: PostgresServer) -> None:
    """Names, columns, types, keys, replica identity: each table, each column."""
    with _session(server) as session:
        _declare(session, "thin", "id INT, v INT, w STRING", "thin")
        _declare(session, "gone", "id INT", "godo")
        _declare(session, "good", "id INT, n INT NOT NULL, PRIMARY KEY (n) NOT ENFORCED", "good")
        report = _check(
            session, "SELECT v FROM thin UNION ALL SELECT id FROM gone UNION ALL SELECT n FROM good"
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


def test_upserts_need_less(server: PostgresServer) -> None:
    """Where the engine keeps the rows nothing is needed; straight into a sink whole rows are."""
    with _session(server) as session:
        _declare(session, "u", "id INT, v STRING", "thin", changelog__mode="upsert")
        assert _found(_check(session, "SELECT COUNT(*) FROM u"), Severity.WARNING) == []
        report = _check(session, "INSERT INTO o SELECT id, v FROM u")
        assert _found(report) == []
        (warning,) = _found(report, Severity.WARNING)
        assert warning.error.message == (
            'the log leaves out large values of "public.thin" that an update did not change, and '
            'nothing in this plan of table "u" keeps them: "v"'
        )


def test_values_that_the_log_leaves_out(server: PostgresServer) -> None:
    """Whoever keeps the rows lacks them where a key is changed; who adds only, at once."""
    server.execute("CREATE TABLE short (id int PRIMARY KEY, v varchar(20))")
    with _session(server) as session:
        _declare(session, "u", "id INT, v STRING", "thin", changelog__mode="upsert")
        (warning,) = _found(_check(session, "SELECT MAX(v) FROM u"), Severity.WARNING)
        assert warning.error.message == (
            'the log leaves out large values of "public.thin" that an update did not change, and an'
            ' update that changes the primary key of such a row of table "u" ends the job: "v"'
        )
        assert 'ALTER TABLE "public"."thin" REPLICA IDENTITY FULL;' in str(warning.error.hint)
        assert _found(_check(session, "SELECT MAX(id) FROM u"), Severity.WARNING) == []
        _declare(session, "s", "id INT, v STRING", "short", changelog__mode="upsert")
        for statement in ("SELECT MAX(v) FROM s", "INSERT INTO o SELECT id, v FROM s"):
            assert _found(_check(session, statement), Severity.WARNING) == []
        append = {"scan_read__changelog__as__append__only_enabled": "true"}
        _declare(session, "a", "id INT, v STRING", "thin", **append)
        (warning,) = _found(_check(session, "SELECT id FROM a"), Severity.WARNING)
        assert warning.error.message.startswith('the log has no whole old rows of "public.thin"')


def test_a_query_has_no_slot_that_was_there(server: PostgresServer) -> None:
    """What the slot of the options has kept is read by a job only."""
    with _session(server) as session:
        _declare(session, "g", "id INT, v STRING", "good", scan_startup_mode="committed-offset")
        (found,) = _found(_check(session, "SELECT id FROM g"))
        assert found.error.message == (
            'a SELECT has a slot of its own, so that it cannot read what slot "checked" has kept'
        )
        with pytest.raises(ConfigError, match="a SELECT has a slot of its own") as caught:
            next(session.execute("SELECT id FROM g").changes())
        assert "OPTIONS('scan.startup.mode' = 'latest-offset')" in str(caught.value)
        assert _found(_check(session, "INSERT INTO o SELECT id, v FROM g")) == []


def test_a_start_that_fails_tells_all(server: PostgresServer, tmp_path: Path) -> None:
    """What is missing beside the first thing, each with the statement; and no folder is left."""
    server.execute("CREATE TABLE closed (id int PRIMARY KEY, v text)")
    with _session(server) as session:
        session.execute(f"SET 'execution.checkpointing.dir' = '{tmp_path}/jobs'")
        _declare(session, "g", "id INT, v STRING", "good", "reader")
        _declare(session, "c", "id INT, v STRING", "closed", "reader")
        job = session.execute("INSERT INTO o SELECT g.id, c.v FROM g JOIN c ON g.id = c.id")
        with pytest.raises(FlowSQLError) as caught:
            job.wait(60)
        text = str(caught.value)
        for cure in (
            'ALTER ROLE "reader" REPLICATION;',
            'GRANT SELECT ON "public"."good" TO "reader";',
            'GRANT SELECT ON "public"."closed" TO "reader";',
            'ALTER TABLE "public"."closed" REPLICA IDENTITY FULL;',
        ):
            assert text.count(cure) == 1, text
        assert "secret-word" not in text
        assert not (tmp_path / "jobs").exists()


def test_a_start_that_fails_as_the_server_stops(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing is told, where the look for others fails as well."""

    def away(*_: object) -> None:
        raise psycopg.errors.AdminShutdown("terminating connection")

    monkeypatch.setattr("flowsql_connectors.postgres_cdc.preflight._Check.run", away)
    server.execute("CREATE TABLE shut (id int PRIMARY KEY, v text)")
    with _session(server) as session:
        session.execute(f"SET 'execution.checkpointing.dir' = '{tmp_path}/jobs'")
        _declare(session, "s", "id INT, v STRING", "shut", "reader")
        job = session.execute("INSERT INTO o SELECT id, v FROM s")
        with pytest.raises(ConnectorError, match=r"refused a statement|did not create"):
            job.wait(60)


def test_tables_that_a_publication_would_close(server: PostgresServer) -> None:
    """Without replica identity the server takes no UPDATE of what is published."""
    server.execute("CREATE TABLE loose (id int NOT NULL UNIQUE, v text)")
    append = "scan_read__changelog__as__append__only_enabled"
    with _session(server) as session:
        _declare(session, "l", "id INT, v STRING", "loose", **{append: "true"})
        (found,) = _found(_check(session, "INSERT INTO o SELECT id, v FROM l"))
        assert found.error.message.startswith('table "public.loose" of PostgreSQL server')
        assert "cannot be put into a publication" in found.error.message
        assert 'ALTER TABLE "public"."loose" REPLICA IDENTITY FULL;' in str(found.error.hint)
        server.execute("CREATE PUBLICATION dbz_publication FOR TABLE loose")
        assert _found(_check(session, "INSERT INTO o SELECT id, v FROM l")) == []
        server.execute("DROP PUBLICATION dbz_publication")


def test_keys_of_several_tables(server: PostgresServer) -> None:
    """Rows of the same key would be one row, whichever table they are of."""
    for name in ("part_1", "part_2"):
        server.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text)")
        server.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
    with _session(server) as session:
        _declare(session, "k", "id INT, v STRING", "part_[0-9]")
        (warning,) = _found(_check(session, "SELECT v FROM k"), Severity.WARNING)
        assert warning.error.message.startswith('table "k" is 2 tables of PostgreSQL server')
        _declare(session, "single", "id INT, v STRING", "part_1")
        assert _found(_check(session, "SELECT v FROM single"), Severity.WARNING) == []


def test_generated_columns(server: PostgresServer) -> None:
    """Before version 18 the log has none."""
    server.execute("CREATE TABLE made (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED)")
    server.execute("ALTER TABLE made REPLICA IDENTITY FULL")
    with _session(server) as session:
        _declare(session, "m", "id INT, g INT", "made")
        said = [f.error.message for f in _found(_check(session, "SELECT g FROM m"))]
        refused = [
            'column "g" of table "public.made" is generated, and not in the log of the server'
        ]
        assert said == (refused if server.version < 18 else [])


def test_rights(server: PostgresServer) -> None:
    """Each right that is missing with the statement that gives it, names quoted."""
    with _session(server) as session:
        _declare(session, "r", "id INT", 'Odd "one', "reader", changelog__mode="upsert")
        report = _check(session, "SELECT id FROM r")
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
        assert _found(_check(session, "SELECT id FROM r")) == []
        server.execute("DROP PUBLICATION dbz_publication")


def test_slots(server: PostgresServer) -> None:
    """One that is somebody else's; none that is free."""
    server.execute("SELECT pg_create_logical_replication_slot('checked', 'test_decoding')")
    with _session(server) as session:
        _declare(session, "g", "id INT, v STRING", "good")
        (found,) = _found(_check(session, "INSERT INTO o SELECT id, v FROM g"))
        assert 'slot "checked"' in found.error.message
        assert "test_decoding" in found.error.message
        server.execute("SELECT pg_drop_replication_slot('checked')")
        ((most,),) = server.execute("SELECT current_setting('max_replication_slots')::int")
        for i in range(int(str(most))):
            server.execute(f"SELECT pg_create_physical_replication_slot('full_{i}')")
        (found,) = _found(_check(session, "INSERT INTO o SELECT id, v FROM g"))
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
            report = _check(session, "INSERT INTO o SELECT id, CAST(NULL AS STRING) FROM g")
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


def test_a_password(server: PostgresServer) -> None:
    """Wrong, or not given: who connects is told what to give, and nothing of what was given."""
    rules = (Path(server.execute("SHOW hba_file")[0][0])).read_bytes()
    server.put("pg_hba.conf", b"host all reader 127.0.0.1/32 md5\n" + rules)
    server.execute("SELECT pg_reload_conf()")
    try:
        with _session(server) as session:
            _declare(session, "w", "id INT", "good", "reader", password="wrong-word")
            _declare(session, "n", "id INT", "good", "reader", password="")
            (wrong,) = _found(_check(session, "SELECT id FROM w"))
            (none,) = _found(_check(session, "SELECT id FROM n"))
    finally:
        server.put("pg_hba.conf", rules)
        server.execute("SELECT pg_reload_conf()")
    assert wrong.error.hint == "Check 'username' and 'password'."
    assert "wrong-word" not in str(wrong.error)
    assert none.error.hint == "Give the role's password in option 'password'."


def test_a_role_that_owns_the_table(server: PostgresServer) -> None:
    """It may make the publication once it may make anything in the database."""
    server.execute("CREATE ROLE owner_role LOGIN REPLICATION")
    server.execute("CREATE TABLE owned (id int PRIMARY KEY, v text)")
    server.execute("ALTER TABLE owned OWNER TO owner_role; ALTER TABLE owned REPLICA IDENTITY FULL")
    with _session(server) as session:
        _declare(session, "o1", "id INT", "owned", "owner_role")
        (found,) = _found(_check(session, "SELECT id FROM o1"))
        cure = 'GRANT CREATE ON DATABASE "postgres" TO "owner_role";'
        assert found.error.hint == f"Run in the server: {cure}"
        server.execute(cure)
        assert _found(_check(session, "SELECT id FROM o1")) == []
        server.execute("REVOKE CREATE ON DATABASE postgres FROM owner_role")


@pytest.mark.parametrize(
    ("made", "said", "cure"),
    [
        (
            "CREATE PUBLICATION shown FOR TABLE thin",
            'does not hold "public.good"',
            'ALTER PUBLICATION "shown" ADD TABLE ONLY "public"."good";',
        ),
        (
            "CREATE PUBLICATION shown FOR TABLE good WITH (publish = 'insert, delete')",
            "does not publish update, truncate",
            "SET (publish = 'insert, update, delete, truncate');",
        ),
        ("SELECT 1", 'no publication "shown"', 'CREATE PUBLICATION "shown" FOR TABLE ONLY'),
    ],
)
def test_a_publication_that_lacks_something(
    server: PostgresServer, made: str, said: str, cure: str
) -> None:
    """Where it is not ours to make, the statement is its owner's."""
    server.execute(made)
    with _session(server) as session:
        _declare(
            session, "g", "id INT, v STRING", "good",
            debezium_publication_name="shown", debezium_publication_autocreate_mode="disabled",
        )  # fmt: skip
        (found,) = _found(_check(session, "INSERT INTO o SELECT id, v FROM g"))
        assert said in found.error.message
        assert cure in str(found.error.hint)
    server.execute("DROP PUBLICATION IF EXISTS shown")


def test_a_slot_whose_publication_lacks_the_table(server: PostgresServer) -> None:
    """A start that goes on from it would miss changes, and refuses."""
    server.execute("CREATE PUBLICATION shown FOR TABLE thin")
    server.execute("SELECT pg_create_logical_replication_slot('checked', 'pgoutput')")
    with _session(server) as session:
        for mode, expected in (("committed-offset", 1), ("latest-offset", 0)):
            session.execute("DROP TABLE IF EXISTS g")
            _declare(
                session, "g", "id INT, v STRING", "good",
                debezium_publication_name="shown", scan_startup_mode=mode,
            )  # fmt: skip
            found = _found(_check(session, "INSERT INTO o SELECT id, v FROM g"))
            assert len(found) == expected
            for one in found:
                assert 'does not hold "public.good"' in one.error.message
                assert one.error.detail == "What was changed in them so far is not in the log."
    server.execute("SELECT pg_drop_replication_slot('checked')")
    server.execute("DROP PUBLICATION shown")


@pytest.mark.parametrize("server", [v for v in POSTGRES_VERSIONS if v >= 15], indirect=True)
def test_a_publication_that_lacks_columns_or_rows(server: PostgresServer) -> None:
    """Lists of columns and conditions, from 15 on."""
    server.execute("CREATE TABLE wide (id int PRIMARY KEY, v text, n int)")
    server.execute("CREATE PUBLICATION dbz_publication FOR TABLE wide (id, n)")
    with _session(server) as session:
        _declare(session, "w", "id INT, v STRING", "wide", changelog__mode="upsert")
        _declare(session, "x", "id INT, n INT", "wide", changelog__mode="upsert")
        (found,) = _found(_check(session, "SELECT id FROM w"))
        assert 'leaves out columns of "public.wide": "v"' in found.error.message
        assert str(found.error.hint).endswith(
            'DROP TABLE ONLY "public"."wide"; ALTER PUBLICATION "dbz_publication" ADD TABLE ONLY'
            ' "public"."wide";'
        )
        assert _found(_check(session, "SELECT id FROM x")) == []
        server.execute("ALTER PUBLICATION dbz_publication SET TABLE wide WHERE (id > 3)")
        (found,) = _found(_check(session, "SELECT id FROM x"))
        assert 'leaves out rows of "public.wide"' in found.error.message
    server.execute("DROP PUBLICATION dbz_publication; DROP TABLE wide")


@pytest.mark.parametrize("server", [v for v in POSTGRES_VERSIONS if v >= 13], indirect=True)
def test_partitions_without_full(server: PostgresServer) -> None:
    """Each with its statement."""
    server.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id)")
    for i in (1, 2):
        server.execute(f"CREATE TABLE parts_{i} PARTITION OF parts FOR VALUES IN ({i})")
    server.execute("ALTER TABLE parts REPLICA IDENTITY FULL")
    with _session(server) as session:
        _declare(session, "p", "id INT", "parts")
        (found,) = _found(_check(session, "SELECT id FROM p"))
        assert 'but "public.parts_1", "public.parts_2" not' in found.error.message
        assert 'ALTER TABLE "public"."parts_2" REPLICA IDENTITY FULL;' in str(found.error.hint)
    server.execute("DROP TABLE parts")


def test_no_connection_for_the_log_is_left() -> None:
    """As many as there may be are in use."""
    with started(15, {"max_wal_senders": "1"}) as server:
        server.execute("CREATE TABLE good (id int PRIMARY KEY)")
        server.execute("ALTER TABLE good REPLICA IDENTITY FULL")
        server.execute("CREATE PUBLICATION used")
        log = Log(server, "used", "used")
        with _session(server) as session:
            _declare(session, "g", "id INT", "good")
            (found,) = _found(_check(session, "SELECT id FROM g"))
        log.close()
        assert "has no connection for its log left: 1 of 1 are in use" in found.error.message
        assert "ALTER SYSTEM SET max_wal_senders = 6; and restart it" in str(found.error.hint)


@pytest.mark.parametrize("version", POSTGRES_VERSIONS)
def test_a_standby(version: int) -> None:
    """Before 16 it has no log to read; later it needs the publication of its primary."""
    with started(version) as primary:
        primary.execute("CREATE TABLE good (id int PRIMARY KEY)")
        primary.execute("ALTER TABLE good REPLICA IDENTITY FULL")
        with primary.standby() as standby, _session(standby) as session:
            _declare(session, "g", "id INT", "good")
            first, *rest = _found(_check(session, "SELECT id FROM g"))
            if version < 16:
                assert "is a standby, which sends its log from version 16" in first.error.message
                assert first.error.hint == "Name the primary in 'hostname'."
                (first,) = rest
            assert 'no publication "dbz_publication"' in first.error.message
            assert "CREATE PUBLICATION" in str(first.error.hint)
