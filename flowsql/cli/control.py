"""`flowsql status`, `stop` and `savepoint`: what other processes ask of a running job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from flowsql.cli.statusline import mishaps, operator_table, source_table, status_line
from flowsql.errors import FlowSQLError, StateError, nearest
from flowsql.library.quantities import count_text
from flowsql.runtime.control import request
from flowsql.runtime.folder import JobFolder
from flowsql.runtime.joblog import LOG_FILE

__all__ = ["job_names", "job_status", "save_job", "show_status", "stop_job"]


def show_status(folder: str, job: str | None, *, as_json: bool) -> int:
    """Print what a job, or every job of the folder, says of itself, or said last."""
    parent = Path(folder)
    if job is not None:
        _check_known(parent, job)
    names = [job] if job is not None else job_names(parent)
    if not names:
        print(f'there is no job in "{folder}"', file=sys.stderr)
    for name in names:
        status = job_status(parent, name)
        if as_json:
            print(json.dumps(status))
        elif status.get("pid") is not None:
            shown = [status_line(status), *source_table(status), *operator_table(status)]
            print("\n".join(shown))
        else:
            more = [*_log_of(status), *operator_table(status)] if job is not None else ()
            print("\n".join([_ended(status), *more]))
    return 0


def stop_job(folder: str, job: str, *, drain: bool, savepoint: str | bool | None = None) -> int:
    """Stop a job and wait until it is over.

    Args:
        folder: of the jobs.
        job: its id.
        drain: let event time end first.
        savepoint: folder for a copy of the last checkpoint; True: one with a name of its own.
    """
    if isinstance(savepoint, str):
        savepoint = str(Path(savepoint).absolute())
    _check_known(Path(folder), job)
    status = request(
        JobFolder(Path(folder), job).socket, "stop", drain=drain, savepoint=savepoint or None
    )
    if status.get("failure"):
        print(status["failure"], file=sys.stderr)
        return 1
    print(status_line(status))
    if status.get("savepoint"):
        print(f"savepoint: {status['savepoint']}")
    return 1 if status["state"] == "failed" or (savepoint and not status.get("savepoint")) else 0


def save_job(folder: str, job: str, path: str | None) -> int:
    """Take a savepoint of a running job and print its folder."""
    _check_known(Path(folder), job)
    asked = None if path is None else str(Path(path).absolute())
    print(request(JobFolder(Path(folder), job).socket, "checkpoint", savepoint=asked))
    return 0


def _check_known(folder: Path, job: str) -> None:
    known = job_names(folder)
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


def job_names(folder: Path) -> list[str]:
    """Ids of the jobs of a folder, sorted."""
    return sorted(p.parent.name for p in folder.glob("*/job.json"))


def job_status(parent: Path, job: str) -> dict[str, Any]:
    """What the job answers; where nobody runs it, what it said last, with no `pid`.

    `resumes_from` is the number of the checkpoint that the next start goes on from, `resumes_in`
    the slots of servers that must still have what follows; where it is damaged, `refusal` says so.
    """
    folder = JobFolder(parent, job)
    try:
        return dict(request(folder.socket, "status"))
    except FlowSQLError:
        pass
    log = folder.path / LOG_FILE
    status = folder.last_status() or {
        "job": job,
        "state": "lost",
        "error": None,
        "log": str(log) if log.exists() else None,
    }
    try:
        record = folder.record()
    except FlowSQLError as error:
        return {**status, "pid": None, "error": error.message}
    finished = record is not None and record.finished
    if finished and status["state"] == "lost":
        # It wrote that it is finished, and no more.
        status["state"] = "finished"
    numbers = folder.store.numbers()
    resumes = max(numbers) if numbers and not finished else None
    found = {**status, "pid": None, "resumes_from": resumes}
    if resumes is not None:
        try:
            sources = folder.store.load(resumes).manifest.sources.values()
        except FlowSQLError as error:
            found |= {"resumes_from": None, "refusal": error.message}
        else:
            positions = [s["position"]["source"] for s in sources]
            found["resumes_in"] = [p["slot"] for p in positions if p.get("slot")]
    return found


def _log_of(status: dict[str, Any]) -> list[str]:
    """Where to read why a job is over that nobody stopped."""
    wanted = status["state"] in {"failed", "lost"} and status.get("log")
    return [f"log: {status['log']}"] if wanted else []


def _ended(status: dict[str, Any]) -> str:
    """A job that nobody runs: how it ended, what it had done, and what a start would do."""
    if status["state"] == "lost":
        parts = [f"{status['job']}: lost, its process ended without a word"]
    else:
        at = f" at {status['ended']}" if status.get("ended") else ""
        parts = [f"{status['job']}: {status['state']}{at}"]
        parts += [
            f"{label} {count_text(status[key])}"
            for key, label in (("rows_in", "in"), ("rows_out", "out"))
            if key in status
        ]
        parts += mishaps(status)
    number = status.get("resumes_from")
    if status["state"] == "finished":
        last = (status.get("checkpoint") or {}).get("number")
        parts += [f"checkpoint {last}"] if last is not None else []
        parts.append("a start begins a new run")
    elif status.get("refusal"):
        parts.append(f"a start is refused: {status['refusal']}")
    elif number is None:
        parts.append("has no checkpoint, a start begins at the beginning")
    else:
        kept = " and ".join(f'"{slot}"' for slot in status.get("resumes_in") or ())
        where = f" if slot {kept} still has what follows it, as flowsql check tells" if kept else ""
        parts.append(f"a start goes on from checkpoint {number}{where}")
    if status["error"]:
        parts.append(status["error"].splitlines()[0])
    return "  ".join(parts)
