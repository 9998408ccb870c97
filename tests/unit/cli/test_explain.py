"""`flowsql explain`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowsql.cli.main import main

EXAMPLES = sorted((Path(__file__).parents[3] / "sql_examples").glob("*.sql"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_examples(
    example: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each query and job with its plans; nothing is run, nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["explain", str(example)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    plans = re.findall(r"^== (.*) ==$", out, re.MULTILINE)
    assert plans == ["Abstract Syntax Tree", "Optimized Plan", "Execution Plan"] * (len(plans) // 3)
    assert plans
    assert "changelogMode=" in out
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, instead of an empty answer."""
    file = tmp_path / "job.sql"
    file.write_text("CREATE TABLE t (a INT) WITH ('connector' = 'datagen');")
    assert main(["explain", str(file)]) == 0
    assert tuple(capsys.readouterr()) == (
        "",
        f'there is nothing to explain in "{file}": no query, INSERT or statement set\n',
    )


def test_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `flowsql run` says it."""
    file = tmp_path / "job.sql"
    file.write_text("-- two lines\nSELECT 1 +;\n")
    assert main(["explain", str(file)]) == 2
    assert capsys.readouterr().err == (
        'SqlError at 2:11: expected an expression, found ";"\n  SELECT 1 +;\n            ^\n'
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.sql"], 'ConfigError: file "nowhere.sql" cannot be read: No such file'),
        (["explain", "."], 'ConfigError: file "." cannot be read: Is a directory'),
        (["run", "bytes.sql"], 'file "bytes.sql" is not UTF-8 at byte 9\nHint: Save it as UTF-8.'),
        (
            ["-i", "a.sql", "-e", "SELECT 1"],
            "ConfigError: -i is for the prompt\nHint: Write SOURCE",
        ),
    ],
)
def test_arguments(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be begun is bad use: exit code 2, nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    Path("bytes.sql").write_bytes(b"SELECT 1 \xff")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_file_without_statements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says so, and is no failure."""
    file = tmp_path / "empty.sql"
    file.write_text("-- nothing yet\n;\n")
    assert main(["run", str(file)]) == 0
    assert "there is no statement to run" in capsys.readouterr().err


def test_our_own_mistakes_show_no_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say whose they are."""

    def broken(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("flowsql.session.plan_select", broken)
    file = tmp_path / "job.sql"
    file.write_text("SELECT 1")
    assert main(["run", str(file)]) == 1
    assert capsys.readouterr().err == (
        "InternalError: unexpected KeyError: 'lost'\n"
        "Hint: Please report it with the output of --debug.\n"
    )


def test_what_lasts_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catalogs of files stay as they are, no plan is written, and no job starts."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "job.sql"
    catalog = "CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept'); USE CATALOG c;"
    made = f"{catalog} CREATE TABLE kept (a INT) WITH ('connector' = 'print');"
    file.write_text(made)
    assert main(["run", "job.sql"]) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p != file}
    file.write_text(
        f"{catalog} DROP TABLE kept; CREATE TABLE fresh (a INT) WITH ('connector' = 'print');"
        "ALTER DATABASE `default` SET ('owner' = 'me'); CREATE DATABASE d;"
        "CREATE TABLE filled WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv')"
        " AS SELECT 1 AS a; SELECT a FROM filled;"
        "COMPILE PLAN 'plan.json' FOR INSERT INTO fresh SELECT 1;"
        "INSERT INTO fresh SELECT a FROM filled;"
    )
    assert main(["explain", "job.sql"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("== Execution Plan ==") == 3
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p != file}
    assert after == before
