"""The prompt, without a terminal."""

from __future__ import annotations

import re
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from flowsql.cli.main import main
from flowsql.cli.repl.prompt import run_prompt
from flowsql.errors import ConfigError
from tests.unit.cli.repl.screen import Screen, until

PLAIN = {"sql-client.execution.result-mode": "tableau"}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    """What is pressed, in a folder and with a history of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with create_pipe_input() as made:
        yield made


def typed(
    keys: PipeInput, text: str, capture: pytest.CaptureFixture[str], **more: str
) -> tuple[int, str]:
    """Exit code, and what stands on the screen but the prompt itself."""
    keys.send_text(text)
    code = run_prompt(PLAIN, terminal=(keys, DummyOutput()), **more)  # type: ignore[arg-type]
    out, err = capture.readouterr()
    return code, re.sub(r"\(\d+\.\d\d s\)", "(T)", out + err)


def test_statements_and_the_end(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """A statement ends at its semicolon, over several lines; Ctrl-D on an empty line leaves."""
    code, shown = typed(keys, "SELECT 1\r AS a;\r\x04", capsys)
    assert code == 0
    assert shown.startswith("flowsql ")
    assert shown.endswith("+---+\n| a |\n+---+\n| 1 |\n+---+\n1 row in set (T)\n")


def test_ctrl_c_forgets_the_line(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """And a mistake ends nothing but itself."""
    _, shown = typed(keys, "SELECT 2\r\x03SELECT b;\rSELECT 1 AS a;\rquit\r", capsys)
    assert "| 1 |" in shown
    assert "| 2 |" not in shown
    assert 'column "b" does not exist' in shown


def test_alt_enter_runs_what_is_there(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a semicolon."""
    assert "| 1 |" in typed(keys, "SELECT 1 AS a\x1b\r\x04", capsys)[1]


def test_completion(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """The menu comes while one types; Enter takes what was chosen, and only then runs it."""
    screen = Screen()

    def press() -> None:
        keys.send_text("CREATE VIEW viewed AS SELECT 1 AS a;\r")
        keys.send_text("DESCRIBE vie")
        until(lambda: any(line.split() == ["viewed", "table"] for line in screen.lines))
        keys.send_text("\t\r")
        screen.sees("DESCRIBE viewed")
        keys.send_text(";\r\x04")

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    assert run_prompt(PLAIN, terminal=(keys, screen)) == 0
    thread.join()
    assert "| a " in capsys.readouterr().out


def test_lines_are_numbered_where_it_is_set(keys: PipeInput) -> None:
    """`sql-client.display.show-line-numbers`, from the second line on."""
    screen = Screen()

    def press() -> None:
        keys.send_text("SELECT 1\r")
        screen.sees("      ->")
        keys.send_text(";\rSET 'sql-client.display.show-line-numbers' = 'true';\r")
        keys.send_text("SELECT\r2\r")
        screen.sees("     2-> 2")
        screen.sees("     3->")
        keys.send_text(";\r\x04")

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    assert run_prompt(PLAIN, terminal=(keys, screen)) == 0
    thread.join()


def test_history_is_kept_without_secrets(
    keys: PipeInput, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In a file that is the user's alone."""
    secret = "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole', 'x.password' = 'hunter2');"
    typed(keys, f"{secret}\rSELECT 1 AS a;\r\x04", capsys)
    file = tmp_path / "state" / "flowsql" / "history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text()
    assert "+SELECT 1 AS a;\n" in kept
    assert "'x.password' = '*******'" in kept
    assert "hunter2" not in kept


def test_a_history_that_cannot_be_written(
    keys: PipeInput, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Is none."""
    (tmp_path / "state").write_text("in the way")
    assert "| 1 |" in typed(keys, "SELECT 1 AS a;\r\x04", capsys)[1]


def test_statements_before_the_prompt(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """`-i FILE`; one that says QUIT leaves."""
    Path("a.sql").write_text("CREATE VIEW v AS SELECT 7 AS a;")
    assert "| 7 |" in typed(keys, "SELECT a FROM v;\r\x04", capsys, init="a.sql")[1]
    Path("b.sql").write_text("SELECT 8 AS a; QUIT;")
    assert typed(keys, "", capsys, init="b.sql")[0] == 0


def test_python_functions_of_the_current_folder(
    keys: PipeInput, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are found, as for other statements without a file."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("of_the_prompt.py").write_text(
        "from flowsql import udf\n\n\n"
        "@udf(result_type='BIGINT', input_types=['BIGINT'])\n"
        "def twice(n):\n    return n * 2\n"
    )
    text = (
        "CREATE FUNCTION twice AS 'of_the_prompt.twice' LANGUAGE PYTHON;\rSELECT twice(21) AS a;\r"
    )
    assert "| 42 |" in typed(keys, f"{text}\x04", capsys)[1]


def test_leaving_asks_about_jobs(
    keys: PipeInput, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And says what becomes of them; they have a last checkpoint."""
    text = (
        "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500');\r"
        "CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');\r"
        "SET 'pipeline.name' = 'mine';\r"
        "INSERT INTO b SELECT id FROM g;\r"
        "\x04n\r"
        "SELECT 1 AS a;\r"
        "quit\ry\r"
    )
    code, shown = typed(keys, text, capsys)
    assert code == 0
    assert shown.count('Job "mine" runs in this process: leaving stops it with a checkpoint.') == 2
    assert "SET 'pipeline.name' = 'mine'." in shown
    assert "| 1 |" in shown
    assert "-- mine: stopped" in shown
    assert list((tmp_path / ".flowsql" / "mine" / "checkpoints").glob("chk-*"))


def test_wrong_settings_are_told_at_once(keys: PipeInput) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match="there is no option"):
        run_prompt({"no.such": "1"}, terminal=(keys, DummyOutput()))


def test_a_prompt_needs_a_terminal(
    keys: PipeInput, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forms of output are for other programs."""
    del keys
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["--format", "csv"]) == 2
    assert "--format is for -e and pipes" in capsys.readouterr().err


def test_nothing_is_left_running(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    """No thread of the prompt outlives it."""
    typed(keys, "SELECT 1 AS a;\r\x04", capsys)
    assert [t.name for t in threading.enumerate() if t.name == "loading"] == []
