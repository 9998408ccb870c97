"""A terminal's screen, so that tests can read what stands on it."""

from __future__ import annotations

import time
from collections.abc import Callable

from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import DummyOutput

__all__ = ["Screen", "until"]


def until(there: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Screen(DummyOutput):
    """Takes what prompt-toolkit writes; scrolls when it is full."""

    def __init__(self, columns: int = 80, rows: int = 12) -> None:
        self._size = Size(rows=rows, columns=columns)
        self._lines = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0

    @property
    def lines(self) -> list[str]:
        """What can be read, without blanks at the ends."""
        return ["".join(line).rstrip() for line in self._lines]

    def sees(self, text: str) -> None:
        """Wait until the text stands on it."""
        until(lambda: text in "\n".join(self.lines))

    def get_size(self) -> Size:
        return self._size

    def write(self, data: str) -> None:
        for character in data:
            if character == "\r":
                self._x = 0
            elif character == "\n":
                self._down()
            else:
                self._lines[self._y][min(self._x, self._size.columns - 1)] = character
                self._x += 1

    def _down(self) -> None:
        if self._y == self._size.rows - 1:
            self._lines = [*self._lines[1:], [" "] * self._size.columns]
        else:
            self._y += 1

    def write_raw(self, data: str) -> None:
        self.write(data)

    def cursor_goto(self, row: int = 0, column: int = 0) -> None:
        self._y, self._x = max(0, row), max(0, column)

    def cursor_up(self, amount: int) -> None:
        self._y = max(0, self._y - amount)

    def cursor_down(self, amount: int) -> None:
        self._y = min(self._size.rows - 1, self._y + amount)

    def cursor_forward(self, amount: int) -> None:
        self._x += amount

    def cursor_backward(self, amount: int) -> None:
        self._x = max(0, self._x - amount)

    def erase_end_of_line(self) -> None:
        for x in range(self._x, self._size.columns):
            self._lines[self._y][x] = " "

    def erase_down(self) -> None:
        self.erase_end_of_line()
        for y in range(self._y + 1, self._size.rows):
            self._lines[y] = [" "] * self._size.columns

    def erase_screen(self) -> None:
        self._lines = [[" "] * self._size.columns for _ in range(self._size.rows)]
