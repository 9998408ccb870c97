-- A look at what the demo's job has written.
SET 'execution.runtime-mode' = 'batch';

CREATE TABLE order_lines (
  order_id BIGINT,
  product STRING,
  total DECIMAL(20, 2),
  status STRING,
  PRIMARY KEY (order_id) NOT ENFORCED
) WITH (
  'connector' = 'iceberg',
  'catalog-name' = 'demo',
  'catalog-type' = 'jdbc',
  'uri' = 'jdbc:sqlite:catalog.db',
  'warehouse' = 'warehouse',
  'catalog-database' = 'shop'
);

CREATE TABLE revenue_per_minute (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  payments BIGINT,
  revenue DECIMAL(38, 2)
) WITH ('connector' = 'filesystem', 'path' = 'revenue', 'format' = 'parquet');

SELECT product, COUNT(*) AS orders, SUM(total) AS total FROM order_lines GROUP BY product;

SELECT window_start, payments, revenue FROM revenue_per_minute;
