"""When a partition is complete, and what says so: `sink.partition-commit.*`, as in Flink.

A partition waits from the first file that is written into it until its trigger lets it go, at a
checkpoint: `process-time` once the clock has passed the partition's creation and the delay,
`partition-time` once the watermark has passed the time that the partition's values name and the delay.
At the end of the input all go. Rows that come later make it wait, and be marked, once more.

What waits stands in the token of each checkpoint: it lasts as long as the rows do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flowsql.changelog import NO_WATERMARK
from flowsql.connector import JSON, ConnectorTable, OptionValues
from flowsql.errors import ConfigError, DataError
from flowsql_connectors.filesystem.paths import is_hidden, parse_partition

__all__ = ["PartitionCommits", "partition_commits"]

_KIND = "sink.partition-commit.policy.kind"
_NAME = "sink.partition-commit.success-file.name"
_ZONE = "sink.partition-commit.watermark-time-zone"
_PATTERN = "partition.time-extractor.timestamp-pattern"
_FORMATTER = "partition.time-extractor.timestamp-formatter"
# Flink takes one digit where there could be two, and carries what is too large.
_TIME = re.compile(
    r"(\d{1,10})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?)?"
)
_LETTERS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']")


def partition_commits(table: ConnectorTable) -> PartitionCommits | None:
    """What is asked for, None for nothing; raises ConfigError."""
    options = table.options
    kinds = options[_KIND]
    if kinds is None:
        return None
    for kind in (k.strip() for k in kinds.split(",")):
        if kind in {"metastore", "custom"}:
            raise _wrong(_KIND, kinds, f'there is no policy "{kind}" for files')
        if kind != "success-file":
            raise _wrong(_KIND, kinds, f'there is no policy "{kind}"')
    if not table.partition_keys:
        raise ConfigError(
            f'table "{table.name}" has no partitions that could be committed',
            hint=f"Declare them with PARTITIONED BY, or leave '{_KIND}' out.",
            option=_KIND,
        )
    name = options[_NAME]
    if not is_hidden(name) or "/" in name:
        raise ConfigError(
            f'option "{_NAME}" cannot be "{name}": the file would be read as rows',
            hint='Give it a name that begins with "_" or ".", such as the default "_SUCCESS".',
            option=_NAME,
        )
    extract: Callable[[str], int] | None = None
    if options["sink.partition-commit.trigger"] == "partition-time":
        extract = _extractor(table)
    return PartitionCommits(name, options["sink.partition-commit.delay"], extract)


class PartitionCommits:
    """The partitions that wait.

    Args:
        name: of the file that marks a partition.
        delay: milliseconds.
        extract: folder → the time that it names, milliseconds since 1970; None for `process-time`.
    """

    def __init__(self, name: str, delay: int, extract: Callable[[str], int] | None) -> None:
        self._name = name
        self._delay = delay
        self._extract = extract
        self._waiting: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._watermark = NO_WATERMARK
        self._ended = False

    @property
    def waiting(self) -> bool:
        """Whether there are any."""
        return bool(self._waiting)

    def restore(self, waiting: JSON) -> None:
        """What waited at a checkpoint."""
        self._waiting = dict(waiting)

    def advance(self, watermark: int, *, ended: bool) -> None:
        """Event time has come so far; nothing more will come where it ended."""
        self._watermark, self._ended = watermark, ended

    def take(self, filled: Iterable[str]) -> JSON:
        """At a checkpoint: its part of the token.

        Args:
            filled: folders that got files since the last one, `dt=2020-01-05/`.

        Returns:
            `marks`, the files to be made at the commit, and `waiting`, folder → when it was created;
            empty where there is neither.
        """
        now = time.time_ns() // 1_000_000
        for folder in filled:
            self._waiting.setdefault(folder, now)
        ready = [
            folder for folder, since in self._waiting.items() if self._passed(folder, since, now)
        ]
        for folder in ready:
            del self._waiting[folder]
            self._times.pop(folder, None)
        if not ready and not self._waiting:
            return {}
        return {"marks": [f"{f}{self._name}" for f in ready], "waiting": dict(self._waiting)}

    def _passed(self, folder: str, since: int, now: int) -> bool:
        if self._extract is None:
            return self._ended or self._delay == 0 or now > since + self._delay
        if folder not in self._times:
            # Also at the end: what names no time is told whenever the input ends.
            self._times[folder] = self._extract(folder)
        return self._ended or self._watermark > self._times[folder] + self._delay


def _extractor(table: ConnectorTable) -> Callable[[str], int]:
    """Folder → the time that its values name."""
    options, keys = table.options, table.partition_keys
    zone, pattern, form = _zone(options), options[_PATTERN], _form(options)
    default = options["partition.default-name"]
    if pattern is not None and not any(f"${key}" in pattern for key in keys):
        raise _wrong(_PATTERN, pattern, f"it names no partition column, such as ${keys[0]}")

    def extract(folder: str) -> int:
        values = parse_partition(folder.rstrip("/").split("/"), keys, default) or {}
        texts = {key: default if text is None else text for key, text in values.items()}
        text = next(iter(texts.values()), "") if pattern is None else pattern
        if pattern is not None:
            # The longest first: $day is not $d and "ay".
            for key in sorted(texts, key=len, reverse=True):
                text = text.replace(f"${key}", texts[key])
        at = _time_of(text, form)
        if at is None:
            raise DataError(
                f'partition "{folder.rstrip("/")}" of table "{table.name}" names no time: "{text}"',
                hint=f"'{_PATTERN}' says how the partition columns make one, such as "
                "'$dt $hour:00:00'; it reads as yyyy-MM-dd HH:mm:ss or yyyy-MM-dd.",
            )
        return round(at.replace(tzinfo=zone).timestamp() * 1000)

    return extract


def _time_of(text: str, form: str | None) -> datetime | None:
    try:
        if form is not None:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes behind
        found = _TIME.fullmatch(text)
        if found is None:
            return None
        year, month, day, hour, minute, second = (int(g or 0) for g in found.groups()[:6])
        first = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)  # noqa: DTZ001
        fraction = int((found[7] or "0").ljust(9, "0")[:6])
        return first + timedelta(day - 1, second, fraction, 0, minute, hour)
    except (ValueError, OverflowError):
        return None


def _form(options: OptionValues) -> str | None:
    """Java's pattern as Python's."""
    pattern = options[_FORMATTER]
    if pattern is None:
        return None
    made, at = [], 0
    while at < len(pattern):
        piece = _PIECE.match(pattern, at)
        letters = "" if piece is None else piece[0]
        if piece is None or (piece[2] and letters not in _LETTERS):
            known = ", ".join(_LETTERS)
            raise _wrong(_FORMATTER, pattern, f"of letters only {known} are understood")
        text = letters
        if piece[1] is not None:
            text = piece[1].replace("''", "'") or "'"
        made.append(_LETTERS[letters] if piece[2] else text.replace("%", "%%"))
        at = piece.end()
    return "".join(made)


def _zone(options: OptionValues) -> tzinfo:
    name = options[_ZONE]
    if name == "UTC":
        return UTC
    offset = re.fullmatch(r"(?:GMT|UTC)?([+-])(\d{1,2}):?(\d\d)?", name)
    try:
        if offset:
            span = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
            return timezone(span if offset[1] == "+" else -span)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong(_ZONE, name, "there is no such time zone") from None


def _wrong(key: str, value: str, why: str) -> ConfigError:
    hints = {
        _KIND: "Write 'success-file', which puts an empty file into each complete partition.",
        _PATTERN: "Such as '$dt $hour:00:00'.",
        _FORMATTER: "Such as 'yyyy-MM-dd HH:mm:ss'.",
        _ZONE: "Such as 'UTC', 'Europe/Berlin' or 'GMT+02:00'.",
    }
    return ConfigError(f'option "{key}" cannot be "{value}": {why}', hint=hints[key], option=key)
