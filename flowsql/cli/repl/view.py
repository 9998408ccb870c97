"""The live table: a query's rows on the whole screen while it runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from flowsql.cli.repl.page import Line, Page, crop
from flowsql.cli.repl.table import LiveTable
from flowsql.cli.statusline import status_line
from flowsql.cli.tableau import MAX_WIDTH
from flowsql.expr import EvalSettings
from flowsql.library.result import Result

__all__ = ["LiveView"]

_REFRESH_S = 0.25
# Until then a query may be over, and its table is printed like any other.
_PATIENCE_S = 0.4
_MANY = 200_000  # changes that are put into the table whether or not anybody looks
_FRAME_LINES = 3  # title, status, keys
_FOOT_LINES = 6  # rules, names, foot and the next prompt, of a table that is printed

_STYLE = Style.from_dict(
    {"title": "bold", "head": "bold", "rule": "", "cursor": "reverse", "keys": "reverse"}
)
_KEYS = "q leave  ↑↓ PgUp PgDn Home End  ←→ columns  Enter whole row  Space hold"
_RECORD_KEYS = "q back  ↑↓ PgUp PgDn scroll  ←→ other rows"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left to be told when nobody looks any more.

    Attributes:
        lines: of the table.
        foot: below it.
        whole: the query came to its end.
        seconds: that it ran.
    """

    lines: tuple[str, ...]
    foot: str
    whole: bool
    seconds: float


class LiveView:
    """Follows a query on the screen; nothing is drawn for one that is over at once and fits.

    Args:
        answer: a query that was not begun.
        settings: how values become text (time zone).
        limit: rows that are kept.
        longest: characters of text and nested values.
        title: what is run, in one line.
        size: columns and lines of the terminal.
        interrupted: whether the query was ended from outside.
        terminal: the streams of the terminal; None: the process's.
    """

    def __init__(
        self,
        answer: Result,
        settings: EvalSettings,
        *,
        limit: int,
        longest: int = MAX_WIDTH,
        title: str,
        size: Callable[[], tuple[int, int]],
        interrupted: Callable[[], bool],
        terminal: tuple[Input, Output] | None = None,
    ) -> None:
        self._answer = answer
        self._title = title
        self._size = size
        self._interrupted = interrupted
        self._terminal = terminal
        self._live = LiveTable(answer.schema, append=answer.append, limit=limit)
        # What only grows is read at its end.
        self._page = Page(
            answer.schema,
            settings,
            follow=answer.append and not answer.bounded,
            longest=longest,
        )
        self._published = self._live.rows
        self._held = False
        self._began = time.monotonic()
        self._took = 0.0
        self._over = threading.Event()
        self._closed = False
        self._error: Exception | None = None
        self._application: Application[None] | None = None

    def run(self) -> Outcome:
        """Show it until the user leaves, or until it is over and fits the screen.

        Raises:
            FlowSQLError: the query failed.
        """
        thread = threading.Thread(target=self._collect, name="rows of a query", daemon=True)
        thread.start()
        try:
            self._over.wait(_PATIENCE_S)
            if not (self._over.is_set() and (self._error is not None or self._fits())):
                self._show()
        finally:
            self._end()
        while not self._over.wait(0.1):
            pass
        whole = not (self._closed or self._interrupted())
        if self._error is not None:
            raise self._error
        return self._outcome(whole=whole)

    def _end(self) -> None:
        if not self._over.is_set():
            self._closed = True
            self._answer.close()

    # Rows

    def _collect(self) -> None:
        pause, last = _REFRESH_S / 2, 0.0

        def settle(*, now: bool = False) -> None:
            nonlocal pause, last
            begin = time.monotonic()
            if not (now or begin - last > pause or self._live.pending > _MANY):
                return
            # Nobody changes a table that is looked at: a new one takes its place.
            self._published = self._live.settle()
            last = time.monotonic()
            pause = max(_REFRESH_S / 2, 4 * (last - begin))

        try:
            for changes in self._answer.changes(settle):
                self._live.add(changes)
                settle()
            settle(now=True)
        except Exception as error:  # noqa: BLE001 - raised again where the user is told
            self._error = error
        finally:
            self._took = time.monotonic() - self._began
            self._over.set()
            self._wake()

    def _fits(self) -> bool:
        self._page.table = self._published
        width, height = self._size()
        return self._page.fits(width, height - _FOOT_LINES)

    # Screen

    def _show(self) -> None:
        application: Application[None] = Application(
            Layout(Window(FormattedTextControl(self._text, show_cursor=False), wrap_lines=False)),
            key_bindings=self._bindings(),
            style=_STYLE,
            full_screen=True,
            refresh_interval=_REFRESH_S,
            before_render=self._leave_when_over,
            input=self._terminal[0] if self._terminal else None,
            output=self._terminal[1] if self._terminal else None,
        )
        self._application = application
        try:
            application.run()
        finally:
            self._application = None

    def _wake(self) -> None:
        if self._application is not None:
            self._application.invalidate()

    def _leave_when_over(self, application: Application[None]) -> None:
        if not self._over.is_set() or self._page.touched:
            return
        if (self._error is not None or self._fits()) and not application.is_done:
            with contextlib.suppress(Exception):
                application.exit()

    def _text(self) -> StyleAndTextTuples:
        width, height = self._size()
        if not self._held:
            self._page.table = self._published
        body = self._page.lines(width, max(1, height - _FRAME_LINES))
        lines: list[Line] = [("class:title", crop(self._headline(width), 0, width))]
        lines += body
        lines += [("", "")] * (height - _FRAME_LINES - len(body))
        status = self._answer.status
        lines.append(("", "" if status is None else status_line(status(), width)))
        keys = _RECORD_KEYS if self._page.opened else _KEYS
        lines.append(("class:keys", crop(keys, 0, width).ljust(width)))
        text: StyleAndTextTuples = []
        for number, (style, line) in enumerate(lines):
            text += [(style, line), ("", "\n" if number < len(lines) - 1 else "")]
        return text

    def _headline(self, width: int) -> str:
        how = "finished" if self._over.is_set() else "held" if self._held else "running"
        took = self._took if self._over.is_set() else time.monotonic() - self._began
        parts = [self._page.place, f"{self._live.received:,} changes", f"{took:.1f} s", how]
        if self._live.dropped:
            parts.append(f"the first {self._live.dropped:,} rows are not kept")
        said = "  ".join(parts)
        room = width - len(said) - 3
        title = self._title if len(self._title) <= room else f"{self._title[: max(0, room - 1)]}…"
        return f"{said}   {title}"

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        page = self._page

        def bind(names: tuple[str, ...], act: Callable[[], None]) -> None:
            def handle(event: KeyPressEvent) -> None:
                del event
                act()

            for name in names:
                keys.add(name)(handle)

        bind(("up", "k"), lambda: page.move(-1))
        bind(("down", "j"), lambda: page.move(1))
        bind(("pageup", "p", "c-b"), lambda: page.turn(-1))
        bind(("pagedown", "n", "c-f"), lambda: page.turn(1))
        bind(("home", "g"), page.first)
        bind(("end", "G"), page.last)
        bind(("left", "h"), lambda: page.shift(-1))
        bind(("right", "l"), lambda: page.shift(1))
        bind(("enter",), page.open)
        bind(("space",), self._hold)

        @keys.add("q")
        @keys.add("escape", eager=True)
        def _back(event: KeyPressEvent) -> None:
            if page.opened:
                page.close()
            else:
                event.app.exit()

        @keys.add("c-c")
        @keys.add("c-d")
        @keys.add("<sigint>")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit()

        return keys

    def _hold(self) -> None:
        self._held = not self._held
        self._page.touched = True

    # Afterwards

    def _outcome(self, *, whole: bool) -> Outcome:
        page = self._page
        if not self._held:
            page.table = self._published
        page.close()
        width, _ = self._size()
        table = page.table
        if table is None or not table.num_rows:
            foot = "Empty set" if whole else "No rows so far; the query was ended"
            return Outcome((), foot, whole, self._took)
        lines = page.plain(width)
        count = table.num_rows
        said = f"{count:,} row{'s' * (count != 1)} in set" if whole else f"{count:,} rows so far"
        if page.place.startswith("rows"):
            said = f"{page.place}{'' if whole else ' so far'}"
        if not whole:
            said += f"; the query was ended after {self._live.received:,} changes"
        if self._live.dropped:
            said += f"; the first {self._live.dropped:,} rows were not kept"
        return Outcome(tuple(lines), said, whole, self._took)
