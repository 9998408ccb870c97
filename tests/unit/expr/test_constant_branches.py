"""Where every row of a batch takes a branch that is a constant, the value is still a column."""

from __future__ import annotations

import pyarrow as pa
import pytest

import flowsql

AT = "COALESCE(CAST(CAST(v AS STRING) AS TIMESTAMP(3)), TIMESTAMP '2020-01-01 00:00:00')"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"DATE_FORMAT({AT}, 'yyyy')", "2020"),
        ("CAST(COALESCE(CAST(v AS STRING), ' 7 ') AS BIGINT)", 7),
        ("TRY_CAST(COALESCE(CAST(v AS STRING), 'none') AS DATE)", None),
        ("REGEXP_EXTRACT(COALESCE(CAST(v AS STRING), 'abc'), 'b(.)', 1)", "c"),
        ("LPAD(COALESCE(CAST(v AS STRING), 'a'), 3, 'x')", "xxa"),
        ("COALESCE(CAST(v AS STRING), 'a') IN ('a', 'b')", True),
        ("COALESCE(v, 9) % 4", 1),
        ("CASE WHEN v IS NULL THEN 1 ELSE 10 / v END + 1", 2),
        ("v > 3 OR COALESCE(v > 3, TRUE)", True),
    ],
)
def test_every_row_takes_the_constant(expression: str, expected: object) -> None:
    """As many rows as came in, each with the branch's value."""
    table = pa.table({"id": [1, 2, 3], "v": pa.array([None] * 3, pa.int64())})
    with flowsql.connect() as session:
        session.from_arrow("t", table)
        alone = session.execute(f"SELECT {expression} FROM t").fetchall()
        beside = session.execute(f"SELECT id, {expression} FROM t").fetchall()
        kept = session.execute(
            f"SELECT id FROM t WHERE ({expression}) IS NOT DISTINCT FROM ({expression})"
        ).fetchall()
    assert alone == [(expected,)] * 3
    assert beside == [(1, expected), (2, expected), (3, expected)]
    assert kept == [(1,), (2,), (3,)]
