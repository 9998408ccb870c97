"""Everything that DuckDB is known to answer otherwise than Flink.

`tests/property/queries/test_differences.py` runs the sample of each entry on both sides. It fails where
they no longer differ, where the cure does not bring them together, and where no generated query
goes by the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowsql import types as t
from tests.support.duck import wrap

__all__ = ["DIFFERENCES", "Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that DuckDB answers otherwise.

    Attributes:
        flink: what Flink does.
        duckdb: what DuckDB does.
        cure: how the two are brought together, or that it is kept away from DuckDB.
        sample: a query that shows it, in Flink's SQL.
        naive: the same for DuckDB, as it stands.
        cured: as it is written for DuckDB; None where it is kept away.
        generated: generated queries go by it; else the cure is that none has it.
    """

    flink: str
    duckdb: str
    cure: str
    sample: str
    naive: str
    cured: str | None
    generated: bool = True


def _table(*values: str) -> str:
    return f"(VALUES {', '.join(f'({value})' for value in values)}) AS q (x)"


_INT = _table("CAST(2147483647 AS INT)", "CAST(1 AS INT)")
_BIG = _table("CAST(9223372036854775807 AS BIGINT)", "CAST(2 AS BIGINT)")
_ODD = _table("CAST(1 AS DOUBLE)", "CAST('NaN' AS DOUBLE)")
_ZEROS = _table("CAST('0.0' AS DOUBLE)", "CAST('-0.0' AS DOUBLE)")
_TWINS = (
    "SELECT r, q FROM (SELECT b AS p, a AS q, c AS r FROM ({0}) AS u "
    "UNION ALL SELECT c, d, b FROM ({0}) AS v) AS w"
).format(
    "SELECT l.x AS a, l.y AS d, m.x AS b, m.y AS c FROM "
    "(VALUES (0, 3), (6, 2), (9, 0)) AS l (x, y) LEFT JOIN "
    "(VALUES (0, 3), (6, 2), (9, 0)) AS m (x, y) ON l.y = m.x"
)

#: construct → what is known of it
DIFFERENCES: dict[str, Difference] = {
    "7 / 2": Difference(
        flink="integers divide to an integer, cut off",
        duckdb="to a DOUBLE",
        cure="`//` for DuckDB",
        sample="SELECT -7 / 2",
        naive="SELECT -7 / 2",
        cured="SELECT -7 // 2",
    ),
    "overflow of + - *": Difference(
        flink="wraps",
        duckdb="error",
        cure="computed as HUGEINT, then `wrap`",
        sample=f"SELECT x + x FROM {_INT}",
        naive=f"SELECT x + x FROM {_INT}",
        cured=f"SELECT {wrap('x::HUGEINT + x::HUGEINT', t.IntType())} FROM {_INT}",
    ),
    "SUM(INT), SUM(BIGINT)": Difference(
        flink="argument's type, wraps",
        duckdb="HUGEINT",
        cure="`wrap`",
        sample=f"SELECT SUM(x) FROM {_INT}",
        naive=f"SELECT SUM(x) FROM {_INT}",
        cured=f"SELECT {wrap('SUM(x)', t.IntType())} FROM {_INT}",
    ),
    "AVG(INT), AVG(BIGINT)": Difference(
        flink="argument's type, cut off; its sum wraps",
        duckdb="DOUBLE",
        cure="`SUM // COUNT`, wrapped",
        sample=f"SELECT AVG(x) FROM {_BIG}",
        naive=f"SELECT AVG(x) FROM {_BIG}",
        cured=f"SELECT {wrap('SUM(x)', t.BigIntType())} // COUNT(x) FROM {_BIG}",
    ),
    "AVG(DECIMAL)": Difference(
        flink="DECIMAL, rounded half up",
        duckdb="DOUBLE",
        cure="not given to DuckDB",
        sample="SELECT CAST(AVG(x) AS STRING) FROM (VALUES (1.00), (1.00), (2.00)) AS q (x)",
        naive="SELECT CAST(AVG(x) AS STRING) FROM (VALUES (1.00), (1.00), (2.00)) AS q (x)",
        cured=None,
    ),
    "CAST(1.5 AS INT)": Difference(
        flink="cut off",
        duckdb="rounded half to even",
        cure="`trunc` first",
        sample="SELECT CAST(1.5 AS INT)",
        naive="SELECT CAST(1.5 AS INT)",
        cured="SELECT trunc(1.5)::INTEGER",
    ),
    "CAST(DOUBLE AS STRING)": Difference(
        flink="Java's text",
        duckdb="C's text",
        cure="not given to DuckDB",
        sample="SELECT CAST(CAST(1000000000 AS DOUBLE) AS STRING)",
        naive="SELECT CAST(CAST(1000000000 AS DOUBLE) AS VARCHAR)",
        cured=None,
    ),
    "CAST(TRUE AS STRING)": Difference(
        flink="TRUE",
        duckdb="true",
        cure="`upper`",
        sample="SELECT CAST(TRUE AS STRING)",
        naive="SELECT CAST(TRUE AS VARCHAR)",
        cured="SELECT upper(CAST(TRUE AS VARCHAR))",
    ),
    "CAST(TIMESTAMP AS DATE)": Difference(
        flink="milliseconds are cut toward 1970: 1969-12-31 23:00 is on 1970-01-01",
        duckdb="the day",
        cure="days counted as Flink does",
        sample="SELECT CAST(TIMESTAMP '1969-12-31 23:00:00' AS DATE)",
        naive="SELECT CAST(TIMESTAMP '1969-12-31 23:00:00' AS DATE)",
        cured="SELECT DATE '1970-01-01' + (epoch_ms(TIMESTAMP '1969-12-31 23:00:00') // 86400000)::INTEGER",
    ),
    "NaN in comparisons": Difference(
        flink="as in Java, all but <> are false",
        duckdb="greatest, equal to itself",
        cure="guarded by `isnan`; `x = x`, which Flink's planner makes true, is not generated",
        sample=f"SELECT x > 2 FROM {_ODD}",
        naive=f"SELECT x > 2 FROM {_ODD}",
        cured=f"SELECT CASE WHEN isnan(x) THEN FALSE ELSE x > 2 END FROM {_ODD}",
    ),
    "NaN and −0.0 as keys": Difference(
        flink="NaN is one key, −0.0 another than 0.0",
        duckdb="0.0 = −0.0",
        cure="DOUBLE keys are not given to DuckDB",
        sample=f"SELECT COUNT(*) FROM {_ZEROS} GROUP BY x",
        naive=f"SELECT COUNT(*) FROM {_ZEROS} GROUP BY x",
        cured=None,
    ),
    "MIN, MAX of NaN and −0.0": Difference(
        flink="by the order of arrival",
        duckdb="NaN is greatest",
        cure="kept out of the data of such queries",
        sample=f"SELECT MAX(x) FROM {_ODD}",
        naive=f"SELECT MAX(x) FROM {_ODD}",
        cured=None,
        generated=False,
    ),
    "NULL order": Difference(
        flink="NULL is least",
        duckdb="NULL comes last",
        cure="said in ORDER BY for DuckDB",
        sample="SELECT x FROM (VALUES (1), (CAST(NULL AS INT))) AS q (x) ORDER BY x LIMIT 1",
        naive="SELECT x FROM (VALUES (1), (CAST(NULL AS INT))) AS q (x) ORDER BY x LIMIT 1",
        cured="SELECT x FROM (VALUES (1), (NULL::INT)) AS q (x) ORDER BY x NULLS FIRST LIMIT 1",
    ),
    "ROLLUP over no rows": Difference(
        flink="no row",
        duckdb="one row, of all rows",
        cure="not given to DuckDB",
        sample="SELECT COUNT(*) FROM (VALUES (1)) AS q (x) WHERE x > 1 GROUP BY ROLLUP (x)",
        naive="SELECT COUNT(*) FROM (VALUES (1)) AS q (x) WHERE x > 1 GROUP BY ROLLUP (x)",
        cured=None,
    ),
    "TUMBLE": Difference(
        flink="a table function",
        duckdb="unknown",
        cure="`time_bucket` with an origin of 1970",
        sample="SELECT TIMESTAMP '1969-12-31 23:59:58'",
        naive="SELECT window_start FROM TABLE(TUMBLE(TABLE evt, DESCRIPTOR(ts), INTERVAL '2' SECOND))",
        cured="SELECT time_bucket(INTERVAL '2 seconds', TIMESTAMP '1969-12-31 23:59:59', TIMESTAMP '1970-01-01')",
    ),
    "one sub-query twice": Difference(
        flink="each use has its own columns",
        duckdb="2.0.0 swaps columns where two branches of a union read the same join",
        cure="its `common_subplan` optimizer is off",
        sample=_TWINS,
        naive=_TWINS,
        cured=_TWINS,
    ),
    "ARRAY_SORT": Difference(
        flink="NULL is least",
        duckdb="NULL comes last",
        cure="`list_sort` is told where NULL goes",
        sample="SELECT ARRAY_SORT(ARRAY[2, CAST(NULL AS INT), 1])",
        naive="SELECT list_sort([2, NULL, 1])",
        cured="SELECT list_sort([2, NULL, 1], 'ASC', 'NULLS FIRST')",
    ),
    "ARRAY_CONCAT": Difference(
        flink="NULL where one array is",
        duckdb="the other array",
        cure="asked for by CASE",
        sample="SELECT ARRAY_CONCAT(ARRAY[1], CAST(NULL AS ARRAY<INT>))",
        naive="SELECT list_concat([1], NULL::INTEGER[])",
        cured="SELECT CASE WHEN NULL::INTEGER[] IS NULL THEN NULL ELSE list_concat([1], NULL::INTEGER[]) END",
    ),
    "ARRAY_DISTINCT": Difference(
        flink="the first of each, NULL as well",
        duckdb="without NULL, in no order",
        cure="not given to DuckDB",
        sample="SELECT ARRAY_DISTINCT(ARRAY[1, CAST(NULL AS INT), 1])",
        naive="SELECT list_distinct([1, NULL, 1])",
        cured=None,
    ),
    "CARDINALITY(ARRAY)": Difference(
        flink="arrays, maps and multisets",
        duckdb="maps only",
        cure="`len`",
        sample="SELECT CARDINALITY(ARRAY[4, 5])",
        naive="SELECT cardinality([4, 5])",
        cured="SELECT len([4, 5])::INTEGER",
    ),
    "maps as keys": Difference(
        flink="one map, whatever the order of its entries (one key as well here)",
        duckdb="two",
        cure="maps and multisets as keys are not given to DuckDB",
        sample="SELECT COUNT(DISTINCT x) FROM (VALUES (MAP['a', 1, 'b', 2]), (MAP['b', 2, 'a', 1])) AS q (x)",
        naive="SELECT COUNT(DISTINCT x) FROM (VALUES (MAP {'a': 1, 'b': 2}), (MAP {'b': 2, 'a': 1})) AS q (x)",
        cured=None,
    ),
    "UNNEST(MAP)": Difference(
        flink="keys and values are columns",
        duckdb="a map is no list",
        cure="its keys and its values side by side",
        sample="SELECT k, v FROM UNNEST(MAP['a', 1, 'b', 2]) AS u (k, v)",
        naive="SELECT k, v FROM UNNEST(MAP {'a': 1, 'b': 2}) AS u (k, v)",
        cured=(
            "SELECT unnest(map_keys(m)), unnest(map_values(m)) FROM (SELECT MAP {'a': 1, 'b': 2} AS m)"
        ),
    ),
    "COLLECT": Difference(
        flink="a multiset, empty for no values",
        duckdb="unknown",
        cure="`histogram`, which is NULL for no values",
        sample=f"SELECT COLLECT(x) FROM {_INT}",
        naive=f"SELECT COLLECT(x) FROM {_INT}",
        cured=f"SELECT COALESCE(histogram(x), MAP {{}}) FROM {_INT}",
    ),
    "VAR_POP, STDDEV_POP …": Difference(
        flink="argument's type, cut off",
        duckdb="DOUBLE",
        cure="INT as HUGEINT, by its definition; others are not given to DuckDB",
        sample=f"SELECT VAR_POP(x) FROM {_table('1', '2', '5')}",
        naive=f"SELECT VAR_POP(x) FROM {_table('1', '2', '5')}",
        cured=(
            "SELECT ((COUNT(x)::HUGEINT * SUM(x * x) - SUM(x) * SUM(x)) // (COUNT(x) * COUNT(x)))::INTEGER "
            f"FROM {_table('1', '2', '5')}"
        ),
    ),
    "PERCENTILE": Difference(
        flink="between two values if need be",
        duckdb="unknown",
        cure="`quantile_cont`",
        sample=f"SELECT PERCENTILE(x, 0.25) FROM {_INT}",
        naive=f"SELECT PERCENTILE(x, 0.25) FROM {_INT}",
        cured=f"SELECT quantile_cont(x::DOUBLE, 0.25) FROM {_INT}",
    ),
    "JSON_ARRAYAGG": Difference(
        flink="a text, without NULL",
        duckdb="unknown",
        cure="a list as JSON; strings are not given to DuckDB, nor the text itself",
        sample=f"SELECT CHAR_LENGTH(JSON_ARRAYAGG(x)) FROM {_INT}",
        naive=f"SELECT length(JSON_ARRAYAGG(x)) FROM {_INT}",
        cured=f"SELECT length(to_json(list(x))::VARCHAR)::INTEGER FROM {_INT}",
    ),
    "JSON_OBJECTAGG": Difference(
        flink="a text, by name",
        duckdb="unknown",
        cure="not given to DuckDB",
        sample="SELECT JSON_OBJECTAGG(KEY x VALUE 1) FROM (VALUES ('b'), ('a')) AS q (x)",
        naive="SELECT JSON_OBJECTAGG(x, 1) FROM (VALUES ('b'), ('a')) AS q (x)",
        cured=None,
    ),
    "FIRST_VALUE, LAST_VALUE": Difference(
        flink="aggregates, which skip NULL",
        duckdb="functions of windows",
        cure="`first`, `last` of what is not NULL",
        sample=f"SELECT LAST_VALUE(x) FROM {_table('CAST(NULL AS INT)', '2', 'CAST(NULL AS INT)')}",
        naive=f"SELECT LAST_VALUE(x) FROM {_table('NULL', '2', 'NULL')}",
        cured=f"SELECT last(x) FILTER (x IS NOT NULL) FROM {_table('NULL', '2', 'NULL')}",
    ),
    "PROCTIME": Difference(
        flink="the order of arrival",
        duckdb="unknown",
        cure="ORDER BY the number by which rows come",
        sample="SELECT PROCTIME() IS NOT NULL",
        naive="SELECT PROCTIME() IS NOT NULL",
        cured="SELECT TRUE",
    ),
    "LATERAL (SELECT MAX(x) …)": Difference(
        flink="a row that has none beside it goes",
        duckdb="stays, with NULL, as an aggregate of nothing is NULL",
        cure="given to DuckDB as LEFT JOIN alone, where both keep it",
        sample=f"SELECT m FROM {_INT}, LATERAL (SELECT MAX(p.x) AS m FROM {_table('1').replace('q (x)', 'p (x)')} WHERE p.x = q.x)",
        naive=f"SELECT m FROM {_INT}, LATERAL (SELECT MAX(p.x) AS m FROM {_table('1').replace('q (x)', 'p (x)')} WHERE p.x = q.x)",
        cured=None,
    ),
}  # fmt: skip
