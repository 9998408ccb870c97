"""Tables of Apache Iceberg.

    CREATE TABLE order_lines (
      order_id BIGINT, product STRING, total DECIMAL(20, 2),
      PRIMARY KEY (order_id) NOT ENFORCED
    ) WITH (
      'connector' = 'iceberg',
      'catalog-name' = 'demo',
      'catalog-type' = 'jdbc',
      'uri' = 'jdbc:sqlite:/data/catalog.db',
      'warehouse' = '/data/warehouse'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: a file of a snapshot is read again from any row, a snapshot's changes whole |
| sink | exactly-once: a checkpoint's files come in one snapshot, which says whose they are |

**Catalogs.** `CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'jdbc', 'uri' = …, 'warehouse' = …)`
takes the options below that find a catalog and its storage; its databases and tables are then listed,
described, made, altered, dropped and queried as `lake.db.t`. docs/iceberg.md tells what such a catalog keeps.

**Reading.** A scan reads the files of one snapshot: the current one, or that of `snapshot-id`,
`as-of-timestamp`, `tag` or `branch`, which a hint may give: `SELECT * FROM t /*+ OPTIONS('tag' = 'v1') */`. It
goes on with the same snapshot after a restart. Files are passed over in which, by their partition and
statistics, no row fulfils the conditions of the query, and row groups of others. Rows that are deleted by
position, deletion vector or equality are left out.

**Streaming.** With `'streaming' = 'true'` a scan looks for new snapshots every `monitor-interval`; what
one changed comes whole within a step. A table that is declared without a PRIMARY KEY is read as one that only grows: a
snapshot that takes rows away ends the job. With one it is read with its updates and deletions, whoever made
them: rows that a snapshot deleted by position, and those of files that it removed, are taken back; a
compaction changes nothing; equality deletes end the job, as only a look at all rows could tell what they took
away. A snapshot that expired before it was read ends the job, never a gap.
"""

from __future__ import annotations

from flowsql_connectors.iceberg.connector import IcebergConnector

__all__ = ["CONNECTOR"]

CONNECTOR = IcebergConnector()
