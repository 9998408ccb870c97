"""`flowsql status` and `flowsql stop`: what other processes ask of a running job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from flowsql.cli.statusline import operator_table, status_line
from flowsql.errors import FlowSQLError, StateError, nearest
from flowsql.runtime.control import request
from flowsql.runtime.folder import JobFolder

__all__ = ["show_status", "stop_job"]


def show_status(folder: str, job: str | None, *, as_json: bool) -> int:
    """Print what a job, or every job of the folder, says of itself."""
    names = [job] if job is not None else _jobs(Path(folder))
    if not names:
        print(f'there is no job in "{folder}"', file=sys.stderr)
    for name in names:
        try:
            status = _ask(folder, name, "status")
        except FlowSQLError as error:
            if job is not None:
                raise
            print(json.dumps(_silent(name, error)) if as_json else _ended(Path(folder), name))
            continue
        print(json.dumps(status) if as_json else _described(status))
    return 0


def stop_job(folder: str, job: str, *, drain: bool) -> int:
    """Stop a job and wait until it is over."""
    status = _ask(folder, job, "stop", drain=drain)
    print(status_line(status))
    return 1 if status["state"] == "failed" else 0


def _ask(folder: str, job: str, command: str, **arguments: Any) -> Any:
    known = _jobs(Path(folder))
    if job not in known:
        near = nearest(job, known)
        raise StateError(
            f'job "{job}" is not in "{folder}"',
            hint=f'Did you mean "{near}"?'
            if near
            else f"Jobs there: {', '.join(known)}."
            if known
            else "--dir names the folder of execution.checkpointing.dir.",
        )
    return request(JobFolder(Path(folder), job).socket, command, **arguments)


def _jobs(folder: Path) -> list[str]:
    return sorted(p.parent.name for p in folder.glob("*/job.json"))


def _silent(job: str, error: FlowSQLError) -> dict[str, str]:
    return {"job": job, "state": "not running", "error": error.message}


def _ended(parent: Path, job: str) -> str:
    """A job that nobody runs: how it ended, and what a start would do."""
    folder = JobFolder(parent, job)
    record = folder.record()
    if record is not None and record.finished:
        return f"{job}: finished"
    numbers = folder.store.numbers()
    if not numbers:
        return f"{job}: not running, has no checkpoint"
    return f"{job}: not running, resumes from checkpoint {max(numbers)}"


def _described(status: dict[str, Any]) -> str:
    """The status line, and a table of the operators."""
    return "\n".join([status_line(status), *operator_table(status)])
