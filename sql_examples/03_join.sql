-- A left join over two tables: an order waits for its customer and is completed when he comes.
-- Run it with: flowsql run sql_examples/03_join.sql
CREATE TABLE orders (
  id INT,
  customer INT,
  amount DECIMAL(8, 2),
  PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'values',
  'data' = '[1, 7, 19.90]
[2, 8, 5.00]
[3, 7, 1.25]'
);

CREATE TABLE customer (
  id INT,
  name STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'values',
  'data' = '[7, "ann"]'
);

SELECT o.id, c.name, o.amount
FROM orders AS o
LEFT JOIN customer AS c ON o.customer = c.id;
