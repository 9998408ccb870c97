-- A table that changes: rows are added (+I), updated (-U, +U) and taken away (-D), and the
-- aggregates follow. Over bounded input a query prints the table that is left in the end.
-- Run it with: flowsql run sql_examples/02_changelog.sql
CREATE TABLE account (
  owner STRING,
  balance INT
) WITH (
  'connector' = 'values',
  'changelog-mode' = 'I,UB,UA,D',
  'data' = '["+I", "ann", 10]
["+I", "bob", 5]
["-U", "ann", 10]
["+U", "ann", 30]
["-D", "bob", 5]'
);

SELECT COUNT(*) AS owners, SUM(balance) AS total FROM account;
