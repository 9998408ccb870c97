"""The options of the filesystem connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType
from flowsql.formats import FORMAT_OPTION

__all__ = ["OPTIONS"]

_AT_CHECKPOINTS = "Files become visible when their checkpoint is complete, in all partitions; no other mark is set."
_PARTITION_COMMIT = (
    "partition.time-extractor.kind",
    "partition.time-extractor.class",
    "partition.time-extractor.timestamp-pattern",
    "sink.partition-commit.trigger",
    "sink.partition-commit.delay",
    "sink.partition-commit.watermark-time-zone",
    "sink.partition-commit.policy.kind",
    "sink.partition-commit.policy.class",
    "sink.partition-commit.policy.class.parameters",
    "sink.partition-commit.success-file.name",
)
_NO_COMPACTION = "Every checkpoint ends all files; a longer 'execution.checkpointing.interval' makes larger ones."
_COMPACTION = ("auto-compaction", "compaction.file-size", "compaction.parallelism")

OPTIONS = (
    Option(
        "path",
        OptionType.STRING,
        "The folder, or for a scan one file; a local path or a file:// address.",
        required=True,
        identifying=True,
    ),
    FORMAT_OPTION,
    Option(
        "source.monitor-interval",
        OptionType.DURATION,
        "How often the folder is searched for new files; not set: once, and the scan ends.",
    ),
    Option(
        "source.path.regex-pattern",
        OptionType.STRING,
        "A regular expression that the whole absolute path of a file must match.",
        identifying=True,
    ),
    Option(
        "partition.default-name",
        OptionType.STRING,
        "Stands in a path for a partition value that is NULL or empty.",
        default="__DEFAULT_PARTITION__",
    ),
    Option(
        "sink.rolling-policy.file-size",
        OptionType.MEMORY,
        "A file that reaches this size is followed by another.",
        default=128 << 20,
    ),
    Option(
        "sink.rolling-policy.rollover-interval",
        OptionType.DURATION,
        "A file that is open for so long is followed by another. "
        "Every checkpoint closes all files, whatever their size and age.",
        default=30 * 60_000,
    ),
    Option(
        "sink.rolling-policy.check-interval",
        OptionType.DURATION,
        "How often the age of open files is looked at.",
        default=60_000,
    ),
    Option(
        "sink.parallelism",
        OptionType.INT,
        "Accepted for Flink's sake: there is one writer.",
    ),
    Option(
        "sink.shuffle-by-partition.enable",
        OptionType.BOOLEAN,
        "Accepted for Flink's sake: there is one writer.",
        default=False,
    ),
    Option(
        "source.report-statistics",
        OptionType.ENUM,
        "Accepted for Flink's sake: plans do not depend on statistics.",
        default="none",
        flink_default="all",
        choices=("none", "all"),
    ),
    *(Option(key, OptionType.STRING, _AT_CHECKPOINTS, refused=True) for key in _PARTITION_COMMIT),
    *(Option(key, OptionType.STRING, _NO_COMPACTION, refused=True) for key in _COMPACTION),
)
