"""From a record's tables to an engine and its feed: rows cut at random, by the case's name."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowsql.types import RowType
from tests.cases.decode import plain_row
from tests.support.connectors import Event, Rows, WatermarkAt
from tests.support.ddl import metadata_columns, physical_columns
from tests.support.engine import Engine, Table

__all__ = ["engine_of", "mode_of", "steps_of"]

# What Flink does unless it is told otherwise.
_DEFAULTS = {"table.exec.legacy-cast-behaviour": "DISABLED"}

# Settings of the recording's own cluster, without a meaning for one process.
_IGNORED = (
    "table.exec.resource.",
    "table.exec.disabled-operators",
    "table.generated-code.",
    "__table.query-start.",
)


def mode_of(text: str | None) -> str:
    """Flink's list of kinds as one of the three changelog modes."""
    kinds = {part.strip() for part in (text or "I").split(",")}
    if kinds == {"I"}:
        return "I"
    return "I,UA,D" if "UA" in kinds and "UB" not in kinds else "I,UB,UA,D"


def _table(record: Mapping[str, Any]) -> Table:
    options = record.get("options") or {}
    pieces = list(record["schema"])
    if "watermarks_after" in record:
        # Watermarks are given explicitly: the expression stays below all of them.
        column = record["rowtime_column"]
        pieces.append(f"WATERMARK FOR `{column}` AS `{column}` - INTERVAL '90' DAY")
    mode = mode_of(record.get("changelog_mode") or options.get("changelog-mode"))
    kinds = {row[0] for key in ("rows", "rows_after_restore") for row in record.get(key) or ()}
    if mode == "I" and kinds - {"+I"}:
        mode = "I,UB,UA,D"
    metadata = options.get("readable-metadata", "")
    parallelism = options.get("scan.parallelism")
    name = record["name"].strip("`")
    return Table(name, tuple(pieces), mode, metadata=metadata, parallelism=parallelism)


def engine_of(case: Mapping[str, Any], extra: Mapping[str, str] | None = None) -> Engine:
    """The case's tables, statements and settings."""
    config = {
        k: str(v)
        for k, v in (case.get("config") or {}).items()
        if not k.startswith(_IGNORED) and _DEFAULTS.get(k) != v
    }
    return Engine(
        tables=[_table(record) for record in case.get("source_tables", ())],
        setup=list(case.get("setup_sql") or ()),
        config={**config, **(extra or {})},
    )


def _events(record: Mapping[str, Any], rows_key: str) -> Iterator[Event]:
    metadata = metadata_columns((record.get("options") or {}).get("readable-metadata", ""))
    physical = physical_columns(record["schema"])
    kind = RowType((*physical.fields, *metadata.fields), nullable=False)
    name = record["name"].strip("`")
    marks: Sequence[int | None] = record.get("watermarks_after") or ()
    last = None
    for row, mark in itertools.zip_longest(record.get(rows_key) or (), marks):
        if row is not None:
            # Rows of a table that declares none of its metadata leave it out.
            bare = len(row) - 1 == len(physical.fields)
            sign, values = plain_row(row, physical if bare else kind)
            absent = (None,) * (len(kind.fields) - len(values))
            yield Rows(name, ((sign, (*values, *absent)),))
        if mark is not None and mark != last:
            yield WatermarkAt(name, mark)
            last = mark


def steps_of(case: Mapping[str, Any], rows_key: str = "rows") -> list[list[Event]]:
    """All tables' rows, cut into steps of one to a few rows.

    The first table comes last: what it is joined with is there by then, as a table that is looked
    up has to be. The others come in turns. A step never holds rows of one table before and behind an explicit watermark.
    """
    chance = random.Random(zlib.crc32(case["name"].encode()))
    streams = [list(_events(record, rows_key)) for record in case.get("source_tables", ())]
    size = chance.choice([1, 1, 2, 5, 50])
    steps: list[list[Event]] = []
    first, *others = streams or [[]]
    for turn in [*itertools.zip_longest(*others), *((event,) for event in first)]:
        for event in turn:
            if event is None:
                continue
            here = [e for e in steps[-1] if e.table == event.table] if steps else []
            alike = not here or (isinstance(event, Rows) and isinstance(here[-1], Rows))
            if steps and alike and len(steps[-1]) < chance.randint(1, size):
                steps[-1].append(event)
            else:
                steps.append([event])
    return steps
