"""What `flowsql run` says of a wrong file, row or setting: the whole text and the exit code.

`messages.txt` has the grammar of script files: `file NAME` writes a file, `run NAME EXIT [ARG…]`
runs statements and expects what is printed (log lines left out). `pytest --rewrite` writes it anew.
"""

from __future__ import annotations

import re
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
