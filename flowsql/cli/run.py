"""`flowsql run` and `flowsql explain`."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from flowsql.cli.announce import opening
from flowsql.cli.console import Console, forget_terminal
from flowsql.cli.repl.commands import Part, read_file, scripts
from flowsql.cli.results import EXPANDED, ResultPrinter, display_option, left_out
from flowsql.cli.statusline import StatusReporter, line_of
from flowsql.config import parse_setting
from flowsql.connector import Severity
from flowsql.errors import ConfigError, FlowSQLError
from flowsql.expr import EvalSettings
from flowsql.library.functions import look_in
from flowsql.library.result import Result
from flowsql.runtime.job import Job
from flowsql.runtime.log import Line
from flowsql.session import Prepared, Session
from flowsql.sql import (
    CreateTable,
    Explain,
    Insert,
    QueryStatement,
    Statement,
    StatementSet,
    parse_script,
)

if TYPE_CHECKING:
    from flowsql.cli.repl.records import RecordPrinter

__all__ = ["explain_file", "name_of", "read_text", "run_file", "run_text", "tune"]

# Terminals and process groups deliver one Ctrl-C twice: a second one counts from here on.
_SECOND_SIGNAL_S = 1.0


def explain_file(file: str, settings: Mapping[str, str]) -> int:
    """Print the plan of every query and INSERT of a file; nothing is run, and nothing written."""
    tune()
    text = read_text(file)
    session = Session(settings, name=name_of(file, text), dry=True)
    explained = False
    with session.reading(text):
        parts = list(scripts(text))
    for part in parts:
        with part.naming(), session.reading(part):
            explained |= _explain_part(session, part)
    if not explained:
        print(
            f'there is nothing to explain in "{file}": no query, INSERT or statement set',
            file=sys.stderr,
        )
    return 0


def _explain_part(session: Session, text: str) -> bool:
    """Whether there was anything to explain."""
    explained = False
    for statement in parse_script(text):
        fills = isinstance(statement, CreateTable) and statement.query is not None
        shown: Statement = statement
        if isinstance(statement, QueryStatement | Insert | StatementSet | CreateTable) and (
            fills or not isinstance(statement, CreateTable)
        ):
            shown = Explain(statement=statement, details=("CHANGELOG_MODE",), span=statement.span)
        # Prepared, never started: what is answered at once is answered by then.
        answer = session.prepare_one(shown, text).answer
        if isinstance(shown, Explain) and isinstance(answer, Result):
            explained = True
            print(answer.fetchall()[0][0], end="\n\n")
        if fills:
            # What follows may read the table.
            session.prepare_one(statement, text)
    return explained


def run_file(
    file: str,
    settings: Mapping[str, str],
    *,
    start: str | None = None,
    fresh: bool = False,
    debug: bool = False,
    quiet: bool = False,
    form: str = "table",
) -> int:
    """Run every statement of a file; jobs run side by side until all are over.

    Nothing is started before every statement is planned: a mistake in the last one is found before
    the first has written anything.

    Args:
        file: of the statements; `-` for standard input.
        settings: of the session.
        start: path of the checkpoint that jobs start from; `latest`: jobs that are finished are
            left as they are where others are not, and none begins a first or a new run.
        fresh: jobs begin anew even where there is a checkpoint.
        debug: show stack traces.
        quiet: show neither plans nor how jobs do, and of the log only warnings and errors.
        form: of results: `table`, `csv` or `json`.

    Returns:
        The exit code: 0 where all is finished or was stopped, else that of the worst failure.

    Raises:
        FlowSQLError: a statement is wrong, or a query failed.
    """
    text = read_text(file)
    name = name_of(file, text)
    return run_text(
        text, name, settings, start=start, fresh=fresh, debug=debug, quiet=quiet, form=form
    )


def run_text(
    text: str,
    name: str | None,
    settings: Mapping[str, str],
    *,
    start: str | None = None,
    fresh: bool = False,
    debug: bool = False,
    quiet: bool = False,
    form: str = "table",
) -> int:
    """As `run_file`, of statements that stand in no file.

    Args:
        text: the statements.
        name: what jobs are called; None: by the text itself.
        settings: of the session.
        start: as in `run_file`.
        fresh: as in `run_file`.
        debug: show stack traces.
        quiet: as in `run_file`.
        form: of results.
    """
    tune()
    _utf8(lambda: text, "the text")
    console = Console()
    if quiet:
        console.interactive = False
        settings = {"log.level": "warning", **settings}
    session = Session(
        settings,
        name=name or f"sql-{_digest(text)}",
        events=console.log,
        fresh=fresh,
        start=start,
        held=True,
    )
    stopping = _Stopping(session, console)
    console.on_broken_pipe = stopping.ask
    with console.attached(), stopping, session:
        console.log_options = lambda: log_options(session.config)
        made = _Run(session, console, stopping, debug=debug, form=form, latest=start == "latest")
        try:
            return made.run(text)
        except FlowSQLError as error:
            if console.log_options()[0] == "text" or debug:
                raise
            # Whoever reads lines of JSON reads no other.
            console.fail(error)
            return error.exit_code


class _Run:
    """The statements of one file, one after the other."""

    def __init__(
        self,
        session: Session,
        console: Console,
        stopping: _Stopping,
        *,
        debug: bool,
        form: str,
        latest: bool,
    ) -> None:
        self._session = session
        self._console = console
        self._stopping = stopping
        self._debug = debug
        self._form = form
        self._latest = latest
        self._told: set[str] = set()

    def run(self, text: str) -> int:
        """All statements; gives the exit code."""
        with self._session.reading(text):
            parts = list(scripts(text))
        statements: list[tuple[Part, Prepared]] = []
        for part in parts:
            with part.naming():
                statements += [(part, made) for made in self._session.prepare(part)]
        self._session.keep()
        if not statements:
            self._console.log("there is no statement to run")
        if self._latest:
            finished = self._finished([prepared for _, prepared in statements])
            statements = [s for s in statements if s[1].answer not in finished]
        for part, prepared in statements:
            if self._stopping.asked:
                break
            try:
                with part.naming(), self._session.reading(part):
                    code = self._begin(prepared)
            except FlowSQLError as error:
                if not self._session.jobs:
                    raise
                return self._fail(error)
            if code:
                self._session.stop()
                return max(code, self._watch(self._session.jobs))
        gc.freeze()
        return self._watch(self._session.jobs)

    def _finished(self, statements: Sequence[Prepared]) -> list[Job]:
        """The jobs that are left as they are; none where all are finished: each is refused then."""
        jobs = [p.answer for p in statements if isinstance(p.answer, Job)]
        finished = [job for job in jobs if job.finished_before]
        if len(finished) == len(jobs):
            return []
        for job in finished:
            self._console.log(f'job "{job.id}" is finished and left as it is')
        return finished

    def _fail(self, error: FlowSQLError) -> int:
        """A statement failed behind jobs that were started: none of them may go on unseen."""
        self._tell_error(error)
        running = [job for job in self._session.jobs if job.running]
        ending = [job for job in running if job.bounded]
        if ending:
            self._console.log(f"waiting for {_named(ending)}, started before it")
        stopped = [job for job in running if job not in ending]
        if stopped:
            self._console.log(f"stopping {_named(stopped)} with a last checkpoint")
        for job in stopped:
            # One that ends without a last checkpoint says so in its error.
            with contextlib.suppress(FlowSQLError):
                job.stop()
        return max(error.exit_code, self._watch(self._session.jobs))

    def _tell_error(self, error: FlowSQLError, job: Job | None = None) -> None:
        if self._debug:
            traceback.print_exception(error)
        self._console.fail(error, None if job is None else job.id)

    def _begin(self, prepared: Prepared) -> int:
        report = self._session.preflight(prepared, quick=True)
        for found in report.found:
            if found.severity is Severity.WARNING:
                self._console.log(Line(found.error.message, "warning"))
        report.check()
        if isinstance(prepared.answer, Result):
            settings = EvalSettings(self._session.settings.local_time_zone)
            if self._form == "table":
                printer: ResultPrinter | RecordPrinter = ResultPrinter(
                    self._console,
                    settings,
                    lambda: self._stopping.asked,
                    lambda: [j.status for j in self._session.jobs if j.running],
                    longest=display_option(self._session.config, "table.display.max-column-width"),
                    expanded=display_option(self._session.config, EXPANDED),
                )
            else:
                from flowsql.cli.repl import records  # noqa: PLC0415 - loads formats

                printer = records.RecordPrinter(self._form, settings, lambda: self._stopping.asked)
            whole = printer.show(prepared.answer)
            if missing := left_out(prepared.answer):
                self._console.log(missing)
            return 0 if whole else self._stopping.code
        job = prepared.answer
        job.on_start = lambda: self._announce(job, prepared.at_commit)
        self._session.start(Prepared(job))
        if self._stopping.asked:
            with contextlib.suppress(FlowSQLError):
                job.stop()
        return self._watch([job]) if prepared.wait else 0

    def _announce(self, job: Job, at_commit: Sequence[str]) -> None:
        settings = self._session.settings
        step, checkpoint = job.place()
        form, least = self._console.log_options()
        if self._console.interactive and form == "text":
            starts = Line(f'job "{job.id}" starts', "info", job.id, step, checkpoint, named=True)
            if starts.wanted(least):
                shown = opening(job, settings, at_commit, self._console.width)
                self._console.tell("\n".join([starts.as_text(), *shown]))
            return
        said = f'job "{job.id}" starts, its state is in "{settings.checkpoint_dir / job.id}"'
        if at_commit:
            tables = ", ".join(f'"{name.rpartition(".")[2]}"' for name in at_commit)
            every = settings.checkpoint_interval / 1000
            when = f"every {every:g} s" if every else "when the job ends"
            said += (
                f"; {tables} show{'s' * (len(at_commit) == 1)} rows {when} "
                "(execution.checkpointing.interval)"
            )
        self._console.log(Line(said, job=job.id, step=step, checkpoint=checkpoint, named=True))

    # Jobs

    def _watch(self, jobs: Sequence[Job]) -> int:
        """Show the jobs until all are over; gives the exit code."""
        reporter = StatusReporter([job.status for job in jobs], self._console)
        while True:
            over = [job for job in jobs if not job.running]
            self._tell_ends(over)
            if len(over) == len(jobs):
                break
            reporter.update()
            self._wait([job for job in jobs if job.running], reporter.INTERVAL)
        self._console.show(())
        return max((job.error.exit_code for job in jobs if job.error is not None), default=0)

    def _wait(self, running: Sequence[Job], seconds: float) -> None:
        """Until one of the jobs is over, in slices between which signals are handled."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and running and all(job.running for job in running):
            with contextlib.suppress(FlowSQLError):
                running[0].wait(0.05)

    def _tell_ends(self, over: Sequence[Job]) -> None:
        for job in over:
            if job.id in self._told:
                continue
            self._told.add(job.id)
            status = job.status()
            if job.error is None:
                self._console.log(line_of(status))
            else:
                # Why it failed is told in full right below.
                line = Line(f"{job.id}: not started", job=job.id, named=True)
                self._console.log(line_of({**status, "error": None}) if job.board.opened else line)
                self._tell_error(job.error, job)


class _Stopping:
    """The first SIGINT or SIGTERM stops what runs, a later one ends the process.

    A terminal that is closed stops it as well, unless the process was started with `nohup`. Who reads no more of standard output stops it as well.

    Attributes:
        asked: there was one.
        code: exit code of what was interrupted and has no end of its own.
    """

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._console = console
        self._before: dict[int, Any] = {}
        self._first: float | None = None
        self.asked = False
        self.code = 128 + signal.SIGINT

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask(self) -> None:
        """Nobody reads any more: stop what runs, and begin nothing else."""
        self.asked = True
        self.code = 0
        self._session.stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        now = time.monotonic()
        if number == signal.SIGHUP and self.asked and self._first is None:
            # What was written to the terminal found it gone before: all is stopping, or stopped.
            forget_terminal()
            return
        if self._first is not None:
            # A shell that is left may send on what its terminal said already.
            if number == signal.SIGHUP or now - self._first < _SECOND_SIGNAL_S:
                return
            os.write(2, b"flowsql: ended at once, without a last checkpoint\n")
            os._exit(128 + number)
        self._first = now
        self.asked = True
        self.code = 128 + number
        if number == signal.SIGHUP:
            forget_terminal()
        if not self._session.running:
            raise KeyboardInterrupt(number)
        # A handler interrupts anything, a half-written line too: another thread may wait for it.
        threading.Thread(target=self._stop, name="stopping").start()

    def _stop(self) -> None:
        again = "; Ctrl-C again ends it at once" if self._console.interactive else ""
        for job in self._session.jobs:
            if job.running:
                how = " with a last checkpoint" if job.plan.streaming else ""
                step, checkpoint = job.place()
                said = f"stopping{how}{again}"
                self._console.log(Line(said, job=job.id, step=step, checkpoint=checkpoint))
        self._session.stop()


def _named(jobs: Sequence[Job]) -> str:
    return f"job{'s' * (len(jobs) > 1)} " + ", ".join(f'"{job.id}"' for job in jobs)


def tune() -> None:
    """Settings of the whole process, which is ours; called when all is loaded."""
    # What was loaded lives as long as the process: the collector need not look at it again.
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(0.001)
    pa.set_cpu_count(len(os.sched_getaffinity(0)))


def read_text(file: str) -> str:
    """The text; modules of Python functions are found beside it from now on."""
    look_in(["." if file == "-" else str(Path(file).parent)])
    if file == "-":
        return _utf8(sys.stdin.read, "standard input")
    return read_file(file)


def _utf8(read: Callable[[], str], what: str) -> str:
    """What is read; Python hides bytes that are no UTF-8 in it."""
    try:
        text = read()
        text.encode()
    except UnicodeError:
        raise ConfigError(f"{what} is not UTF-8", hint="Give the statements as UTF-8.") from None
    return text


def log_options(config: Mapping[str, str]) -> tuple[str, str]:
    """`log.format` and `log.level` as they are set."""
    form, least = config.get("log.format", "text"), config.get("log.level", "info")
    return parse_setting("log.format", form), parse_setting("log.level", least)


def name_of(file: str, text: str) -> str:
    """What jobs are called: a text without a file is known by its content."""
    if file != "-":
        return Path(file).stem
    return f"stdin-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
