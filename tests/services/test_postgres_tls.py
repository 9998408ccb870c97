"""Encrypted connections of postgres-cdc: what is verified, who we are, and what is said if not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError
from tests.services.certificates import Authority
from tests.services.fixtures import POSTGRES_VERSIONS, started
from tests.services.following import Follow, drop_slot, make, server_table
from tests.services.postgres import PostgresServer

_RULES = b"""
hostssl all postgres 127.0.0.1/32 trust
hostssl all known    127.0.0.1/32 cert
host    all plain    127.0.0.1/32 trust
"""


@dataclass
class _Place:
    """A server with a certificate, and what clients may hold."""

    server: PostgresServer
    files: dict[str, str]


@pytest.fixture(scope="module", params=POSTGRES_VERSIONS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Place]:
    """It is called localhost, takes the superuser encrypted only, and one role by certificate."""
    folder = tmp_path_factory.mktemp("tls")
    ours, other = Authority(folder / "ours"), Authority(folder / "other")
    host, known = ours.sign("localhost", host=True), ours.sign("known")
    stranger = other.sign("known")
    open_key = folder / "open.key"
    open_key.write_bytes(known.key.read_bytes())
    open_key.chmod(0o644)
    files = {
        "ours": ours.certificate, "other": other.certificate, "gone": folder / "gone.crt",
        "known": known.certificate, "known.key": known.key, "open.key": open_key,
        "stranger": stranger.certificate, "stranger.key": stranger.key,
    }  # fmt: skip
    with started(request.param) as server:
        server.execute("CREATE ROLE known LOGIN SUPERUSER")
        server.execute("CREATE ROLE plain LOGIN SUPERUSER")
        for name, path in {
            "cert": host.certificate, "key": host.key, "ca": ours.certificate
        }.items():  # fmt: skip
            server.put(f"tls.{name}", path.read_bytes())
            server.execute(f"ALTER SYSTEM SET ssl_{name}_file = 'tls.{name}'")
        server.execute("ALTER SYSTEM SET ssl = on")
        make(server, "t", rows=3)
        server.put("pg_hba.conf", _RULES)
        server.execute("SELECT pg_reload_conf()")
        yield _Place(server, {k: str(v) for k, v in files.items()})


def _table(place: _Place, role: str, host: str, given: dict[str, str]) -> ConnectorTable:
    tls = {
        f"debezium__database__{k}": place.files.get(v, v) if k != "sslmode" else v
        for k, v in given.items()
    }
    return server_table(
        place.server, "id INT, v STRING", "t", key=("id",),
        username=role, hostname=host, connect__max_retries="0", **tls,
    )  # fmt: skip


_RIGHT = [
    ("postgres", "127.0.0.1", {}),
    ("postgres", "127.0.0.1", {"sslmode": "require"}),
    ("postgres", "127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": "ours"}),
    ("postgres", "localhost", {"sslmode": "verify-full", "sslrootcert": "ours"}),
    ("known", "localhost", {"sslmode": "verify-full", "sslrootcert": "ours", "sslcert": "known",
                            "sslkey": "known.key"}),
    ("plain", "127.0.0.1", {"sslmode": "disable"}),
]  # fmt: skip


@pytest.mark.parametrize(("role", "host", "given"), _RIGHT)
def test_read_over_tls(
    place: _Place, follow: Follow, role: str, host: str, given: dict[str, str]
) -> None:
    """Chunks and log: every connection is as asked."""
    server = place.server
    follower = follow(_table(place, role, host, given)).start()
    follower.until(lambda f: len(f.changes) == 3)
    server.execute("UPDATE t SET v = v || '+'")
    follower.until(lambda f: len(f.changes) == 9)
    found = server.execute(
        "SELECT DISTINCT ssl, usename::text, client_dn IS NOT NULL FROM pg_stat_ssl JOIN"
        " pg_stat_activity USING (pid) WHERE application_name = 'flowsql'"
    )
    assert found == [(given.get("sslmode") != "disable", role, role == "known")]
    follower.kill()
    drop_slot(server, "slot_t")
    server.execute("DROP PUBLICATION pub_t")


_MODE = "debezium.database.sslmode"
_WRONG = [
    ("postgres", "127.0.0.1", {"sslmode": "disable"}, "no pg_hba.conf entry", _MODE),
    ("postgres", "127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": "other"},
     "certificate verify failed", "debezium.database.sslrootcert"),
    ("postgres", "127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": "gone"},
     "does not exist", "debezium.database.sslrootcert"),
    ("postgres", "127.0.0.1", {"sslmode": "verify-full", "sslrootcert": "ours"},
     "does not match host name", "hostname"),
    ("known", "127.0.0.1", {"sslmode": "require"},
     "valid client certificate", "debezium.database.sslcert"),
    ("known", "127.0.0.1", {"sslmode": "require", "sslcert": "known", "sslkey": "open.key"},
     "has group or world access", "chmod 600"),
    ("known", "127.0.0.1", {"sslmode": "require", "sslcert": "stranger",
                            "sslkey": "stranger.key"}, "unknown ca", "debezium.database.sslcert"),
    ("known", "127.0.0.1", {"sslmode": "require", "sslcert": "known", "sslkey": "gone"},
     "not private key file", "debezium.database.sslkey"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda wrong: wrong[3])
def test_what_is_wrong_with_tls(
    place: _Place, follow: Follow, wrong: tuple[str, str, dict[str, str], str, str]
) -> None:
    """The client library's own words, and which option mends it; nothing goes over in the open."""
    role, host, given, said, cure = wrong
    with pytest.raises(ConnectorError, match="cannot be reached") as caught:
        follow(_table(place, role, host, given)).start()
    assert said in str(caught.value.detail), caught.value.detail
    assert cure in str(caught.value.hint), (caught.value.hint, caught.value.detail)


def test_a_server_without_tls(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """`require` does not do without."""
    make(postgres_version, name, rows=1)
    table = server_table(
        postgres_version, "id INT, v STRING", name, debezium__database__sslmode="require"
    )
    with pytest.raises(ConnectorError, match="cannot be reached") as caught:
        follow(table).start()
    assert "does not support SSL" in str(caught.value.detail)
    assert "'debezium.database.sslmode' = 'prefer'" in str(caught.value.hint)
