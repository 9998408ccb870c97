"""Rows written in the statement itself; for trying things out.

    CREATE TABLE orders (
      id BIGINT, item STRING, ts TIMESTAMP(3)
    ) WITH (
      'connector' = 'values',
      'changelog-mode' = 'I,UB,UA,D',
      'data' = '[1, "pen", "2020-01-01 00:00:01"]
                ["-U", 1, "pen", "2020-01-01 00:00:01"]
                ["+U", 1, "ink", "2020-01-01 00:00:02"]'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: it starts at any row |

`data` has one row a line: a JSON list of the columns' values, with or without a kind in front
(`+I`, `-U`, `+U`, `-D`), or a JSON object with the columns as members. Values are written as in
format `json`.
"""

from __future__ import annotations

from flowsql_connectors.values.connector import ValuesConnector

__all__ = ["CONNECTOR"]

CONNECTOR = ValuesConnector()
