-- Two results from one source: the statements of a set are one job, and the source is read once.
-- Run it with: flowsql run sql_examples/06_statement_set.sql
CREATE TABLE sale (
  shop STRING,
  item STRING,
  amount INT
) WITH (
  'connector' = 'values',
  'data' = '["north", "tea", 4]
["south", "tea", 2]
["north", "milk", 1]
["north", "tea", 3]'
);

CREATE TABLE by_shop (shop STRING, amount INT, PRIMARY KEY (shop) NOT ENFORCED)
WITH ('connector' = 'print', 'print-identifier' = 'shop');

CREATE TABLE big_sale (shop STRING, item STRING, amount INT)
WITH ('connector' = 'print', 'print-identifier' = 'big');

EXECUTE STATEMENT SET BEGIN
  INSERT INTO by_shop SELECT shop, SUM(amount) FROM sale GROUP BY shop;
  INSERT INTO big_sale SELECT shop, item, amount FROM sale WHERE amount >= 3;
END;
