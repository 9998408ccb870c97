"""Rows with kinds, the normal form of keys, netting."""

from __future__ import annotations

from flowsql.changelog.canonical import in_order, many_forms
from flowsql.changelog.changes import (
    DELETE,
    INSERT,
    MAX_BYTES,
    MAX_ROWS,
    NO_WATERMARK,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Changes,
    Kinds,
    Marks,
    concat_changes,
    kind_names,
    split_changes,
)
from flowsql.changelog.keys import KEY_GROUPS, Keys
from flowsql.changelog.modes import ChangelogMode
from flowsql.changelog.netting import label, net, upsert_form

__all__ = [
    "DELETE",
    "INSERT",
    "KEY_GROUPS",
    "MAX_BYTES",
    "MAX_ROWS",
    "NO_WATERMARK",
    "UPDATE_AFTER",
    "UPDATE_BEFORE",
    "ChangelogMode",
    "Changes",
    "Keys",
    "Kinds",
    "Marks",
    "concat_changes",
    "in_order",
    "kind_names",
    "label",
    "many_forms",
    "net",
    "split_changes",
    "upsert_form",
]
