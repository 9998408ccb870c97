"""Pages of a live table."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flowsql.cli.repl.page import Page, crop
from flowsql.expr import EvalSettings
from flowsql.types import BigIntType, Field, RowType, VarCharType

SCHEMA = RowType((Field("k", BigIntType()), Field("text", VarCharType())), nullable=False)


def table(count: int, text: str | None = "x") -> pa.Table:
    """Rows numbered from 0."""
    return pa.table({"k": pa.array(range(count), pa.int64()), "text": [text] * count})


def page(count: int, *, text: str | None = "x", follow: bool = False) -> Page:
    """A page of such a table."""
    made = Page(SCHEMA, EvalSettings("UTC"), follow=follow)
    made.table = table(count, text)
    return made


def lines(page: Page, width: int = 40, height: int = 5) -> list[str]:
    """What is drawn, the chosen row with a star."""
    return [("*" if "cursor" in style else "") + text for style, text in page.lines(width, height)]


def test_moving_about() -> None:
    """By rows, pages, and to either end; the chosen row is always on the page."""
    looked = page(10)
    assert lines(looked) == [
        "| k | text |",
        "+---+------+",
        "*| 0 | x    |",
        "| 1 | x    |",
        "| 2 | x    |",
    ]
    assert looked.place == "rows 1-3 of 10"
    looked.move(3)
    assert lines(looked)[2:] == ["| 1 | x    |", "| 2 | x    |", "*| 3 | x    |"]
    looked.turn(1)
    assert lines(looked)[2:] == ["| 4 | x    |", "| 5 | x    |", "*| 6 | x    |"]
    looked.last()
    assert lines(looked)[2:] == ["| 7 | x    |", "| 8 | x    |", "*| 9 | x    |"]
    looked.table = table(11)
    assert lines(looked)[-1] == "*| 10 | x    |"
    looked.first()
    assert lines(looked)[2] == "*|  0 | x    |"
    looked.table = table(0)
    assert lines(looked) == ["|  k | text |", "+----+------+"]
    assert looked.place == "no rows"


def test_a_stream_is_followed_until_somebody_moves() -> None:
    """Its newest rows are what one wants to see."""
    looked = page(10, follow=True)
    assert lines(looked)[-1] == "*| 9 | x    |"
    assert not looked.touched
    looked.move(-1)
    looked.table = table(20)
    assert lines(looked)[2:] == ["| 7 | x    |", "*| 8 | x    |", "| 9 | x    |"]


def test_wide_rows_are_shifted_by_columns() -> None:
    """And the table as it is left behind is cut as it was seen."""
    looked = page(1, text="a long text that is here")
    assert lines(looked, width=16) == [
        "| k | text     >",
        "+---+-----------",
        "*| 0 | a long te>",
    ]
    looked.shift(1)
    assert lines(looked, width=16)[2] == "*| a long text t>"
    looked.shift(-5)
    assert looked.plain(16)[1] == "| k | text     >"


def test_one_row_by_itself() -> None:
    """Whole values with their types, wrapped; the table may go on meanwhile."""
    looked = page(3, text="one\ntwo and three and four \x1b[2J")
    looked.move(2)
    looked.open()
    assert looked.opened
    looked.table = table(0)
    assert lines(looked, width=40, height=10) == [
        "row 3 of 3",
        "-" * 40,
        "k     BIGINT  2",
        "text  STRING  one",
        "              two and three and four \\x1",
        "              b[2J",
    ]
    looked.move(2)
    assert lines(looked, width=40, height=4)[2:] == [
        "              two and three and four \\x1",
        "              b[2J",
    ]
    looked.table = table(3)
    looked.shift(-1)
    assert lines(looked, height=4)[0] == "row 2 of 3"
    looked.shift(9)
    assert lines(looked, height=4)[0] == "row 3 of 3"
    looked.close()
    assert not looked.opened


def test_one_row_in_a_narrow_terminal() -> None:
    """Values come before types."""
    looked = page(1, text="one two three")
    looked.open()
    assert lines(looked, width=20, height=10)[2:] == ["k     0", "text  one two three"]


def test_null_and_nothing() -> None:
    """NULL is told from text; there is no row to open where there is none."""
    looked = page(1, text=None)
    looked.open()
    assert lines(looked)[-1] == "text  STRING  <NULL>"
    empty = page(0)
    empty.open()
    assert not empty.opened


@pytest.mark.parametrize(
    ("rows", "width", "height", "fits"),
    [(3, 12, 3, True), (3, 11, 3, False), (4, 12, 3, False), (0, 5, 1, True)],
)
def test_what_fits_needs_no_page(rows: int, width: int, height: int, fits: bool) -> None:
    """It is printed like any other result."""
    assert page(rows).fits(width, height) is fits


def test_cutting_wide_characters() -> None:
    """None is cut in two."""
    assert crop("ab日本c", 0, 4) == "ab日"
    assert crop("ab日本c", 3, 4) == "本c"
    assert crop("abcdef", 1, 3) == "bc>"
