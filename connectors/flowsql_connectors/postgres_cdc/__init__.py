"""PostgreSQL's bytes as columns: binary `COPY` and the logical log of `pgoutput`."""

from __future__ import annotations

from flowsql_connectors.postgres_cdc.copy_binary import CopyDecoder
from flowsql_connectors.postgres_cdc.messages import (
    LogBatch,
    Message,
    RelationChanges,
    Transactions,
    Truncate,
)
from flowsql_connectors.postgres_cdc.pgoutput import LogDecoder
from flowsql_connectors.postgres_cdc.relations import Relation, RelationColumn
from flowsql_connectors.postgres_cdc.settings import SESSION_OPTIONS, SESSION_SETTINGS
from flowsql_connectors.postgres_cdc.text_values import read_text
from flowsql_connectors.postgres_cdc.types import (
    CatalogType,
    ColumnReading,
    PgType,
    default_type,
    read_column,
    resolve_type,
    types_query,
)
from flowsql_connectors.postgres_cdc.wire import LogFrames, read_frames, standby_status

__all__ = [
    "SESSION_OPTIONS",
    "SESSION_SETTINGS",
    "CatalogType",
    "ColumnReading",
    "CopyDecoder",
    "LogBatch",
    "LogDecoder",
    "LogFrames",
    "Message",
    "PgType",
    "Relation",
    "RelationChanges",
    "RelationColumn",
    "Transactions",
    "Truncate",
    "default_type",
    "read_column",
    "read_frames",
    "read_text",
    "resolve_type",
    "standby_status",
    "types_query",
]
