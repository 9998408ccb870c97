"""Every metric of a job, named once: the keys of its status, and their names for Prometheus.

`Job.status()` holds all numbers; what Prometheus reads is made of it by `METRICS`, each row of which
says where its number stands there. Names follow Flink's where Flink has the metric (`numRecordsIn` is
`…_num_records_in_total`) in the form that Prometheus asks for: `flowsql_` and what is measured in
front, seconds and bytes, `_total` behind what only grows. Labels are Flink's too: `job_name`, as
`job` belongs to whoever scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["METRICS", "NAMES", "STATES", "Kind", "Metric", "Scope"]

JSON = dict[str, Any]

STATES: Final = (
    *("created", "starting", "running", "restarting", "stopping"),
    *("finished", "stopped", "failed"),
)

# The keys of `Job.status()`, in one place: the status line, the socket and the docs show these.
NAMES: Final = {
    "job": "the job's id",
    "run": "drawn at a fresh start, kept by every resume",
    "attempt": "starts of this run, counted",
    "pid": "process that runs the job",
    "version": "flowsql's",
    "state": ", ".join(STATES),
    "health": "`ok`, or why somebody should look at the job",
    "error": "why the job failed or restarts",
    "ended": "when the job was over, ISO 8601 in UTC",
    "uptime_ms": "time since the start of this process's job",
    "restarts": "restarts after failures, by this process",
    "metrics": "address at which Prometheus finds these numbers, where `metrics.port` is set",
    "log": "its log file",
    "step": "number of the last step",
    "rows_in": "rows read by this process; what is read again after a restart counts again",
    "rows_out": "rows given to sinks by this process",
    "bytes_in": "size of the rows read, as Arrow keeps them",
    "bytes_out": "size of the rows given to sinks, as Arrow keeps them",
    "rows_in_per_second": "over the last seconds",
    "rows_out_per_second": "over the last seconds",
    "step_ms": "p50 and p99 of a step's duration",
    "step_seconds": "the durations of all steps: count, sum, and how many were no longer than each of `buckets`",
    "watermark": "lowest event time of the tables that have one, milliseconds since 1970",
    "watermark_lag_ms": "how far the watermark is behind the clock",
    "sources": "by source group: connector, tables, phase, rows, bytes, splits, queued bytes and their limit, position, slot, "
    "lag, consistent, `snapshot` and `progress`: how far its snapshot, or the whole of a source that ends, is; reconnecting",
    "splits": "by split of a table with event time: watermark, its lag, idle; the 256 furthest behind",
    "operators": "by operator: rows in and out, p50 and p99 of its part of a step, all of them as `seconds`, watermark, state",
    "sinks": "by target table: rows written",
    "sink_bytes": "by target table: size of the rows written, as Arrow keeps them",
    "state_bytes": "memory held by state tables",
    "memory": "bytes by owner: `state` tables, `queues` of rows read ahead, `output` of the running step, `readers` in processes of their own; "
    "`arrow` and `process`, all of it, are of the whole process",
    "memory_limit": "`memory.process`",
    "late_rows": "rows that came after their time; like the next two it goes on from a checkpoint",
    "bad_records": "records that could not be decoded",
    "orphan_retractions": "retractions of rows that state does not hold",
    "counted": "how many of these three this process found",
    "checkpoint": "the last checkpoint: number, age, duration, bytes; how many were completed and failed by this process, how many "
    "are being written",
    "pending_rows": "rows held back until a snapshot is consistent",
}


class Kind:
    """Prometheus's types."""

    COUNTER: Final = "counter"
    GAUGE: Final = "gauge"
    HISTOGRAM: Final = "histogram"


Items = Iterator[tuple[Sequence[str], JSON]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What several metrics are measured of.

    Attributes:
        labels: that tell one from another, behind `job_name`.
        items: status → each one's label values and the part of the status that holds its numbers.
        path: of that part, for people.
        of_process: it is told once, not by job.
    """

    labels: tuple[str, ...]
    items: Callable[[JSON], Items]
    path: str = ""
    of_process: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: Prometheus's.
        kind: see `Kind`.
        scope: what it is measured of.
        key: of the number in the scope's part of the status, dots between nested keys; where there
            is none, or null, nothing is told.
        doc: one sentence.
        scale: by which the status's number is multiplied: milliseconds become seconds.
        flink: Flink's name for it, where it has one.
    """

    name: str
    kind: str
    scope: Scope
    key: str
    doc: str
    scale: float = 1
    flink: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all labels."""
        return self.scope.labels if self.scope.of_process else ("job_name", *self.scope.labels)

    @property
    def unit(self) -> str:
        """What is counted or measured."""
        for unit in ("seconds", "bytes", "records"):
            if unit in self.name.split("_"):
                return unit
        return "" if self.kind == Kind.GAUGE else "1"

    @property
    def where(self) -> str:
        """Its place in `flowsql status --json`."""
        return f"{self.scope.path}{self.key}"

    def samples(self, job: str, status: JSON) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Label values and the number, or a histogram's JSON, of everything that has it."""
        front = () if self.scope.of_process else (job,)
        for labels, part in self.scope.items(status):
            found: Any = part
            for key in self.key.split("."):
                found = found.get(key) if isinstance(found, dict) else None
            if found is None or found == _END_OF_TIME:
                continue
            value = found if self.kind == Kind.HISTOGRAM else found * self.scale
            yield (*front, *labels), value


_END_OF_TIME = (1 << 63) - 1


def _parts(key: str, *labels: str) -> Callable[[JSON], Items]:
    """The elements of a list, each with some of its values as labels."""

    def items(status: JSON) -> Items:
        for part in status.get(key) or ():
            yield [_label(part[label]) for label in labels], part

    return items


def _label(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(value)


def _build(status: JSON) -> Items:
    yield [status["version"]], {"version": 1}


def _states(status: JSON) -> Items:
    for state in STATES:
        yield [state], {"state": int(status["state"] == state)}


def _tables_of_state(status: JSON) -> Items:
    for operator in status.get("operators") or ():
        for name, table in (operator.get("state") or {}).items():
            yield [operator["title"], operator["id"], name], table


def _owners(status: JSON) -> Items:
    memory = status.get("memory") or {}
    for owner in sorted(memory.keys() - {"arrow", "process"}):
        yield [owner], {"memory": {"*": memory[owner]}}


def _sinks(status: JSON) -> Items:
    sizes = status.get("sink_bytes") or {}
    for name, rows in (status.get("sinks") or {}).items():
        yield [name], {"sinks": {"*": rows}, "sink_bytes": {"*": sizes.get(name)}}


def _health(status: JSON) -> Items:
    yield [], {"health": int(status["health"] == "ok")}


_JOB = Scope((), lambda status: iter([([], status)]))
_STATE = Scope(("state",), _states)
_HEALTH = Scope((), _health)
_SOURCE = Scope(("source", "connector"), _parts("sources", "tables", "connector"), "sources[].")
_SPLIT = Scope(("table", "split"), _parts("splits", "table", "split"), "splits[].")
_OPERATOR = Scope(("operator", "operator_id"), _parts("operators", "title", "id"), "operators[].")
_TABLE = Scope(("operator", "operator_id", "table"), _tables_of_state, "operators[].state.*.")
_SINK = Scope(("sink",), _sinks)
_OWNER = Scope(("owner",), _owners)
_PROCESS = Scope((), lambda status: iter([([], status)]), of_process=True)
_BUILD = Scope(("version",), _build, of_process=True)

_MS = 0.001
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS: Final[tuple[Metric, ...]] = (
    Metric("flowsql_build_info", _G, _BUILD, "version", "1, with the version that runs."),
    Metric("flowsql_job_state", _G, _STATE, "state", "1 for the state in which the job is, 0 for all others.", flink="<status>State"),
    Metric("flowsql_job_healthy", _G, _HEALTH, "health", "1 where /healthz has nothing to say of the job, else 0."),
    Metric("flowsql_job_uptime_seconds", _G, _JOB, "uptime_ms", "Time since the start of this process's job.", _MS, "uptime"),
    Metric("flowsql_job_num_restarts_total", _C, _JOB, "restarts", "Restarts after failures.", flink="numRestarts"),
    Metric("flowsql_job_step_duration_seconds", _H, _JOB, "step_seconds", "How long steps took."),
    Metric("flowsql_job_num_records_in_total", _C, _JOB, "rows_in", "Rows read.", flink="numRecordsIn"),
    Metric("flowsql_job_num_records_out_total", _C, _JOB, "rows_out", "Rows given to sinks.", flink="numRecordsOut"),
    Metric("flowsql_job_num_bytes_in_total", _C, _JOB, "bytes_in", "Size of the rows read, as Arrow keeps them.", flink="numBytesIn"),
    Metric("flowsql_job_num_bytes_out_total", _C, _JOB, "bytes_out", "Size of the rows given to sinks, as Arrow keeps them.", flink="numBytesOut"),
    Metric("flowsql_job_current_watermark_seconds", _G, _JOB, "watermark", "Lowest event time of the tables that have one, since 1970; none before the first and after the last.", _MS, "currentInputWatermark"),
    Metric("flowsql_job_watermark_lag_seconds", _G, _JOB, "watermark_lag_ms", "How far the watermark is behind the clock.", _MS, "watermarkLag"),
    Metric("flowsql_job_num_late_records_dropped_total", _C, _JOB, "counted.late_rows", "Rows that came after their time.", flink="numLateRecordsDropped"),
    Metric("flowsql_job_num_records_in_errors_total", _C, _JOB, "counted.bad_records", "Records that could not be decoded and were left out or set aside.", flink="numRecordsInErrors"),
    Metric("flowsql_job_num_orphan_retractions_total", _C, _JOB, "counted.orphan_retractions", "Retractions of rows that state does not hold."),
    Metric("flowsql_job_pending_output_records", _G, _JOB, "pending_rows", "Rows held back until a snapshot is consistent."),
    Metric("flowsql_job_number_of_completed_checkpoints_total", _C, _JOB, "checkpoint.completed", "Checkpoints that were completed.", flink="numberOfCompletedCheckpoints"),
    Metric("flowsql_job_number_of_failed_checkpoints_total", _C, _JOB, "checkpoint.failed", "Checkpoints that failed.", flink="numberOfFailedCheckpoints"),
    Metric("flowsql_job_number_of_in_progress_checkpoints", _G, _JOB, "checkpoint.in_progress", "Checkpoints that are being written.", flink="numberOfInProgressCheckpoints"),
    Metric("flowsql_job_last_completed_checkpoint_id", _G, _JOB, "checkpoint.number", "Number of the last checkpoint.", flink="lastCompletedCheckpointId"),
    Metric("flowsql_job_last_checkpoint_age_seconds", _G, _JOB, "checkpoint.age_ms", "Time since the last checkpoint was completed.", _MS),
    Metric("flowsql_job_last_checkpoint_duration_seconds", _G, _JOB, "checkpoint.duration_ms", "How long the last checkpoint took.", _MS, "lastCheckpointDuration"),
    Metric("flowsql_job_last_checkpoint_size_bytes", _G, _JOB, "checkpoint.bytes", "Size of the last checkpoint.", flink="lastCheckpointFullSize"),
    Metric("flowsql_job_memory_bytes", _G, _OWNER, "memory.*", "Memory by owner: state tables, queues of rows read ahead, output of the running step, readers in processes of their own."),
    Metric("flowsql_job_memory_limit_bytes", _G, _JOB, "memory_limit", "What 'memory.process' allows."),
    Metric("flowsql_source_num_records_in_total", _C, _SOURCE, "rows", "Rows read from the source group.", flink="numRecordsIn"),
    Metric("flowsql_source_num_bytes_in_total", _C, _SOURCE, "bytes", "Size of its rows, as Arrow keeps them.", flink="numBytesIn"),
    Metric("flowsql_source_splits", _G, _SOURCE, "splits", "Splits that are not read to their end."),
    Metric("flowsql_source_queue_bytes", _G, _SOURCE, "queued_bytes", "Rows read ahead of the engine.", flink="inputQueueSize"),
    Metric("flowsql_source_queue_limit_bytes", _G, _SOURCE, "queue_limit_bytes", "At so much the readers wait."),
    Metric("flowsql_source_pending_bytes", _G, _SOURCE, "lag_bytes", "What the server's log holds beyond what was read, as far as the source knows.", flink="pendingBytes"),
    Metric("flowsql_source_current_fetch_event_time_lag_seconds", _G, _SOURCE, "lag_ms", "How long ago what is read now was committed.", _MS, "currentFetchEventTimeLag"),
    Metric("flowsql_source_kept_log_bytes", _G, _SOURCE, "kept_bytes", "What the server keeps of its log for the source's slot."),
    Metric("flowsql_source_consistent", _G, _SOURCE, "consistent", "1 where its tables equal the database at a commit, 0 while a snapshot is read."),
    Metric("flowsql_source_reconnect_attempt", _G, _SOURCE, "reconnecting.attempt", "The connection is lost: the attempt to come."),
    Metric("flowsql_source_snapshot_records", _G, _SOURCE, "snapshot.rows", "Rows of the snapshot that are read."),
    Metric("flowsql_source_snapshot_expected_records", _G, _SOURCE, "snapshot.total", "About how many rows the snapshot has."),
    Metric("flowsql_split_current_watermark_seconds", _G, _SPLIT, "watermark", "Event time that the split has reached, since 1970.", _MS, "currentOutputWatermark"),
    Metric("flowsql_split_watermark_lag_seconds", _G, _SPLIT, "watermark_lag_ms", "How far that is behind the clock.", _MS, "watermarkLag"),
    Metric("flowsql_split_idle", _G, _SPLIT, "idle", "1 where the split holds back no time, as nothing came of it."),
    Metric("flowsql_operator_num_records_in_total", _C, _OPERATOR, "rows_in", "Rows that the operator got.", flink="numRecordsIn"),
    Metric("flowsql_operator_num_records_out_total", _C, _OPERATOR, "rows_out", "Rows that it gave.", flink="numRecordsOut"),
    Metric("flowsql_operator_current_output_watermark_seconds", _G, _OPERATOR, "watermark", "Event time that its readers may rely on, since 1970.", _MS, "currentOutputWatermark"),
    Metric("flowsql_operator_step_duration_seconds", _H, _OPERATOR, "seconds", "Its part of each step."),
    Metric("flowsql_state_records", _G, _TABLE, "rows", "Rows of a state table."),
    Metric("flowsql_state_size_bytes", _G, _TABLE, "bytes", "Memory that a state table holds."),
    Metric("flowsql_sink_num_records_send_total", _C, _SINK, "sinks.*", "Rows given to the sink.", flink="numRecordsSend"),
    Metric("flowsql_sink_num_bytes_send_total", _C, _SINK, "sink_bytes.*", "Their size, as Arrow keeps them.", flink="numBytesSend"),
    Metric("flowsql_process_arrow_bytes", _G, _PROCESS, "memory.arrow", "Memory that Arrow has allocated."),
)  # fmt: skip
