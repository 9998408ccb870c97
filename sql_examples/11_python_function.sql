-- A function of your own, written in Python: it stands in fruit_functions.py beside this file.
-- Run it with: flowsql run sql_examples/11_python_function.sql
CREATE TEMPORARY FUNCTION plural AS 'fruit_functions.plural' LANGUAGE PYTHON;

SELECT plural(name, amount) AS what, amount
FROM (VALUES ('apple', 2), ('cherry', 3), ('melon', 1)) AS fruit (name, amount);
