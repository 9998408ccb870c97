"""A table folded into one SQLite file, exactly once: one transaction a commit.

    CREATE TABLE sales (
      auction BIGINT, item STRING, PRIMARY KEY (auction) NOT ENFORCED
    ) WITH (
      'connector' = 'changelog-sqlite',
      'path' = '/data/sales.sqlite',
      'changelog-log' = 'true'
    );

| role | guarantee |
| --- | --- |
| sink | exactly-once: rows and marker change in one transaction |

With a primary key the table holds the last row of each key. Without one it is a multiset: a column
`$count` says how often the row is there. With `changelog-log` every change is also kept, in order,
in table `<name>$log` (`checkpoint`, `kind`, then the columns).
"""

from __future__ import annotations

from flowsql.testing.changelog_sqlite.connector import ChangelogSqliteConnector

__all__ = ["CONNECTOR"]

CONNECTOR = ChangelogSqliteConnector()
