"""A small transactional database in a folder, and change-data-capture from it.

    CREATE TABLE checking (
      id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED
    ) WITH (
      'connector' = 'fake-database',
      'path' = '/tmp/bank',
      'table-name' = 'checking'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: the log is kept from the oldest retained checkpoint on |

The database is written by another process (`python -m flowsql.testing.fake_database /tmp/bank`, or
`FakeDatabase`) and so survives the death of the job that reads it. It has a log with transactions,
and snapshots at a known place of the log. Tables with the same folder and slot are one source group:
a step ends only where a transaction ends, for all of them.
"""

from __future__ import annotations

from flowsql.testing.fake_database.connector import FakeDatabaseConnector
from flowsql.testing.fake_database.database import FakeDatabase, Transaction
from flowsql.testing.fake_database.workload import Bank

__all__ = ["CONNECTOR", "Bank", "FakeDatabase", "FakeDatabaseConnector", "Transaction"]

CONNECTOR = FakeDatabaseConnector()
