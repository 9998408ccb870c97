"""Connections to one server, and its errors as ours."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.settings import SESSION_OPTIONS

__all__ = ["Connection", "Server", "lsn_number", "lsn_text", "may_pass"]

Connection = psycopg.Connection[Any]

# What a role or database may be set to, and what reading a large table cannot do with.
# Policies that hide rows of a snapshot would not hide them in the log: they are an error. What a server
# leaves out of the log it says in a warning; and what is made there is made for who asked for it, and
# needed by nobody before the log behind it is: no standby is waited for.
_UNHURRIED: Final = (
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
    " -c row_security=off -c client_min_messages=warning -c default_transaction_read_only=off"
    " -c synchronous_commit=local"
)
# Those that a server must know already, by the version since which it does.
_LATER: Final = ((140_000, "idle_session_timeout"), (170_000, "transaction_timeout"))
_FIRST_WAIT: Final = 0.2  # seconds
_LONGEST_WAIT: Final = 5.0


def lsn_text(lsn: int) -> str:
    """A log position as the server writes it, `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """A log position from the server's text."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


class Server:
    """Where the tables are, and how to get there.

    Args:
        table: any of the group; its options say where.
    """

    def __init__(self, table: ConnectorTable) -> None:
        options = table.options
        self.host: str = options["hostname"]
        self.port: int = options["port"]
        self.database: str = options["database-name"]
        self._password: str | None = options["password"]
        self._retries = max(0, options["connect.max-retries"])
        self._parameters: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": options["username"],
            "connect_timeout": max(2, options["connect.timeout"] // 1000),
            "application_name": "flowsql",
            "options": f"{SESSION_OPTIONS} {_UNHURRIED}",
            "sslmode": options["debezium.database.sslmode"],
        }
        if self._password is not None:
            self._parameters["password"] = self._password
        for key in ("sslrootcert", "sslcert", "sslkey"):
            if options[f"debezium.database.{key}"] is not None:
                self._parameters[key] = options[f"debezium.database.{key}"]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"

    def open(self, *, replication: bool = False) -> Connection:
        """A new connection that commits every statement; one attempt.

        Raises psycopg.OperationalError.
        """
        parameters = dict(self._parameters)
        if replication:
            parameters["replication"] = "database"
        connection = psycopg.connect(**parameters, autocommit=True)
        later = [name for since, name in _LATER if connection.info.server_version >= since]
        if later:
            connection.execute("; ".join(f"SET {name} = 0" for name in later).encode())
        return connection

    def connect(self, *, replication: bool = False) -> Connection:
        """A new connection, tried `connect.max-retries` times again where the server is away.

        Raises ConnectorError.
        """
        wait = _FIRST_WAIT
        for left in range(self._retries, -1, -1):
            try:
                return self.open(replication=replication)
            except psycopg.OperationalError as error:
                if not may_pass(error):
                    raise self.error(error, "cannot be reached") from None
                if left == 0:
                    # What "cannot" be done is not tried again.
                    raise self.error(error, "does not answer") from None
            threading.Event().wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        raise AssertionError

    def error(self, error: psycopg.Error, what: str) -> ConnectorError:
        """Ours for one of the client library; the password is never part of it."""
        text = str(error).strip()
        if self._password:
            text = text.replace(self._password, "******")
        return ConnectorError(f'PostgreSQL server "{self}" {what}', detail=text, hint=_cure(text))

    def rows(self, connection: Connection, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement; raises ConnectorError."""
        try:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise self.failed(error, "refused a statement") from None

    def records(self, connection: Connection, query: Any, *values: Any) -> list[dict[str, Any]]:
        """The rows of a statement by column names; raises ConnectorError."""
        try:
            with connection.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(query, values or None).fetchall()
        except psycopg.Error as error:
            raise self.failed(error, "refused a statement") from None

    def failed(self, error: psycopg.Error, what: str) -> ConnectorError:
        """Ours for a statement that failed: as told, or as the server went away amid it."""
        gone = isinstance(error, psycopg.OperationalError) and (
            error.sqlstate is None or error.sqlstate.startswith(("57P", "08"))
        )
        return self.error(error, "ended the connection" if gone else what)


def may_pass(error: psycopg.Error) -> bool:
    """Whether it may be otherwise a moment later: it starts, stops, has no room, is not there."""
    state = error.sqlstate
    if state is not None:
        return state.startswith(("57P", "53", "08"))
    text = str(error)
    wrong = (
        "password authentication",
        "does not exist",
        "no pg_hba.conf",
        "SSL",
        "certificate",
        "private key",
    )
    return not any(part in text for part in wrong)


_REPLICATION: Final = 'Run in the server: ALTER ROLE "…" REPLICATION; with the name of the role.'
_ENCRYPT: Final = (
    "Set 'debezium.database.sslmode' = 'require', or allow role and address without encryption in"
    " the server's pg_hba.conf."
)
_CURES: Final[Sequence[tuple[str, str]]] = (
    ("password authentication", "Check 'username' and 'password'."),
    ("no password supplied", "Give the role's password in option 'password'."),
    *((off, _ENCRYPT) for off in ("no encryption", "SSL off")),
    ("no pg_hba.conf entry", "Allow role and address in the server's pg_hba.conf."),
    ("replication role", _REPLICATION),
    ("permission denied to use replication slots", _REPLICATION),
    ("permission denied to start WAL sender", _REPLICATION),
    ("permission denied", "Grant the role USAGE on the schema and SELECT on the table."),
    ("wal_level", "Set wal_level = logical in the server's configuration and restart it."),
    ("replication slots are in use", "Drop a slot of no use, or raise max_replication_slots."),
    ("max_wal_senders", "Raise max_wal_senders in the server's configuration."),
    ("Connection refused", "Check 'hostname' and 'port', and that the server runs."),
    ("could not translate host name", "Check 'hostname'."),
    ("failed to resolve host", "Check 'hostname'."),
    ("FATAL:  database", "Check 'database-name'."),
    ("FATAL:  role", "Check 'username': a role of that name that may LOGIN must be there."),
    ("timeout expired", "Check 'hostname' and 'port', and that no firewall is in the way."),
    (
        "does not support SSL",
        "Set 'debezium.database.sslmode' = 'prefer', or ssl = on in the server's configuration.",
    ),
    (
        "does not match host name",
        (
            "Give the name in the server's certificate as 'hostname'; or verify its authority only:"
            " 'debezium.database.sslmode' = 'verify-ca'."
        ),
    ),
    (
        "requires a valid client certificate",
        (
            "Give the role's certificate in 'debezium.database.sslcert' and its key in"
            " 'debezium.database.sslkey'."
        ),
    ),
    ("certificate authentication failed", "Check 'username' and 'debezium.database.sslcert'."),
    ("unknown ca", "Check 'debezium.database.sslcert': the server does not trust who signed it."),
    ("group or world access", "Let nobody else read the key: chmod 600."),
    ("private key file", "Check 'debezium.database.sslkey'."),
    ("certificate", "Check 'debezium.database.sslmode' and 'debezium.database.sslrootcert'."),
)


def _cure(text: str) -> str | None:
    return next((cure for part, cure in _CURES if part in text), None)
