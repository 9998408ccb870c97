-- A table that changes: rows are added, updated and taken away, and the total follows.
-- Shows the changelog a streaming query makes: +I, -U, +U, -D.
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
