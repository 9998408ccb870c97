"""Normalise and the sink materialiser against dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode, Changes, Marks
from flowsql.physical.specs import Normalize, SinkMaterialize
from flowsql.types import DoubleType, IntType, VarCharType
from tests.property.operators.changelogs import (
    DOUBLES,
    STRINGS,
    Input,
    Item,
    Row,
    answer,
    changelogs,
    check,
    cuts,
)
from tests.unit.operators.harness import Run, changes, normal, row_type

ROW = row_type(k=IntType(), s=VarCharType(), x=DoubleType())
KEYS = st.one_of(st.none(), st.integers(0, 3))
ROWS = st.tuples(KEYS, STRINGS, DOUBLES)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_sink_shows_the_last_row_to_come(data: st.DataObject) -> None:
    """Rows by key in order of arrival; the first of equal ones leaves first."""
    items = data.draw(changelogs([Input(ROWS)]))
    steps = data.draw(cuts(len(items)))

    def model(part: Sequence[Item]) -> Counter[Row]:
        lists: dict[Any, list[Row]] = {}
        for _, sign, row in part:
            rows = lists.setdefault(row[0], [])
            if sign == "+":
                rows.append(row)
            else:
                same = [tuple(map(normal, r)) for r in rows]
                rows.pop(same.index(tuple(map(normal, row))))
        return answer([rows[-1] for rows in lists.values() if rows])

    run = Run(SinkMaterialize((0,)), [ROW], ROW)
    check(run, [ROW], items, steps, model=model, append=[False])
    if not model(items):
        assert set(run.live().values()) == {0}


@st.composite
def upserts(draw: st.DrawFn) -> list[tuple[str, Row, tuple[bool, bool]]]:
    """Upserts of which some leave columns out where a row is there, and deletions by key only."""
    live: set[Any] = set()
    items = []
    for _ in range(draw(st.integers(1, 20))):
        row = draw(ROWS)
        if draw(st.integers(0, 3)) == 0:
            items.append(("-", (row[0], None, None), (False, False)))
            live.discard(row[0])
            continue
        left_out = draw(st.tuples(st.booleans(), st.booleans())) if row[0] in live else (False,) * 2
        row = (row[0], None if left_out[0] else row[1], None if left_out[1] else row[2])
        items.append((draw(st.sampled_from(["+I", "+U"])), row, left_out))
        live.add(row[0])
    return items


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_last_row_by_key(data: st.DataObject) -> None:
    """Any cut gives the last row of each key, columns that were left out filled in."""
    items = data.draw(upserts())
    timed = data.draw(st.booleans())
    run = Run(Normalize((0,)), [ROW], ROW, mode=ChangelogMode.RETRACT)
    table: dict[Any, Row] = {}
    start = 0
    for end, restart, inner in data.draw(cuts(len(items))):
        batches = []
        for stop in inner:
            part = items[start:stop]
            start = stop
            masks = {"s": [m[0] for *_, m in part], "x": [m[1] for *_, m in part]}
            batch = changes(ROW, [(k, *r) for k, r, _ in part], unchanged=masks)
            if timed:
                marks = Marks(np.arange(len(part)))
                batch = Changes(batch.batch, batch.codes, batch.unchanged, marks)
            batches.append(batch)
            for kind, row, left_out in part:
                if kind == "-":
                    table.pop(row[0], None)
                else:
                    old = table.get(row[0], row)
                    table[row[0]] = (
                        row[0],
                        old[1] if left_out[0] else row[1],
                        old[2] if left_out[1] else row[2],
                    )
        run.step(*batches)
        assert run.table() == answer(list(table.values()))
        assert run.live()["keys"] == run.live()["rows"] == len(table)
        if restart:
            run.restart()
        assert end == start
