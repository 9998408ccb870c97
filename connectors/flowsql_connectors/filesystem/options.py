"""The options of the filesystem connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType
from flowsql.formats import FORMAT_OPTION

__all__ = ["OPTIONS"]

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
)
