"""The engine's own options: what `SET 'key' = 'value'` may say.

Three kinds of keys: those declared here; those that Apache Flink knows and this engine does not
need (`is_ignored`), accepted with one notice a run; all others, an error with the nearest name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowsql.config.options import Option, OptionType, OptionValues
from flowsql.errors import ConfigError, nearest

__all__ = ["ENGINE_OPTIONS", "EngineSettings", "RestartStrategy", "is_ignored", "parse_setting"]

_HOUR = 3_600_000
_O = OptionType

ENGINE_OPTIONS: tuple[Option, ...] = (
    Option("execution.runtime-mode", _O.ENUM, "Whether results are kept up to date or computed "
           "once over bounded input.", "streaming", choices=("streaming", "batch")),
    Option("execution.checkpointing.interval", _O.DURATION, "Time between the starts of two "
           "checkpoints, and so the latency of exactly-once sinks; '0 ms' takes none but the last.",
           10_000, flink_default="(none)"),
    Option("execution.checkpointing.dir", _O.STRING, "Folder that holds the jobs' folders.",
           "./.flowsql", flink_default="(none)"),
    Option("execution.checkpointing.timeout", _O.DURATION, "A checkpoint that takes longer is "
           "given up.", 600_000),
    Option("execution.checkpointing.min-pause", _O.DURATION, "Least time between the end of one "
           "checkpoint and the start of the next.", 0),
    Option("execution.checkpointing.tolerable-failed-checkpoints", _O.INT, "How many checkpoints "
           "may fail one after the other before the job does.", 0),
    Option("execution.checkpointing.externalized-checkpoint-retention", _O.ENUM, "Whether the "
           "checkpoints stay when a job is stopped.",
           "retain_on_cancellation", flink_default="NO_EXTERNALIZED_CHECKPOINTS",
           choices=("retain_on_cancellation", "delete_on_cancellation",
                    "no_externalized_checkpoints")),
    Option("execution.checkpointing.num-retained", _O.INT, "How many checkpoints are kept.", 1),
    Option("execution.checkpointing.savepoint-dir", _O.STRING, "Folder for savepoints that are given "
           "no folder; unset: `savepoints` in the job's own.", flink_default="(none)"),
    Option("execution.state-recovery.path", _O.STRING, "Checkpoint or savepoint to start from."),
    Option("restart-strategy.type", _O.ENUM, "What happens after a failure that trying again may "
           "mend; unset: exponential-delay where checkpoints are taken, else none.",
           choices=("none", "off", "disable", "fixed-delay", "fixeddelay", "exponential-delay",
                    "exponentialdelay")),
    Option("restart-strategy.fixed-delay.attempts", _O.INT, "How often to try again.", 1),
    Option("restart-strategy.fixed-delay.delay", _O.DURATION, "Pause before each attempt.", 1000),
    Option("restart-strategy.exponential-delay.initial-backoff", _O.DURATION,
           "Pause before the first attempt.", 1000),
    Option("restart-strategy.exponential-delay.max-backoff", _O.DURATION, "Longest pause.", 60_000),
    Option("restart-strategy.exponential-delay.backoff-multiplier", _O.FLOAT,
           "By which each pause is longer than the one before.", 1.5),
    Option("restart-strategy.exponential-delay.reset-backoff-threshold", _O.DURATION,
           "After running so long without a failure the pause is the first again.", _HOUR),
    Option("restart-strategy.exponential-delay.jitter-factor", _O.FLOAT,
           "Share by which a pause is longer or shorter at random.", 0.1),
    Option("restart-strategy.exponential-delay.attempts-before-reset-backoff", _O.INT,
           "How often to try again before giving up; unset: for ever."),
    Option("pipeline.name", _O.STRING, "The job's id: its folder and the names of what it writes."),
    Option("pipeline.step.max-rows", _O.INT, "Rows that a step takes at most, whole source "
           "transactions apart.", 500_000),
    Option("pipeline.max-transaction-bytes", _O.MEMORY, "A source transaction that is larger waits "
           "on disk until it is complete.", 64 << 20),
    Option("pipeline.queue.max-bytes", _O.MEMORY, "Rows read ahead of the engine, in all; a reader "
           "waits where its share is used up.", 256 << 20),
    Option("pipeline.snapshot-output", _O.ENUM, "What sinks see while a snapshot is read: nothing "
           "until the tables are consistent, or every row at once.", "consistent",
           choices=("consistent", "progressive")),
    Option("pipeline.reader", _O.ENUM, "Where readers run: in threads of this process, or each in a "
           "process of its own, where the connector's can; unset: as the connector chooses.",
           choices=("thread", "process")),
    Option("python.files", _O.STRING, "Folders where modules of Python functions are looked for too, "
           "with commas between; relative ones begin at the current folder.", flink_default="(none)"),
    Option("parallelism.default", _O.INT, "Readers and writers of a table at most.", 1),
    Option("memory.process", _O.MEMORY, "Memory the process may use: three fifths for state, a "
           "fifth for queues; a job whose state needs more fails. Unset: no limit."),
    Option("log.format", _O.ENUM, "Form of the lines that `flowsql run` writes to standard error and "
           "jobs to their log files: text, or a JSON object each.", "text", flink_default="(none)", choices=("text", "json")),
    Option("log.level", _O.ENUM, "Least importance of the lines that are written; debug tells of "
           "each checkpoint.", "info", flink_default="(none)",
           choices=("debug", "info", "warning", "error")),
    Option("log.file.max-size", _O.MEMORY, "Size at which the log file in a job's folder, `job.log`, "
           "is put aside and a new one is begun.", 10 << 20, flink_default="(none)"),
    Option("log.file.max-files", _O.INT, "How many log files a job keeps, the newest included; 0 "
           "writes none.", 5, flink_default="(none)"),
    Option("metrics.port", _O.INT, "Port of this machine at which Prometheus finds the metrics of all "
           "jobs of the process, at `/metrics`, and `/healthz` says whether they are well; 0 takes "
           "one that is free. Unset: none.", flink_default="(none)"),
    Option("metrics.host", _O.STRING, "Name or address of the network to listen at; others than this "
           "machine's own let everybody there read, as nobody is asked for a password.",
           "127.0.0.1", flink_default="(none)"),
    Option("table.local-time-zone", _O.STRING, "Zone of TIMESTAMP_LTZ in text and calendar "
           "functions.", "UTC", flink_default="(the system's)"),
    Option("table.exec.source.idle-timeout", _O.DURATION, "A split silent for so long no longer "
           "holds back the watermark; '0 ms' for never.", 0),
    Option("table.exec.source.cdc-events-duplicate", _O.BOOLEAN, "Changes of a table with a PRIMARY "
           "KEY may come more than once: the last row of each key counts.", default=False),
    Option("table.exec.sink.not-null-enforcer", _O.ENUM, "What happens to a NULL for a NOT NULL "
           "column.", "error", choices=("error", "drop")),
    Option("table.exec.sink.nested-constraint-enforcer", _O.ENUM, "Whether sinks look at NOT NULL "
           "and lengths within values too: within ROWs, or within ARRAYs and MAPs as well.",
           "ignore", choices=("ignore", "rows", "rows_and_collections")),
    Option("table.exec.sink.type-length-enforcer", _O.ENUM, "What a sink does with text and bytes "
           "that do not keep the length of their type: write them, cut and fill them, or fail.",
           "ignore", choices=("ignore", "trim_pad", "error")),
    Option("table.exec.sink.upsert-materialize", _O.ENUM, "Whether rows are kept by the sink's "
           "primary key where that is not the query's.", "auto", choices=("auto", "none", "force")),
    Option("table.exec.sink.require-on-conflict", _O.BOOLEAN, "Whether an INSERT whose upsert key "
           "is not the sink's primary key must say ON CONFLICT.", True),
    Option("table.exec.legacy-cast-behaviour", _O.ENUM, "How casts fail; only with an error, as in "
           "the standard: TRY_CAST gives NULL instead.", "disabled", choices=("disabled",)),
    Option("table.exec.state.ttl", _O.DURATION, "How long state outlives its last change, by the "
           "clock; '0 ms' for ever. What comes for state that is gone is answered as if it had never "
           "been there.", 0),
    Option("__table.exec.sort.non-temporal.enabled__", _O.BOOLEAN, "Whether an INSERT with ORDER BY "
           "writes its rows in order once all its tables have ended, in streaming mode; a SELECT over "
           "bounded tables always does.", False),
    Option("table.optimizer.non-deterministic-update.strategy", _O.ENUM, "What happens to "
           "non-deterministic expressions over updating input.", "try_resolve",
           flink_default="IGNORE", choices=("ignore", "try_resolve")),
    Option("table.dml-sync", _O.BOOLEAN, "Whether INSERT waits until its job is over.", False),
    Option("sql-client.execution.result-mode", _O.ENUM, "How the prompt shows the rows of a query: "
           "a table that is kept up to date, every change, or plain text.", "table",
           choices=("table", "changelog", "tableau")),
    Option("sql-client.execution.max-table-result.rows", _O.INT, "Rows that a live table keeps at "
           "most: the oldest go where none is ever taken back, else the query ends.", 1_000_000),
    Option("sql-client.display.print-time-cost", _O.BOOLEAN, "Whether the prompt says how long a "
           "statement took.", True),
    Option("sql-client.display.show-line-numbers", _O.BOOLEAN, "Whether the prompt numbers the "
           "lines of a statement from the second on.", False),
    Option("sql-client.display.expanded", _O.BOOLEAN, "Whether results that are text show one "
           "column a line; `\\x` at the prompt turns it on and off.", False,
           flink_default="(none)"),
    Option("table.display.max-column-width", _O.INT, "Characters after which text and nested values "
           "are cut where results are shown as a table; numbers and times never are.", 30),
    Option("sql-client.verbose", _O.BOOLEAN, "Whether the prompt shows stack traces.", False),
)  # fmt: skip

# Prefixes and keys of Flink that tune what does not exist here.
_IGNORED_PREFIXES = (
    "akka.", "blob.", "classloader.", "client.", "cluster.", "env.", "execution.batch.",
    "execution.buffer-timeout", "execution.job-listeners",
    "execution.sorted-", "execution.target", "execution.attached",
    "execution.shutdown-on-", "execution.submit-", "fs.", "heartbeat.", "high-availability.",
    "historyserver.", "io.tmp", "job-event.", "job-result-", "jobmanager.", "jobstore.",
    "kubernetes.", "metrics.fetcher.", "metrics.internal.", "metrics.job.", "metrics.latency.",
    "metrics.reporter", "metrics.scope.", "metrics.system-resource", "pekko.", "pipeline.auto-", "pipeline.cached-",
    "pipeline.classpaths", "pipeline.closure-", "pipeline.default-kryo-", "pipeline.force-",
    "pipeline.generic-", "pipeline.global-", "pipeline.jars", "pipeline.jobvertex-",
    "pipeline.max-parallelism", "pipeline.object-reuse", "pipeline.operator-", "pipeline.registered-",
    "pipeline.serialization-", "pipeline.vertex-", "pipeline.watermark-alignment.", "process.",
    "python.", "queryable-state.", "resourcemanager.", "rest.", "s3.", "security.", "slot.",
    "slotmanager.", "sql-gateway.", "state.", "table.builtin-", "table.catalog-",
    "table.column-expansion-", "table.exec.async-", "table.exec.deduplicate.",
    "table.exec.delta-join.",
    "table.exec.disabled-operators", "table.exec.interval-join.", "table.exec.local-hash-agg.",
    "table.exec.mini-batch.", "table.exec.operator-fusion-", "table.exec.rank.",
    "table.exec.resource.", "table.exec.shuffle-mode", "table.exec.simplify-operator-",
    "table.exec.sink.keyed-shuffle", "table.exec.sort.",
    "table.exec.spill-", "table.exec.uid.", "table.exec.unbounded-over.", "table.exec.window-agg.",
    "table.generated-code.", "table.optimizer.", "table.plan.", "table.resources.",
    "table.rtas-ctas.", "table.sql-dialect", "taskmanager.", "web.", "yarn.", "zookeeper.",
)  # fmt: skip

# Neighbours of keys that do have an effect: only these, so that a slip of the pen is noticed.
_IGNORED_KEYS = frozenset({
    *(f"execution.checkpointing.{key}" for key in (
        "mode", "incremental", "unaligned.enabled", "unaligned", "unaligned.forced",
        "unaligned.interruptible-timers.enabled", "unaligned.max-subtasks-per-channel-state-file",
        "aligned-checkpoint-timeout", "max-concurrent-checkpoints", "storage",
        "create-subdir", "local-backup.enabled", "local-backup.dirs", "data-inline-threshold",
        "write-buffer-size", "interval-during-backlog", "snapshot-compression",
        "checkpoints-after-tasks-finish", "recover-without-channel-state.checkpoint-id",
        "file-merging.enabled", "cleaner.parallel-mode", "throw-on-unknown-state",
    )),
    "execution.state-recovery.claim-mode", "execution.state-recovery.ignore-unclaimed-state",
    "execution.state-recovery.without-channel-state.checkpoint-id",
    "execution.state-recovery.from-local",
    "sql-client.display.color-schema",
})  # fmt: skip

# Of whole numbers; all others begin at 1.
_BOUNDS: Mapping[str, tuple[int, int | None]] = {
    "execution.checkpointing.tolerable-failed-checkpoints": (0, None),
    "metrics.port": (0, 65_535),
    "log.file.max-files": (0, 1000),
}

_BY_KEY = {o.key: o for o in ENGINE_OPTIONS}


def is_ignored(key: str) -> bool:
    """Whether `key` is one that Flink knows and that has no effect here."""
    return key not in _BY_KEY and (key in _IGNORED_KEYS or key.startswith(_IGNORED_PREFIXES))


def parse_setting(key: str, text: str) -> Any:
    """The value of a `SET`; None for a key without effect.

    Raises:
        ConfigError: nobody knows the key, or the text is no value of it.
    """
    option = _BY_KEY.get(key)
    if option is None:
        if is_ignored(key):
            return None
        near = nearest(key, _BY_KEY)
        raise ConfigError(
            f'there is no option "{key}"',
            hint=f'Did you mean "{near}"?' if near else "SET without a key lists what is set.",
        )
    value = option.parse(text)
    least, most = _BOUNDS.get(key, (1, None))
    if option.type is OptionType.INT and (value < least or (most is not None and value > most)):
        raise ConfigError(f'option "{key}" cannot be {value}', hint=option.doc)
    return value


@dataclass(frozen=True, slots=True)
class RestartStrategy:
    """`restart-strategy.*`; times in milliseconds.

    Attributes:
        type: `none`, `fixed-delay`, `exponential-delay`, or None for the default.
        attempts: how often to try again, None for ever.
        delay: pause before the first attempt.
        max_delay: longest pause.
        multiplier: growth of the pause.
        reset_after: time without failure after which counting starts anew.
        jitter: share of the pause that is random.
    """

    type: str | None = None
    attempts: int | None = None
    delay: int = 1000
    max_delay: int = 60_000
    multiplier: float = 1.5
    reset_after: int = _HOUR
    jitter: float = 0.1


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine's options, parsed; sizes are bytes, times milliseconds."""

    streaming: bool = True
    checkpoint_interval: int = 10_000
    checkpoint_dir: Path = Path(".flowsql")
    checkpoint_timeout: int = 600_000
    checkpoint_min_pause: int = 0
    tolerable_failed_checkpoints: int = 0
    checkpoint_retention: str = "retain_on_cancellation"
    num_retained: int = 1
    savepoint_dir: Path | None = None
    recovery_path: Path | None = None
    restart: RestartStrategy = RestartStrategy()
    job_name: str | None = None
    step_max_rows: int = 500_000
    max_transaction_bytes: int = 64 << 20
    queue_bytes: int = 256 << 20
    snapshot_output: str = "consistent"
    reader: str | None = None
    parallelism: int = 1
    memory: int | None = None
    local_time_zone: str = "UTC"
    idle_timeout: int | None = None
    not_null_enforcer: str = "error"
    type_length_enforcer: str = "ignore"
    nested_enforcer: str = "ignore"
    log_format: str = "text"
    log_level: str = "info"
    log_file_bytes: int = 10 << 20
    log_files: int = 5
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"

    @classmethod
    def of(cls, given: Mapping[str, str]) -> EngineSettings:
        """The settings that `SET` texts make; keys without effect are passed over.

        Raises:
            ConfigError: an unknown key, or a text that is no value.
        """
        parsed = {k: parse_setting(k, v) for k, v in given.items() if not is_ignored(k)}
        values = OptionValues(ENGINE_OPTIONS, parsed)
        lengths = values["table.exec.sink.type-length-enforcer"]
        nested = values["table.exec.sink.nested-constraint-enforcer"]
        if lengths == "trim_pad" and nested == "rows_and_collections":
            raise ConfigError(
                "trimming and padding is not possible within ARRAY and MAP",
                hint="SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS', or "
                "'table.exec.sink.type-length-enforcer' = 'ERROR'.",
            )
        path = values["execution.state-recovery.path"]
        savepoints = values["execution.checkpointing.savepoint-dir"]
        return cls(
            streaming=values["execution.runtime-mode"] == "streaming",
            checkpoint_interval=values["execution.checkpointing.interval"],
            checkpoint_dir=_folder(values["execution.checkpointing.dir"]),
            checkpoint_timeout=values["execution.checkpointing.timeout"],
            checkpoint_min_pause=values["execution.checkpointing.min-pause"],
            tolerable_failed_checkpoints=values[
                "execution.checkpointing.tolerable-failed-checkpoints"
            ],
            checkpoint_retention=values[
                "execution.checkpointing.externalized-checkpoint-retention"
            ],
            num_retained=values["execution.checkpointing.num-retained"],
            savepoint_dir=None if savepoints is None else _folder(savepoints),
            recovery_path=None if path is None else _folder(path),
            restart=_restart(values),
            job_name=values["pipeline.name"],
            step_max_rows=values["pipeline.step.max-rows"],
            max_transaction_bytes=values["pipeline.max-transaction-bytes"],
            queue_bytes=values["pipeline.queue.max-bytes"],
            snapshot_output=values["pipeline.snapshot-output"],
            reader=values["pipeline.reader"],
            parallelism=values["parallelism.default"],
            memory=values["memory.process"],
            local_time_zone=values["table.local-time-zone"],
            idle_timeout=values["table.exec.source.idle-timeout"] or None,
            not_null_enforcer=values["table.exec.sink.not-null-enforcer"],
            type_length_enforcer=lengths,
            nested_enforcer=nested,
            log_format=values["log.format"],
            log_level=values["log.level"],
            log_file_bytes=values["log.file.max-size"],
            log_files=values["log.file.max-files"],
            metrics_port=values["metrics.port"],
            metrics_host=values["metrics.host"],
        )


def _folder(text: str) -> Path:
    if text.startswith("file:"):
        text = "/" + text.removeprefix("file:").lstrip("/")
    if "://" in text:
        raise ConfigError(
            f'checkpoints cannot be kept at "{text}"',
            hint="Give a folder of a local disk, as a path or as 'file:///…'.",
        )
    return Path(text).expanduser()


def _restart(values: OptionValues) -> RestartStrategy:
    kind = values["restart-strategy.type"]
    if kind in {"none", "off", "disable"}:
        return RestartStrategy("none")
    if kind in {"fixed-delay", "fixeddelay"}:
        delay = values["restart-strategy.fixed-delay.delay"]
        attempts = values["restart-strategy.fixed-delay.attempts"]
        return RestartStrategy("fixed-delay", attempts, delay, delay, 1.0, _HOUR * 24 * 365, 0.0)
    prefix = "restart-strategy.exponential-delay."
    return RestartStrategy(
        None if kind is None else "exponential-delay",
        values[prefix + "attempts-before-reset-backoff"],
        values[prefix + "initial-backoff"],
        values[prefix + "max-backoff"],
        values[prefix + "backoff-multiplier"],
        values[prefix + "reset-backoff-threshold"],
        values[prefix + "jitter-factor"],
    )
