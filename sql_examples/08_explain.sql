-- What a statement will do, before it does it: the plan, what each operator emits and keeps.
-- Run it with: flowsql run sql_examples/08_explain.sql
CREATE TABLE sale (shop STRING, amount INT)
WITH ('connector' = 'datagen', 'number-of-rows' = '10');

EXPLAIN CHANGELOG_MODE SELECT shop, SUM(amount) FROM sale WHERE amount > 0 GROUP BY shop;
