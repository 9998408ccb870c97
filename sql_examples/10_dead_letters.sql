-- Records that cannot be read do not stop the job: they become rows of another table, in the same
-- step and checkpoint as the good ones. Its four columns always have these names and types.
-- First: printf '1,17.5\n2,warm\n3,18.2\n' > readings.csv
-- Run it with: flowsql run sql_examples/10_dead_letters.sql
-- Look at it: cat unreadable/*
CREATE TABLE unreadable (
  table_name STRING,  -- the table that was read
  place STRING,       -- file and line
  record BYTES,       -- as it stands there; csv and json write BYTES as base64
  reason STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'unreadable',
  'format' = 'json'
);

CREATE TABLE reading (
  sensor INT,
  celsius DOUBLE
) WITH (
  'connector' = 'filesystem',
  'path' = 'readings.csv',
  'format' = 'csv',
  'scan.bad-record' = 'dead-letter',
  'scan.dead-letter.table' = 'unreadable'
);

CREATE TABLE good (sensor INT, celsius DOUBLE) WITH ('connector' = 'print');

INSERT INTO good SELECT sensor, celsius FROM reading;
