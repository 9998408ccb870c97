-- The job of `make demo`: bids and auctions arrive as Parquet files in watched folders; one job
-- joins them and counts by minute, and writes both results exactly once.
SET 'pipeline.name' = 'demo';
SET 'execution.checkpointing.interval' = '2 s';

CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel STRING,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'bid',
  'format' = 'parquet',
  'source.monitor-interval' = '1s'
);

CREATE TABLE auction (
  id BIGINT,
  item STRING,
  seller BIGINT,
  category BIGINT,
  PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path' = 'auction',
  'format' = 'parquet',
  'source.monitor-interval' = '1s'
);

CREATE TABLE sales (auction BIGINT, item STRING, price BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'sales', 'format' = 'parquet');

CREATE TABLE per_minute (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  bidder BIGINT,
  bids BIGINT,
  highest BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'per_minute', 'format' = 'parquet');

EXECUTE STATEMENT SET BEGIN
  INSERT INTO sales
  SELECT b.auction, a.item, b.price
  FROM bid AS b JOIN auction AS a ON b.auction = a.id
  WHERE a.category = 10;

  INSERT INTO per_minute
  SELECT window_start, window_end, bidder, COUNT(*), MAX(price)
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, bidder;
END;
