-- Rows as changes, and changes as rows: a change feed in a format of its own becomes a table that
-- can be queried, and every change of a table becomes a row that any sink takes.
-- Run it with: flowsql run sql_examples/12_changelog_functions.sql
CREATE TABLE feed (
  event STRING,
  id INT,
  city STRING
) WITH (
  'connector' = 'values',
  'data' = '["created", 1, "rome"]
["created", 2, "rome"]
["changed", 2, "oslo"]
["removed", 1, null]
["created", 3, "oslo"]'
);

-- An event without the row before: the last one of each id counts.
CREATE VIEW person AS
SELECT id, city
FROM FROM_CHANGELOG(
  input => TABLE feed PARTITION BY id,
  op => DESCRIPTOR(event),
  op_mapping => MAP['created', 'INSERT', 'changed', 'UPDATE_AFTER', 'removed', 'DELETE']
);

SELECT city, COUNT(*) AS people FROM person GROUP BY city;

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

SELECT * FROM TO_CHANGELOG(input => TABLE account);
