"""The shell's own words in a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.cli.main import main
from flowsql.cli.repl.commands import alone, command_of, is_closed, scripts
from flowsql.errors import FlowSQLError, SqlError
from flowsql.sql.splitter import pieces
from flowsql.sql.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("SELECT 1;", True),
        ("SELECT 1", False),
        ("SELECT 1; SELECT", False),
        ("SELECT ';", False),
        ("SELECT `a;", False),
        ("SELECT 1 /* ;", False),
        ("SELECT 1; -- and so on", True),
        ('SELECT "a";', True),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;", False),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;", True),
        (";", True),
    ],
)
def test_when_a_statement_ends(text: str, closed: bool) -> None:
    """At its semicolon; what can be run in no case is not waited for."""
    assert is_closed(text) is closed


@pytest.mark.parametrize(
    ("text", "kind"),
    [("quit", "quit"), ("EXIT;", "quit"), ("Help", "help"), ("CLEAR", "clear"), ("SELECT 1", None)],
)
def test_words(text: str, kind: str | None) -> None:
    """In any case of letters."""
    tokens = tokenize(text)
    command = command_of(tokens, pieces(tokens)[0])
    assert (command and command.kind) == kind


def test_source_takes_a_file() -> None:
    """Its name is a string."""
    tokens = tokenize("SOURCE 'a''b.sql'")
    command = command_of(tokens, pieces(tokens)[0])
    assert command is not None
    assert (command.kind, command.argument) == ("source", "a'b.sql")
    tokens = tokenize("SOURCE a.sql")
    with pytest.raises(SqlError, match="SOURCE takes the name of one file") as raised:
        command_of(tokens, pieces(tokens)[0])
    assert raised.value.hint == "Write SOURCE 'file.sql';"


def test_a_statement_by_itself_stays_where_it_is() -> None:
    """So that its errors have their places."""
    text = "SELECT 1;\nSELECT nope;\nSELECT 3;"
    assert alone(text, pieces(tokenize(text))[1]) == "         \nSELECT nope \n         "


def test_scripts_are_cut_at_files_and_end_at_quit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put in stands where it is named."""
    monkeypatch.chdir(tmp_path)
    Path("b.sql").write_text("SELECT 2;")
    parts = [p.strip() for p in scripts("SELECT 1; SOURCE 'b.sql'; SELECT 3; QUIT; SELECT 4;")]
    assert [p for p in parts if p] == ["SELECT 1;", "SELECT 2;", "SELECT 3;"]


def test_files_that_are_wrong_show_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing ones, those that include themselves, and mistakes inside."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FlowSQLError) as missing:
        list(scripts("SELECT 1;\nSOURCE 'no.sql';"))
    assert str(missing.value) == (
        'ConfigError at 2:8: file "no.sql" cannot be read: No such file or directory\n'
        "  SOURCE 'no.sql';\n         ^^^^^^^^"
    )
    Path("me.sql").write_text("SOURCE 'me.sql';")
    with pytest.raises(FlowSQLError, match=r'file "me\.sql" includes itself'):
        list(scripts("SOURCE 'me.sql';"))
    Path("open.sql").write_text("\nSELECT 'a;")
    with pytest.raises(FlowSQLError) as inside:
        list(scripts("SOURCE 'open.sql';"))
    assert "  SELECT 'a;\n" in str(inside.value)


def test_a_file_that_is_run_may_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`flowsql run` knows the words as well, and shows a mistake in its file."""
    monkeypatch.chdir(tmp_path)
    Path("tables.sql").write_text("CREATE VIEW v AS SELECT 7 AS n;")
    Path("a.sql").write_text("SOURCE 'tables.sql';\nSELECT n FROM v; QUIT;\nSELECT m FROM v;")
    assert main(["run", "a.sql"]) == 0
    assert "| 7 |" in capsys.readouterr().out
    Path("b.sql").write_text("SOURCE 'tables.sql';\nSELECT m FROM v;")
    assert main(["run", "b.sql"]) == 2
    assert 'SqlError at 2:8: column "m" does not exist' in capsys.readouterr().err
    assert main(["explain", "a.sql"]) == 0
    assert "Scan" not in capsys.readouterr().err
