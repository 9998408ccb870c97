"""What a job says of itself; read from any thread, written by the engine's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flowsql.changelog import NO_WATERMARK
from flowsql.connector import JSON, Attempt
from flowsql.errors import FlowSQLError
from flowsql.runtime.checkpoints import Checkpointer
from flowsql.runtime.clock import SystemClock, monotonic
from flowsql.runtime.counts import KEPT, Counts, counts_of, go_on, since
from flowsql.runtime.execution import Execution
from flowsql.runtime.measures import Rate
from flowsql.runtime.memory import memory_by_owner
from flowsql.runtime.outlets import SinkOutlet
from flowsql.runtime.scans import ScanNode
from flowsql.runtime.watermarks import MAX_WATERMARK
from flowsql.version import __version__

__all__ = ["StatusBoard"]

_LOOK_EVERY = 1.0
_SPLITS_SHOWN = 256
# Attempts to get back to a server before somebody should look: about half a minute.
_LOST_AFTER = 10


class StatusBoard:
    """The state of one job, see `metrics.NAMES`.

    Sizes of state tables are looked up at most once a second, between two steps.

    Attributes:
        state: as shown.
        steps: of this process's attempts.
        opened: an attempt of this process got as far as its first step.
        ended: when the job was over, ISO 8601 in UTC.
        url: where Prometheus finds it.
        log: path of its log file.
    """

    def __init__(self, job: str, *, memory: int | None = None) -> None:
        self._job = job
        self._memory = memory
        self._restarts = 0
        self._attempt: Attempt | None = None
        self._error: str | None = None
        self._began = monotonic()
        self._looked = -1e9
        self._state_sizes: dict[str, dict[str, JSON]] = {}
        self._titles: dict[str, str] = {}
        self._rates: tuple[float, float] = (0.0, 0.0)
        self._rate_in = Rate()
        self._rate_out = Rate()
        self.state = "created"
        self.steps = 0
        self.opened = False
        self.ended: str | None = None
        self._restored: dict[str, int] | None = None
        self.url: str | None = None
        self.log: str | None = None

    def begun(self, attempt: Attempt) -> None:
        """An attempt was written down; what is counted begins again with it."""
        self._attempt = attempt
        self._rates = (0.0, 0.0)
        self._rate_in, self._rate_out = Rate(), Rate()

    def started(self, execution: Execution) -> None:
        """It was opened."""
        if not self.opened:
            found = self._of_execution(execution)
            self._restored = {key: found[key] for key in KEPT}
        self.opened = True
        self._error = None

    def counts(self, execution: Execution) -> Counts:
        """What an attempt that is over has counted, with those before it."""
        return counts_of(self._of_execution(execution), execution.before)

    def restarting(self, error: FlowSQLError) -> None:
        """It failed and will be tried again."""
        self.state = "restarting"
        self._restarts += 1
        self._error = error.message

    def fail(self, error: FlowSQLError) -> None:
        """It failed for good."""
        self.state = "failed"
        self._error = error.message

    def end(self) -> None:
        """It is over."""
        now = datetime.fromtimestamp(SystemClock().now() / 1e6, UTC)
        self.ended = now.isoformat(timespec="seconds").replace("+00:00", "Z")

    def stepped(self, execution: Execution) -> None:
        """After a step."""
        self.steps += 1
        self.look(execution)

    def look(self, execution: Execution, *, final: bool = False) -> None:
        """Between two steps: note what cannot be read from another thread."""
        now = monotonic()
        if now - self._looked < _LOOK_EVERY and not final:
            return
        self._looked = now
        graph = execution.graph
        self._state_sizes = {
            o.id: {n: {"rows": s.rows, "bytes": s.bytes} for n, s in o.store.stats().items()}
            for o in graph.operators
            if o.store.tables
        } | {
            sink: {n: {"rows": s.rows, "bytes": s.bytes} for n, s in store.stats().items()}
            for sink, store in execution.writer_stores.items()
            if store.tables
        }
        self._titles = {o.id: o.title for o in graph.nodes}
        self._note_rates(execution, now)

    def _note_rates(self, execution: Execution, now: float) -> None:
        rows_in = sum(g.rows for g in execution.groups)
        rows_out = sum(o.rows_out for o in execution.graph.outlets)
        self._rates = (self._rate_in.update(now, rows_in), self._rate_out.update(now, rows_out))

    def largest_table(self) -> tuple[int, str]:
        """Bytes of all state tables when last looked at, and which one is the largest."""
        sizes = [
            (table["bytes"], f'"{name}" of {self._titles.get(owner, owner)}')
            for owner, tables in self._state_sizes.items()
            for name, table in tables.items()
        ]
        return sum(s for s, _ in sizes), max(sizes, default=(0, "none"))[1]

    def status(self, execution: Execution | None, checkpointer: Checkpointer | None) -> JSON:
        """Everything, as plain JSON."""
        attempt = self._attempt
        status: JSON = {
            "job": self._job,
            "run": None if attempt is None else attempt.run,
            "attempt": None if attempt is None else attempt.number,
            "pid": os.getpid(),
            "version": __version__,
            "state": self.state,
            "health": "ok",
            "error": self._error,
            "ended": self.ended,
            "uptime_ms": round((monotonic() - self._began) * 1000),
            "restarts": self._restarts,
            "metrics": self.url,
            "log": self.log,
            "memory_limit": self._memory,
        }
        if execution is not None:
            now = monotonic()
            if self.state == "running" and now - self._looked > 2 * _LOOK_EVERY:
                # Amid a long step: a batch job has no other.
                self._note_rates(execution, now)
            status |= self._of_execution(execution)
            if self._restored is not None:
                status["counted"] = since(status, self._restored)
        if checkpointer is not None:
            summary = dict(checkpointer.summary)
            ended = summary.pop("ended", None)
            summary["age_ms"] = None if ended is None else round((monotonic() - ended) * 1000)
            summary["completed"] = checkpointer.completed
            summary["failed"] = checkpointer.failed
            summary["in_progress"] = checkpointer.in_progress
            status["checkpoint"] = summary
        status["health"] = self._health(checkpointer, status.get("sources") or ())
        return status

    def _health(self, checkpointer: Checkpointer | None, sources: Iterable[JSON]) -> str:
        """What `/healthz` says."""
        if self.state in {"failed", "restarting"}:
            return self.state if self._error is None else f"{self.state}: {self._error}"
        late = checkpointer.overdue() if checkpointer and self.state == "running" else None
        if late is not None:
            return f"no checkpoint for {late:.0f} s"
        lost = [s["reconnecting"] for s in sources if s.get("reconnecting")]
        worst = max(lost, key=lambda s: s["attempt"], default=None)
        if worst is None or worst["attempt"] < _LOST_AFTER:
            return "ok"
        return f"reconnecting (attempt {worst['attempt']}): {worst['error']}"

    def _of_execution(self, execution: Execution) -> JSON:
        graph = execution.graph
        watermark = min(_times(graph.scans.values()), default=NO_WATERMARK)
        known = watermark not in {NO_WATERMARK, MAX_WATERMARK}
        counters: dict[str, int] = {}
        operators = []
        sources = [g.status() for g in execution.groups]
        if self.state not in {"running", "stopping"}:
            # What is over, or begun anew, tries no connection again.
            sources = [{k: v for k, v in s.items() if k != "reconnecting"} for s in sources]
        state = self.largest_table()[0]
        for node in graph.nodes:
            shown: dict[str, Any] = {
                "id": node.id,
                "title": node.title,
                "rows_in": node.rows_in,
                "rows_out": node.rows_out,
                "watermark": _shown(node.watermark),
                "ms": node.durations.percentiles(),
                "seconds": node.durations.histogram(),
            }
            if node.id in self._state_sizes:
                shown["state"] = self._state_sizes[node.id]
            operators.append(shown)
        for operator in graph.operators:
            for name, count in operator.context.counters.as_dict().items():
                counters[name] = counters.get(name, 0) + count
        status: JSON = {
            "step": execution.step_number,
            "step_ms": execution.durations.percentiles(),
            "step_seconds": execution.durations.histogram(),
            "rows_in": sum(g.rows for g in execution.groups),
            "rows_out": sum(o.rows_out for o in graph.outlets),
            "bytes_in": sum(g.bytes for g in execution.groups),
            "bytes_out": sum(o.bytes_out for o in graph.outlets),
            "rows_in_per_second": round(self._rates[0], 1),
            "rows_out_per_second": round(self._rates[1], 1),
            "watermark": _shown(watermark),
            "watermark_lag_ms": SystemClock().now() // 1000 - watermark if known else None,
            "sources": sources,
            "splits": _splits(graph.scans),
            "operators": operators,
            "sinks": {o.form.name: o.rows_out for o in graph.outlets if isinstance(o, SinkOutlet)},
            "sink_bytes": {
                o.form.name: o.bytes_out for o in graph.outlets if isinstance(o, SinkOutlet)
            },
            "state_bytes": state,
            "memory": memory_by_owner(
                state=state,
                queues=sum(s["queued_bytes"] for s in sources),
                output=sum(o.gathered for o in graph.outlets),
                readers=[pid for g in execution.groups for pid in g.processes()],
            ),
            "late_rows": counters.get("late-rows", 0),
            "orphan_retractions": counters.get("orphan-retractions", 0),
            "bad_records": execution.bad_records,
            "pending_rows": sum(o.pending.rows for o in graph.outlets if o.pending is not None),
        }
        go_on(status, execution.before)
        return status


def _times(scans: Iterable[ScanNode]) -> list[int]:
    """Event time of the tables that have one; idle ones count where all are."""
    timed = [s for s in scans if s.timed or s.watermark not in {NO_WATERMARK, MAX_WATERMARK}]
    return [s.watermark for s in timed if not s.idle] or [s.watermark for s in timed]


def _splits(scans: Mapping[str, ScanNode]) -> list[JSON]:
    """The splits of tables with event time, those furthest behind first."""
    now = SystemClock().now() // 1000
    marks = [
        (mark, table, split, idle)
        for table, scan in scans.items()
        for split, mark, idle in scan.assigner.marks()
    ]
    return [
        {
            "table": table,
            "split": split,
            "watermark": mark,
            "watermark_lag_ms": now - mark,
            "idle": idle,
        }
        for mark, table, split, idle in sorted(marks)[:_SPLITS_SHOWN]
    ]


def _shown(watermark: int) -> int | None:
    return None if watermark == NO_WATERMARK else watermark
