"""Writes every row to standard output, as it comes.

    CREATE TABLE console (
      id BIGINT, name STRING
    ) WITH (
      'connector' = 'print',
      'print-identifier' = 'out'
    );

| role | guarantee |
| --- | --- |
| sink | at-least-once: rows are shown at once, and again after a crash |

A line is `out> +I[1, ann]`; append, retract and upsert input are taken.
"""

from __future__ import annotations

from flowsql_connectors.print.connector import PrintConnector

__all__ = ["CONNECTOR"]

CONNECTOR = PrintConnector()
