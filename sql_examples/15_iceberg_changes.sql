-- Follows a table of Apache Iceberg: what each snapshot changed, whoever wrote it, as one step. Ctrl-C ends it.
-- Needs the extra `iceberg`: pip install '.[iceberg]'
-- Run it with: flowsql run sql_examples/15_iceberg_changes.sql
-- Then see it go on: change the rows of an INSERT below, run the file again elsewhere in the same folder.
SET 'table.dml-sync' = 'true';

CREATE TABLE stock (
  item STRING,
  pieces INT,
  PRIMARY KEY (item) NOT ENFORCED
) WITH (
  'connector' = 'iceberg',
  'catalog-name' = 'demo',
  'warehouse' = 'warehouse',
  'write.upsert.enabled' = 'true',
  'monitor-interval' = '1 s'
);

-- Each job commits a snapshot: the first two items, then another number of one of them.
INSERT INTO stock VALUES ('apple', 5), ('pear', 3) ON CONFLICT DO DEDUPLICATE;
INSERT INTO stock VALUES ('apple', 4) ON CONFLICT DO DEDUPLICATE;

-- From the oldest snapshot on. Because the table has a PRIMARY KEY, rows that go are read as well; EXPLAIN shows
-- which columns are read, and which condition files are chosen by. A query without these options reads the current
-- snapshot, or another one: /*+ OPTIONS('as-of-timestamp' = '1735689600000') */ that of a moment.
SELECT item, pieces
FROM stock /*+ OPTIONS('streaming' = 'true', 'starting-strategy' = 'INCREMENTAL_FROM_EARLIEST_SNAPSHOT') */
WHERE pieces > 1;
