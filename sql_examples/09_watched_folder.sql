-- A folder into which others put files: the job reads each new one once, for as long as it runs.
-- A file has to appear whole: it is written elsewhere, or under a name that begins with "." or "_"
-- (nobody reads those), and then renamed, as `mv` does within a disk.
-- First: mkdir -p inbox && printf 'tea,3\nmilk,1\n' > inbox/monday.csv
-- Run it with: flowsql run sql_examples/09_watched_folder.sql
-- Meanwhile: printf 'tea,4\n' > inbox/.tuesday.csv && mv inbox/.tuesday.csv inbox/tuesday.csv
-- Ctrl-C ends it.
CREATE TABLE sale (
  item STRING,
  amount INT
) WITH (
  'connector' = 'filesystem',
  'path' = 'inbox',
  'format' = 'csv',
  'source.monitor-interval' = '1 s'
);

SELECT item, SUM(amount) AS amount FROM sale GROUP BY item;
