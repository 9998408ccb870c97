"""The options of a table that are the engine's, whatever its connector.

They stand in WITH beside those of the connector and its format, and may be given for one statement by
a hint: `SELECT * FROM t /*+ OPTIONS('scan.bad-record' = 'skip') */`. A key that nobody knows is an
error with the nearest name. `${NAME}` in a value is replaced by the environment variable when the
job starts, and shown as written everywhere else.

**Bad records.** A record is bad if it cannot be taken apart (a line that is no JSON, too many fields)
or if a value does not fit its column: text that is no number, a NULL in a NOT NULL column. By default
it fails the job (`fail`), with its place and the cause. With `skip` it is left out, with
`dead-letter` left out and written to another table; both are counted as `bad_records` in the status
of the job. Where bad records are set aside, a record is good or bad by all declared columns; where
one fails the job, by those that the query reads. A format's `ignore-parse-errors` comes first: with
it hardly a record is bad, as values that cannot be read become NULL.

**The dead-letter table** is named by `scan.dead-letter.table` (one, two or three names, looked up
beside the table that is read). It has exactly these columns, and any connector that takes appended
rows; its rows are in the same step and checkpoint as the good ones. As all BYTES, csv and json write
`record` as base64: `CAST(record AS STRING)` in a query over the files shows it again:

    CREATE TABLE letters (
      table_name STRING, -- the table for which the record was meant
      place STRING,      -- where it stands: /data/in/a.csv:17
      record BYTES,      -- as it was read
      reason STRING      -- why it is bad
    ) WITH ('connector' = 'filesystem', 'path' = '/data/letters', 'format' = 'json');

**Watermarks.** A table with a WATERMARK clause has one watermark for each of its splits (a file is
one); that of the table is the smallest. With `on-event` it rises with every row, so that whether a
row is late does not depend on how fast rows are read; with `on-periodic` at the end of a step.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flowsql.config import Option, OptionType, OptionValues, parse_options
from flowsql.errors import ConfigError

__all__ = ["TABLE_OPTIONS", "has_references", "parse_unresolved", "resolve_references"]

_REFERENCE = re.compile(r"\$\{(\w+)\}")

TABLE_OPTIONS: tuple[Option, ...] = (
    Option("connector", OptionType.STRING, "Who reads and writes the table.", required=True),
    Option(
        "scan.watermark.emit.strategy",
        OptionType.ENUM,
        "When the watermark rises: with every row, or at the end of a step.",
        "on-event",
        flink_default="on-periodic",
        choices=("on-event", "on-periodic"),
    ),
    Option(
        "scan.watermark.idle-timeout",
        OptionType.DURATION,
        "A split silent for so long no longer holds back the watermark; not set: as "
        "`table.exec.source.idle-timeout`.",
    ),
    Option(
        "scan.watermark.all-idle-close",
        OptionType.DURATION,
        "Time goes on to its end when all splits have been silent for so long.",
    ),
    Option(
        "scan.bad-record",
        OptionType.ENUM,
        "What becomes of a record that cannot be read: it fails the job, is left out and counted, or "
        "is also written to `scan.dead-letter.table`.",
        "fail",
        choices=("fail", "skip", "dead-letter"),
    ),
    Option(
        "scan.dead-letter.table",
        OptionType.STRING,
        "The table that takes bad records; its columns are `table_name STRING, place STRING, "
        "record BYTES, reason STRING`.",
    ),
)


def has_references(given: Mapping[str, str]) -> bool:
    """Whether a value is only known when the job starts."""
    return any(map(_REFERENCE.search, given.values()))


def parse_unresolved(
    declared: Sequence[Option], given: Mapping[str, str], *, where: str
) -> OptionValues:
    """The options as far as they are known before `${NAME}` is resolved.

    A text option keeps the reference; any other with one has its default until a connector opens.

    Raises:
        ConfigError: as `parse_options`.
    """
    later = {
        key
        for key, text in given.items()
        if _REFERENCE.search(text)
        and any(o.matches(key) and o.type is not OptionType.STRING for o in declared)
    }
    known = [replace(o, required=False) if o.key in later else o for o in declared]
    return parse_options(known, {k: v for k, v in given.items() if k not in later}, where=where)


def resolve_references(
    given: Mapping[str, str], *, where: str, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The options with every `${NAME}` replaced by the environment's value.

    Raises:
        ConfigError: a variable is not set.
    """
    known = os.environ if environment is None else environment
    resolved = {}
    for key, text in given.items():
        for name in _REFERENCE.findall(text):
            if name not in known:
                raise ConfigError(
                    f'{where}: option "{key}" needs the environment variable "{name}", '
                    "which is not set",
                    hint=f"Set {name} before the start.",
                )
        resolved[key] = _REFERENCE.sub(lambda m: known[m[1]], text)
    return resolved
