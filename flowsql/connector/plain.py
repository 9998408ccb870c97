"""Tables and splits as plain JSON: what a reader in a process of its own is built from."""

from __future__ import annotations

from typing import Any

from flowsql.config import Option, OptionType, OptionValues
from flowsql.connector.source import JSON, Split
from flowsql.connector.table import ConnectorTable
from flowsql.types import Field, RowType
from flowsql.types.parser import parse_type
from flowsql.types.predicates import ScanFilter, Taken, predicate_json, predicate_of

__all__ = ["split_json", "split_of", "table_json", "table_of"]


def table_json(table: ConnectorTable) -> JSON:
    """The table, secrets included, without the places of its options."""
    options = table.options
    return {
        "name": table.name,
        "schema": [[f.name, str(f.type)] for f in table.schema.fields],
        "nullable": table.schema.nullable,
        "declared": [
            [o.key, o.type.value, _plain(o.default), list(o.choices), o.secret]
            for o in options.declared
        ],
        "given": {k: _plain(options[k]) for k in options if options.is_set(k)},
        "primary_key": list(table.primary_key),
        "partition_keys": list(table.partition_keys),
        "columns": list(table.columns),
        "metadata": dict(table.metadata),
        "local_time_zone": table.local_time_zone,
        "filters": [
            [predicate_json(f.predicate), f.taken.value, f.partitions] for f in table.filters
        ],
        "declared_name": table.declared_name,
    }


def table_of(data: JSON) -> ConnectorTable:
    """The table that `table_json` gave."""
    declared = [
        Option(key, OptionType(kind), "", _value(default), choices=tuple(choices), secret=secret)
        for key, kind, default, choices, secret in data["declared"]
    ]
    fields = tuple(Field(name, parse_type(text)) for name, text in data["schema"])
    return ConnectorTable(
        data["name"],
        RowType(fields, nullable=data["nullable"]),
        OptionValues(declared, {k: _value(v) for k, v in data["given"].items()}),
        tuple(data["primary_key"]),
        tuple(data["partition_keys"]),
        tuple(data["columns"]),
        data["metadata"],
        data["local_time_zone"],
        filters=tuple(
            ScanFilter(predicate_of(predicate), Taken(taken), partitions)
            for predicate, taken, partitions in data["filters"]
        ),
        declared_name=data["declared_name"],
    )


def split_json(split: Split) -> JSON:
    """The split."""
    return {
        "id": split.id,
        "tables": list(split.tables),
        "payload": split.payload,
        "snapshot": split.snapshot,
        "owner": split.owner,
    }


def split_of(data: JSON) -> Split:
    """The split that `split_json` gave."""
    return Split(
        data["id"], tuple(data["tables"]), data["payload"], data["snapshot"], data["owner"]
    )


def _plain(value: Any) -> Any:
    return {"list": list(value)} if isinstance(value, tuple) else value


def _value(plain: Any) -> Any:
    return tuple(plain["list"]) if isinstance(plain, dict) else plain
