"""The prompt: statements over several lines, with history, completion and colours.

It stands before the engine is loaded: that goes on behind it, and whatever needs the engine waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from flowsql.cli.console import Console
from flowsql.version import __version__

if TYPE_CHECKING:
    from flowsql.cli.repl.complete import Completions
    from flowsql.cli.repl.shell import Outcome, Shell

__all__ = ["run_prompt"]

_PROMPT = "flowsql> "
_MORE = "      -> "
_WATCH_S = 0.3
_TOOLBAR_JOBS = 3
_SINGLE = {"quit", "exit", "help", "clear", "?"}

_STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "more": "ansibrightblack",
        "keyword": "bold ansiblue",
        "function": "ansicyan",
        "string": "ansigreen",
        "number": "ansimagenta",
        "name": "ansiyellow",
        "comment": "ansibrightblack",
        "error": "ansired",
        "bottom-toolbar": "noreverse ansibrightblack",
        "auto-suggestion": "ansibrightblack",
    }
)


def run_prompt(
    settings: Mapping[str, str],
    *,
    init: str | None = None,
    debug: bool = False,
    terminal: tuple[Input, Output] | None = None,
) -> int:
    """Read statements and run them until the user leaves.

    Args:
        settings: of the session.
        init: file of statements that are run first.
        debug: show stack traces.
        terminal: the streams of the terminal; None: the process's.

    Returns:
        The exit code: 0, or that of a job that could not be stopped as it should.

    Raises:
        FlowSQLError: a setting is wrong.
    """
    sys.setswitchinterval(0.001)
    console = _Console()
    prompt = _Prompt(_Engine(settings, console, terminal, debug=debug), console, terminal)
    with prompt.ending_by_signal():
        return prompt.run(init, wait=bool(settings))


class _Terminated(BaseException):
    """SIGTERM, or the terminal has gone."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Console(Console):
    """Messages stand above the prompt while there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.prompting = False

    def tell(self, text: str) -> None:
        if self.prompting:
            print(text, file=sys.stderr)
        else:
            super().tell(text)


class _Engine:
    """What takes long to load; loaded beside the first prompt."""

    def __init__(
        self,
        settings: Mapping[str, str],
        console: Console,
        terminal: tuple[Input, Output] | None,
        *,
        debug: bool,
    ) -> None:
        self._settings = settings
        self._console = console
        self._terminal = terminal
        self._debug = debug
        self._made: tuple[Shell, Completions] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._load, name="loading", daemon=True)
        self._started = False

    def begin(self) -> None:
        """Load, if nobody has begun to."""
        if not self._started:
            self._started = True
            self._thread.start()

    def _load(self) -> None:
        try:
            self._made = self._make()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            self._error = error

    @property
    def made(self) -> tuple[Shell, Completions] | None:
        """The shell and what completes its statements, once there."""
        return self._made

    @property
    def shell(self) -> Shell:
        """The shell; waits for it."""
        self.begin()
        self._thread.join()
        if self._made is None:
            assert self._error is not None
            raise self._error
        return self._made[0]

    def _make(self) -> tuple[Shell, Completions]:
        from flowsql.cli.repl.complete import Completions  # noqa: PLC0415
        from flowsql.cli.repl.shell import Shell  # noqa: PLC0415
        from flowsql.cli.run import tune  # noqa: PLC0415
        from flowsql.library.functions import look_in  # noqa: PLC0415
        from flowsql.session import Session  # noqa: PLC0415

        tune()
        look_in(["."])
        session = Session(
            self._settings,
            # No job goes on where one of an earlier day was, unless its name is given.
            name=f"repl-{time.strftime('%m%d-%H%M%S')}",
            events=lambda line: self._console.tell(f"-- {line}") if line.wanted("info") else None,
        )
        # Who looks at a screen wants to see rows as they are read.
        session.config.setdefault("pipeline.snapshot-output", "progressive")
        shell = Shell(session, self._console, live=self._live, debug=self._debug)
        return shell, Completions(shell.tables, shell.columns, shell.options, shell.within)

    def _live(self, *args: Any, **kwargs: Any) -> Outcome:
        from flowsql.cli.repl.view import LiveView  # noqa: PLC0415

        return LiveView(*args, **kwargs, size=self._size, terminal=self._terminal).run()

    def _size(self) -> tuple[int, int]:
        if self._terminal is not None:
            size = self._terminal[1].get_size()
            return size.columns, size.rows
        found = shutil.get_terminal_size()
        return found.columns, found.lines


class _Prompt:
    def __init__(
        self, engine: _Engine, console: _Console, terminal: tuple[Input, Output] | None
    ) -> None:
        self._engine = engine
        self._console = console
        self._terminal = terminal
        self._own = terminal is None
        self._session: PromptSession[str] = PromptSession(
            message=[("class:prompt", _PROMPT)],
            prompt_continuation=self._more,
            multiline=True,
            key_bindings=self._bindings(),
            lexer=_Colours(engine),
            completer=_Completer(engine),
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=_history(engine),
            style=_STYLE,
            enable_open_in_editor=True,
            tempfile_suffix=".sql",
            reserve_space_for_menu=6,
            input=terminal[0] if terminal else None,
            output=terminal[1] if terminal else None,
        )

    def _more(self, width: int, line: int, wrapped: int) -> StyleAndTextTuples:
        """What stands in front of the second and later lines of a statement."""
        del width
        made = self._engine.made
        numbered = made is not None and made[0].option("sql-client.display.show-line-numbers")
        return [("class:more", f"{line + 1:>6}-> " if numbered and not wrapped else _MORE)]

    def run(self, init: str | None, *, wait: bool) -> int:
        """Until the user leaves; gives the exit code."""
        with self._console.attached():
            print(f"flowsql {__version__}: Flink SQL. HELP; tells more, Ctrl-D leaves.", flush=True)
            if wait or init is not None:
                shell = self._engine.shell
                if init is not None and not shell.run(
                    f"SOURCE '{init.replace(chr(39), chr(39) * 2)}'"
                ):
                    return shell.leave()
            try:
                self._loop()
            except _Terminated as end:
                return self._end(end.number)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return self._end(signal.SIGHUP)
            except Exception:
                # A mistake of ours is no reason to lose what jobs have done.
                self._engine.shell.session.close()
                raise
            return self._engine.shell.leave() if self._engine.made is not None else 0

    def _end(self, number: int) -> int:
        """Leave without a question; a terminal that has gone takes no more words."""
        if number == signal.SIGHUP:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
        self._engine.shell.leave()
        return 128 + number

    def _loop(self) -> None:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                try:
                    text = self._ask()
                except EOFError:
                    text = "QUIT"
                if text.strip() and not self._goes_on(text) and self._may_leave():
                    return

    def _goes_on(self, text: str) -> bool:
        """Run what was typed; False to leave, for which the engine need not be loaded."""
        return (text != "QUIT" or self._engine.made is not None) and self._engine.shell.run(text)

    def _ask(self) -> str:
        if self._engine.made is not None:
            self._engine.made[0].tell_ends()
            self._engine.made[1].forget()
            running = bool(self._engine.made[0].running)
            self._session.bottom_toolbar = self._toolbar if running else None
        with self._prompting():
            return self._session.prompt(
                pre_run=self._engine.begin, refresh_interval=1.0, handle_sigint=True
            )

    @contextlib.contextmanager
    def _prompting(self) -> Iterator[None]:
        """Lines that come meanwhile stand above the prompt."""
        over = threading.Event()
        with patch_stdout(raw=True):
            self._console.prompting = True
            threading.Thread(target=self._watch, args=(over,), daemon=True).start()
            try:
                yield
            finally:
                over.set()
                self._console.prompting = False

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_WATCH_S):
            if self._engine.made is not None:
                self._engine.made[0].tell_ends()

    def _may_leave(self) -> bool:
        """Ask, where jobs run that end with the process."""
        if self._engine.made is None or not (jobs := self._engine.made[0].running):
            return True
        names = ", ".join(f'"{job.id}"' for job in jobs)
        one = len(jobs) == 1
        print(
            f"{'Job' if one else 'Jobs'} {names} run{'s' * one} in this process: leaving stops "
            f"{'it' if one else 'them'} with a checkpoint.\nThe same INSERT goes on from there after "
            f"SET 'pipeline.name' = '{jobs[0].id}'.",
            flush=True,
        )
        asking: PromptSession[str] = PromptSession(
            input=self._terminal[0] if self._terminal else None,
            output=self._terminal[1] if self._terminal else None,
        )
        try:
            return asking.prompt("Leave? [y/N] ").strip().lower() in {"y", "yes"}
        except KeyboardInterrupt:
            return False
        except EOFError:
            return True

    # What stands around the line

    def _toolbar(self) -> StyleAndTextTuples | None:
        made = self._engine.made
        jobs = made[0].running if made is not None else []
        if not jobs:
            return None
        from flowsql.cli.statusline import status_line  # noqa: PLC0415

        width = self._console.width
        lines = [status_line(job.status(), width) for job in jobs[:_TOOLBAR_JOBS]]
        if len(jobs) > _TOOLBAR_JOBS:
            lines.append(f"and {len(jobs) - _TOOLBAR_JOBS} more (\\j)")
        return [("class:bottom-toolbar", "\n".join(lines))]

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @Condition
        def choosing() -> bool:
            state = self._session.default_buffer.complete_state
            return state is not None and state.current_completion is not None

        @keys.add("enter", filter=choosing)
        def _choose(event: KeyPressEvent) -> None:
            event.current_buffer.complete_state = None

        @keys.add("enter", filter=~choosing)
        def _enter(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if self._is_complete(buffer.text):
                buffer.validate_and_handle()
            else:
                buffer.insert_text("\n")

        @keys.add("escape", "enter")
        def _run(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        return keys

    def _is_complete(self, text: str) -> bool:
        """Whether Enter runs what is typed."""
        short = text.strip()
        if not short or short.startswith("\\") or short.lower() in _SINGLE:
            return True
        if not short.endswith(";"):
            # The tokens need not be asked, so that nobody waits for the engine.
            return short.endswith("*/") and self._is_closed(text)
        return self._is_closed(text)

    def _is_closed(self, text: str) -> bool:
        self._engine.shell  # noqa: B018 - waits until it is loaded
        from flowsql.cli.repl.commands import is_closed  # noqa: PLC0415

        return is_closed(text)

    @contextlib.contextmanager
    def ending_by_signal(self) -> Iterator[None]:
        """SIGTERM and a lost terminal end the shell as leaving does, without a question."""

        def end(number: int, frame: FrameType | None) -> None:
            del frame
            application = get_app_or_none()
            if application is not None and application.is_running:
                with contextlib.suppress(Exception):
                    application.exit(exception=_Terminated(number))
                return
            raise _Terminated(number)

        numbers = (signal.SIGTERM, signal.SIGHUP) if self._own else ()
        before = {number: signal.signal(number, end) for number in numbers}
        if self._own:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Colours(Lexer):
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        if self._engine.made is None:
            return lambda number: [("", document.lines[number])]
        from flowsql.cli.repl.highlight import parts  # noqa: PLC0415

        lines: list[StyleAndTextTuples] = [[]]
        for style, text in parts(document.text):
            for number, piece in enumerate(text.split("\n")):
                if number:
                    lines.append([])
                lines[-1].append((style, piece))
        return lambda number: lines[number] if number < len(lines) else []

    def invalidation_hash(self) -> bool:
        """Colours come when the engine is there."""
        return self._engine.made is not None


class _Completer(Completer):
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        made = self._engine.made
        if made is None:
            return
        typing = not complete_event.completion_requested
        for candidate in made[1].at(document.text, document.cursor_position):
            # What nobody has begun to write is shown only to who asks for it.
            if typing and not candidate.start:
                return
            yield Completion(candidate.text, candidate.start, display_meta=candidate.what)


class _History(FileHistory):
    """Earlier statements in a file of the user's own, secrets starred."""

    def __init__(self, path: Path, engine: _Engine) -> None:
        super().__init__(str(path))
        self._engine = engine

    def store_string(self, string: str) -> None:
        self._engine.shell  # noqa: B018 - waits until it is loaded
        from flowsql.library.masking import starred  # noqa: PLC0415

        with contextlib.suppress(OSError):
            super().store_string(starred(string))


def _history(engine: _Engine) -> History:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(home).expanduser() / "flowsql" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return _History(path, engine)
