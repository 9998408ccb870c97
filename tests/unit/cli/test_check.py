"""`flowsql check`, and the quick check before a job starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.cli.main import main
from flowsql.testing.fake_database import FakeDatabase

FILES = "WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = "


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.csv").write_text("1,ann\nx,bob\n")


def _check(sql: str) -> int:
    Path("job.sql").write_text(sql)
    return main(["check", "job.sql"])


def _left() -> list[str]:
    return sorted(str(p) for p in Path().rglob("*"))


def test_everything_is_found_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding with its place and cure, in several tables of several jobs; nothing is made."""
    code = _check(
        f"CREATE TABLE bad (id INT, name STRING) {FILES} 'in');\n"
        f"CREATE TABLE gone (id INT, name STRING) {FILES} 'gone');\n"
        f"CREATE TABLE file (id INT) {FILES} 'in/a.csv');\n"
        "INSERT INTO file SELECT id FROM bad;\n"
        "SELECT name FROM gone;\n"
        "SELECT id FROM gone;\n"
    )
    assert code == 3
    out = capsys.readouterr().out
    here = Path.cwd()
    assert [p.splitlines()[0] for p in out.strip().split("\n\n")] == [
        (
            'Error at 1:74: a record of table "bad" cannot be decoded: column "id": "x" cannot be read '
            "as INT"
        ),
        f'Error at 3:80: "{here}/in/a.csv" is a file (table "file")',
        f'Error at 2:93: "{here}/gone" does not exist (table "gone")',
        "3 errors (2 tables read, 1 table written)",
    ]
    assert "Hint: Create the folder, or correct option 'path'." in out
    assert f"Detail: At {here}/in/a.csv:2: x,bob" in out
    assert _left() == ["in", "in/a.csv", "job.sql"]


def test_nothing_stands_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0, warnings and notes apart."""
    Path("empty").mkdir()
    code = _check(
        f"CREATE TABLE e (id INT) {FILES} 'empty');"
        f"CREATE TABLE o (id INT) {FILES} 'out/deep');"
        "INSERT INTO o SELECT id FROM e;"
    )
    assert code == 0
    out = capsys.readouterr().out
    assert out.startswith("Warning at 1:")
    assert 'holds no file: table "e" is empty' in out
    assert out.endswith("\n1 warning (1 table read, 1 table written)\n")
    assert _left() == ["empty", "in", "in/a.csv", "job.sql"]
    assert _check("SET 'parallelism.default' = '1';") == 0
    assert capsys.readouterr().out == "nothing stands in the way (no table was looked at)\n"


def test_wrong_statements(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong query hides nothing; behind a wrong declaration nothing can be said."""
    table = f"CREATE TABLE gone (id INT) {FILES} 'gone');"
    assert _check(f"{table} SELECT nope FROM gone; SELECT id FROM gone;") == 2
    out, err = capsys.readouterr()
    assert 'column "nope" does not exist' in err
    assert 'gone" does not exist' in out
    assert out.endswith("2 errors (1 table read)\n")
    assert _check(f"{table} CREATE TABLE gone (id INT) {FILES} 'in'); SELECT id FROM gone;") == 2
    out, err = capsys.readouterr()
    assert "gone" in err
    assert "exists" in err
    assert out == "1 error (no table was looked at)\n"


def test_what_lasts_is_not_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Declarations in a catalog of files are forgotten; a compiled plan is not written."""
    sql = (
        "CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept'); USE CATALOG c;"
        "CREATE DATABASE d; USE d;"
        f"CREATE TABLE t (id INT) {FILES} 'in/a.csv', 'scan.bad-record' = 'skip');"
        "CREATE TABLE p (id INT) WITH ('connector' = 'print');"
        "COMPILE PLAN 'plan.json' FOR INSERT INTO p SELECT id FROM t;"
        "DROP TABLE t;"
    )
    assert _check(sql) == 0
    assert capsys.readouterr().out.endswith("\n1 warning (1 table read, 1 table written)\n")
    assert _left() == ["in", "in/a.csv", "job.sql"]
    Path("job.sql").write_text(sql.replace("DROP TABLE t;", ""))
    assert main(["run", "job.sql"]) == 0
    before = _left()
    assert Path("kept/d/t.sql").exists()
    assert (
        _check("CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept'); DROP TABLE c.d.t;") == 0
    )
    assert _left() == before


def test_a_source_group_is_asked_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables that are read through one log are looked at together, each by its own place."""
    with_ = "WITH ('connector' = 'fake-database', 'path' = 'bank', 'table-name' = "
    sql = (
        f"CREATE TABLE a (id INT, balnce INT, PRIMARY KEY (id) NOT ENFORCED) {with_} 'checking');\n"
        f"CREATE TABLE b (id INT, PRIMARY KEY (id) NOT ENFORCED) {with_} 'cheking');\n"
        "SELECT id FROM a UNION ALL SELECT id FROM b;"
    )
    assert _check(sql) == 3
    assert 'bank" holds no fake database' in capsys.readouterr().out
    database = FakeDatabase("bank")
    database.create_table("checking", {"id": "INT", "balance": "INT"}, ("id",))
    assert _check(sql) == 3
    out = capsys.readouterr().out
    assert 'has no column "balnce"\nHint: Did you mean "balance"?' in out
    assert "Error at 2:" in out
    assert out.endswith("2 errors (2 tables read)\n")


def test_a_run_is_refused_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be seen quickly ends a run with exit code 3, all of it told; no job folder is made."""
    Path("job.sql").write_text(
        f"CREATE TABLE a (id INT) {FILES} 'a'); CREATE TABLE b (id INT) {FILES} 'b');"
        f"CREATE TABLE o (id INT) {FILES} 'in/a.csv');"
        "INSERT INTO o SELECT id FROM a UNION ALL SELECT id FROM b;"
    )
    assert main(["run", "job.sql"]) == 3
    err = capsys.readouterr().err
    assert err.count("PreflightError at 1:") == 3
    assert err.count("does not exist (table") == 2
    assert _left() == ["in", "in/a.csv", "job.sql"]


def test_jobs_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Where jobs keep their state is looked at, too."""
    assert (
        _check(
            "SET 'execution.checkpointing.dir' = 'in/a.csv/jobs';"
            "CREATE TABLE p (id INT) WITH ('connector' = 'print'); INSERT INTO p VALUES (1);"
        )
        == 3
    )
    out = capsys.readouterr().out
    assert out.startswith('Error: jobs cannot have their folders in "')
    assert f'"{Path.cwd()}/in/a.csv" is not a folder' in out
