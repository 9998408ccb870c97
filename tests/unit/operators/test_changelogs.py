"""TO_CHANGELOG and FROM_CHANGELOG: labels become values, values become labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowsql.changelog import Changes, kind_names
from flowsql.errors import DataError
from flowsql.physical.specs import FromChangelog, ToChangelog
from flowsql.types import IntType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(id=IntType(), name=VarCharType())
TOLD = row_type(op=VarCharType(), id=IntType(), name=VarCharType())
NAMES = ("INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE")


def to(output: Any = TOLD, **spec: Any) -> Run:
    """A TO_CHANGELOG of the row."""
    return Run(ToChangelog(**{"codes": NAMES, "columns": (0, 1), "at": 0, **spec}), [ROW], output)


def rows_of(parts: list[Changes]) -> list[tuple[Any, ...]]:
    """Kind and values."""
    found: list[tuple[Any, ...]] = []
    for part in parts:
        values = zip(*(c.to_pylist() for c in part.batch.columns), strict=True)
        found += [(k, *v) for k, v in zip(kind_names(part), values, strict=True)]
    return found


def test_every_change_is_a_row() -> None:
    """In order, appended, with its mark."""
    run = to()
    rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, None), ("-D", 1, None)]
    assert run.step(changes(ROW, rows, marks=[4, 5, 6, 7])) == [
        ("+", "INSERT", 1, "a"),
        ("+", "UPDATE_BEFORE", 1, "a"),
        ("+", "UPDATE_AFTER", 1, None),
        ("+", "DELETE", 1, None),
    ]
    assert run.parts[0].codes is None
    assert run.parts[0].marks.watermark.tolist() == [4, 5, 6, 7]
    assert run.step(changes(ROW, [(2, "b")], append=True)) == [("+", "INSERT", 2, "b")]


def test_a_kind_without_a_code_is_left_out() -> None:
    """Marks stay with their rows; a batch may be left without any."""
    run = to(codes=(None, None, "u", "d"))
    rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b"), ("-D", 1, "b")]
    given = run.step(changes(ROW, rows, marks=[4, 5, 6, 7]))
    assert given == [("+", "u", 1, "b"), ("+", "d", 1, "b")]
    assert run.parts[0].marks.watermark.tolist() == [6, 7]
    assert run.step(changes(ROW, rows[:2])) == []
    assert run.step(changes(ROW, [(2, "b")], append=True)) == []


def test_columns_are_ordered_and_deletions_can_lose_theirs() -> None:
    """The partition, the code, the rest; a DELETE row keeps its key."""
    output = row_type(name=VarCharType(), op=VarCharType(), id=IntType())
    run = to(output, columns=(1, 0), at=1, nulled=(2,))
    rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 2, "a"), ("-D", 2, "a")]
    assert run.step(changes(ROW, rows)) == [
        ("+", "a", "INSERT", 1),
        ("+", "a", "UPDATE_BEFORE", 1),
        ("+", "a", "UPDATE_AFTER", 2),
        ("+", "a", "DELETE", None),
    ]


def test_what_only_comes_and_goes_is_netted_and_labelled() -> None:
    """By the key; without one nothing is an update. What is taken back within the step never was."""
    rows = [("+I", 1, "a"), ("-D", 2, "b"), ("-D", 1, "a"), ("+I", 1, "c"), ("+I", 2, "d")]
    keyed = to(net=True, key=(0,))
    assert keyed.step(changes(ROW, rows[:2]), changes(ROW, rows[2:])) == [
        ("+", "UPDATE_BEFORE", 2, "b"),
        ("+", "UPDATE_AFTER", 2, "d"),
        ("+", "INSERT", 1, "c"),
    ]
    assert keyed.step() == []
    bare = to(net=True)
    assert bare.step(changes(ROW, rows)) == [
        ("+", "DELETE", 2, "b"),
        ("+", "INSERT", 1, "c"),
        ("+", "INSERT", 2, "d"),
    ]
    assert bare.step(changes(ROW, [("+I", 1, "x"), ("-D", 1, "x")])) == []


def test_a_value_that_was_not_sent_is_no_row() -> None:
    """It cannot be told from NULL."""
    with pytest.raises(DataError, match='TO_CHANGELOG reads column "name", whose value'):
        to().step(changes(ROW, [("+U", 1, None)], unchanged={"name": [True]}))


def back(**spec: Any) -> Run:
    """A FROM_CHANGELOG of what `to` gives."""
    given = {
        "op": 0,
        "codes": tuple((n, i) for i, n in enumerate(NAMES)),
        "columns": (1, 2),
        **spec,
    }
    return Run(FromChangelog(**given), [TOLD], ROW)


def test_every_row_is_a_change() -> None:
    """Of the kind its code says; marks stay."""
    run = back()
    rows = [(n, i, "x") for i, n in enumerate(NAMES)]
    run.step(changes(TOLD, rows, append=True, marks=[1, 2, 3, 4]))
    assert rows_of(run.parts) == [
        ("+I", 0, "x"),
        ("-U", 1, "x"),
        ("+U", 2, "x"),
        ("-D", 3, "x"),
    ]
    assert run.parts[0].marks.watermark.tolist() == [1, 2, 3, 4]


def test_codes_may_be_others() -> None:
    """Several for a kind, and the empty one."""
    run = back(codes=(("c", 0), ("r", 0), ("", 3)))
    run.step(changes(TOLD, [("r", 1, "x"), ("", 1, "x"), ("c", 2, None)], append=True))
    assert rows_of(run.parts) == [("+I", 1, "x"), ("-D", 1, "x"), ("+I", 2, None)]


def test_an_unknown_code_is_an_error_or_left_out() -> None:
    """So is none."""
    rows = [("INSERT", 1, "x"), ("UNKNOWN", 2, "y"), (None, 3, "z"), ("DELETE", 1, "x")]
    given = changes(TOLD, rows, append=True, marks=[1, 2, 3, 4])
    with pytest.raises(DataError) as told:
        back().step(given)
    assert str(told.value) == (
        'DataError: FROM_CHANGELOG received op code "UNKNOWN", which is not mapped\n'
        'Detail: Mapped are "INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE".\n'
        "Hint: Map it with op_mapping => MAP[…], or leave such rows out with "
        "error_handling => 'SKIP'."
    )
    with pytest.raises(DataError) as told:
        back().step(given.take(np.array([2, 1])))
    assert str(told.value) == (
        "DataError: FROM_CHANGELOG received a NULL op code\n"
        "Detail: Every row of a changelog says which change it is.\n"
        "Hint: Leave such rows out with error_handling => 'SKIP' or a WHERE."
    )
    run = back(skip=True)
    run.step(given)
    assert rows_of(run.parts) == [("+I", 1, "x"), ("-D", 1, "x")]
    assert run.parts[0].marks.watermark.tolist() == [1, 4]
    assert run.step(given.slice(1, 2)) == []


def test_there_and_back() -> None:
    """What one makes of a changelog the other makes undone."""
    rows = [("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, None), ("-D", 1, None)]
    there, again = to(), back()
    there.step(changes(ROW, rows))
    again.step(*there.parts)
    assert rows_of(again.parts) == rows
