-- The job of the demo: order lines with their products' prices of now in an Iceberg table, what was
-- paid in each minute in Parquet files, both exactly once.
SET 'pipeline.name' = 'shop';
SET 'execution.checkpointing.interval' = '2 s';

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
  'catalog-database' = 'shop',
  'format-version' = '2',
  'write.upsert.enabled' = 'true'
);

CREATE TABLE revenue_per_minute (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  payments BIGINT,
  revenue DECIMAL(38, 2)
) WITH ('connector' = 'filesystem', 'path' = 'revenue', 'format' = 'parquet');

EXECUTE STATEMENT SET BEGIN
  INSERT INTO order_lines
  SELECT o.order_id, p.name, o.quantity * p.price, o.status
  FROM orders AS o JOIN products AS p ON o.product_id = p.product_id;

  INSERT INTO revenue_per_minute
  SELECT window_start, window_end, COUNT(*), SUM(amount)
  FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end;
END;
