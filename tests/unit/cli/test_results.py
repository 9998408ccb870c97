"""The rows of a query in a terminal, with its status line below."""

from __future__ import annotations

import threading
import time
from typing import Any

import pyarrow as pa
import pytest

import flowsql
from flowsql.cli.console import Console
from flowsql.cli.results import ResultPrinter
from flowsql.expr import EvalSettings
from flowsql.library.result import Result, ResultStream
from flowsql.types import BigIntType, Field, RowType
from tests.unit.cli.test_console import Terminal, terminal_of

SCHEMA = RowType((Field("n", BigIntType()),), nullable=False)


def status(job: str) -> dict[str, Any]:
    """What a running job tells."""
    return {"job": job, "state": "running"}


def numbers(*values: int) -> flowsql.Changes:
    """Rows that are added."""
    return flowsql.Changes(pa.record_batch({"n": pa.array(values, pa.int64())}))


class Query:
    """A query whose rows the test gives.

    Attributes:
        answer: its result.
        interrupted: whether the user pressed Ctrl-C.
        whole: what `show` returned.
    """

    def __init__(self, *, bounded: bool = True, append: bool = True) -> None:
        self.stream = ResultStream()
        self.answer = Result(
            SCHEMA,
            stream=self.stream,
            bounded=bounded,
            append=append,
            status=lambda: status("query"),
        )
        self.interrupted = False
        self.whole: bool | None = None

    def show(self, console: Console) -> threading.Thread:
        """Print it in a thread, a job beside it."""
        printer = ResultPrinter(
            console,
            EvalSettings("UTC"),
            lambda: self.interrupted,
            lambda: [lambda: status("job")],
        )

        def run() -> None:
            self.whole = printer.show(self.answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


def wait_for(screen: Terminal, *lines: str) -> None:
    """Until these lines stand on the screen, one below the other."""
    deadline = time.monotonic() + 60
    while screen.screen()[-len(lines) :] != list(lines):
        assert time.monotonic() < deadline, screen.screen()
        time.sleep(0.02)


STATUS = (
    "job: running  in 0 (0/s)  out 0 (0/s)  state 0 B",
    "query: running  in 0 (0/s)  out 0 (0/s)  state 0 B",
)


def test_rows_come_with_a_status_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below them stand the job that runs beside and the query; in the end neither."""
    screen = terminal_of(monkeypatch)
    console, query = Console(), Query()
    with console.attached():
        thread = query.show(console)
        wait_for(screen, *STATUS)
        query.stream.put(numbers(1, 2), 1)
        rule = "+----------------------+"
        first, second = "|                    1 |", "|                    2 |"
        wait_for(screen, first, second, *STATUS)
        query.stream.finish(None)
        thread.join(60)
    assert query.whole is True
    assert screen.screen() == [
        rule,
        "|                    n |",
        rule,
        first,
        second,
        rule,
        "2 rows in set",
    ]


def test_rows_that_may_go_wait_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the table that is left is shown, the status line before."""
    screen = terminal_of(monkeypatch)
    console, query = Console(), Query(append=False)
    with console.attached():
        thread = query.show(console)
        query.stream.put(numbers(1, 2), 1)
        wait_for(screen, *STATUS)
        taken = flowsql.Changes(numbers(1).batch, pa.array([3], pa.int8()))
        query.stream.put(taken, 2)
        query.stream.finish(None)
        thread.join(60)
    assert screen.screen() == ["+---+", "| n |", "+---+", "| 2 |", "+---+", "1 row in set"]


def test_a_part_is_no_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came until Ctrl-C is shown as such."""
    screen = terminal_of(monkeypatch)
    console, query = Console(), Query()
    with console.attached():
        thread = query.show(console)
        query.stream.put(numbers(7), 1)
        wait_for(screen, "|                    7 |", *STATUS)
        query.interrupted = True
        query.stream.finish(None)
        thread.join(60)
    assert query.whole is False
    assert screen.screen()[-1] == "1 row so far; interrupted, the result is incomplete"
