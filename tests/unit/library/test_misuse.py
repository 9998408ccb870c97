"""What a program gets wrong where it calls the library: an error with the cure, never a stray one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import flowsql

SCHEMA = pa.schema([("k", pa.int64())])


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (
            lambda _: flowsql.connect({"parallelism.default": 5}),  # type: ignore[dict-item]
            "setting 'parallelism.default': 5 is not text",
            "as SET takes them",
        ),
        (lambda s: s.execute(None), "statements are text, not NoneType", None),
        (
            lambda s: s.from_changes("t", {"k": "BIGINT"}, []),
            'table "t": the schema is a dict',
            "pa.schema(",
        ),
        (
            lambda s: s.from_changes("t", SCHEMA, [], mode="upsert"),
            'table "t": upserts need a key',
            "primary_key=",
        ),
    ],
)
def test_misuse(call: Callable[[Any], object], message: str, hint: str | None) -> None:
    """Caught where it is made."""
    with flowsql.connect() as session, pytest.raises(flowsql.FlowSQLError) as caught:
        call(session)
    assert caught.value.message == message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_closed_session_is_closed() -> None:
    """It starts nothing that nobody would stop."""
    session = flowsql.connect()
    session.close()
    with pytest.raises(flowsql.ConfigError, match="the session is closed"):
        session.execute("SELECT 1")


def test_a_kind_that_is_none() -> None:
    """It is told with its place, when the item is read."""
    batch = pa.record_batch({"k": [1, 2]}, schema=SCHEMA)
    with flowsql.connect() as session:
        item = flowsql.Changes(batch, pa.array([0, 7], pa.int8()))
        session.from_changes("t", SCHEMA, [batch, item])
        answer = session.execute("SELECT k FROM t")
        assert isinstance(answer, flowsql.Result)
        with pytest.raises(flowsql.DataError) as caught:
            answer.fetchall()
    assert caught.value.message == 'item 1 of table "t" has the kind 7 at row 1'


@pytest.mark.parametrize("mode", ["append", "retract", "upsert"])
def test_a_null_in_a_column_that_has_none(mode: str) -> None:
    """`COUNT(v)` would count it and `v IS NULL` find it; an upsert's deletion needs only its key."""
    fields = [pa.field("k", pa.int64()), pa.field("v", pa.int64(), nullable=False)]
    batch = pa.record_batch([[1, 1], [5, None]], schema=pa.schema(fields))
    key = ["k"] if mode == "upsert" else []
    with flowsql.connect() as session:
        session.from_changes("t", batch.schema, [batch], mode=mode, primary_key=key)
        answer = session.execute("SELECT COUNT(v) FROM t")
        assert isinstance(answer, flowsql.Result)
        with pytest.raises(flowsql.DataError) as caught:
            answer.fetchall()
        message = 'column "v" of item 0 of table "t" is NULL at row 1, and declared NOT NULL'
        assert caught.value.message == message
    if mode == "upsert":
        with flowsql.connect() as session:
            item = flowsql.Changes(batch, pa.array([0, 3], pa.int8()))
            session.from_changes("t", batch.schema, [item], mode=mode, primary_key=key)
            answer = session.execute("SELECT COUNT(v) FROM t")
            assert isinstance(answer, flowsql.Result)
            assert answer.fetchall() == []
