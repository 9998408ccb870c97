"""Plans as canonical JSON: what two statements must share to mean the same job (DESIGN 8).

Names that are for people (of a column reference, of an intermediate column), spans and option
values that do not identify are left out; tables, types, expressions and settings are in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from typing import Any

from flowsql.expr import Column, Literal
from flowsql.logical.plan import Insert, LogicalPlan, Scan
from flowsql.logical.settings import PlanSettings
from flowsql.logical.table import BoundTable
from flowsql.types import DataType

# What is said by true and false, so that statements keep their fingerprints.
_TOLD = (None, "DEDUPLICATE")

__all__ = ["canonical", "fingerprint"]

_LATER: dict[str, Any] = {"state_ttl": 0, "ttl": None, "ttls": (None, None)}


def fingerprint(statements: Sequence[LogicalPlan], settings: PlanSettings) -> str:
    """SHA-256 over the bound, unoptimised statements of a job."""
    form = {"statements": [canonical(s) for s in statements], "settings": canonical(settings)}
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """A plan, expression or part of one as plain JSON."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return {"double": "NaN" if math.isnan(value) else value.hex()}
        case Decimal():
            return {"decimal": str(value)}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case DataType():
            return {"type": str(value)}
        case Enum():
            return value.value
        case tuple() | list():
            return [canonical(v) for v in value]
        case frozenset():
            return sorted(str(canonical(v)) for v in value)
        case Column():
            return {"column": value.index, "type": str(value.type)}
        case Literal():
            return {"literal": canonical(value.value), "type": str(value.type)}
        case BoundTable():
            return _table(value)
        case Scan():
            return {"Scan": [_table(value.table), list(value.columns)]}
        case Insert():
            return {
                "Insert": [_table(value.target), list(value.not_null), _conflict(value)],
                "query": canonical(value.input),
            }
        case _:
            skipped = {"span", "schema", "names"}
            shown = {
                f.name: getattr(value, f.name)
                for f in fields(value)
                if f.compare and f.name not in skipped
            }
            # What came later is left out where nobody asks for it: older checkpoints stay good.
            return {
                type(value).__name__: {
                    name: canonical(part)
                    for name, part in shown.items()
                    if name not in _LATER or part != _LATER[name]
                }
            }


def _conflict(plan: Insert) -> Any:
    return plan.conflict == "DEDUPLICATE" if plan.conflict in _TOLD else plan.conflict


def _table(table: BoundTable) -> Any:
    return {
        "name": table.name,
        "columns": [
            [c.name, c.kind.value, str(c.type), canonical(c.expression), c.metadata_key]
            for c in table.columns
        ],
        "primary_key": list(table.primary_key),
        "partitions": list(table.partition_keys),
        "watermark": None
        if table.watermark is None
        else [table.watermark.rowtime, canonical(table.watermark.expression)],
        "identity": [list(pair) for pair in table.identity],
        "mode": table.scan_mode.value,
    }
