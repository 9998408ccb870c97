"""Tables of a PostgreSQL server: the rows that are there, and then every change, by `pgoutput`.

    CREATE TABLE orders (
      id BIGINT, customer BIGINT, total DECIMAL(10, 2), placed TIMESTAMP(3),
      PRIMARY KEY (id) NOT ENFORCED
    ) WITH (
      'connector' = 'postgres-cdc',
      'hostname' = 'db.example.com',
      'username' = 'flowsql',
      'password' = '${DB_PASSWORD}',
      'database-name' = 'shop',
      'schema-name' = 'public',
      'table-name' = 'orders',
      'slot.name' = 'orders_job'
    );

| role | guarantee |
| --- | --- |
| scan | exactly once: the slot keeps the log until a checkpoint needs it no more |

All tables of a job with the same server, database, role and slot are read through one log: a step
holds whole transactions, of all of them. A first start makes the publication and the slot, reads the
tables as they were when the slot was made, and goes on with its log; a SELECT uses a temporary slot
and leaves nothing in the server.

The server needs `wal_level = logical`; the role REPLICATION, and SELECT on the tables; to make the
publication also CREATE on the database and the tables themselves, else an owner makes it before.
Mode `all` needs `ALTER TABLE … REPLICA IDENTITY FULL` for tables whose rows are updated or deleted.
docs/postgres.md has all of it, statement by statement.

TRUNCATE takes back every row of a table whose rows the engine keeps by their key (mode `upsert`, read
by a query that needs the rows before); elsewhere it ends the job, or is passed over (`scan.truncate`).
"""

from __future__ import annotations

from flowsql_connectors.postgres_cdc.connector import PostgresConnector
from flowsql_connectors.postgres_cdc.decode.copy_binary import CopyDecoder
from flowsql_connectors.postgres_cdc.decode.messages import (
    LogBatch,
    Message,
    RelationChanges,
    Transactions,
    Truncate,
)
from flowsql_connectors.postgres_cdc.decode.pgoutput import LogDecoder
from flowsql_connectors.postgres_cdc.decode.relations import Relation, RelationColumn
from flowsql_connectors.postgres_cdc.decode.text_values import read_text
from flowsql_connectors.postgres_cdc.decode.types import (
    CatalogType,
    ColumnReading,
    PgType,
    default_type,
    read_column,
    resolve_type,
    types_query,
)
from flowsql_connectors.postgres_cdc.decode.wire import LogFrames, read_frames, standby_status
from flowsql_connectors.postgres_cdc.server.settings import SESSION_OPTIONS, SESSION_SETTINGS

__all__ = [
    "CONNECTOR",
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

CONNECTOR = PostgresConnector()
