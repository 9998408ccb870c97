"""The folder of a job: one owner, the run it belongs to, its checkpoints.

<execution.checkpointing.dir>/<job id>/
lock             held by the process that runs the job; holds its id
job.json         run, attempt, and which runs are over
status.json      what the job said last of itself
job.log          what it said and did; job.log.1 … are older
checkpoints/     chk-<n>/, token-files/
savepoints/      savepoint-<job>-<run>-<n>/: checkpoints that were asked for, kept until removed by hand
pending/         output held back while a snapshot is read
spool/           large transactions; emptied at every start
control.sock     where other commands reach the job
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path

from flowsql.checkpoint import CheckpointStore, could_not_write
from flowsql.connector import JSON, fsync_dir, make_dirs, remove_tree, replace, write_file
from flowsql.errors import ConfigError, StateError

__all__ = ["JobFolder", "JobRecord", "elsewhere", "new_run"]

_KEPT_RUNS = 100


def new_run() -> str:
    """A name that no other run has."""
    return secrets.token_hex(4)


@dataclass
class JobRecord:
    """`job.json`.

    Attributes:
        run: the run that goes on, or went last.
        attempt: how often it was started.
        finished: it is over; the next start is a new run.
        past: runs of this job that are over, oldest first.
        aside: runs that were left for another one before they were over.
    """

    run: str
    attempt: int
    finished: bool = False
    past: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    @property
    def dead(self) -> frozenset[str]:
        """Other runs, which no process goes on with: this folder has one owner."""
        return frozenset({*self.past, *self.aside} - {self.run})


class JobFolder:
    """Locked as long as it is open.

    Args:
        parent: `execution.checkpointing.dir`.
        job: the job's id.
    """

    def __init__(self, parent: Path, job: str) -> None:
        self.job = job
        self.path = parent.absolute() / folder_name(job)
        self.store = CheckpointStore(self.path / "checkpoints")
        self.pending = self.path / "pending"
        self.spool = self.path / "spool"
        self.savepoints = self.path / "savepoints"
        self.socket = self.path / "control.sock"
        self._lock: int | None = None
        self._made: list[Path] = []

    def open(self) -> None:
        """Make it, and become its owner.

        Raises:
            StateError: another process runs the job, or the folder cannot be written.
        """
        try:
            if self._lock is None:
                self._made = [p for p in (self.path, self.path.parent) if not p.exists()]
            make_dirs(self.path, mode=0o700)
            self._take_lock()
            self.store.prepare()
            remove_tree(self.spool)
            (self.path / "status.json.tmp").unlink(missing_ok=True)
            for folder in (self.pending, self.spool):
                make_dirs(folder, mode=0o700)
        except OSError as error:
            self.close()
            raise could_not_write(f'job folder "{self.path}"', self.path, error) from None

    def _take_lock(self) -> None:
        while not self._try_lock():
            # Its owner has removed the folder meanwhile.
            make_dirs(self.path, mode=0o700)

    def _try_lock(self) -> bool:
        """Whether the lock that was taken is the one that is there; raises StateError."""
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StateError(
                f'job "{self.job}" is already running in process {owner}',
                hint=f'Stop it with "flowsql stop {self.job}{elsewhere(self.path.parent)}", or give this one '
                "another 'pipeline.name'.",
            ) from None
        try:
            there = os.path.samestat(os.fstat(lock), (self.path / "lock").stat())
        except FileNotFoundError:
            there = False
        if not there:
            os.close(lock)
            return False
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        return True

    def empty_pending(self) -> None:
        """Forget held-back output of an earlier attempt; a checkpoint has its own links."""
        for entry in self.pending.iterdir():
            entry.unlink()

    def record(self) -> JobRecord | None:
        """What `job.json` says, None where there is none."""
        path = self.path / "job.json"
        try:
            return JobRecord(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            numbers = self.store.numbers()
            start = f'start with --from "{self.store.path(numbers[-1])}"' if numbers else "start"
            raise StateError(
                f'"{path}" is damaged',
                detail="It says which run of the job goes on; its checkpoints say that too.",
                hint=f"Remove it and {start}.",
            ) from None

    def write_record(self, record: JobRecord) -> None:
        """Replace `job.json`, durably; raises StateError."""
        record.past = record.past[-_KEPT_RUNS:]
        record.aside = record.aside[-_KEPT_RUNS:]
        temporary = self.path / "job.json.tmp"
        try:
            write_file(temporary, json.dumps(asdict(record)).encode(), mode=0o600)
            replace(temporary, self.path / "job.json")
            fsync_dir(self.path)
        except OSError as error:
            raise could_not_write(f'"{self.path / "job.json"}"', self.path, error) from None

    def last_status(self) -> JSON | None:
        """What the job said of itself when it ended.

        None where its last process ended without a word, or none ever ran.
        """
        try:
            status = json.loads((self.path / "status.json").read_bytes())
            record = self.record()
        except (OSError, ValueError, StateError):
            return None
        if record is None or not isinstance(status, dict):
            return None
        if (status.get("run"), status.get("attempt")) != (record.run, record.attempt):
            return None
        return status

    def write_status(self, status: JSON) -> None:
        """Keep what is shown of a job that is over; a disk that refuses costs no more than that."""
        if status["run"] is None:
            # It was refused before it began: what the run before said stands.
            return
        temporary = self.path / "status.json.tmp"
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(status), encoding="utf-8")
            temporary.replace(self.path / "status.json")

    def forget(self) -> bool:
        """Remove what `open` made, as nothing began; whether the folder is gone.

        One that was there before stays as it is.
        """
        if self._lock is None or self.path not in self._made or self.store.numbers():
            return False
        with contextlib.suppress(OSError):
            # The lock last: whoever waits for it finds that it is none any more.
            for path in sorted(self.path.iterdir(), key=lambda p: p.name == "lock"):
                if path.is_dir():
                    remove_tree(path)
                else:
                    path.unlink()
            for made in self._made:
                made.rmdir()
        return not self.path.exists()

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def elsewhere(parent: Path) -> str:
    """What a command needs to find the folder of the jobs, where it is not in the usual place."""
    usual = parent.absolute() == Path(".flowsql").absolute()
    return "" if usual else f" --dir {shlex.quote(str(parent))}"


def folder_name(job: str) -> str:
    """A job's id as the name of its folder; raises ConfigError where it cannot be one."""
    if not job or job in {".", ".."} or re.search(r"[/\x00-\x1f]", job) or len(job) > 200:
        raise ConfigError(
            f'"{job}" cannot be the name of a job',
            hint="Set 'pipeline.name' to up to 200 characters without '/'.",
        )
    return job
