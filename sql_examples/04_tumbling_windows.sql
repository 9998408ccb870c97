-- Event time: counts per minute, each given once, when the watermark has passed the minute.
-- The row at 10:00:50 comes late but within the four seconds that the watermark allows.
-- Run it with: flowsql run sql_examples/04_tumbling_windows.sql
CREATE TABLE click (
  page STRING,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH (
  'connector' = 'values',
  'data' = '["home", "2026-01-01 10:00:10"]
["cart", "2026-01-01 10:00:53"]
["home", "2026-01-01 10:00:50"]
["home", "2026-01-01 10:01:07"]
["cart", "2026-01-01 10:02:30"]'
);

SELECT window_start, page, COUNT(*) AS clicks
FROM TABLE(TUMBLE(TABLE click, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;
