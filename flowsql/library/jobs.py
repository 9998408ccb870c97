"""SHOW JOBS, SHOW SOURCES, DESCRIBE JOB and STOP JOB: the jobs of a session."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from flowsql.errors import ConfigError, FlowSQLError, Span, nearest
from flowsql.library.result import Result, rows_result, text_result
from flowsql.library.sources import SOURCE_COLUMNS, source_rows
from flowsql.runtime.job import Job
from flowsql.sql import DescribeJob, Show, StopJob

__all__ = ["JobList", "program_name"]

_COLUMNS = ("job id", "job name", "status", "start time")


class JobList:
    """The jobs that a session started, in order; of those with one name the last is meant."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Job, datetime]] = {}

    def add(self, job: Job) -> None:
        """A job was started."""
        self._jobs.pop(job.id, None)
        self._jobs[job.id] = (job, datetime.now().astimezone())

    def run(self, statement: Show | DescribeJob | StopJob, home: tuple[str, str]) -> Result:
        """The answer.

        Args:
            statement: about jobs.
            home: catalog and database of which tables have bare names.

        Raises:
            ConfigError: there is no such job, or it is over.
            StateError: it cannot be drained, or ended without its last checkpoint.
        """
        match statement:
            case DescribeJob(job=job, job_span=span):
                self._find(job, span)
                return rows_result(_COLUMNS, [self._row(job)])
            case StopJob():
                return self._stop(statement)
            case Show(kind="SOURCES"):
                running = [job.status() for job, _ in self._jobs.values() if job.running]
                return rows_result(("job id", *SOURCE_COLUMNS), source_rows(running, home))
            case _:
                return rows_result(_COLUMNS, [self._row(job) for job in self._jobs])

    def _row(self, name: str) -> list[str | bool | None]:
        job, started = self._jobs[name]
        shown = started.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        return [job.id, job.id, job.board.state.upper(), shown]

    def _find(self, name: str, span: Span) -> Job:
        if name not in self._jobs:
            near = nearest(name, self._jobs)
            hint = f"Jobs: {', '.join(self._jobs)}." if self._jobs else "None was started here."
            raise ConfigError(
                f'job "{name}" does not exist in this session',
                hint=f'Did you mean "{near}"?' if near else hint,
                span=span,
            )
        return self._jobs[name][0]

    def _stop(self, statement: StopJob) -> Result:
        job = self._find(statement.job, statement.job_span)
        if not job.running:
            raise ConfigError(f'job "{job.id}" is over', span=statement.job_span)
        try:
            if statement.savepoint:
                path = job.stop_with_savepoint(drain=statement.drain)
                return text_result("savepoint path", [str(path)])
            job.stop(drain=statement.drain)
            job.wait()
        except FlowSQLError as error:
            error.span = error.span or statement.job_span
            raise
        return text_result("result", ["OK"])


def program_name() -> str:
    """What a program's jobs are called: its file without the suffix; `flowsql` where there is none."""
    file = Path(sys.argv[0] if sys.argv else "")
    # `python -m package` runs a file that is called the same in every package.
    name = file.parent.name if file.stem == "__main__" else file.stem
    return name[:100] if name and not name.startswith("-") else "flowsql"
