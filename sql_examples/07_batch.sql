-- The same language over bounded data, answered once: no changelog, only the result.
-- Run it with: flowsql run sql_examples/07_batch.sql
SET 'execution.runtime-mode' = 'batch';

CREATE VIEW score AS
SELECT * FROM (VALUES ('ann', 3), ('bob', 5), ('ann', 4)) AS t (player, points);

SELECT player, COUNT(*) AS games, AVG(points) AS average, MAX(points) AS best
FROM score
GROUP BY player;
