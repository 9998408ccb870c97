"""A secret literal is seen by its connector and by nobody else."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

import flowsql
from flowsql.config import Option, OptionType
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Role,
    Sink,
    Source,
    Writer,
)
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConnectorError
from flowsql.library import masking
from flowsql.library.masking import starred

SECRET = "hunter2hunter2"


class _Writer(Writer):
    def write(self, given: flowsql.Changes) -> None:
        del given

    def prepare(self, checkpoint: int) -> JSON | None:
        del checkpoint
        return None

    def commit(self, token: JSON) -> None:
        del token


class _Sink(Sink):
    guarantee = Guarantee.AT_LEAST_ONCE

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        del context, previous_tokens
        return _Writer()


class Vault(Connector):
    """Has a secret whose key does not tell that it is one, and repeats it in its errors."""

    name: ClassVar[str] = "vault"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN, Role.SINK})
    options = (
        Option("pin", OptionType.STRING, "Opens it.", required=True, secret=True),
        Option("door", OptionType.INT, "Which.", default=1, secret=True),
    )

    def bounded(self, table: ConnectorTable) -> bool:
        return bool(table)

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del position, context
        raise ConnectorError(
            f"cannot open with {tables[0].options['pin']}",
            detail=f"It said: {tables[0].options['pin']}?",
        )

    def sink(self, table: ConnectorTable) -> Sink:
        del table
        return _Sink()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flowsql.Session]:
    """Knows the connector."""
    vault = Vault()

    def find(name: str) -> Connector:
        return vault if name == vault.name else find_connector(name)

    monkeypatch.setattr("flowsql.session.find_connector", find)
    monkeypatch.setattr(masking, "find_connector", find)
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "jobs")}) as made:
        yield made


TABLE = f"CREATE TABLE v (a INT) WITH ('connector' = 'vault', 'pin' = '{SECRET}'"


@pytest.mark.parametrize(
    "sql",
    [
        f"{TABLE}, 'dor' = '1')",
        f"{TABLE}, 'door' = '{SECRET}')",
        f"{TABLE}, 'x')",
        f"{TABLE.replace('INT', 'INTT')})",
        f"{TABLE})); SELECT",
        f"{TABLE}); SELECT nope FROM v",
        f"{TABLE}); SELECT * FROM v",
        f"{TABLE}); CREATE VIEW w AS SELECT a FROM v; SELECT nope FROM w",
        f"{TABLE}",
        f"CREATE TABLE v (a INT) WITH ('connector' = 'kafkaa', 'sasl.password' = '{SECRET}')",
        f"CREATE TABLE v (a INT) WITH ('connector' = 'vault', 'pin' '{SECRET}')",
        f"CREATE TABLE v (a INT) WITH ('connector' = 'vault', 'pin' = '{SECRET}",
        f"SELECT * FROM v /*+ OPTIONS('api-token' = '{SECRET}') */",
    ],
)
def test_no_error_shows_it(session: flowsql.Session, sql: str) -> None:
    """Neither text nor message nor stack trace, wherever the mistake is."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql).fetchall()
    error = caught.value
    assert "Error" in str(error)
    everything = [str(error), str(error.sql), repr(error), *traceback.format_exception(error)]
    assert not [text for text in everything if SECRET in text]


def test_no_statement_shows_it(session: flowsql.Session) -> None:
    """SHOW CREATE TABLE stars it; EXPLAIN, DESCRIBE and SET have no place for it."""
    session.execute(f"{TABLE})")
    shown = session.execute("SHOW CREATE TABLE v").fetchall()[0][0]
    assert "'pin' = '******'" in shown
    for sql in ("EXPLAIN CHANGELOG_MODE SELECT * FROM v", "DESCRIBE v", "SHOW TABLES", "SET"):
        assert SECRET not in str(session.execute(sql).fetchall())
    assert SECRET not in shown


def test_no_file_and_no_status_holds_it(session: flowsql.Session, tmp_path: Path) -> None:
    """Not the manifest, not the job's record."""
    told: list[str] = []
    session._tell = told.append
    session.execute(f"{TABLE})")
    job = session.execute("INSERT INTO v SELECT 1")
    saved = job.savepoint(tmp_path / "saved", 10) if job.running else None
    job.wait(60)
    held = [p for p in tmp_path.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert held == []
    assert any(p.name == "job.json" for p in tmp_path.rglob("*"))
    assert saved is None or (saved / "manifest.json").exists()
    assert SECRET not in json.dumps(job.status())
    assert SECRET not in "".join(told)


def test_a_reference_stays_as_written(
    session: flowsql.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment holds reaches the connector only."""
    monkeypatch.setenv("VAULT_PIN", SECRET)
    session.execute("CREATE TABLE v (a INT) WITH ('connector' = 'vault', 'pin' = '${VAULT_PIN}')")
    with pytest.raises(flowsql.ConnectorError) as caught:
        session.execute("SELECT * FROM v").fetchall()
    assert str(caught.value) == (
        "ConnectorError: cannot open with '******'\nDetail: It said: '******'?"
    )


def test_stars_keep_positions() -> None:
    """A star for each character, also where the text cannot be parsed."""
    assert starred("'password' = 'a''b', 'x' = 'y'") == "'password' = '****', 'x' = 'y'"
    assert starred("'Password'='ab\ncd'") == "'Password'='**\n**'"
    assert starred("SELECT 'it', 'secret'") == "SELECT 'it', 'secret'"
    assert starred("'db.passwd' 'abc") == "'db.passwd' '***"
