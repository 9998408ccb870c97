"""A value that cannot be computed again must not be part of a row that is taken back."""

from __future__ import annotations

import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes

SCHEMA = pa.schema([("k", pa.int64())])


def columns(query: str, mode: str) -> int:
    """How many columns the result of a query over one row has."""
    with flowsql.connect() as session:
        row = pa.RecordBatch.from_arrays([pa.array([1])], schema=SCHEMA)
        session.from_changes("t", SCHEMA, [Changes(row)], mode=mode)
        return session.execute(query).to_arrow().num_columns


@pytest.mark.parametrize(
    ("query", "culprit", "at"),
    [
        ("SELECT k, RAND() AS r FROM t", "RAND()", "1:11"),
        ("SELECT k FROM t WHERE RAND() < 0.5", "RAND()", "1:23"),
        ("SELECT k, CAST(UUID() AS STRING) || 'x' AS u FROM t", "UUID()", "1:16"),
    ],
)
def test_refused_over_updating_rows(query: str, culprit: str, at: str) -> None:
    """The error names the call, its place and both ways out."""
    with pytest.raises(flowsql.SqlError) as raised:
        columns(query, "retract")
    text = str(raised.value)
    assert text.startswith(
        f'SqlError at {at}: "{culprit}" is not deterministic and cannot be computed over updating '
        "rows"
    )
    assert "'table.optimizer.non-deterministic-update.strategy' = 'IGNORE'" in text


def test_computed_over_rows_that_stay() -> None:
    """Appended rows are never taken back."""
    assert columns("SELECT k, RAND() AS r, UUID() AS u FROM t", "append") == 3


def test_computed_anew_where_the_user_says_so() -> None:
    """Flink's default is there for who wants it."""
    with flowsql.connect() as session:
        session.execute("SET 'table.optimizer.non-deterministic-update.strategy' = 'IGNORE'")
        row = pa.RecordBatch.from_arrays([pa.array([1])], schema=SCHEMA)
        session.from_changes("t", SCHEMA, [Changes(row)], mode="retract")
        assert session.execute("SELECT k, RAND() AS r FROM t").to_arrow().num_rows == 1


@pytest.mark.parametrize(
    "condition", ["RAND() < 0.5", "k > 0 AND CURRENT_DATE < DATE '2030-01-01'"]
)
def test_no_row_stays_behind_in_an_upsert_sink(condition: str) -> None:
    """A filter that lets a row pass and not its deletion is refused, though it reads only the key."""
    row = pa.RecordBatch.from_arrays([pa.array([1])], schema=SCHEMA)
    with flowsql.connect() as session:
        session.from_changes("t", SCHEMA, [Changes(row)], mode="upsert", primary_key=["k"])
        session.execute(
            "CREATE TABLE o (k BIGINT, PRIMARY KEY (k) NOT ENFORCED) "
            "WITH ('connector' = 'blackhole')"
        )
        with pytest.raises(flowsql.SqlError, match="is not deterministic"):
            session.execute(f"INSERT INTO o SELECT k FROM t WHERE {condition}")


@pytest.mark.parametrize(
    ("query", "culprits"),
    [
        ("SELECT k + 1, RAND() AS r, RAND() > 1, UUID() FROM t", ["RAND()", "UUID()"]),
        ("SELECT k FROM t WHERE RAND() < 0.5", ["RAND()"]),
        ("SELECT k FROM t", []),
    ],
)
def test_what_is_computed_anew_is_said(
    query: str, culprits: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each call once, before anything runs."""
    with flowsql.connect() as session:
        session.execute("SET 'table.optimizer.non-deterministic-update.strategy' = 'IGNORE'")
        row = pa.RecordBatch.from_arrays([pa.array([1])], schema=SCHEMA)
        session.from_changes("t", SCHEMA, [Changes(row)], mode="retract")
        session.execute(query)
    said = [r.getMessage() for r in caplog.records if r.name == "flowsql"]
    assert [s.split(" is not deterministic")[0] for s in said] == [f'"{c}"' for c in culprits]
