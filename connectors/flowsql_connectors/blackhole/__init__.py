"""Takes every row and keeps none; for measuring.

    CREATE TABLE nothing (
      id BIGINT, name STRING
    ) WITH (
      'connector' = 'blackhole'
    );

| role | guarantee |
| --- | --- |
| sink | at-least-once |

Append, retract and upsert input are taken.
"""

from __future__ import annotations

from flowsql_connectors.blackhole.connector import BlackholeConnector

__all__ = ["CONNECTOR"]

CONNECTOR = BlackholeConnector()
