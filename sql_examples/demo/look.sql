-- A look at what the demo's job has written.
SET 'execution.runtime-mode' = 'batch';

CREATE TABLE sales (auction BIGINT, item STRING, price BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'sales', 'format' = 'parquet');

CREATE TABLE per_minute (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  bidder BIGINT,
  bids BIGINT,
  highest BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'per_minute', 'format' = 'parquet');

SELECT item, COUNT(*) AS bids, MAX(price) AS highest FROM sales GROUP BY item;

SELECT window_start, COUNT(*) AS bidders, SUM(bids) AS bids, MAX(highest) AS highest
FROM per_minute
GROUP BY window_start;
