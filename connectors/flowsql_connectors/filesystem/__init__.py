"""Files in a folder, read and written.

    CREATE TABLE bid (
      auction BIGINT, price BIGINT, ts TIMESTAMP(3), day STRING
    ) PARTITIONED BY (day) WITH (
      'connector' = 'filesystem',
      'path' = '/data/bids',
      'format' = 'parquet',
      'source.monitor-interval' = '1s'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: a file is read again from any row |
| sink | exactly-once: files are renamed into place when their checkpoint is complete |

A folder is read with all folders below it; names that begin with `.` or `_` are left out. Files come
in the order of their modification time, then name, and must be complete when they get their name.
With `source.monitor-interval` the folder is watched for new files and the scan never ends.

A sink keeps unfinished files and its marker in `.flowsql` within the folder. Partition columns are
in the path (`day=2020-01-05/`), not in the files.
"""

from __future__ import annotations

from flowsql_connectors.filesystem.connector import FilesystemConnector

__all__ = ["CONNECTOR"]

CONNECTOR = FilesystemConnector()
