"""Valid changelogs and the ways to cut them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from flowsql.types import RowType
from tests.unit.operators.harness import Run, changes, folded, normal

Row = tuple[Any, ...]
Item = tuple[int, str, Row]  # port, sign, values

INTS = st.one_of(st.none(), st.integers(-3, 3))
DOUBLES = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan, math.inf]))
STRINGS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "a rather long string indeed"]))


def key_of(row: Row, columns: Sequence[int]) -> Row:
    """These columns in normal form."""
    return tuple(normal(row[c]) for c in columns)


@dataclass(frozen=True)
class Input:
    """What a port may carry.

    Attributes:
        row: a strategy for rows.
        unique: columns of which at most one row is live; an insert over a live one is an update.
        append: no retractions.
    """

    row: st.SearchStrategy[Row]
    unique: tuple[int, ...] | None = None
    append: bool = False


@st.composite
def changelogs(draw: st.DrawFn, inputs: Sequence[Input], size: int = 24) -> list[Item]:
    """A valid changelog over all ports, in order of arrival."""
    items: list[Item] = []
    live: list[list[Row]] = [[] for _ in inputs]
    for _ in range(draw(st.integers(1, size))):
        port = draw(st.integers(0, len(inputs) - 1))
        source, rows = inputs[port], live[port]
        action = draw(st.sampled_from(["insert", "insert", "delete", "update"]))
        if source.append or not rows:
            action = "insert"
        if action != "insert":
            old = rows.pop(draw(st.integers(0, len(rows) - 1)))
            items.append((port, "-", old))
        if action == "delete":
            continue
        new = draw(source.row)
        if source.unique is not None:
            key = key_of(new, source.unique)
            held = [r for r in rows if key_of(r, source.unique) == key]
            if held and source.append:
                continue
            for old in held:
                rows.remove(old)
                items.append((port, "-", old))
        rows.append(new)
        items.append((port, "+", new))
    return items


def table_of(items: Sequence[Item], port: int) -> list[Row]:
    """The rows that are live after these changes."""
    rows: list[Row] = []
    for at, sign, row in items:
        if at != port:
            continue
        if sign == "+":
            rows.append(row)
        else:
            key = key_of(row, range(len(row)))
            rows.pop(next(i for i, r in enumerate(rows) if key_of(r, range(len(r))) == key))
    return rows


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[tuple[int, bool, list[int]]]:
    """Steps as (end, restart after it, ends of batches within)."""
    ends = sorted(draw(st.sets(st.integers(1, length), max_size=5)) | {length})
    result = []
    start = 0
    for end in ends:
        inner = draw(st.sets(st.integers(start + 1, end), max_size=3)) | {end}
        result.append((end, draw(st.booleans()), sorted(inner)))
        start = end
    return result


def check(
    run: Run,
    rows: Sequence[RowType],
    items: Sequence[Item],
    steps: Sequence[tuple[int, bool, list[int]]],
    *,
    model: Callable[[Sequence[Item]], Counter[Row]],
    append: Sequence[bool],
) -> None:
    """After every step the folded output is the model's answer over the items so far."""
    start = 0
    for end, restart, inner in steps:
        batches = []
        for stop in inner:
            at = start
            while at < stop:
                port = items[at][0]
                until = at
                while until < stop and items[until][0] == port:
                    until += 1
                part = items[at:until]
                if append[port]:
                    batch = changes(rows[port], [r for _, _, r in part], append=True)
                else:
                    batch = changes(rows[port], [(s, *r) for _, s, r in part])
                batches.append((port, batch))
                at = until
            start = stop
        run.step(*batches)
        assert run.table() == model(items[:end])
        if restart:
            run.restart()
    assert run.counters.as_dict() == {}


def answer(rows: Sequence[Row]) -> Counter[Row]:
    """A table in the form of `folded`."""
    return folded([("+", *r) for r in rows])
