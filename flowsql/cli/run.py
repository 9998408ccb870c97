"""`flowsql run` and `flowsql explain`."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import pyarrow as pa

from flowsql.cli.statusline import StatusReporter, log
from flowsql.cli.tableau import Tableau
from flowsql.config import EngineSettings
from flowsql.errors import ConfigError, FlowSQLError
from flowsql.expr import EvalSettings
from flowsql.library.result import Result
from flowsql.runtime.job import Job
from flowsql.session import Session
from flowsql.sql import Explain, Insert, QueryStatement, StatementSet, parse_script

__all__ = ["explain_file", "run_file"]

_INTERRUPTED = 130


def explain_file(file: str, settings: Mapping[str, str]) -> int:
    """Print the plan of every query and INSERT of a file; nothing is run."""
    text = _read(file)
    with Session(settings, name=_name(file)) as session:
        try:
            for statement in parse_script(text):
                if isinstance(statement, QueryStatement | Insert | StatementSet):
                    explain = Explain(
                        statement=statement, details=("CHANGELOG_MODE",), span=statement.span
                    )
                    answer = session.run(explain, text)
                else:
                    answer = session.run(statement, text)
                    if not isinstance(statement, Explain):
                        continue
                if isinstance(answer, Result):
                    print(answer.fetchall()[0][0], end="\n\n")
        except FlowSQLError as error:
            raise error.with_sql(text) from error.__cause__
    return 0


def run_file(
    file: str, settings: Mapping[str, str], *, fresh: bool = False, debug: bool = False
) -> int:
    """Run every statement of a file; jobs run side by side until all are over."""
    text = _read(file)
    _tune()
    session = Session(settings, name=_name(file), events=log, fresh=fresh)
    with session, _signals(session):
        try:
            for statement in parse_script(text):
                answer = session.run(statement, text)
                if isinstance(answer, Result):
                    _show(answer, session, quiet=_says_ok(answer))
                else:
                    _announce(answer, session.settings)
        except FlowSQLError as error:
            raise error.with_sql(text) from error.__cause__
        # What was loaded lives as long as the process: the collector need not look at it again.
        gc.freeze()
        return _watch(session.jobs, debug=debug)


def _tune() -> None:
    """Settings of the whole process, which is ours."""
    sys.setswitchinterval(0.001)
    pa.set_cpu_count(len(os.sched_getaffinity(0)))


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f'file "{file}" cannot be read: {error.strerror}') from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f'file "{file}" is not UTF-8 at byte {error.start}',
            hint="Save it as UTF-8.",
        ) from None


def _name(file: str) -> str:
    return "stdin" if file == "-" else Path(file).stem


def _says_ok(answer: Result) -> bool:
    return (
        answer.stream is None
        and answer.schema.names == ("result",)
        and (answer.fetchall() == [("OK",)])
    )


def _show(answer: Result, session: Session, *, quiet: bool) -> None:
    """A query's rows: one table where it ends by itself, else changes as they come."""
    if quiet:
        return
    if answer.schema.names == ("result",) and answer.stream is None:
        # A plan, or a statement shown back: text of several lines, not a cell of a table.
        print("\n".join(text for (text,) in answer.fetchall()), flush=True)
        return
    if answer.stream is None or answer.bounded:
        tableau = Tableau(answer.schema, EvalSettings(session.settings.local_time_zone), op=False)
        print(tableau.table(answer.to_arrow()), flush=True)
        return
    tableau = Tableau(answer.schema, EvalSettings(session.settings.local_time_zone), op=True)
    print(tableau.stream_header(), flush=True)
    rows = 0
    with contextlib.suppress(KeyboardInterrupt):
        for changes in answer.changes():
            print(tableau.stream_rows(changes), flush=True)
            rows += len(changes)
    answer.close()
    print(f"{tableau.stream_end()}\nReceived a total of {rows} rows", flush=True)


def _announce(job: Job, settings: EngineSettings) -> None:
    every = settings.checkpoint_interval / 1000
    folder = settings.checkpoint_dir / job.id
    log(
        f'job "{job.id}" runs, its state is in "{folder}"; exactly-once sinks show rows every '
        f"{every:g} s (execution.checkpointing.interval); Ctrl-C stops it with a last checkpoint"
    )


@contextlib.contextmanager
def _signals(session: Session) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops the jobs, a second one the process."""
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        seen.append(number)
        if len(seen) > 1:
            os._exit(_INTERRUPTED)
        if not session.jobs:
            raise KeyboardInterrupt
        log("stopping with a last checkpoint; once more stops at once")
        for job in session.jobs:
            with contextlib.suppress(FlowSQLError):
                job.stop()

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(jobs: Sequence[Job], *, debug: bool) -> int:
    """Show the jobs until all are over; gives the exit code."""
    reporter = StatusReporter([job.status for job in jobs])
    told: set[str] = set()
    code = 0
    while True:
        over = [job for job in jobs if not job.running]
        for job in over:
            if job.id in told:
                continue
            told.add(job.id)
            reporter.clear()
            if job.error is None:
                continue
            code = max(code, job.error.exit_code)
            log(f'job "{job.id}" failed')
            if debug:
                traceback.print_exception(job.error)
            print(job.error, file=sys.stderr, flush=True)
        if len(over) == len(jobs):
            break
        reporter.update()
        deadline = time.monotonic() + reporter.interval
        for job in jobs:
            # Signals are handled between two waits.
            with contextlib.suppress(FlowSQLError):
                job.wait(max(0.0, min(0.1, deadline - time.monotonic())))
    if jobs:
        reporter.update(final=True)
    return code
