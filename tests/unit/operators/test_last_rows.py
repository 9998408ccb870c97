"""Normalise and the sink materialiser."""

from __future__ import annotations

import pytest

from flowsql.errors import DataError
from flowsql.physical.specs import Normalize, SinkMaterialize
from flowsql.types import IntType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(k=IntType(), a=VarCharType())


def test_an_upsert_becomes_an_update() -> None:
    """The docstring of `normalize`."""
    r = Run(Normalize((0,)), [ROW], ROW)
    assert r.step(changes(ROW, [("+U", 1, "a")])) == [("+", 1, "a")]
    r.restart()
    out = r.step(changes(ROW, [("+U", 1, "b"), ("+U", 1, "c")]))
    assert out == [("-", 1, "a"), ("+", 1, "c")]
    assert r.step(changes(ROW, [("+I", 1, "c")])) == []
    assert r.step(changes(ROW, [("-D", 1, None), ("-D", 2, None)])) == [("-", 1, "c")]
    assert set(r.live().values()) == {0}


def test_columns_that_were_left_out_are_filled() -> None:
    """From the row before, in this batch or in state."""
    r = Run(Normalize((0,)), [ROW], ROW)
    r.step(changes(ROW, [("+I", 1, "a"), ("+U", 1, None)], unchanged={"a": [False, True]}))
    assert r.table() == {(1, "a"): 1}
    assert r.step(changes(ROW, [("+U", 1, None)], unchanged={"a": [True]})) == []
    for rows, mask in (
        ([("+U", 2, None)], [True]),
        ([("-D", 1, None), ("+U", 1, None)], [False, True]),
    ):
        with pytest.raises(DataError, match='leaves column "a" as it was, but there is no row'):
            r.step(changes(ROW, rows, unchanged={"a": mask}))
        r = Run(Normalize((0,)), [ROW], ROW)
        r.step(changes(ROW, [("+I", 1, "a")]))


def test_the_last_row_to_come_is_shown() -> None:
    """The docstring of `sink_materialize`."""
    r = Run(SinkMaterialize((0,)), [ROW], ROW)
    assert r.step(changes(ROW, [("+", 1, "a")])) == [("+", 1, "a")]
    assert r.step(changes(ROW, [("+", 1, "b")])) == [("-", 1, "a"), ("+", 1, "b")]
    r.restart()
    assert r.step(changes(ROW, [("-", 1, "b")])) == [("-", 1, "b"), ("+", 1, "a")]
    assert r.step(changes(ROW, [("+", 1, "b"), ("-", 1, "b")])) == []
    assert r.step(changes(ROW, [("-", 1, "z"), ("-", 1, "a")])) == [("-", 1, "a")]
    assert r.counters.as_dict() == {"orphan-retractions": 1}
    assert set(r.live().values()) == {0}
