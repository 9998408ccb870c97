"""Carries out what is typed: one statement after the other, with what a user sees of it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Protocol, Self

from flowsql.cli.console import Console
from flowsql.cli.repl.commands import Command, alone, command_of, read_file
from flowsql.cli.repl.complete import declared_options
from flowsql.cli.repl.help import HELP, SHORT
from flowsql.cli.repl.tree import wrapped_plan
from flowsql.cli.results import EXPANDED, ResultPrinter, display_option, left_out
from flowsql.cli.statusline import StatusReporter, status_line
from flowsql.errors import ConfigError, FlowSQLError, InternalError
from flowsql.expr import EvalSettings, all_aggregates, all_functions, all_table_functions
from flowsql.library.masking import starred
from flowsql.library.result import Result
from flowsql.runtime.job import Job
from flowsql.session import Prepared, Session
from flowsql.sql.splitter import pieces
from flowsql.sql.tokens import tokenize

__all__ = ["Shell"]

# Terminals and process groups deliver one Ctrl-C twice: a second one counts from here on.
_SECOND_SIGNAL_S = 1.0
_DEEPEST = 20  # files that name one another


class Outcome(Protocol):
    """What a live table leaves behind."""

    @property
    def lines(self) -> Sequence[str]:
        """Of the table."""

    @property
    def foot(self) -> str:
        """Below it."""

    @property
    def seconds(self) -> float:
        """That the query ran."""


class Live(Protocol):
    """Shows a query's rows as they change, until it is over or nobody looks any more."""

    def __call__(
        self,
        answer: Result,
        settings: EvalSettings,
        *,
        limit: int,
        longest: int,
        title: str,
        interrupted: Callable[[], bool],
    ) -> Outcome:
        """Arguments as of `LiveView`."""


class Shell:
    """One user's session at a terminal.

    Args:
        session: what statements run in.
        console: where results and messages go.
        live: shows a live table; None where there is no terminal for one.
        debug: show stack traces.
    """

    def __init__(
        self, session: Session, console: Console, *, live: Live | None, debug: bool = False
    ) -> None:
        self.session = session
        self._console = console
        self._live = live
        self._debug = debug
        self._interrupts = _Interrupts()
        self._told: set[Job] = set()
        self._telling = threading.Lock()
        self._failed = False

    # Statements

    def run(self, text: str) -> bool:
        """Carry out all that was typed; False to leave. Errors are shown, never raised."""
        self._failed = False
        short = self._short(text.strip())
        return self._run(text if short is None else short, 0)

    def _run(self, text: str, depth: int, file: str | None = None) -> bool:
        behind = 0
        try:
            with self._interrupts, self.session.reading(text):
                tokens = tokenize(text)
                found = pieces(tokens)
                behind = len(found)
                for piece in found:
                    behind -= 1
                    command = command_of(tokens, piece)
                    if command is None:
                        with _whole_lines(text):
                            self._statement(alone(text, piece))
                    elif not self._command(command, depth):
                        return False
                    if self._interrupts.asked or self._failed:
                        break
        except KeyboardInterrupt:
            self._failed = True
            self._say("interrupted")
        except FlowSQLError as error:
            self._failed = True
            self.fail(error.in_file(text, file))
        except Exception as error:  # noqa: BLE001 - a user gets a message, whatever happened
            unexpected = InternalError(
                f"unexpected {type(error).__name__}: {error}",
                hint="SET 'sql-client.verbose' = 'true' shows where; please report it.",
            )
            unexpected.__cause__ = error
            self._failed = True
            self.fail(unexpected)
        if behind:
            were = "statement behind it was" if behind == 1 else "statements behind it were"
            self._say(f"{behind} {were} not run")
        return True

    def fail(self, error: FlowSQLError) -> None:
        """Show an error."""
        if self._debug or self.option("sql-client.verbose"):
            traceback.print_exception(error)
        self._console.fail(error)

    def option(self, key: str) -> Any:
        """The value of a setting as it is now."""
        return display_option(self.session.config, key)

    def _statement(self, text: str) -> None:
        began = time.monotonic()
        for prepared in self.session.prepare(text):
            if isinstance(prepared.answer, Result):
                self._show(prepared.answer, text, began)
            else:
                self._start(prepared.answer, prepared)

    def tables(self) -> list[str]:
        """Names of the tables and views of the present database."""
        return [name for (name,) in self._ask("SHOW TABLES")]

    def within(self, parts: Sequence[str]) -> list[str]:
        """What may follow these names and a dot: databases of a catalog, tables of a database."""
        name = _quoted(".".join(parts))
        tables = [n for (n,) in self._ask(f"SHOW TABLES FROM {name}")]
        if len(parts) > 1:
            return tables
        catalogs = {n for (n,) in self._ask("SHOW CATALOGS")}
        databases = self._ask(f"SHOW DATABASES IN {name}") if parts[0] in catalogs else []
        return [*(n for (n,) in databases), *tables]

    def options(self, table: str) -> dict[str, str]:
        """The options of a table as they were declared; none where there is no such table."""
        found = self._ask(f"SHOW CREATE TABLE {_quoted(table)}")
        return declared_options(found[0][0]) if found else {}

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Name and type of the columns of a table; none where there is no such table."""
        return [(row[0], row[1]) for row in self._ask(f"DESCRIBE {_quoted(table)}")]

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            answer = self.session.execute(sql)
        except FlowSQLError:
            return []
        return answer.fetchall() if isinstance(answer, Result) else []

    # Results

    def _show(self, answer: Result, text: str, began: float) -> None:
        def took(seconds: float | None = None) -> str:
            timed = self.option("sql-client.display.print-time-cost")
            shown = time.monotonic() - began if seconds is None else seconds
            return f" ({shown:.2f} s)" if timed else ""

        if answer.stream is None and answer.schema.names == ("result",):
            self._told_at_once([value for (value,) in answer.fetchall()], took())
            return
        settings = EvalSettings(self.session.settings.local_time_zone)
        mode = self.option("sql-client.execution.result-mode")
        longest = self.option("table.display.max-column-width")
        expanded = self.option(EXPANDED)
        with self._interrupts.ending(answer.close):
            live = mode == "table" and not (expanded and answer.bounded)
            if live and answer.stream is not None and self._live is not None:
                limit = self.option("sql-client.execution.max-table-result.rows")
                outcome = self._live(
                    answer,
                    settings,
                    limit=limit,
                    longest=longest,
                    title=" ".join(text.split()),
                    interrupted=lambda: self._interrupts.asked,
                )
                print("\n".join([*outcome.lines, outcome.foot + took(outcome.seconds)]), flush=True)
                self._tell_left_out(answer)
                return
            ResultPrinter(
                self._console,
                settings,
                lambda: self._interrupts.asked,
                lambda: [j.status for j in self.running],
                every_change=mode == "changelog",
                behind=took,
                longest=longest,
                expanded=expanded,
            ).show(answer)
        self._tell_left_out(answer)

    def _tell_left_out(self, answer: Result) -> None:
        if missing := left_out(answer):
            self._say(missing)

    def _told_at_once(self, texts: Sequence[str], took: str) -> None:
        """`OK`, a plan, or a statement shown back."""
        if list(texts) == ["OK"]:
            print(f"OK{took}", flush=True)
            return
        for text in texts:
            print(wrapped_plan(text, self._console.width), flush=True)

    # Jobs

    @property
    def running(self) -> list[Job]:
        """The jobs of INSERTs that run."""
        return [job for job in self.session.jobs if job.running]

    def _start(self, job: Job, prepared: Prepared) -> None:
        folder = self.session.settings.checkpoint_dir / job.id
        self.session.start(Prepared(job))
        print(f'job "{job.id}" runs, its state is in "{folder}"', flush=True)
        if prepared.at_commit:
            tables = ", ".join(f'"{name.rpartition(".")[2]}"' for name in prepared.at_commit)
            verb = "show" if len(prepared.at_commit) > 1 else "shows"
            print(f"{tables} {verb} rows at checkpoints (execution.checkpointing.interval)")
        if not prepared.wait:
            return
        with self._interrupts.ending(job.stop):
            self._follow([job])
        self.tell_ends()

    def _follow(self, jobs: Sequence[Job]) -> None:
        """Show how jobs do until they are over."""
        reporter = StatusReporter([job.status for job in jobs], self._console)
        last = 0.0
        while any(job.running for job in jobs):
            if time.monotonic() - last > reporter.INTERVAL:
                last = time.monotonic()
                reporter.update()
            time.sleep(0.05)
        self._console.show(())

    def tell_ends(self) -> None:
        """Say of every job that is over how it ended; each once."""
        with self._telling:
            ended = [j for j in self.session.jobs if not j.running and j not in self._told]
            self._told.update(ended)
        for job in ended:
            if job.error is None:
                self._say(status_line(job.status(), self._console.width - 3))
            else:
                self._say(f'job "{job.id}" failed')
                self.fail(job.error)

    def leave(self) -> int:
        """Stop all that runs, jobs with a last checkpoint; gives the exit code."""
        jobs = self.running
        self.session.stop()
        if jobs:
            self._say("stopping with a last checkpoint; Ctrl-C ends at once")
        with _at_once():
            self._follow(jobs)
            self.session.close()
        self.tell_ends()
        return max((job.error.exit_code for job in jobs if job.error is not None), default=0)

    # Words of the shell

    def _short(self, text: str) -> str | None:
        """The statement that a backslash command stands for; None where it is none."""
        word, _, argument = text.rstrip("; \t").partition(" ")
        if word.lower() in {"help", "quit", "exit", "clear"} and not argument:
            return word
        if not text.startswith("\\"):
            return "HELP" if text == "?" else None
        argument = argument.strip()
        if word == "\\d" and argument:
            return f"DESCRIBE {argument}"
        if word == "\\x" and not argument:
            on = not self.option(EXPANDED)
            self.session.config[EXPANDED] = str(on).lower()
            self._say(f"one column a line: {'on' if on else 'off'}")
            return ""
        if word == "\\df":
            self._functions(argument)
            return ""
        if word == "\\j":
            self._jobs()
            return ""
        if word not in SHORT or argument:
            self._say(f'there is no command "{text}"; \\? lists them')
            return ""
        return SHORT[word]

    def _command(self, command: Command, depth: int) -> bool:
        match command.kind:
            case "quit":
                return False
            case "help":
                print(HELP, flush=True)
            case "clear":
                print("\x1b[H\x1b[2J\x1b[3J", end="", flush=True)
            case _:
                return self._source(command, depth)
        return True

    def _source(self, command: Command, depth: int) -> bool:
        try:
            text = read_file(command.argument)
        except ConfigError as error:
            error.span = command.span
            raise
        if depth == _DEEPEST:
            raise ConfigError(f'file "{command.argument}" includes itself', span=command.span)
        return self._run(text, depth + 1, command.argument)

    def _jobs(self) -> None:
        jobs = self.session.jobs
        print("\n".join(status_line(j.status(), self._console.width) for j in jobs) or "no jobs")

    def _functions(self, part: str) -> None:
        docs = {name: f.doc for name, f in all_functions().items()}
        docs |= {f.name: f.doc for f in all_aggregates()}
        docs |= {f.name: f.doc for f in all_table_functions()}
        found = {n: docs[n] for n in sorted(docs) if part.upper() in n and n.isidentifier()}
        wide = max(map(len, found), default=0)
        width = self._console.width
        lines = [f"{name:<{wide}}  {doc}"[:width] for name, doc in found.items()]
        print("\n".join(lines) or f'no function has "{part}" in its name', flush=True)

    def _say(self, message: str) -> None:
        self._console.tell(f"-- {message}")


def _quoted(table: str) -> str:
    return ".".join(f"`{part.replace('`', '``')}`" for part in table.split("."))


@contextlib.contextmanager
def _whole_lines(text: str) -> Iterator[None]:
    """Errors of one statement show their line as it was typed, with what else stands there."""
    try:
        yield
    except FlowSQLError as error:
        for part in (error, *error.more):
            if part.sql is not None and len(part.sql) == len(text):
                part.sql = starred(text)
        raise


class _Interrupts:
    """Ctrl-C while a statement is carried out: it ends the query, not the shell.

    Attributes:
        asked: there was one since the statement began.
    """

    def __init__(self) -> None:
        self.asked = False
        self._depth = 0
        self._before: Any = None
        self._end: Callable[[], None] | None = None
        self._first = 0.0

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self.asked = False
            if threading.current_thread() is threading.main_thread():
                self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth and self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """What runs meanwhile is ended by `end`."""
        self._end = end
        try:
            yield
        finally:
            self._end = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now = time.monotonic()
        if self.asked and now - self._first < _SECOND_SIGNAL_S:
            return
        if self._end is None or self.asked:
            raise KeyboardInterrupt
        self.asked, self._first = True, now
        # A handler interrupts anything: another thread may hold what ending has to wait for.
        threading.Thread(target=self._stop, args=(self._end,), name="stopping").start()

    @staticmethod
    def _stop(end: Callable[[], None]) -> None:
        with contextlib.suppress(FlowSQLError):
            end()


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Ctrl-C ends the process while it is waited for the last checkpoint."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        os.write(2, b"flowsql: ended at once, without a last checkpoint\n")
        os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
