"""When checkpoints are taken, and what happens before and after the manifest decides (DESIGN 8).

`prepare(n)` of every sink and the copying of state happen between two steps, in the engine's
thread. Files are written by a thread beside it while steps go on. When the manifest is there, the
engine's thread commits all tokens, in order, and tells the sources. Only then may n + 1 begin, so
that a restore commits at most one round again.

A checkpoint that fails after `prepare` leaves its tokens behind: the next manifest holds them too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from flowsql.checkpoint import Checkpoint, CheckpointStore, Content, PendingToken
from flowsql.config import EngineSettings
from flowsql.connector import JSON, Attempt, kill_point
from flowsql.errors import FlowSQLError, StateError
from flowsql.runtime.clock import monotonic
from flowsql.runtime.execution import Execution
from flowsql.runtime.snapshot import snapshot_of

__all__ = ["Checkpointer", "Request"]


@dataclass(slots=True)
class Request:
    """Someone waits for a checkpoint.

    Attributes:
        savepoint: folder for the copy, or None for one with a name of its own.
        done: set when there is an answer.
        path: the folder that was written.
        error: why there is none.
    """

    savepoint: Path | None = None
    done: threading.Event = field(default_factory=threading.Event)
    path: Path | None = None
    error: FlowSQLError | None = None

    def answer(self, path: Path | None, error: FlowSQLError | None = None) -> None:
        """Let the caller go on."""
        self.path, self.error = path, error
        self.done.set()

    def outcome(self, job: str, timeout: float | None) -> Path:
        """Wait for the folder that was asked for; raises StateError if it was not made."""
        if not self.done.wait(timeout):
            raise StateError(f'job "{job}" took no checkpoint in time')
        if self.error is not None:
            raise self.error
        assert self.path is not None
        return self.path


class _Writing:
    """A checkpoint on its way to the disk."""

    def __init__(self, number: int, requests: list[Request]) -> None:
        self.number = number
        self.requests = requests
        self.started = monotonic()
        self.done = threading.Event()
        self.checkpoint: Checkpoint | None = None
        self.error: FlowSQLError | None = None
        self._lock = threading.Lock()
        self._given_up = False

    def proceed(self) -> None:
        """Between two files: go on, unless it took too long."""
        with self._lock:
            if self._given_up:
                raise StateError(f"could not write checkpoint {self.number}: it took too long")

    def decide(self, write: Callable[[Callable[[], None]], Checkpoint]) -> None:
        """Runs in the writing thread."""
        try:
            self.checkpoint = write(self.proceed)
        except FlowSQLError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - handed to the engine's thread
            self.error = StateError(f"could not write checkpoint {self.number}: {error}")

    def copy(self, store: CheckpointStore, keep: Path) -> None:
        """Make the savepoints that were asked for; runs in the writing thread."""
        if self.checkpoint is None:
            return
        manifest = self.checkpoint.manifest
        name = f"savepoint-{manifest.job}-{manifest.run}-{manifest.checkpoint}"
        made: Path | None = None
        for request in self.requests:
            try:
                if request.savepoint is not None:
                    request.path = store.copy_to(self.number, request.savepoint)
                else:
                    made = made or store.copy_to(self.number, keep / name)
                    request.path = made
            except FlowSQLError as error:
                request.error = error

    def give_up(self) -> None:
        """No further file is begun."""
        with self._lock:
            self._given_up = True


class Checkpointer:
    """Takes the checkpoints of one attempt.

    Args:
        execution: whose state it is.
        attempt: names of job, run and attempt.
        store: where they are written; None where rows are committed without a checkpoint.
        settings: intervals and limits.
        plan: the encoded plan.
        fingerprint: of the statement.
        last: number of the last checkpoint taken.
        notify: called by the writing thread when it is over.
        keep: folder for savepoints that are given none; needed where there is a store.
        tell: takes lines for the log, and how important they are.
        before: of the attempt before in this process: its counts go on.
    """

    def __init__(
        self,
        execution: Execution,
        attempt: Attempt,
        store: CheckpointStore | None,
        settings: EngineSettings,
        *,
        plan: JSON,
        fingerprint: str,
        last: int,
        notify: Callable[[], None],
        keep: Path | None = None,
        tell: Callable[[str, str], None] = lambda *_: None,
        before: Checkpointer | None = None,
    ) -> None:
        self._execution = execution
        self._attempt = attempt
        self._settings = settings
        self._plan = plan
        self._fingerprint = fingerprint
        self._notify = notify
        self._tell = tell
        self._tokens: dict[str, list[PendingToken]] = {w: [] for w in execution.writers}
        self._writing: _Writing | None = None
        self._failures_in_row = 0
        self._tolerant = True
        self._started = monotonic()
        self._ended = -1e9
        # Since when there has been something to keep, or the last one that is complete.
        self._kept: float | None = None
        self._positions: dict[int, dict[str, JSON]] = {}
        self.store = store
        self.keep = keep
        self.last = last
        self.completed: int = 0 if before is None else before.completed
        self.failed: int = 0 if before is None else before.failed
        self.requests: list[Request] = []
        self.summary: JSON = {} if before is None else dict(before.summary)
        self.summary.pop("last_error", None)

    # -- when -------------------------------------------------------------------------------

    def due_in(self) -> float | None:
        """Seconds until the next one is due; None where none is."""
        if self._writing is not None:
            limit = self._settings.checkpoint_timeout / 1000
            return max(0.0, self._writing.started + limit - monotonic())
        if self.requests:
            return 0.0
        interval = self._settings.checkpoint_interval / 1000
        # Before the first step there is nothing to keep, unless someone waits for it.
        if interval <= 0 or not self._execution.step_number:
            return None
        pause = self._settings.checkpoint_min_pause / 1000
        # What was held back for so long is shown at once.
        start = -inf if self._execution.has_released else self._started + interval
        return max(0.0, max(start, self._ended + pause) - monotonic())

    def poll(self) -> None:
        """Between two steps: finish what was written, begin what is due.

        Raises:
            FlowSQLError: more failed in a row than are tolerated, or a commit failed.
        """
        writing = self._writing
        if self._kept is None and self._execution.step_number:
            self._kept = monotonic()
        if writing is not None:
            if writing.done.is_set():
                self._conclude(writing)
            elif monotonic() - writing.started > self._settings.checkpoint_timeout / 1000:
                writing.give_up()
                writing.done.wait()
                self._conclude(writing)
        if self._writing is None:
            for outlet in self._execution.graph.outlets:
                if outlet.pending is not None:
                    outlet.pending.sweep()
            if self.due_in() == 0.0:
                self.begin()

    @property
    def in_progress(self) -> int:
        """How many are being written; from any thread."""
        return int(self._writing is not None)

    def overdue(self) -> float | None:
        """Seconds since the last one, where that is too long ago; from any thread.

        One may take as long as the timeout says; that is what comes upon its interval.
        """
        settings, kept = self._settings, self._kept
        if self.store is None or settings.checkpoint_interval <= 0 or kept is None:
            return None
        longest = settings.checkpoint_interval + settings.checkpoint_min_pause
        since = monotonic() - kept
        return since if since * 1000 > longest + settings.checkpoint_timeout else None

    def complete(self, *, finished: bool) -> None:
        """The last checkpoint of a job: waits until it is written and committed.

        Raises:
            FlowSQLError: it failed.
        """
        if self._writing is not None:
            self._await(self._writing)
        self._tolerant = False
        writing = self.begin(finished=finished)
        if writing is not None:
            self._await(writing)

    def _await(self, writing: _Writing) -> None:
        if not writing.done.wait(self._settings.checkpoint_timeout / 1000):
            writing.give_up()
            writing.done.wait()
        self._conclude(writing)

    # -- one checkpoint -----------------------------------------------------------------------

    def begin(self, *, finished: bool = False) -> _Writing | None:
        """Prepare the sinks, copy the state, start to write; None where nothing is to be awaited."""
        number = self.last + 1
        self.last = number
        self._started = monotonic()
        self._execution.released_at = None
        requests, self.requests = self.requests, []
        writing = _Writing(number, requests)
        try:
            self._prepare(number)
            content = self._content(number, finished=finished)
        except (FlowSQLError, OSError) as error:
            writing.error = (
                error
                if isinstance(error, FlowSQLError)
                else StateError(f"could not prepare checkpoint {number}: {error}")
            )
            writing.done.set()
            self._conclude(writing)
            return None
        if self.store is None:
            self._commit()
            self._ended = monotonic()
            for request in requests:
                request.answer(None, StateError("the job keeps no checkpoints"))
            return None
        self._writing = writing
        self._positions[number] = {k: v["position"] for k, v in content.sources.items()}
        store, keep = self.store, self.keep or self.store.folder.parent / "savepoints"

        def run() -> None:
            writing.decide(lambda proceed: store.write(content, proceed))
            writing.copy(store, keep)
            writing.done.set()
            self._notify()

        threading.Thread(target=run, name=f"checkpoint {number}", daemon=True).start()
        return writing

    def _prepare(self, number: int) -> None:
        for sink, writer in self._execution.writers.items():
            with kill_point("prepare"):
                token = writer.prepare(number)
            if token is not None:
                self._tokens[sink].append(PendingToken(number, token, self._bulk(token)))

    def _bulk(self, token: JSON) -> tuple[str, ...]:
        """Names of the token's files: its texts that name one."""
        if self.store is None:
            return ()
        folder = self.store.token_files
        found = [t for t in _texts(token) if t and "/" not in t and (folder / t).is_file()]
        return tuple(dict.fromkeys(found))

    def _content(self, number: int, *, finished: bool) -> Content:
        attempt = self._attempt
        return Content(
            job=attempt.job,
            run=attempt.run,
            attempt=attempt.number,
            checkpoint=number,
            step=self._execution.step_number,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            finished=finished,
            fingerprint=self._fingerprint,
            plan=self._plan,
            tokens={s: list(t) for s, t in self._tokens.items()},
            committed=dict(self._execution.committed),
            **snapshot_of(self._execution),
        )

    def _conclude(self, writing: _Writing) -> None:
        """A checkpoint is decided, or failed."""
        self._writing = None
        self._ended = monotonic()
        if writing.checkpoint is None:
            self._fail(writing)
            return
        self._failures_in_row = 0
        self.completed += 1
        self._kept = self._ended
        self._commit()
        self._retain()
        self.summary = {
            "number": writing.number,
            "path": str(writing.checkpoint.folder),
            "duration_ms": round((self._ended - writing.started) * 1000),
            "bytes": writing.checkpoint.bytes,
            "ended": self._ended,
        }
        took, size = self.summary["duration_ms"], self.summary["bytes"]
        self._tell(f"checkpoint {writing.number} is complete: {size} bytes in {took} ms", "debug")
        for request in writing.requests:
            request.answer(request.path, request.error)

    def _fail(self, writing: _Writing) -> None:
        error = writing.error or StateError(f"checkpoint {writing.number} failed")
        self._positions.pop(writing.number, None)
        self.failed += 1
        self._failures_in_row += 1
        for request in writing.requests:
            request.answer(None, error)
        if (
            not self._tolerant
            or self._failures_in_row > self._settings.tolerable_failed_checkpoints
        ):
            raise error
        self.summary["last_error"] = error.message
        self._tell(f"checkpoint {writing.number} failed: {error.message}", "warning")

    def _commit(self) -> None:
        """Make the rows of every prepared checkpoint visible, oldest first.

        A table that several sinks write tells of the newest commit: it must be of the last
        checkpoint among all of them.
        """
        while waiting := [sink for sink, tokens in self._tokens.items() if tokens]:
            sink = min(waiting, key=lambda name: self._tokens[name][0].checkpoint)
            token = self._tokens[sink][0]
            self._execution.commit(sink, token.checkpoint, token.token)
            del self._tokens[sink][0]

    def _retain(self) -> None:
        """Remove old checkpoints; let the sources forget what the oldest one left has."""
        assert self.store is not None
        kept = self.store.retain(self._settings.num_retained)
        self._positions = {n: p for n, p in self._positions.items() if n in kept}
        oldest = self._positions.get(kept[0])
        if oldest is None:
            sources = self.store.load(kept[0]).manifest.sources
            oldest = {name: stored["position"] for name, stored in sources.items()}
        for group in self._execution.groups:
            if group.key in oldest:
                with kill_point("acknowledge"):
                    group.acknowledge(oldest[group.key])

    def abandon(self, error: FlowSQLError) -> None:
        """The attempt is over: nobody waits in vain."""
        if self._writing is not None:
            self._writing.give_up()
            self._writing.done.wait()
            self.requests += self._writing.requests
        for request in self.requests:
            request.answer(None, error)
        self.requests = []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
