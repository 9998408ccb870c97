"""What `flowsql run` says of a wrong file, row or setting: the whole text and the exit code.

`messages.txt` has the grammar of script files: `file NAME` writes a file, `run NAME EXIT [ARG…]`
runs statements and expects what is printed (log lines left out). `pytest --rewrite` writes it anew.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowsql.cli.main import main
from tests.support.script import Block, Script, parse, render

SOURCE = Path(__file__).with_name("messages.txt")
SCRIPT = parse(SOURCE, SOURCE.read_text())
RUNS = [b for b in SCRIPT.blocks if b.command == "run"]

_LOG = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


def _files(folder: Path) -> None:
    for block in SCRIPT.blocks:
        if block.command == "file":
            path = folder / block.args[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in block.input))


def _answer(
    block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    _files(folder)
    monkeypatch.chdir(folder)
    file = folder / f"{block.args[0]}.sql"
    file.write_text("".join(f"{line}\n" for line in block.input))
    code = main(["run", file.name, *block.args[2:]])
    out, err = capsys.readouterr()
    shown = [line for line in (out + err).splitlines() if not _LOG.match(line)]
    return code, [line.replace(str(folder), "FOLDER") for line in shown]


@pytest.mark.parametrize("block", RUNS, ids=lambda b: b.args[0])
def test_message(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """Fact, caret, cure; and the exit code that says who must act."""
    code, shown = _answer(block, tmp_path, monkeypatch, capsys)
    if request.config.getoption("--rewrite"):
        blocks = parse(SOURCE, SOURCE.read_text()).blocks
        now = [b.answering(shown) if b.head == block.head else b for b in blocks]
        SOURCE.write_text(render(Script(SOURCE, tuple(now), SCRIPT.tail)))
    else:
        assert list(block.expected) == shown
    assert int(block.args[1]) == code


def test_what_is_no_utf8(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither through a pipe nor as an argument, whatever the locale makes of it."""
    for errors in ("strict", "surrogateescape"):
        piped = io.TextIOWrapper(io.BytesIO(b"\xff\xfe bad"), encoding="utf-8", errors=errors)
        monkeypatch.setattr("sys.stdin", piped)
        assert main(["run", "-"]) == 2
        assert capsys.readouterr().err.startswith("ConfigError: standard input is not UTF-8\n")
    assert main(["-e", "SELECT '\udcff'"]) == 2
    assert capsys.readouterr().err.startswith("ConfigError: the text is not UTF-8\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_full_disk_behind_standard_output(form: str) -> None:
    """An error of one line and no zero, also where Python flushes once more at its end."""
    with Path("/dev/full").open("w") as full:
        made = subprocess.run(
            [sys.executable, "-m", "flowsql.cli.main", "-e", "SELECT 1", "--format", form],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert made.returncode == 1
    assert made.stderr == (
        "ConnectorError: standard output cannot be written: No space left on device\n"
    )


def test_words_of_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused in a file, by name."""
    for word, text in (("HELP", "HELP"), ("CLEAR", "CLEAR; SELECT 1")):
        assert main(["-e", text]) == 2
        out, err = capsys.readouterr()
        assert (out, f"statement {word} is not supported" in err) == ("", True)


def test_a_module_that_refuses_its_own_declaration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One error, with one hint."""
    monkeypatch.chdir(tmp_path)
    Path("refusing.py").write_text(
        "import flowsql\n@flowsql.udf(input_types=['INTT'], result_type='INT')\n"
        "def f(x):\n    return x\n"
    )
    Path("job.sql").write_text(
        "CREATE TEMPORARY FUNCTION f AS 'refusing.f' LANGUAGE PYTHON; SELECT f(1);"
    )
    assert main(["run", "job.sql"]) != 0
    err = capsys.readouterr().err
    assert 'module "refusing" cannot be imported: ' in err
    assert err.count("Error") == 1
    assert err.count("Hint:") <= 1


def test_a_mistake_in_a_file_that_is_put_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its place is one of that file, which is named."""
    monkeypatch.chdir(tmp_path)
    Path("src.sql").write_text("SET 'table.dml-sync' = 'true';\nSELECT 1, nope;")
    Path("job.sql").write_text("-- all of it\n\nSOURCE 'src.sql';")
    for command in ("run", "explain", "check"):
        assert main([command, "job.sql"]) == 2
        assert 'SqlError at 2:11 of "src.sql": column "nope"' in capsys.readouterr().err


def test_a_refused_file_leaves_catalogs_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lasts is written when all is planned: in order, catalogs that were closed as well."""
    monkeypatch.chdir(tmp_path)
    catalog = "CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept');"
    table = "(a INT) WITH ('connector' = 'datagen', 'number-of-rows' = '2');"
    made = (
        f"{catalog} CREATE DATABASE c.d; CREATE TABLE c.d.t1 {table} CREATE TABLE c.d.t2 {table}"
        "DROP TABLE c.d.t1; ALTER DATABASE c.`default` SET ('k' = 'v'); DROP CATALOG c;"
        f"{catalog} CREATE VIEW c.d.v AS SELECT a FROM c.d.t2; SELECT COUNT(*) FROM c.d.v;"
    )
    assert main(["-e", f"{made} SELECT nope FROM c.d.v"]) == 2
    assert "nope" in capsys.readouterr().err
    assert not Path("kept").exists()
    assert main(["-e", made, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "EXPR$0\n2\n"
    kept = sorted(str(p) for p in Path("kept").rglob("*.sql"))
    assert kept == ["kept/d.sql", "kept/d/t2.sql", "kept/d/v.sql", "kept/default.sql"]
    assert "'k' = 'v'" in Path("kept/default.sql").read_text()
    before = {p: p.read_bytes() for p in Path("kept").rglob("*.sql")}
    change = f"{catalog} DROP TABLE c.d.t2; DROP DATABASE c.d CASCADE; CREATE DATABASE c.e;"
    assert main(["-e", f"{change} SELECT nope"]) == 2
    assert {p: p.read_bytes() for p in Path("kept").rglob("*.sql")} == before
    assert main(["-e", change]) == 0
    assert sorted(p.name for p in Path("kept").rglob("*.sql")) == ["default.sql", "e.sql"]
