"""What a user sees of statements."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from flowsql.cli.console import Console
from flowsql.cli.repl.shell import Shell
from flowsql.expr import EvalSettings
from flowsql.library.result import Result
from flowsql.session import Session

DATAGEN = (
    "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500'{});"
    "CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');"
)


class Seen:
    """A shell and what it showed.

    Attributes:
        live: titles of the live tables that were asked for.
    """

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.live: list[str] = []

    @cached_property
    def shell(self) -> Shell:
        """Made by the test: a console keeps the streams it finds."""
        return Shell(Session(name="repl"), Console(), live=self._live)

    def _live(self, answer: Result, settings: EvalSettings, **more: Any) -> Any:
        self.live.append(more["title"])
        answer.close()
        return type("Outcome", (), {"lines": ("| 1 |",), "foot": "1 row", "seconds": 1.0})()

    def run(self, text: str) -> str:
        """What stands on the screen; times are alike."""
        assert self.shell.run(text)
        out, err = self._capture.readouterr()
        return re.sub(r"\(\d+\.\d\d s\)", "(T)", out + err)


@pytest.fixture
def seen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Seen]:
    """A shell whose session ends with the test."""
    monkeypatch.chdir(tmp_path)
    made = Seen(capsys)
    yield made
    made.shell.session.close()


def until(there: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


TABLEAU = "SET 'sql-client.execution.result-mode' = 'tableau';"


def test_result_modes(seen: Seen) -> None:
    """A live table unless SET says else; every change; plain text."""
    assert seen.run("SELECT 1 AS a\nFROM (VALUES 1) AS t (x);") == "| 1 |\n1 row (T)\n"
    assert seen.live == ["SELECT 1 AS a FROM (VALUES 1) AS t (x)"]
    plain = "+---+\n| a |\n+---+\n| 1 |\n+---+\n1 row in set (T)\n"
    assert seen.run(f"{TABLEAU} SELECT 1 AS a;") == f"OK (T)\n{plain}"
    seen.run("SET 'sql-client.execution.result-mode' = 'changelog';")
    assert seen.run("SELECT CAST(1 AS TINYINT) AS a;") == (
        "+----+--------+\n| op |      a |\n+----+--------+\n| +I |      1 |\n"
        "+----+--------+\nReceived a total of 1 rows (T)\n"
    )
    seen.run(f"{TABLEAU} SET 'sql-client.display.print-time-cost' = 'false';")
    assert seen.run("SELECT 1 AS a;").endswith("1 row in set\n")
    assert seen.run("CREATE VIEW v AS SELECT 1 AS a;") == "OK\n"
    assert "| v " in seen.run("SHOW VIEWS;")
    assert seen.live == ["SELECT 1 AS a FROM (VALUES 1) AS t (x)"]


def test_mistakes_end_what_was_typed(seen: Seen) -> None:
    """With caret and hint, in the lines as they were typed; and it says what was not run."""
    assert seen.run("CREATE VIEW v AS SELECT 1 AS a;\nSELECT b FROM v; SELECT 1;\nSELECT 2") == (
        "OK (T)\n"
        'SqlError at 2:8: column "b" does not exist\n'
        "  SELECT b FROM v; SELECT 1;\n"
        "         ^\n"
        'Hint: Table "v" has columns "a".\n'
        "-- 2 statements behind it were not run\n"
    )
    assert "the string is not closed" in seen.run("SELECT 'a;")
    shown = seen.run("SET 'sql-client.verbose' = 'true'; SELECT nope;")
    assert "Traceback (most recent call last)" in shown


def test_files(seen: Seen) -> None:
    """SOURCE runs one; what is wrong in it ends what named it."""
    Path("a.sql").write_text("CREATE VIEW v AS SELECT 1 AS a;\nSELECT c FROM v;")
    shown = seen.run("SOURCE 'a.sql'; SELECT 1;")
    assert 'SqlError at 2:8 of "a.sql": column "c" does not exist\n  SELECT c FROM v;\n' in shown
    assert shown.endswith("-- 1 statement behind it was not run\n")
    assert 'file "b.sql" cannot be read' in seen.run("SOURCE 'b.sql';")
    Path("me.sql").write_text("SOURCE 'me.sql';")
    assert 'file "me.sql" includes itself' in seen.run("SOURCE 'me.sql';")
    Path("end.sql").write_text("QUIT;")
    assert not seen.shell.run("SOURCE 'end.sql'; SELECT 1;")


@pytest.mark.parametrize("text", ["quit", "EXIT;", " \\q ", "SELECT 1 AS a; QUIT; SELECT 2;"])
def test_leaving(seen: Seen, text: str) -> None:
    """With or without a semicolon."""
    assert not seen.shell.run(text)


def test_short_commands(seen: Seen) -> None:
    """Tables, columns, functions, settings, help; others are refused."""
    seen.run("CREATE VIEW v AS SELECT 1 AS a;")
    assert "| v " in seen.run("\\d")
    assert "| a " in seen.run("\\d v")
    assert "| v " in seen.run("\\dv;")
    assert "JSON_VALUE " in seen.run("\\df json_v")
    assert seen.run("\\df nothing_such") == 'no function has "nothing_such" in its name\n'
    assert seen.run("\\j") == "no jobs\n"
    assert seen.run("?") == seen.run("help")
    assert "SOURCE 'file.sql'" in seen.run("HELP;")
    assert seen.run("clear") == "\x1b[H\x1b[2J\x1b[3J"
    seen.run("SET 'pipeline.name' = 'x';")
    assert "pipeline.name" in seen.run("\\s")
    assert seen.run("\\x y") == '-- there is no command "\\x y"; \\? lists them\n'


def test_names_for_completion(seen: Seen) -> None:
    """Tables, views and their columns; nothing is shown, and what is wrong is nothing."""
    seen.run("CREATE VIEW `a b` AS SELECT 1 AS x, 'y' AS `z z`;")
    assert seen.shell.tables() == ["a b"]
    assert [name for name, _ in seen.shell.columns("a b")] == ["x", "z z"]
    assert seen.shell.columns("nope") == []
    assert seen.run("") == ""


def test_jobs_run_beside_the_prompt(seen: Seen) -> None:
    """They are announced, listed, and stopped with a checkpoint by leaving."""
    seen.run(DATAGEN.format(""))
    assert seen.run("INSERT INTO b SELECT id FROM g;") == (
        'job "repl-1" runs, its state is in ".flowsql/repl-1"\n'
    )
    assert [job.id for job in seen.shell.running] == ["repl-1"]
    until(lambda: "repl-1: running" in seen.run("\\j"))
    assert seen.shell.leave() == 0
    shown = seen.run("")
    assert "-- stopping with a last checkpoint; Ctrl-C ends at once\n" in shown
    assert "-- repl-1: stopped" in shown
    assert list(Path(".flowsql/repl-1/checkpoints").glob("chk-*"))


def test_a_job_that_is_waited_for(seen: Seen) -> None:
    """`table.dml-sync` gives the prompt back when it is over; it says how it ended, once."""
    seen.run(DATAGEN.format(", 'number-of-rows' = '3'") + "SET 'table.dml-sync' = 'true';")
    shown = seen.run("INSERT INTO b SELECT id FROM g;")
    assert "-- repl-1: finished  in 3" in shown
    seen.shell.tell_ends()
    assert seen.run("") == ""


def test_a_job_that_fails_says_why(seen: Seen) -> None:
    """When the prompt comes again."""
    Path("bad.csv").write_text("x\n")
    seen.run(
        "CREATE TABLE f (a INT) WITH ('connector' = 'filesystem', 'path' = 'bad.csv', "
        "'format' = 'csv'); CREATE TABLE n (a INT) WITH ('connector' = 'blackhole');"
    )
    seen.run("INSERT INTO n SELECT a FROM f;")
    until(lambda: not seen.shell.running)
    seen.shell.tell_ends()
    shown = seen.run("")
    assert '-- job "repl-1" failed\nDataError' in shown
    assert seen.shell.running == []


def test_threads_do_not_stay(seen: Seen) -> None:
    """A query that is over leaves nothing behind."""
    seen.run(TABLEAU)
    before = threading.active_count()
    for _ in range(3):
        seen.run("SELECT 1 AS a;")
    until(lambda: threading.active_count() <= before)


def test_rows_one_column_a_line(seen: Seen) -> None:
    r"""`\x` turns it on and off, also for what is shown at once."""
    assert seen.run("\\x") == "-- one column a line: on\n"
    assert seen.run("SELECT 1 AS a, 'x' AS b;") == (
        "-[ row 1 ]------------------------------\na | 1\nb | x\n1 row in set (T)\n"
    )
    seen.run("CREATE VIEW v AS SELECT 1 AS a;")
    assert "view name | v\n" in seen.run("SHOW VIEWS;")
    assert not seen.live
    assert seen.run("\\x") == "-- one column a line: off\n"
    assert seen.run("SELECT 1 AS a;") == "| 1 |\n1 row (T)\n"


def test_long_text_is_cut_where_the_setting_says(seen: Seen) -> None:
    """In plain text; a live table is told."""
    seen.run(f"{TABLEAU} SET 'table.display.max-column-width' = '6';")
    assert "| abc... |" in seen.run("SELECT 'abcdefgh' AS a;")
    shown = seen.run("SET 'sql-client.display.max-column-width' = '6';")
    assert 'Did you mean "table.display.max-column-width"?' in shown


def test_options_of_tables_for_completion(seen: Seen) -> None:
    """As declared; a table that is not there has none."""
    seen.run(DATAGEN.format(""))
    assert seen.shell.options("g") == {"connector": "datagen", "rows-per-second": "500"}
    assert seen.shell.options("nobody") == {}
