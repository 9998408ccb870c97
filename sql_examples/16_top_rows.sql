-- The best of each group, kept up to date: Top-N by ROW_NUMBER, and deduplication, which is Top-1 by
-- time. A bid that is outdone goes (-D) when a better one comes.
-- Run it with: flowsql run sql_examples/16_top_rows.sql
CREATE TABLE bid (
  auction STRING,
  bidder STRING,
  price INT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'values',
  'data' = '["clock", "ann", 10, "2026-01-01 10:00:00"]
["clock", "bob", 12, "2026-01-01 10:00:20"]
["vase", "cid", 7, "2026-01-01 10:01:00"]
["clock", "cid", 11, "2026-01-01 10:01:30"]
["vase", "ann", 9, "2026-01-01 10:02:00"]'
);

-- The two highest bids of each auction, with their places.
SELECT auction, place, bidder, price
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS place
  FROM bid
)
WHERE place <= 2;

-- The last bid of each bidder.
SELECT bidder, auction, price
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder ORDER BY ts DESC) AS recency
  FROM bid
)
WHERE recency = 1;
