"""What a user is told of a wrong option: shown where it is written, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import flowsql
from flowsql.errors import FlowSQLError
from flowsql.runtime.job import Job

SETTINGS = {"restart-strategy.type": "none"}
LETTERS = "table_name STRING, place STRING, record BYTES, reason STRING"


def _told(tmp_path: Path, sql: str) -> str:
    """The error of a text in which every table of connector filesystem reads or writes csv."""
    text = sql.replace("FILES", "'connector' = 'filesystem', 'format' = 'csv'")
    text = text.replace("HERE", str(tmp_path))
    settings = {**SETTINGS, "execution.checkpointing.dir": f"{tmp_path}/jobs"}

    def run(session: flowsql.Session) -> None:
        answer = session.execute(text)
        if isinstance(answer, Job):
            answer.wait(60)
        else:
            answer.fetchall()

    with flowsql.connect(settings) as session, pytest.raises(FlowSQLError) as error:
        run(session)
    return str(error.value).replace(str(tmp_path), "HERE")


@pytest.mark.parametrize(
    ("option", "message", "hint"),
    [
        (
            "'path' = '/nowhere'",
            'ConnectorError at 2:1: "/nowhere" does not exist (table "t")',
            "Create the folder, or correct option 'path'.",
        ),
        (
            "'path' = 's3://b/c'",
            (
                'ConfigError at 2:1: option "path" cannot be "s3://b/c": only local files can be read '
                "and written"
            ),
            "Write an absolute path or file:///….",
        ),
        (
            "'source.path.regex-pattern' = '['",
            (
                'ConfigError at 2:1: option "source.path.regex-pattern" cannot be "[": unterminated '
                "character set at position 0"
            ),
            None,
        ),
        (
            "'csv.field-delimiter' = 'ab'",
            (
                "ConfigError at 2:1: option \"csv.field-delimiter\" cannot be 'ab': expected one ASCII "
                "character"
            ),
            "A tab is written \\t.",
        ),
        (
            "'scan.bad-record' = 'dead-letter'",
            (
                "ConfigError at 2:1: table \"t\": 'scan.bad-record' = 'dead-letter' needs option "
                '"scan.dead-letter.table"'
            ),
            (
                "Name a table with columns table_name STRING, place STRING, record BYTES, reason "
                "STRING."
            ),
        ),
    ],
)
def test_a_wrong_option_of_a_source_is_marked(
    tmp_path: Path, option: str, message: str, hint: str | None
) -> None:
    """In the CREATE TABLE, whatever statement reads the table."""
    path = "" if "'path'" in option else ", 'path' = 'HERE'"
    sql = f"CREATE TABLE t (a INT) WITH (FILES{path},\n{option});\nSELECT * FROM t"
    assert _told(tmp_path, sql).split("\n") == [
        message,
        f"  {option});",
        f"  {'^' * len(option)}",
        *([f"Hint: {hint}"] if hint else []),
    ]


def test_an_option_of_a_hint_is_not_looked_for_in_the_table(tmp_path: Path) -> None:
    """It is marked in the hint."""
    sql = (
        "CREATE TABLE t (a INT) WITH (FILES, 'path' = 'HERE');\n"
        "SELECT * FROM t /*+ OPTIONS('source.path.regex-pattern' = '[') */"
    )
    assert _told(tmp_path, sql).split("\n")[1:] == [
        "  SELECT * FROM t /*+ OPTIONS('source.path.regex-pattern' = '[') */",
        "                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]


@pytest.mark.parametrize(
    ("letters", "message", "rest"),
    [
        (
            f"CREATE TABLE letters ({LETTERS}) WITH ('connector' = 'print');",
            'dead-letter table "leters" does not exist',
            'Hint: Did you mean "letters"? It needs the columns',
        ),
        (
            "CREATE TABLE leters (a INT, b BIGINT NOT NULL) WITH ('connector' = 'print');",
            'dead-letter table "leters" has other columns than bad records have',
            "Detail: It has a INT, b BIGINT.\nHint: It needs the columns",
        ),
        (
            "CREATE VIEW leters AS SELECT 1;",
            'dead-letter table "leters" is a view',
            "Hint: It needs the columns",
        ),
    ],
)
def test_a_wrong_dead_letter_table_is_marked(
    tmp_path: Path, letters: str, message: str, rest: str
) -> None:
    """With the columns that it needs."""
    sql = (
        f"{letters}\nCREATE TABLE t (a INT) WITH (FILES, 'path' = 'HERE', 'scan.bad-record' = "
        "'dead-letter',\n'scan.dead-letter.table' = 'leters');\nSELECT * FROM t"
    )
    columns = " table_name STRING, place STRING, record BYTES, reason STRING, in this order."
    assert _told(tmp_path, sql) == (
        f"ConfigError at 3:1: {message}\n"
        "  'scan.dead-letter.table' = 'leters');\n"
        "  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        f"{rest}{columns}"
    )


@pytest.mark.parametrize("path", ["file", "file/below/it"])
def test_a_sink_that_is_a_file_is_marked(tmp_path: Path, path: str) -> None:
    """Before anything is read."""
    (tmp_path / "file").write_text("")
    sql = (
        "CREATE TABLE s (a INT) WITH ('connector' = 'values');\n"
        f"CREATE TABLE t (a INT) WITH (FILES,\n'path' = 'HERE/{path}');\n"
        "INSERT INTO t SELECT * FROM s"
    )
    told = _told(tmp_path, sql).split("\n")
    assert told[0] == 'ConnectorError at 3:1: "HERE/file" is a file (table "t")'
    assert told[1] == f"  'path' = 'HERE/{path}');"
    assert told[3].startswith("Hint: A sink writes many files: 'path' must be a folder")


def test_a_sink_without_the_right_to_write_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read."""
    mkdir = os.mkdir

    def refuse(path: Any, *rest: Any, **more: Any) -> None:
        if "/out" in str(path):
            raise PermissionError(13, "Permission denied", path)
        mkdir(path, *rest, **more)

    monkeypatch.setattr(os, "mkdir", refuse)
    sql = (
        "CREATE TABLE s (a INT) WITH ('connector' = 'values');\n"
        "CREATE TABLE t (a INT) WITH (FILES,\n'path' = 'HERE/out');\n"
        "INSERT INTO t SELECT * FROM s"
    )
    told = _told(tmp_path, sql).split("\n")
    assert told[0] == (
        'ConnectorError at 3:1: could not write to folder "HERE/out" (table "t"): Permission denied'
    )


def test_no_secret_is_shown_beside_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the text of a declaration is shown, its secret options are starred in place."""
    from flowsql.config import Option, OptionPlaces, OptionType
    from flowsql.connector.plugins import find_connector
    from flowsql.errors import ConnectorError, Span
    from flowsql.runtime.redact import Redactor
    from flowsql.testing import connector_table

    connector = find_connector("print")
    secret = Option("pass", OptionType.STRING, "…", secret=True)
    monkeypatch.setattr(type(connector), "options", (*connector.options, secret))
    table = connector_table("a INT", {"connector": "print", "pass": "it's me"})
    text = "WITH ('pass' = 'it''s me', 'path' = '/x')"
    span = Span(text.index("'path'"), len(text) - 1)
    error = OptionPlaces(text, {"path": span}).mark(ConnectorError("no", option="path"))
    shown = str(Redactor([(connector, table)]).error(error)).split("\n")
    assert shown[1:] == [
        "  WITH ('pass' = '********', 'path' = '/x')",
        "                             ^^^^^^^^^^^^^",
    ]
