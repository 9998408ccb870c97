-- A first query: rows that stand in the query itself, a filter, a computed column.
-- Run it with: flowsql run sql_examples/01_select.sql
SELECT name, price, price * 3 AS price_of_three
FROM (VALUES ('apple', 2), ('pear', 3), ('melon', 9)) AS fruit (name, price)
WHERE price < 5;
