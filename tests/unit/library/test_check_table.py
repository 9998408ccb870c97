"""CHECK TABLE."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flowsql
from flowsql.connector import Role, Severity
from flowsql.errors import SqlError


def _files(session: flowsql.Session, path: Path, more: str = "") -> None:
    session.execute(
        "CREATE TABLE t (id INT) WITH ('connector' = 'filesystem', 'format' = 'csv', "
        f"'path' = '{path}'{more})"
    )


def _rows(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    result = session.execute(sql)
    assert isinstance(result, flowsql.Result)
    return result.fetchall()


def test_every_use_is_looked_at(tmp_path: Path) -> None:
    """One row a finding; a use without one says so."""
    with flowsql.connect() as session:
        _files(session, tmp_path / "t")
        missing = f'"{tmp_path}/t" does not exist (table "t")'
        assert _rows(session, "CHECK TABLE t") == [
            ("read", "error", missing, "Create the folder, or correct option 'path'."),
            ("write", "ok", "nothing stands in the way", None),
        ]
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "a.csv").write_text("1\n")
        fine = ("ok", "nothing stands in the way", None)
        assert _rows(session, "check table default_database.t;") == [
            ("read", *fine),
            ("write", *fine),
        ]
        session.execute("CREATE TABLE d (a INT) WITH ('connector' = 'datagen')")
        assert _rows(session, "CHECK TABLE d") == [("read", *fine)]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.csv", "t"]


def test_a_watched_folder_and_bad_files(tmp_path: Path) -> None:
    """A folder to be watched may be empty; a file that is no such file is told."""
    with flowsql.connect() as session:
        _files(session, tmp_path, ", 'source.monitor-interval' = '1 s'")
        assert _rows(session, "CHECK TABLE t")[0][:3] == (
            "read",
            "note",
            f'"{tmp_path}" holds no file yet (table "t")',
        )
        session.execute(
            "CREATE TABLE q (id INT) WITH ('connector' = 'filesystem', 'format' = 'parquet', "
            f"'path' = '{tmp_path}')"
        )
        (tmp_path / "x.parquet").write_text("no parquet")
        found = _rows(session, "CHECK TABLE q")[0]
        assert found[:2] == ("read", "error")
        assert "x.parquet" in str(found[2])


def test_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be read or written is found without trying."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with flowsql.connect() as session:
        _files(session, tmp_path)
        assert [r[2] for r in _rows(session, "CHECK TABLE t")] == [
            f'there is no right to read "{tmp_path}" (table "t")',
            f'there is no right to write in "{tmp_path}" (table "t")',
        ]


def test_only_tables() -> None:
    """A view is no place where anything is kept."""
    with flowsql.connect() as session:
        session.execute("CREATE VIEW v AS SELECT 1")
        with pytest.raises(SqlError, match='"v" is a view, not a table'):
            session.execute("CHECK TABLE v")
        with pytest.raises(SqlError, match='table "x" does not exist'):
            session.execute("CHECK TABLE x")


def test_a_session_checks_text(tmp_path: Path) -> None:
    """As `flowsql check` does, for programs."""
    with flowsql.connect() as session:
        _files(session, tmp_path / "t")
        report = session.check("SELECT id FROM t")
        assert report.checked == [("default_catalog.default_database.t", Role.SCAN)]
        assert [f.severity for f in report.found] == [Severity.ERROR]
        assert session.check("SHOW TABLES").found == []
        assert not session.jobs
