"""Made-up rows; for trying things out and for measuring.

    CREATE TABLE clicks (
      id BIGINT, page STRING, ts TIMESTAMP(3)
    ) WITH (
      'connector' = 'datagen',
      'rows-per-second' = '1000',
      'number-of-rows' = '10000',
      'fields.id.kind' = 'sequence',
      'fields.id.start' = '1',
      'fields.id.end' = '1000000',
      'fields.page.length' = '10'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: a row follows from its number and a seed that is kept in the checkpoint |

A random TIMESTAMP, DATE or TIME is the time at which its row is due, less at most `max-past`.
"""

from __future__ import annotations

from flowsql_connectors.datagen.connector import DatagenConnector

__all__ = ["CONNECTOR"]

CONNECTOR = DatagenConnector()
