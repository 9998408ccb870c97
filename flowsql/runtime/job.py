"""A job: one plan, run by one engine thread from its start to its end."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsql.config import EngineSettings
from flowsql.connector import JSON, Attempt, ConnectorContext, StartInterrupted
from flowsql.errors import FlowSQLError, StateError
from flowsql.physical import PhysicalPlan
from flowsql.physical.specs import Scan
from flowsql.runtime.checkpoints import Checkpointer, Request
from flowsql.runtime.clock import Clock, SystemClock, monotonic
from flowsql.runtime.control import ControlServer
from flowsql.runtime.execution import Execution, StepInterrupted, Surroundings
from flowsql.runtime.folder import JobFolder
from flowsql.runtime.graph import Build, CollectCall, JobPlan
from flowsql.runtime.joblog import JobLog
from flowsql.runtime.log import Line
from flowsql.runtime.memory import check_state
from flowsql.runtime.redact import Redactor
from flowsql.runtime.restart import Restarts, may_pass
from flowsql.runtime.start import PlanCodec, Start, Starting, latest, without_last_checkpoint
from flowsql.runtime.status import StatusBoard

if TYPE_CHECKING:
    from flowsql.runtime.watch import Watched

__all__ = ["Job"]

_LONGEST_WAIT = 1.0


class Job:
    """Runs a plan.

    Args:
        job_id: names its folder, its transactions and its files.
        plan: what to run.
        settings: of the engine.
        clock: read once a step.
        collect: takes the changes of a `Collect` node and the number of their step.
        fresh: begin anew even where there is something to resume.
        resume: refuse to begin anew.
        persistent: it has a folder with checkpoints and a control socket. Without, rows are
            committed at the same intervals, but nothing can be resumed; `checkpoint` makes the
            folder when it is first called.
        events: told what a user wants to read in a log, a line each.
        build: physical node → operator.
        codec: plans as JSON.
        present: gives an error of the job the user's words: the text that its span points into,
            and names as the user writes them.

    Attributes:
        on_start: called once, in the engine's thread, when all is open and nothing read yet.
        board: what it says of itself.
        error: why it failed.
    """

    def __init__(
        self,
        job_id: str,
        plan: JobPlan,
        settings: EngineSettings,
        *,
        clock: Clock | None = None,
        collect: CollectCall | None = None,
        fresh: bool = False,
        resume: bool = False,
        persistent: bool = True,
        events: Callable[[Line], None] | None = None,
        build: Build | None = None,
        codec: PlanCodec | None = None,
        present: Callable[[FlowSQLError], FlowSQLError] | None = None,
    ) -> None:
        self.id = job_id
        self._plan = plan
        self._settings = settings
        self._clock = clock or SystemClock()
        self._collect = collect
        self._fresh = fresh
        self._resume = resume
        self._persistent = persistent
        self._build = build
        self._codec = codec
        self._present = present
        self._redactor = Redactor((t.connector, t.table) for t in plan.tables.values())
        self._log = JobLog(
            job_id,
            settings,
            events or (lambda _: None),
            masked=self._redactor.text,
            place=self.place,
        )
        self._folder: JobFolder | None = None
        self._temporary: Path | None = None
        self._execution: Execution | None = None
        self._checkpointer: Checkpointer | None = None
        self._resumed: int | None = None
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._stop: str | None = None
        self._stop_event = threading.Event()
        # Everything is let go; and, after whoever asked over the socket was told, the end.
        self._settled = threading.Event()
        self._over = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self.on_start: Callable[[], None] = lambda: None
        self._watched: Watched | None = None
        self.board = StatusBoard(job_id, memory=settings.memory)
        self.error: FlowSQLError | None = None

    def __repr__(self) -> str:
        return f'<Job "{self.id}": {self.board.state}>'

    # -- for callers, from any thread ---------------------------------------------------------

    def start(self) -> Job:
        """Run in a thread of its own.

        Raises:
            ConfigError: its metrics cannot be shown where `metrics.port` says.
        """
        self._show_metrics()
        self._thread = threading.Thread(target=self.run, name=f"job {self.id}", daemon=True)
        self._thread.start()
        return self

    def stop(self, *, drain: bool = False, savepoint: Path | str | None = None) -> None:
        """Ask the job to end after the running step, with a last checkpoint; returns at once.

        Args:
            drain: let event time end first: every window is given, and the job is finished.
            savepoint: empty or new folder for a copy of the last checkpoint; `wait` knows whether
                it was made.

        Raises:
            StateError: it reads a snapshot and cannot be drained; or it waits for its next attempt
                after a failure, and so ends without a last checkpoint.
        """
        request = None if savepoint is None else Request(Path(savepoint).absolute())
        self._ask_to_stop(drain=drain, request=request)
        if self.board.state == "restarting" and threading.current_thread() is not self._thread:
            self.wait()

    def stop_with_savepoint(
        self, path: Path | str | None = None, *, drain: bool = False, timeout: float | None = None
    ) -> Path:
        """Ask the job to end, wait until it has, and give the folder of its last checkpoint's copy.

        Args:
            path: of the folder; unset: as for `checkpoint`.
            drain: as for `stop`.
            timeout: seconds until the copy is there.

        Raises:
            StateError: as for `stop`; or the savepoint failed.
        """
        request = Request(None if path is None else Path(path).absolute())
        self._ask_to_stop(drain=drain, request=request)
        made = request.outcome(self.id, timeout)
        self.wait()
        return made

    def _ask_to_stop(self, *, drain: bool, request: Request | None) -> None:
        execution = self._execution
        if drain and execution is not None and any(o.held for o in execution.graph.outlets):
            raise StateError(
                f'job "{self.id}" is reading a snapshot and cannot be drained yet',
                hint="Wait until its status says consistent, or stop it without --drain.",
            )
        # Before it ends, which may be at once.
        self._log.stops(drain=drain, savepoint=request is not None)
        with self._lock:
            if request is not None:
                if self._ending:
                    raise StateError(f'job "{self.id}" is over')
                self._requests.append(request)
            self._stop = self._stop or ("drain" if drain else "stop")
        self._stop_event.set()
        self._wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the job is over in time.

        Raises:
            FlowSQLError: it failed.
        """
        if not self._over.wait(timeout):
            return False
        if self.error is not None:
            raise self.error
        return True

    def checkpoint(self, timeout: float | None = None) -> Path:
        """Take a checkpoint now and keep it until its folder is removed; gives the folder.

        It is a copy in `execution.checkpointing.savepoint-dir`, or else in `savepoints` of the
        job's folder: the job's own checkpoints come and go.

        Raises:
            StateError: it failed, or the job is over.
        """
        return self._ask(Request(), timeout)

    def savepoint(self, path: Path | str | None = None, timeout: float | None = None) -> Path:
        """Take a checkpoint and copy it to an empty or new folder, which is the caller's.

        Args:
            path: of the folder; unset: as for `checkpoint`.
            timeout: seconds.
        """
        return self._ask(Request(None if path is None else Path(path).absolute()), timeout)

    def status(self) -> JSON:
        """What `flowsql status` shows; see `metrics.NAMES`."""
        return self.board.status(self._execution, self._checkpointer)

    @property
    def plan(self) -> PhysicalPlan:
        """What it runs: once it has started, the plan that its checkpoint holds."""
        return self._plan.plan

    @property
    def bounded(self) -> bool:
        """It ends by itself: everything that it reads does."""
        reads = {n.spec.table for n in self._plan.plan.nodes if isinstance(n.spec, Scan)}
        found = [self._plan.tables[name] for name in reads]
        return all(r.connector.bounded(r.table) for r in found)

    @property
    def finished_before(self) -> bool:
        """Its last run is over, and a start would begin a new one; False where nobody can tell."""
        try:
            record = JobFolder(self._settings.checkpoint_dir, self.id).record()
        except (OSError, FlowSQLError):
            return False
        return record is not None and record.finished

    def origin(self, folder: JobFolder | None) -> Start:
        """Where a start in a folder begins; looks only, and raises what a start would."""
        starting = Starting(self.id, self._plan, folder, self._codec or _default_codec())
        return starting.choose(
            path=self._settings.recovery_path, fresh=self._fresh, resume=self._resume
        )

    @property
    def running(self) -> bool:
        """It has not ended yet."""
        return not self._over.is_set()

    def _ask(self, request: Request, timeout: float | None) -> Path:
        with self._lock:
            if self._ending:
                raise StateError(f'job "{self.id}" is over')
            self._requests.append(request)
        self._wake()
        return request.outcome(self.id, timeout)

    def _wake(self) -> None:
        execution = self._execution
        if execution is not None:
            execution.wake()

    def place(self) -> tuple[int | None, int | None]:
        """Number of the last step and of the last checkpoint, as far as there are any."""
        execution, checkpointer = self._execution, self._checkpointer
        number = None if checkpointer is None else checkpointer.summary.get("number")
        return (
            None if execution is None else execution.step_number,
            self._resumed if number is None else number,
        )

    # -- the engine's thread --------------------------------------------------------------------

    def run(self) -> None:
        """Run to the end in this thread; `error` says whether it failed."""
        server: ControlServer | None = None
        try:
            self._show_metrics()
            self.board.state = "starting"
            if self._persistent:
                self._open_folder()
                assert self._folder is not None
                server = ControlServer(self._folder.socket, self._commands())
                server.start()
            self._run_attempts()
        except BaseException as error:  # noqa: BLE001 - kept for `wait`, in the user's words
            self.error = self._redactor.error(error)
            if self._present is not None:
                self.error = self._present(self.error)
            self.board.fail(self.error)
        finally:
            if server is not None:
                server.close()
            self._end()
            if server is not None:
                server.finish_answers()
            self._over.set()

    def _show_metrics(self) -> None:
        """Where `metrics.port` is set: from now on, until `forget`."""
        settings = self._settings
        if settings.metrics_port is None or self._watched is not None:
            return
        from flowsql.runtime.watch import watch  # noqa: PLC0415 - few jobs need a server

        self._watched = watch(settings.metrics_host, settings.metrics_port, self.id, self.status)
        self.board.url = self._watched.url

    def forget(self) -> None:
        """Nobody asks for its metrics any more."""
        if self._watched is not None:
            self._watched.close()

    def _open_folder(self) -> None:
        folder = JobFolder(self._settings.checkpoint_dir, self.id)
        folder.open()
        self._folder = folder
        self.board.log = self._log.open(folder.path)

    def _commands(self) -> dict[str, Callable[..., Any]]:
        def stop(*, drain: bool = False, savepoint: str | bool | None = None) -> JSON:
            asked = None
            if savepoint:
                asked = Request(None if savepoint is True else Path(savepoint).absolute())
            self._ask_to_stop(drain=bool(drain), request=asked)
            self._settled.wait()
            status = self.status()
            if self.error is not None:
                status["failure"] = str(self.error)
            if asked is not None and asked.error is None:
                status["savepoint"] = str(asked.path)
            elif asked is not None:
                status.setdefault("failure", str(asked.error))
            return status

        def checkpoint(*, savepoint: str | None = None) -> str:
            return str(self.savepoint(savepoint))

        return {"status": self.status, "stop": stop, "checkpoint": checkpoint}

    def _run_attempts(self) -> None:
        codec = self._codec or _default_codec()
        start = self.origin(self._folder)
        # A stored plan has no places in the text: where it is the one planned now, that one runs.
        same = self._plan.plan == start.plan
        plan = self._plan = self._plan if same else replace(self._plan, plan=start.plan)
        takes = self._persistent and self._settings.checkpoint_interval > 0
        restarts = Restarts(self._settings.restart, checkpoints=takes)
        while True:
            try:
                self._attempt(plan, start, codec)
            except StartInterrupted:
                self.board.state = "stopped"
                return
            except BaseException as raised:
                error = self._redactor.error(raised)
                self._abandon(error)
                again = self._restart(error, restarts, start)
                if again is None and self._stop is not None and self._keeps(error):
                    raise without_last_checkpoint(self.id, self._folder, start, error) from raised
                if again is None:
                    self._say_why_not(error, restarts)
                    raise error from raised
                start = again
            else:
                return

    def _restart(self, error: FlowSQLError, restarts: Restarts, start: Start) -> Start | None:
        """Where to start again after a failure, once it is time; None to give up."""
        # What fails before its first step is a mistake in the job: nobody wants it tried for ever.
        if self._folder is None or self.board.steps == 0:
            return None
        delay = restarts.next_delay(error, monotonic())
        if delay is None or self._stop is not None:
            return None
        self.board.restarting(error)
        self._log.say(f"restarting in {delay:.1f} s: {error.message}")
        if self._stop_event.wait(delay):
            return None
        record = replace(start.record, attempt=start.record.attempt + 1)
        found = latest(self._folder, record.run) or (
            start.checkpoint if self._settings.recovery_path is not None else None
        )
        numbers = self._folder.store.numbers()
        return Start(found, record, max([start.last, *numbers]), start.plan)

    def _say_why_not(self, error: FlowSQLError, restarts: Restarts) -> None:
        """A strategy that was asked for and not used: the message says why."""
        if self._folder is None or self._stop is not None:
            return
        why = restarts.why_not(error, stepped=self.board.steps > 0)
        if why:
            error.detail = why if error.detail is None else f"{error.detail}\n{why}"

    def _keeps(self, error: FlowSQLError) -> bool:
        """Whether it keeps checkpoints, and such an error is what it had no last one for."""
        return self._persistent and may_pass(error)

    def _attempt(self, plan: JobPlan, start: Start, codec: PlanCodec) -> None:
        """From opening to the last commit."""
        folder = self._folder
        record = start.record
        attempt = Attempt(self.id, record.run, record.attempt, record.dead)
        self._resumed = None if start.checkpoint is None else start.checkpoint.manifest.checkpoint
        if folder is not None:
            folder.write_record(start.record)
            self.board.begun(attempt)
            self._log.begins(attempt, self._resumed)
            folder.empty_pending()
            folder.store.clean(start.checkpoint)
        else:
            self.board.begun(attempt)
        if self.board.opened:
            Starting(self.id, self._plan, folder, codec).check_kept(start.checkpoint)
        before = None if self._execution is None else self.board.counts(self._execution)
        execution = Execution(self._surroundings(plan, attempt), before)
        self._execution = execution
        try:
            execution.open(start.checkpoint)
            self._checkpointer = Checkpointer(
                execution,
                attempt,
                None if folder is None else folder.store,
                self._settings,
                plan=codec.encode(plan.plan),
                fingerprint=plan.plan.fingerprint,
                last=start.last,
                notify=execution.wake,
                keep=self._kept_in(),
                tell=self._log.say,
                before=self._checkpointer,
            )
            first = not self.board.opened
            self.board.started(execution)
            if first:
                self.on_start()
                if start.notice:
                    self._log.say(start.notice)
            if start.checkpoint is not None and start.checkpoint.manifest.finished:
                # Killed between the last manifest and its commits, which are made by now.
                self._finish(start, finished=True)
                return
            finished = self._loop(execution, self._checkpointer)
            self._finish(start, finished=finished)
        finally:
            for reader in execution.close():
                self._log.say(f"{reader} still waits for its input and is left behind")

    def _kept_in(self) -> Path | None:
        """Where checkpoints go that someone asked for without naming a folder."""
        if self._settings.savepoint_dir is not None:
            return self._settings.savepoint_dir.absolute()
        return None if self._folder is None else self._folder.savepoints

    def _surroundings(self, plan: JobPlan, attempt: Attempt) -> Surroundings:
        if self._folder is not None:
            spool, pending = self._folder.spool, self._folder.pending
            files = self._folder.store.token_files
        else:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="flowsql-"))
                for name in ("spool", "pending", "files"):
                    (self._temporary / name).mkdir()
            spool, pending = self._temporary / "spool", self._temporary / "pending"
            files = self._temporary / "files"
        return Surroundings(
            plan,
            self._settings,
            ConnectorContext(
                attempt,
                spool,
                files,
                lasting=self._folder is not None,
                tell=self._log.say,
                stopping=self._stop_event.is_set,
            ),
            pending,
            self._clock,
            self._build or _default_build(),
            self._collect,
            self._gives_up,
        )

    def _gives_up(self) -> bool:
        """Whether the running step is left where it is: nothing of it would be kept or shown."""
        if self._stop is None:
            return False
        if not self._plan.plan.streaming:
            return True
        # A query: what it keeps ends with it, unless someone asked for a checkpoint.
        query = self._collect is not None and self._folder is None
        return query and self._stop == "stop" and not self._requests

    def _loop(self, execution: Execution, checkpointer: Checkpointer) -> bool:
        """Steps until nothing is left or someone stops it; whether the job is finished."""
        board, settings = self.board, self._settings
        board.state = "running"
        while self._stop is None:
            self._take_requests(execution, checkpointer)
            checkpointer.poll()
            try:
                worked = execution.step()
            except StepInterrupted:
                return False
            if execution.over:
                break
            if worked:
                board.stepped(execution)
            else:
                due = checkpointer.due_in()
                execution.wait(_LONGEST_WAIT if due is None else min(due, _LONGEST_WAIT))
                board.look(execution)
            if settings.memory is not None:
                check_state(settings.memory, *board.largest_table())
        board.state = "stopping"
        finished = execution.over
        if not finished and self._stop == "drain" and self._plan.plan.streaming:
            execution.step(drain=True)
            finished = True
        board.stepped(execution)
        self._take_requests(execution, checkpointer)
        checkpointer.complete(finished=finished)
        return finished

    def _take_requests(self, execution: Execution, checkpointer: Checkpointer) -> None:
        with self._lock:
            requests, self._requests = self._requests, []
        if not requests:
            return
        if checkpointer.store is None and not execution.writers:
            self._open_folder()
            assert self._folder is not None
            checkpointer.store = self._folder.store
            checkpointer.keep = self._kept_in()
        checkpointer.requests += requests

    def _finish(self, start: Start, *, finished: bool) -> None:
        folder = self._folder
        if folder is not None:
            if finished:
                for group in self._execution.groups if self._execution is not None else ():
                    group.source.end()
                # Killed before this, the next start finds the last checkpoint and ends them again.
                folder.write_record(replace(start.record, finished=True))
            elif self._settings.checkpoint_retention != "retain_on_cancellation":
                for number in folder.store.numbers():
                    folder.store.remove(number)
        self.board.state = "finished" if finished else "stopped"

    def _abandon(self, error: FlowSQLError) -> None:
        if self._checkpointer is not None:
            self._checkpointer.abandon(error)

    def _end(self) -> None:
        """Nothing of the job is left but its folder."""
        with self._lock:
            self._ending = True
            requests, self._requests = self._requests, []
        for request in requests:
            request.answer(None, self.error or StateError(f'job "{self.id}" is over'))
        self._abandon(self.error or StateError(f'job "{self.id}" is over'))
        if self._execution is not None:
            self.board.look(self._execution, final=True)
        self.board.end()
        if self._folder is not None:
            status = self.status()
            self._log.ends(self.board.state, self.error, status)
            self._log.close()
            if self.board.opened or not self._folder.forget():
                self._folder.write_status(status)
            self._folder.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if not self._persistent:
            # A query leaves nothing behind.
            self.forget()
        self._settled.set()


def _default_build() -> Build:
    from flowsql.runtime.build import build_operator  # noqa: PLC0415 - tests bring their own

    return build_operator


def _default_codec() -> PlanCodec:
    from flowsql.physical import codec  # noqa: PLC0415 - tests bring their own

    return codec
