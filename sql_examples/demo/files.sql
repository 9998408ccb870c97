-- The shop's tables as changes in files: each message of Debezium holds a row before and after.
CREATE TABLE products (
  product_id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  PRIMARY KEY (product_id) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path' = 'products',
  'format' = 'debezium-json',
  'source.monitor-interval' = '500 ms'
);

CREATE TABLE orders (
  order_id BIGINT,
  customer_id BIGINT,
  product_id BIGINT,
  quantity INT,
  status STRING,
  PRIMARY KEY (order_id) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path' = 'orders',
  'format' = 'debezium-json',
  'source.monitor-interval' = '500 ms'
);

CREATE TABLE payments (
  payment_id BIGINT,
  order_id BIGINT,
  amount DECIMAL(10, 2),
  paid_at TIMESTAMP(3),
  WATERMARK FOR paid_at AS paid_at - INTERVAL '5' SECOND,
  PRIMARY KEY (payment_id) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path' = 'payments',
  'format' = 'debezium-json',
  'source.monitor-interval' = '500 ms'
);
