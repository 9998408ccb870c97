"""The live table, without a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input

from flowsql.changelog import INSERT, UPDATE_AFTER, UPDATE_BEFORE, Changes
from flowsql.cli.repl.view import LiveView, Outcome
from flowsql.errors import DataError, FlowSQLError
from flowsql.expr import EvalSettings
from flowsql.library.result import Result, ResultStream
from flowsql.types import BigIntType, Field, RowType
from tests.unit.cli.repl.screen import Screen, until

SCHEMA = RowType((Field("k", BigIntType()), Field("n", BigIntType())), nullable=False)


class Query:
    """A query whose changes the test gives, and the view of it.

    Attributes:
        stream: of the changes.
        screen: what is drawn.
        keys: what is pressed.
        outcome: of the view, once it is left.
        error: that it raised.
    """

    def __init__(self, keys: PipeInput) -> None:
        self.stream = ResultStream()
        self.screen = Screen()
        self.keys = keys
        self.outcome: Outcome | None = None
        self.error: FlowSQLError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def show(self, *, append: bool = False, bounded: bool = False, limit: int = 1000) -> None:
        """Begin to look at it."""
        answer = Result(
            SCHEMA,
            stream=self.stream,
            bounded=bounded,
            append=append,
            status=lambda: {"job": "query", "state": "running"},
        )
        self.stream.on_close = lambda: self.stream.finish(None)
        self._view = LiveView(
            answer,
            EvalSettings("UTC"),
            limit=limit,
            title="SELECT k, n FROM t",
            size=lambda: (80, 12),
            interrupted=lambda: False,
            terminal=(self.keys, self.screen),
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._view.run()
        except FlowSQLError as error:
            self.error = error

    def put(self, *rows: tuple[int, int, int]) -> None:
        """Changes: kind, k, n."""
        columns = {
            name: pa.array([row[i] for row in rows], pa.int64()) for i, name in ((1, "k"), (2, "n"))
        }
        codes = np.array([row[0] for row in rows], np.int8)
        self.stream.put(Changes(pa.record_batch(columns), codes), 1)

    def sees(self, text: str) -> None:
        """Wait until it was drawn."""
        self.screen.sees(text)

    def left(self) -> Outcome:
        """Wait until it is left."""
        self._thread.join(60)
        assert self.outcome is not None
        return self.outcome


@pytest.fixture
def query() -> Iterator[Query]:
    """One with keys to press."""
    with create_pipe_input() as keys:
        yield Query(keys)


def test_what_is_over_at_once_is_only_printed(query: Query) -> None:
    """Nothing is drawn over the screen."""
    query.show(bounded=True)
    query.put((INSERT, 1, 10), (INSERT, 2, 20), (UPDATE_BEFORE, 1, 10), (UPDATE_AFTER, 1, 11))
    query.stream.finish(None)
    outcome = query.left()
    assert outcome.whole
    assert list(outcome.lines) == [
        "+---+----+",
        "| k |  n |",
        "+---+----+",
        "| 1 | 11 |",
        "| 2 | 20 |",
        "+---+----+",
    ]
    assert outcome.foot == "2 rows in set"
    assert not any(query.screen.lines)


def test_a_running_query_is_updated_in_place(query: Query) -> None:
    """`q` ends it; the page stays on the screen, with what it is worth."""
    query.show()
    query.put((INSERT, 1, 10), (INSERT, 2, 20))
    query.sees("10")
    query.sees("query: running")
    assert query.screen.lines[1:5] == ["| k |  n |", "+---+----+", "| 1 | 10 |", "| 2 | 20 |"]
    query.put((UPDATE_BEFORE, 1, 10), (UPDATE_AFTER, 1, 11))
    query.sees("| 1 | 11 |\n| 2 | 20 |")
    query.keys.send_text("q")
    outcome = query.left()
    assert not outcome.whole
    assert list(outcome.lines)[3:5] == ["| 1 | 11 |", "| 2 | 20 |"]
    assert outcome.foot == "2 rows so far; the query was ended after 4 changes"


@pytest.mark.parametrize("key", ["\x03", "\x04", "\x1b"])
def test_other_keys_that_leave(query: Query, key: str) -> None:
    """Ctrl-C, Ctrl-D, Escape."""
    query.show()
    query.sees("no rows")
    query.keys.send_text(key)
    outcome = query.left()
    assert (outcome.lines, outcome.foot) == ((), "No rows so far; the query was ended")


def test_a_row_is_opened_and_closed(query: Query) -> None:
    """Enter shows the chosen one, `q` goes back, `q` again leaves."""
    query.show()
    query.put(*((INSERT, k, k * 10) for k in range(30)))
    query.sees("of 30")
    query.keys.send_text("jj\r")
    query.sees("row 3 of 30")
    query.keys.send_text("q")
    query.keys.send_text("G")
    query.sees("290")
    query.keys.send_text("q")
    outcome = query.left()
    assert outcome.foot.startswith("rows 24-30 of 30 so far; ")


def test_a_table_that_is_held_does_not_change(query: Query) -> None:
    """Until it is let go."""
    query.show()
    query.put((INSERT, 1, 10))
    query.sees("10")
    query.keys.send_text(" ")
    query.sees("held")
    query.put((INSERT, 2, 777))
    time.sleep(0.6)
    assert "777" not in "\n".join(query.screen.lines)
    query.keys.send_text(" ")
    query.sees("777")
    query.keys.send_text("q")
    query.left()


def test_a_query_that_ends_leaves_the_screen_by_itself(query: Query) -> None:
    """If its rows fit and nobody moved about; else it stays to be looked at."""
    query.show(bounded=True)
    query.put((INSERT, 1, 10))
    query.sees("10")
    query.stream.finish(None)
    assert query.left().whole


def test_a_long_result_stays_until_it_is_left(query: Query) -> None:
    """Though the query is over."""
    query.show(bounded=True)
    query.put(*((INSERT, k, k) for k in range(30)))
    query.stream.finish(None)
    query.sees("finished")
    assert query.outcome is None
    query.keys.send_text("q")
    outcome = query.left()
    assert outcome.whole
    assert outcome.foot == "rows 1-7 of 30"


def test_a_query_that_fails_says_so_at_once(query: Query) -> None:
    """Also while it is looked at."""
    query.show()
    query.put((INSERT, 1, 10))
    query.sees("10")
    query.stream.finish(DataError("division by zero"))
    until(lambda: query.error is not None)
    assert str(query.error) == "DataError: division by zero"


def test_too_many_rows_end_the_query(query: Query) -> None:
    """Rather than show a table that is wrong."""
    query.show(limit=2)
    query.put(*((INSERT, k, k) for k in range(3)))
    until(lambda: query.error is not None)
    assert "the result has more than 2 rows" in str(query.error)


def test_a_stream_keeps_its_last_rows(query: Query) -> None:
    """And says how many went."""
    query.show(append=True, limit=2)
    query.put(*((INSERT, k, k) for k in range(5)))
    query.sees("not kept")
    query.keys.send_text("q")
    outcome = query.left()
    assert list(outcome.lines)[3:5] == ["| 3 | 3 |", "| 4 | 4 |"]
    assert outcome.foot.endswith("the first 3 rows were not kept")
