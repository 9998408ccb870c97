"""The sinks of a record: how they are created, and what they hold in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flowsql.types import RowType
from tests.cases.decode import normal_text
from tests.cases.feeds import mode_of
from tests.support.ddl import metadata_columns, physical_columns, primary_key
from tests.support.engine import Change
from tests.support.fold import fold, fold_by_key

__all__ = ["create_sink", "finals", "sink_columns", "sink_table"]


def _sink_mode(sink: Mapping[str, Any]) -> str:
    options = sink.get("options") or {}
    forced = options.get("sink-changelog-mode-enforced")
    if forced:
        return mode_of(forced)
    return "I,UA,D" if primary_key(sink["schema"]) else "I,UB,UA,D"


def create_sink(sink: Mapping[str, Any]) -> str:
    """CREATE TABLE; `{collection}` stands for what it collects."""
    pieces = ", ".join(sink["schema"]).replace("{", "{{").replace("}", "}}")
    name = sink["name"].strip("`")
    return (
        f"CREATE TABLE `{name}` ({pieces}) WITH ('connector' = 'collected', "
        f"'collection' = '{{collection}}', 'changelog-mode' = '{_sink_mode(sink)}', "
        f"'metadata' = '{_written_metadata(sink)}')"
    )


def _written_metadata(sink: Mapping[str, Any]) -> str:
    return str((sink.get("options") or {}).get("writable-metadata", ""))


def sink_columns(sink: Mapping[str, Any]) -> RowType:
    """What the sink is given: the metadata behind the columns."""
    fields = physical_columns(sink["schema"]).fields
    return RowType((*fields, *metadata_columns(_written_metadata(sink)).fields), nullable=False)


def sink_table(sink: Mapping[str, Any], changes: Sequence[Change]) -> Counter[Any]:
    """What it holds after these changes."""
    names = sink_columns(sink).names
    key = [names.index(column) for column in primary_key(sink["schema"])]
    if not key:
        return fold((kind, row) for _, kind, row in changes)
    return fold_by_key(((kind, row) for _, kind, row in changes), key)


def finals(sink: Mapping[str, Any]) -> list[str]:
    """The rows that Flink's held, as text."""
    if "expected_final" in sink:
        return [normal_text("+I" + text[2:]) for text in sink["expected_final"]]
    # The record has no final table: fold its changelog by the key, which stands first in these.
    table: dict[str, str] = {}
    for text in sink["expected_all"]:
        key = text[2:].partition(",")[0]
        if text.startswith("-D"):
            table.pop(key, None)
        elif text[:2] in ("+I", "+U"):
            table[key] = "+I" + text[2:]
    return [normal_text(text) for text in table.values()]
