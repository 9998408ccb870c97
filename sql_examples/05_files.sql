-- Writes Parquet files, partitioned by a column; they appear at a checkpoint, all or none.
-- Run it with: flowsql run sql_examples/05_files.sql
-- Look at it: ls measured/*
CREATE TABLE sensor (
  id BIGINT,
  place INT,
  reading DOUBLE
) WITH (
  'connector' = 'datagen',
  'number-of-rows' = '10000',
  'fields.id.kind' = 'sequence',
  'fields.id.start' = '1',
  'fields.id.end' = '10000',
  'fields.place.min' = '1',
  'fields.place.max' = '3',
  'fields.reading.min' = '0',
  'fields.reading.max' = '100'
);

CREATE TABLE measured (
  id BIGINT,
  reading DOUBLE,
  place INT
) PARTITIONED BY (place) WITH (
  'connector' = 'filesystem',
  'path' = 'measured',
  'format' = 'parquet'
);

INSERT INTO measured SELECT id, reading, place FROM sensor WHERE reading >= 50;
