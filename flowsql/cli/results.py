"""The rows of a query in a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.cli.console import Console
from flowsql.cli.statusline import StatusReporter
from flowsql.cli.tableau import MAX_WIDTH, Expanded, Tableau
from flowsql.config import ENGINE_OPTIONS, parse_setting
from flowsql.errors import FlowSQLError
from flowsql.expr import EvalSettings
from flowsql.library.result import Result

__all__ = ["EXPANDED", "ResultPrinter", "display_option", "left_out"]

JSON = dict[str, Any]

# The first rows decide how wide columns are: a short result is held until it is whole.
_HELD_ROWS = 1000
_HELD_SECONDS = 0.5

EXPANDED = "sql-client.display.expanded"
_DEFAULTS = {o.key: o.default for o in ENGINE_OPTIONS}


def display_option(config: Mapping[str, str], key: str) -> Any:
    """The value of a setting as it is now."""
    text = config.get(key)
    return _DEFAULTS[key] if text is None else parse_setting(key, text)


class ResultPrinter:
    """Prints results on standard output; below them, in a terminal, how the query does.

    A query that never ends shows every change with its kind. One that ends by itself shows its
    rows: as they come where none is ever taken back, else the table that is left at its end.

    Args:
        console: where status lines go.
        settings: how values become text (time zone).
        interrupted: whether the user has asked for the end.
        beside: the jobs that run meanwhile: what `Job.status()` tells, one call a job.
        every_change: show the changes of a query that ends as well.
        behind: put behind the number of rows, such as how long it took.
        longest: characters of text and nested values in a table.
        expanded: show one column a line instead of a table.
    """

    def __init__(
        self,
        console: Console,
        settings: EvalSettings,
        interrupted: Callable[[], bool],
        beside: Callable[[], Sequence[Callable[[], JSON]]] = lambda: (),
        *,
        every_change: bool = False,
        behind: Callable[[], str] = lambda: "",
        longest: int = MAX_WIDTH,
        expanded: bool = False,
    ) -> None:
        self._longest = longest
        self._expanded = expanded
        self._console = console
        self._every_change = every_change
        self._behind = behind
        self._settings = settings
        self._interrupted = interrupted
        self._beside = beside

    def show(self, answer: Result) -> bool:
        """Print an answer; whether it is a whole one, not the part that came until Ctrl-C.

        Raises:
            FlowSQLError: the query failed.
        """
        if answer.stream is None and answer.schema.names == ("result",):
            # A plan, or a statement shown back: text of several lines, not a cell of a table.
            rows = [text for (text,) in answer.fetchall()]
            if rows != ["OK"]:
                print("\n".join(rows), flush=True)
            return True
        follow = not answer.bounded or (self._every_change and answer.stream is not None)
        tableau = (
            Expanded(answer.schema, self._settings, op=follow)
            if self._expanded
            else Tableau(answer.schema, self._settings, op=follow, longest=self._longest)
        )
        try:
            if follow:
                self._follow(answer, tableau)
                return True
            if answer.append:
                return self._rows(answer, tableau)
            return self._table(answer, tableau)
        finally:
            self._console.show(())

    def _progress(self, answer: Result) -> Callable[[], None]:
        """To be called now and then while the query runs: draws the status lines in a terminal."""
        if answer.status is None or not self._console.interactive:
            return lambda: None
        own, last = answer.status, time.monotonic()

        def update() -> None:
            nonlocal last
            if time.monotonic() - last >= StatusReporter.INTERVAL:
                last = time.monotonic()
                StatusReporter([*self._beside(), own], self._console).update()

        return update

    def _follow(self, answer: Result, tableau: Tableau) -> None:
        progress = self._progress(answer)
        rows = 0
        begun = False

        def tick() -> None:
            nonlocal begun
            if not begun:
                # Only now: a query that cannot begin shows nothing but why.
                begun = True
                _say(tableau.head())
            progress()

        for changes in answer.changes(tick):
            if self._interrupted():
                break
            tick()
            print(tableau.changes(changes), flush=True)
            rows += len(changes)
        tick()
        _say(tableau.rule(), f"Received a total of {rows} rows{self._behind()}")

    def _table(self, answer: Result, tableau: Tableau) -> bool:
        progress = self._progress(answer)
        collected: list[Changes] = []
        for changes in answer.changes(progress):
            collected.append(changes)
            progress()
        table = answer.fold(collected)
        whole = not self._interrupted()
        print(tableau.table(table, whole=whole) + self._behind(), flush=True)
        return whole

    def _rows(self, answer: Result, tableau: Tableau) -> bool:
        held = _Held(tableau)
        progress = self._progress(answer)

        def tick() -> None:
            held.release(due=True)
            progress()

        try:
            for changes in answer.changes(tick):
                if self._interrupted():
                    break
                held.add(changes)
                tick()
        except FlowSQLError:
            held.end("before the error; the result is incomplete")
            raise
        whole = not self._interrupted()
        if held.begun:
            held.release()
            end = "in set" if whole else "so far; interrupted, the result is incomplete"
            held.end(end + self._behind())
        else:
            table = answer.fold(held.changes)
            print(tableau.table(table, whole=whole) + self._behind(), flush=True)
        return whole


def left_out(answer: Result) -> str | None:
    """That a query's rows are not all there are: what its status counts as left out."""
    status = {} if answer.status is None else answer.status()
    bad, late = status.get("bad_records", 0), status.get("late_rows", 0)
    parts = []
    if bad:
        parts.append(f"{_counted(bad, 'record')} that could not be read ('scan.bad-record')")
    if late:
        parts.append(f"{_counted(late, 'row')} that came after the watermark")
    if not parts:
        return None
    return f"left out: {' and '.join(parts)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _say(*texts: str) -> None:
    """Print what is not empty."""
    if shown := "\n".join(filter(None, texts)):
        print(shown, flush=True)


class _Held:
    """The first rows of a result, until they are enough, old enough, or all.

    Attributes:
        changes: not printed yet.
        begun: the head is printed.
    """

    def __init__(self, tableau: Tableau) -> None:
        self._tableau = tableau
        self._since = 0.0
        self._rows = 0
        self.changes: list[Changes] = []
        self.begun = False

    def add(self, changes: Changes) -> None:
        """Rows of a result that takes none back."""
        if self._rows == 0:
            self._since = time.monotonic()
        self.changes.append(changes)
        self._rows += len(changes)

    def release(self, *, due: bool = False) -> None:
        """Print what is held; where `due`, only if it is time to."""
        if not self.changes or (due and not self._is_due()):
            return
        batches = [c.batch for c in self.changes]
        if not self.begun:
            self.begun = True
            self._tableau.fit(pa.Table.from_batches(batches), more=due)
            _say(self._tableau.head())
        for changes in self.changes:
            print(self._tableau.changes(changes), flush=True)
        self.changes = []

    def _is_due(self) -> bool:
        return (
            self.begun
            or self._rows >= _HELD_ROWS
            or time.monotonic() - self._since >= _HELD_SECONDS
        )

    def end(self, how: str) -> None:
        """Close the table, if it was begun."""
        if self.begun:
            shown = self._rows - sum(map(len, self.changes))
            _say(self._tableau.rule(), f"{self._tableau.count(shown)} {how}")
