"""The core of evaluation: laziness, wrapping, errors that name the row."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flowsql.errors import DataError, Span, SqlError
from flowsql.expr import (
    Column,
    EvalSettings,
    StepClock,
    bind_call,
    bind_case,
    compile_predicate,
    compile_projection,
    number_literal,
)
from flowsql.types import Field, IntType, RowType

ROW = RowType((Field("a", IntType()), Field("b", IntType())))
A = Column(type=IntType(), index=0, name="a")
B = Column(type=IntType(), index=1, name="b")
BATCH = pa.record_batch(
    [pa.array([6, 7, None, 8], pa.int32()), pa.array([2, 0, 1, 3], pa.int32())], names=["a", "b"]
)
SETTINGS = EvalSettings()
CLOCK = StepClock(0)


def test_case_guards_a_division() -> None:
    """A branch is computed only on the rows that reach it."""
    quotient = bind_call("/", [A, B], None)
    guarded = bind_case([bind_call("<>", [B, number_literal("0")], None)], [quotient], None)
    result = compile_projection([guarded], ROW, SETTINGS)(BATCH, CLOCK)
    assert result[0].to_pylist() == [3, None, None, 2]


def test_and_guards_a_division() -> None:
    """AND computes its second operand only where the first does not decide."""
    quotient = bind_call("/", [A, B], None)
    test = bind_call(
        "AND",
        [
            bind_call("<>", [B, number_literal("0")], None),
            bind_call(">", [quotient, number_literal("2")], None),
        ],
        None,
    )
    mask = compile_predicate(test, ROW, SETTINGS)(BATCH, CLOCK)
    assert mask.tolist() == [True, False, False, False]


def test_division_by_zero_names_expression_row_and_values() -> None:
    """The failing row is found in the batch."""
    quotient = bind_call("/", [A, B], Span(7, 12))
    with pytest.raises(DataError) as error:
        compile_projection([quotient], ROW, SETTINGS)(BATCH, CLOCK)
    assert error.value.message == 'division by zero in "a / b"'
    assert error.value.detail == "In a row with a = 7, b = 0."
    assert Span(7, 12) == error.value.span


def test_unknown_function_names_the_nearest() -> None:
    """A slip of the pen is answered with the right name."""
    with pytest.raises(SqlError) as error:
        bind_call("COALESC", [A], None)
    assert error.value.message == 'function "COALESC" does not exist'
    assert error.value.hint == 'Did you mean "COALESCE"?'


def test_a_very_deep_expression_is_refused() -> None:
    """Not a crash of the interpreter, but an error with its cure."""
    deep = A
    for _ in range(6000):
        deep = bind_call("+", [deep, A], None)  # type: ignore[assignment]
    with pytest.raises(SqlError) as error:
        compile_projection([deep], ROW, SETTINGS)
    assert error.value.message == "the expression is nested too deeply"
