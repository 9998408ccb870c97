-- The shop's tables in PostgreSQL, with every change of them: snapshot first, then the log.
CREATE TABLE products (
  product_id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  PRIMARY KEY (product_id) NOT ENFORCED
) WITH (
  'connector' = 'postgres-cdc',
  'hostname' = '127.0.0.1',
  'port' = '${PG_PORT}',
  'username' = 'postgres',
  'password' = '${PG_PASSWORD}',
  'database-name' = 'postgres',
  'schema-name' = 'public',
  'table-name' = 'products',
  'slot.name' = 'flowsql_shop'
);

CREATE TABLE orders (
  order_id BIGINT,
  customer_id BIGINT,
  product_id BIGINT,
  quantity INT,
  status STRING,
  PRIMARY KEY (order_id) NOT ENFORCED
) WITH (
  'connector' = 'postgres-cdc',
  'hostname' = '127.0.0.1',
  'port' = '${PG_PORT}',
  'username' = 'postgres',
  'password' = '${PG_PASSWORD}',
  'database-name' = 'postgres',
  'schema-name' = 'public',
  'table-name' = 'orders',
  'slot.name' = 'flowsql_shop'
);

CREATE TABLE payments (
  payment_id BIGINT,
  order_id BIGINT,
  amount DECIMAL(10, 2),
  paid_at TIMESTAMP(3),
  WATERMARK FOR paid_at AS paid_at - INTERVAL '5' SECOND,
  PRIMARY KEY (payment_id) NOT ENFORCED
) WITH (
  'connector' = 'postgres-cdc',
  'hostname' = '127.0.0.1',
  'port' = '${PG_PORT}',
  'username' = 'postgres',
  'password' = '${PG_PASSWORD}',
  'database-name' = 'postgres',
  'schema-name' = 'public',
  'table-name' = 'payments',
  'slot.name' = 'flowsql_shop'
);
