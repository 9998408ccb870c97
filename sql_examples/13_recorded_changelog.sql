-- Records the changes of an answer in files, exactly once, as messages of Debezium; and reads the
-- changelog back as the table that it comes to.
-- Run it with: flowsql run sql_examples/13_recorded_changelog.sql
-- Look at it: cat spent/*
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
  amount INT
) WITH (
  'connector' = 'filesystem',
  'path' = 'spent',
  'format' = 'debezium-json'
);

-- Each step's changes of the answer: "op" is c for what comes, d for what goes. An update is both.
INSERT INTO spent SELECT customer, COUNT(*), SUM(amount) FROM purchase GROUP BY customer;

-- Files are read in the order of their names; what was taken back is gone.
SELECT purchases, COUNT(*) AS customers, SUM(amount) AS amount FROM spent GROUP BY purchases;
