"""What a session says where nobody listens: Python's logger `flowsql`."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import flowsql
from flowsql.session import Session

TABLES = (
    "CREATE TABLE a (x INT) WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv');"
    "CREATE TABLE b (x INT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');"
    "SET 'pipeline.name' = 'copy'; SET 'table.dml-sync' = 'true';"
)
PROGRAM = f"""
import flowsql
with flowsql.connect() as session:
    session.execute({(TABLES + "INSERT INTO b SELECT x FROM a")!r})
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input of one row."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("1\n")


def test_a_new_run_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It adds its rows to what is there; what tunes nothing is for those who ask."""
    caplog.set_level(logging.INFO, "flowsql")
    for _ in range(2):
        with flowsql.connect({"state.backend.type": "rocksdb"}) as session:
            session.execute(f"{TABLES} INSERT INTO b SELECT x FROM a")
    said = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "flowsql"]
    option = (
        "INFO",
        'option "state.backend.type" tunes what is not needed here and has no effect',
    )
    assert [said[0], said[1]] == [option, option]
    (level, message) = said[2]
    assert (level, message[:30]) == ("WARNING", 'job "copy": the last run finis')
    assert 'ADDED to those that "b" got from the last run' in message
    assert len(said) == 3


def test_it_is_seen_without_any_setting_up() -> None:
    """Python shows warnings of a program that says nothing about its log."""
    shown = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [s.stderr.count("\n") for s in shown] == [0, 1]
    assert shown[1].stderr.startswith('job "copy": the last run finished at ')


def test_who_listens_is_told_instead(caplog: pytest.LogCaptureFixture) -> None:
    """The command line shows events itself."""
    told: list[str] = []
    with Session({"state.backend.type": "x"}, events=lambda line: told.append(str(line))):
        assert len(told) == 1
    assert not caplog.records
