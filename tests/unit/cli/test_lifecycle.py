"""What a user reads over the life of a job: its start, its failures, its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.cli.main import main

WORDS = """
CREATE TABLE src (a INT) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'csv');
CREATE TABLE dst (a INT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one file to read."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.csv").write_text("1\n2\n")


def run(sql: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, rows, and what was said."""
    Path("job.sql").write_text(sql)
    code = main(["run", "job.sql", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_folder_knows_whose_rows_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Another job that adds to it says so; not once its files are gone, or are replaced."""
    insert = "INSERT INTO dst SELECT a FROM src;"
    assert run(WORDS + insert, capsys)[0] == 0
    other = f"SET 'pipeline.name' = 'o@1';{WORDS}"
    code, _, err = run(other + insert, capsys, "--fresh")
    assert code == 0
    assert 'job "o@1": its rows are ADDED to those that "dst" holds of job "job-1"\n' in err
    third = other.replace("o@1", "third")
    err = run(third + insert, capsys)[2]
    assert 'those that "dst" holds of jobs "job-1" and "o@1"\n' in err
    anew = f"{third.replace('third', 'fourth')}SET 'execution.runtime-mode' = 'batch';"
    assert "ADDED" not in run(anew + insert.replace("INTO", "OVERWRITE"), capsys)[2]
    for path in Path("out").glob("*"):
        if path.is_file():
            path.unlink()
    assert "ADDED" not in run(third.replace("third", "fifth") + insert, capsys)[2]
