"""The options of the filesystem connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType
from flowsql.formats import FORMAT_OPTION

__all__ = ["OPTIONS"]

_NO_CLASSES = (
    "There is no Java: of policies 'success-file', of extractors the default one is there."
)
_CLASSES = (
    "partition.time-extractor.class",
    "sink.partition-commit.policy.class",
    "sink.partition-commit.policy.class.parameters",
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
        "sink.rolling-policy.inactivity-interval",
        OptionType.DURATION,
        "A file that nothing was written to for so long is closed.",
        default=30 * 60_000,
    ),
    Option(
        "sink.partition-commit.policy.kind",
        OptionType.STRING,
        "What says that a partition is complete: 'success-file', an empty file in it. Not set: nothing.",
    ),
    Option(
        "sink.partition-commit.trigger",
        OptionType.ENUM,
        "When a partition is complete: 'process-time' once the clock has passed its creation and the "
        "delay, 'partition-time' once the watermark has passed the time that it names and the delay.",
        default="process-time",
        choices=("process-time", "partition-time"),
    ),
    Option(
        "sink.partition-commit.delay",
        OptionType.DURATION,
        "How long a partition is waited for: '1 d' where it holds a day, '1 h' where an hour.",
        default=0,
    ),
    Option(
        "sink.partition-commit.watermark-time-zone",
        OptionType.STRING,
        "Zone of the times that partitions name, where event time is a TIMESTAMP_LTZ.",
        default="UTC",
    ),
    Option(
        "sink.partition-commit.success-file.name",
        OptionType.STRING,
        "Name of the file that says it; it begins with '_' or '.', so that no reader takes it for rows.",
        default="_SUCCESS",
    ),
    Option(
        "partition.time-extractor.kind",
        OptionType.ENUM,
        "How the time that a partition names is found: by the pattern.",
        default="default",
        choices=("default",),
    ),
    Option(
        "partition.time-extractor.timestamp-pattern",
        OptionType.STRING,
        "How partition columns make a time, such as '$dt $hour:00:00'; not set: the first one is it.",
    ),
    Option(
        "partition.time-extractor.timestamp-formatter",
        OptionType.STRING,
        "How that text is read, such as 'yyyyMMdd HH:mm:ss'; not set: yyyy-MM-dd HH:mm:ss or yyyy-MM-dd.",
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
    *(Option(key, OptionType.STRING, _NO_CLASSES, refused=True) for key in _CLASSES),
    *(Option(key, OptionType.STRING, _NO_COMPACTION, refused=True) for key in _COMPACTION),
)
