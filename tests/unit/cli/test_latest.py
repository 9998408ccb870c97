"""`--from latest` on a file of several jobs: what is finished is left, what is not goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.cli.main import main

TWO = """
SET 'restart-strategy.type' = 'none';
CREATE TABLE a (id INT) WITH ('connector' = 'filesystem', 'path' = 'a', 'format' = 'csv');
CREATE TABLE b (id INT) WITH ('connector' = 'filesystem', 'path' = 'b', 'format' = 'csv');
CREATE TABLE oa (id INT) WITH ('connector' = 'filesystem', 'path' = 'oa', 'format' = 'csv');
CREATE TABLE ob (id INT) WITH ('connector' = 'filesystem', 'path' = 'ob', 'format' = 'csv');
INSERT INTO oa SELECT id FROM a;
INSERT INTO ob SELECT id FROM b;
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files to read; the second cannot be read to its end."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"a": "7\n", "b": "1\nx\n"}.items():
        Path(name).mkdir()
        Path(name, "f.csv").write_text(text)
    Path("two.sql").write_text(TWO)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code, and what was said."""
    code = main(["run", "two.sql", *arguments])
    return code, capsys.readouterr().err


def held(folder: str) -> list[str]:
    """The rows of a target."""
    return sorted("".join(p.read_text() for p in Path(folder).glob("*.csv")).split())


def test_what_is_finished_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """One job failed: it is mended without the rows of the other being added again."""
    assert run(capsys)[0] == 1
    Path("b/f.csv").write_text("1\n2\n")
    code, said = run(capsys, "--from", "latest")
    assert code == 0
    assert 'job "two-1" is finished and left as it is\n' in said
    assert 'job "two-2": beginning again: it ended before its first checkpoint\n' in said
    assert "ADDED" not in said
    assert (held("oa"), held("ob")) == (["7"], ["1", "2"])


def test_where_all_are_finished_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Each says why; nothing is written."""
    Path("b/f.csv").write_text("1\n")
    assert run(capsys)[0] == 0
    code, said = run(capsys, "--from", "latest")
    assert code == 1
    assert said.count("there is nothing to resume") == 2
    assert "left as it is" not in said
    assert (held("oa"), held("ob")) == (["7"], ["1"])


def test_a_job_that_never_ran_is_refused_beside_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would be a first run, or the wrong folder."""
    Path("b/f.csv").write_text("1\n")
    Path("two.sql").write_text(TWO.replace("INSERT INTO ob SELECT id FROM b;", ""))
    assert run(capsys)[0] == 0
    Path("two.sql").write_text(TWO)
    code, said = run(capsys, "--from", "latest")
    assert code == 1
    assert 'job "two-1" is finished and left as it is\n' in said
    assert 'job "two-2" has no checkpoint in' in said
    assert (held("oa"), held("ob")) == (["7"], [])
