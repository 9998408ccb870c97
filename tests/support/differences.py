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
}  # fmt: skip
