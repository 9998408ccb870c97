"""What a terminal is shown when a job starts, and how far a job is that ends by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flowsql
from flowsql.cli.announce import opening
from flowsql.cli.main import main
from flowsql.runtime.progress import reading_progress
from tests.unit.connectors.files import files_table, open_source, write_file

TABLES = """
CREATE TABLE src (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv');
CREATE TABLE dst (b STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
SET 'pipeline.name' = 'count';
"""
INSERT = "INSERT INTO dst SELECT b, COUNT(*) FROM src GROUP BY b;"
BATCH = f"SET 'execution.runtime-mode' = 'batch'; {TABLES}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one file to read."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("1,x\n2,y\n")


def shown(sql: str, width: int = 79) -> list[str]:
    """The lines of a job that is planned, never started."""
    with flowsql.connect() as session:
        *_, prepared = session.prepare(sql)
        return opening(prepared.answer, session.settings, prepared.at_commit, width)


def test_plan_state_and_ctrl_c() -> None:
    """Of a batch job, which keeps nothing before its end."""
    assert shown(BATCH + INSERT, 60) == [
        "  Sink(dst, takes=append)",
        "  └─ Project(b, COUNT(*))",
        "     └─ GroupAggregate(keys=[b], calls=[COUNT(*)])",
        "        └─ Scan(src, columns=[b])",
        "state    .flowsql/count, a checkpoint when it ends",
        "sinks    dst shows rows when it ends",
        "Ctrl-C   stops it; the next run begins at the beginning, no…",
    ]


def test_a_batch_job_whose_rows_are_seen_at_once() -> None:
    """What got rows gets them again; a table that shows them at the end has none."""
    printed = "CREATE TABLE seen (b STRING) WITH ('connector' = 'print');"
    insert = f"EXECUTE STATEMENT SET BEGIN {INSERT} INSERT INTO seen SELECT b FROM src; END;"
    lines = shown(BATCH + printed + insert, 120)
    assert lines[-2:] == [
        "sinks    dst shows rows when it ends",
        "Ctrl-C   stops it; the next run begins at the beginning, seen will get rows again",
    ]


def test_a_job_that_goes_on() -> None:
    """It has checkpoints, at each of which rows are shown; a long plan is cut."""
    copies = f"({') UNION ALL ('.join(['SELECT b, a FROM src'] * 30)})"
    lines = shown(f"{TABLES} INSERT INTO dst {copies};", 120)
    assert len(lines) == 24
    assert lines[20].startswith("  … and ")
    assert lines[20].endswith(" more, see EXPLAIN")
    assert lines[21:] == [
        "state    .flowsql/count, a checkpoint every 10 s",
        "sinks    dst shows rows at each checkpoint",
        "Ctrl-C   stops it with a last checkpoint; the next run goes on from there",
    ]


class _Terminal:
    """Standard error that says that it is one."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a terminal is shown of a run."""
    terminal = _Terminal()
    Path("job.sql").write_text(BATCH + INSERT)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["run", "job.sql", *arguments]) == 0
    return terminal.text


def test_a_terminal_is_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right below the line that says that the job starts."""
    text = run(monkeypatch)
    assert 'Z job "count" starts\n  Sink(dst' in text
    assert "count: finished" in text


@pytest.mark.parametrize("arguments", [["--quiet"], ["-q"]])
def test_quiet(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Nothing but warnings and errors."""
    assert run(monkeypatch, *arguments) == ""


def test_json_has_no_plan_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is an object."""
    text = run(monkeypatch, "-D", "log.format=json")
    assert "  Sink(" not in text
    assert '"message": "job \\"count\\" starts, its state is in' in text


def test_how_far_a_source_of_known_size_is() -> None:
    """Rows are guessed by the share that is read."""
    half = reading_progress(rows=50, read=500, total=1000, seconds=2.0)
    assert half == {"rows": 50, "total": 100, "rows_per_second": 25.0, "left_ms": 2000}
    nothing = reading_progress(rows=0, read=0, total=1000, seconds=2.0)
    assert nothing == {"rows": 0, "total": None, "rows_per_second": 0.0, "left_ms": None}
    whole = reading_progress(rows=7, read=1000, total=1000, seconds=2.0)
    assert (whole["total"], whole["left_ms"]) == (7, 0)


@pytest.mark.parametrize("fmt", ["csv", "parquet"])
def test_files_say_how_much_of_them_is_read(tmp_path: Path, fmt: str) -> None:
    """By bytes, within a file too; a folder that is watched has no end."""
    with flowsql.connect() as session:
        session.execute(
            f"CREATE TABLE made (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = 'made', "
            f"'format' = '{fmt}'); SET 'table.dml-sync' = 'true'; "
            f"INSERT INTO made VALUES {', '.join(f'({i}, cast(null as string))' for i in range(100))};"
        )
    table = files_table(tmp_path / "made", fmt=fmt)
    source, reader = open_source(table)
    total = sum(p.stat().st_size for p in (tmp_path / "made").glob("part-*"))
    assert source.status().total_bytes == total
    assert reader.status().read_bytes == 0
    told = [0]
    while reader.poll(10, 0) is not None:
        told.append(reader.status().read_bytes)
    assert told == sorted(told)
    assert told[-1] == total
    assert fmt == "csv" or 0 < told[1] < total
    reader.close()
    write_file(tmp_path / "watched" / "a.csv", "1,x\n")
    watched = files_table(tmp_path / "watched", options={"source.monitor-interval": "1 s"})
    source, reader = open_source(watched)
    assert (source.status(), reader.status()) == (None, None)
    reader.close()
