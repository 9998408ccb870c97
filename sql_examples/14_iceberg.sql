-- Keeps a table of Apache Iceberg up to date by key, exactly once, and reads it back. Any other program
-- that knows Iceberg can read it too; the catalog is a file, warehouse/catalog.db.
-- Needs the extra `iceberg`: pip install '.[iceberg]'
-- Run it with: flowsql run sql_examples/14_iceberg.sql
-- Look at it: find warehouse -type f
-- The second statement starts when the first has ended.
SET 'table.dml-sync' = 'true';

CREATE TABLE purchase (
  customer STRING,
  amount INT
) WITH (
  'connector' = 'values',
  'data' = '["ann", 10]
["bob", 5]
["ann", 7]
["cid", 1]'
);

CREATE TABLE spent (
  customer STRING,
  purchases BIGINT,
  amount INT,
  PRIMARY KEY (customer) NOT ENFORCED
) WITH (
  'connector' = 'iceberg',
  'catalog-name' = 'demo',
  'catalog-type' = 'jdbc',
  'warehouse' = 'warehouse',
  'write.upsert.enabled' = 'true'
);

-- A customer's new sum takes the place of the old one, which is deleted by its place in its file.
INSERT INTO spent SELECT customer, COUNT(*), SUM(amount) FROM purchase GROUP BY customer;

SELECT * FROM spent WHERE purchases > 1;
