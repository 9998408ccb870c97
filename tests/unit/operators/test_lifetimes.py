"""State that is forgotten with time, by example; `tests/property` has the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import ChangelogMode, Changes
from flowsql.expr import AggregateCall, Column
from flowsql.logical import PlanSettings
from flowsql.operators import lifetimes
from flowsql.physical.specs import (
    Deduplicate,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Normalize,
    Rank,
    SemiJoin,
    SetKind,
    SetOperation,
    SideLayout,
    SinkMaterialize,
    SortKey,
    Spec,
)
from flowsql.types import BigIntType, RowType, arrow_schema
from tests.unit.logical.planning import Planner
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(k=BigIntType(), v=BigIntType())
COUNTED = row_type(k=BigIntType(), n=BigIntType(nullable=False))
PAIRS = row_type(k=BigIntType(), v=BigIntType(), k0=BigIntType(), w=BigIntType())
APPEND, RETRACT = ChangelogMode.APPEND, ChangelogMode.RETRACT
TTL = 1_000
COUNT = AggregateCall("COUNT", (), False, None, BigIntType(nullable=False))
V = Column(type=BigIntType(), index=1, name="v")
SIDE = JoinSide((0,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), RETRACT, TTL)


def count(mode: ChangelogMode, *calls: AggregateCall) -> Run:
    """COUNT by k."""
    return Run(GroupAggregate((0,), calls or (COUNT,), mode, ttl=TTL), [ROW], COUNTED)


def test_a_row_is_given_again_so_that_what_is_made_of_it_lives_on() -> None:
    """As Flink does where state is forgotten."""
    distinct = AggregateCall("COUNT", (V,), True, None, BigIntType(nullable=False))
    run = count(APPEND, distinct)
    assert run.step(changes(ROW, [(1, 5)], append=True)) == [("+", 1, 1)]
    assert run.step(changes(ROW, [(1, 5)], append=True)) == [("-", 1, 1), ("+", 1, 1)]


def test_a_lifetime_ends_with_the_clock_at_its_end() -> None:
    """A millisecond before it does not."""
    run = count(APPEND)
    run.step(changes(ROW, [(1, 5)], append=True), now=0)
    assert run.step(changes(ROW, [(1, 5)], append=True), now=999) == [("-", 1, 1), ("+", 1, 2)]
    assert run.step(changes(ROW, [(1, 5)], append=True), now=1999) == [("+", 1, 1)]


def test_a_retraction_for_a_group_that_is_over_is_counted() -> None:
    """It is one of a row that is not there."""
    run = count(RETRACT)
    run.step(changes(ROW, [("+", 1, 5)]), now=0)
    assert run.step(changes(ROW, [("-", 1, 5)]), now=1_000) == []
    assert run.counters.as_dict() == {"orphan-retractions": 1}
    assert run.live()["groups"] == 0


def test_distinct_values_are_forgotten_one_by_one() -> None:
    """A value is counted again when it was not seen for so long, though its group lives."""
    run = count(APPEND, AggregateCall("COUNT", (V,), True, None, BigIntType(nullable=False)))
    run.step(changes(ROW, [(1, 5), (1, 6)], append=True), now=0)
    run.step(changes(ROW, [(1, 6)], append=True), now=900)
    assert run.step(changes(ROW, [(1, 6), (1, 5)], append=True), now=1800)[-1] == ("+", 1, 3)


ROWS_BY_KEY: dict[str, Spec] = {
    "distinct": GroupAggregate((0,), (), APPEND, ttl=TTL),
    "last": Deduplicate((0,), None, keep_last=True, ttl=TTL),
    "few": Rank((0,), (SortKey(1, descending=True),), end=2, input_mode=APPEND, ttl=TTL),
    "many": Rank((0,), (SortKey(1, descending=True),), end=2, input_mode=RETRACT, ttl=TTL),
    "normalize": Normalize((0,), TTL),
    "materialize": SinkMaterialize((0,), TTL),
    "intersect": SetOperation(SetKind.INTERSECT, False, RETRACT, RETRACT, TTL),
}


@pytest.mark.parametrize("name", ROWS_BY_KEY)
def test_a_change_lets_a_key_live_on(name: str) -> None:
    """Two pauses that are shorter than a lifetime, and longer together: nothing is forgotten."""
    spec = ROWS_BY_KEY[name]
    tables = []
    for ttl in (TTL, 0):
        output = row_type(k=BigIntType()) if name == "distinct" else ROW
        ports = 2 if isinstance(spec, SetOperation) else 1
        run = Run(replace(spec, ttl=ttl), [ROW] * ports, output)
        append = name in ("distinct", "last", "few")
        for step in range(4):
            value = 7 if ports == 2 else step
            row = (1, value) if append else ("+", 1, value)
            port = step % ports
            run.step((port, changes(ROW, [row], append=append)), now=step * 900)
        tables.append(run.table())
    assert tables[0] == tables[1]
    assert tables[0]


def test_a_row_of_a_semi_join_lives_on_when_its_matches_change() -> None:
    """As Flink writes their number anew."""
    spec = SemiJoin(False, SIDE, replace(SIDE, columns=()), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    run.step((0, changes(ROW, [("+", 1, 1)])), now=0)
    assert run.step((1, changes(ROW, [("+", 1, 0)])), now=900) == [("+", 1, 1)]
    assert run.step((1, changes(ROW, [("-", 1, 0)])), now=1_800) == [("-", 1, 1)]


def test_a_slot_has_no_values_of_the_group_before() -> None:
    """A group that takes the slot of one that is over counts its own values."""
    run = count(APPEND, AggregateCall("COUNT", (V,), True, None, BigIntType(nullable=False)))
    run.step(changes(ROW, [(1, 5)], append=True), now=0)
    run.step(changes(ROW, [(1, 5)], append=True), now=999)
    run.step(now=2_100)
    assert run.step(changes(ROW, [(2, 5)], append=True), now=2_101) == [("+", 2, 1)]


def test_a_group_that_goes_leaves_no_values_to_the_next() -> None:
    """What is taken back may be of a group that was over: values of the one that goes remain."""
    run = count(RETRACT, AggregateCall("COUNT", (V,), True, None, BigIntType(nullable=False)))
    run.step(changes(ROW, [("+", 1, 1), ("+", 1, 2)]), now=0)
    assert run.step(changes(ROW, [("+", 1, 3)]), now=1_100) == [("+", 1, 1)]
    assert run.step(changes(ROW, [("-", 1, 1)]), now=1_101) == [("-", 1, 1)]
    for key in range(10, 14):
        now = 1_102 + key
        assert run.step(changes(ROW, [("+", key, 3)]), now=now) == [("+", key, 1)]


def test_the_first_row_of_a_key_lives_from_when_it_came() -> None:
    """Rows that were left out change nothing."""
    run = Run(Deduplicate((0,), None, keep_last=False, ttl=TTL), [ROW], ROW)
    assert run.step(changes(ROW, [(1, 1)], append=True), now=0) == [("+", 1, 1)]
    assert run.step(changes(ROW, [(1, 2)], append=True), now=999) == []
    assert run.step(changes(ROW, [(1, 3)], append=True), now=1_000) == [("+", 1, 3)]


def test_an_upsert_of_a_key_that_is_over_replaces_nothing() -> None:
    """The old row is not known any more; a deletion finds nothing."""
    run = Run(Normalize((0,), TTL), [ROW], ROW)
    run.step(changes(ROW, [("+U", 1, 1), ("+U", 2, 1)]), now=0)
    assert run.step(changes(ROW, [("+U", 1, 1)]), now=1) == [("-", 1, 1), ("+", 1, 1)]
    assert run.step(changes(ROW, [("+U", 1, 2), ("-D", 2, 1)]), now=1_500) == [("+", 1, 2)]


def test_each_side_of_a_join_has_its_own_lifetime() -> None:
    """Of the right side nothing is forgotten."""
    run = Run(Join(JoinKind.INNER, SIDE, replace(SIDE, ttl=0), (False,)), [ROW, ROW], PAIRS)
    run.step((0, changes(ROW, [("+", 1, 1)])), (1, changes(ROW, [("+", 2, 2)])), now=0)
    late = run.step((1, changes(ROW, [("+", 1, 9)])), (0, changes(ROW, [("+", 2, 8)])), now=1_000)
    assert late == [("+", 2, 8, 2, 2)]


def test_a_forgotten_match_still_counts() -> None:
    """A preserved row is not padded again before its last match was taken back, as in Flink."""
    run = Run(Join(JoinKind.LEFT, replace(SIDE, ttl=0), SIDE, (False,)), [ROW, ROW], PAIRS)
    run.step((0, changes(ROW, [("+", 1, 1)])), (1, changes(ROW, [("+", 1, 2)])), now=0)
    assert run.table() == {(1, 1, 1, 2): 1}
    run.step((1, changes(ROW, [("+", 1, 3)])), now=1_001)
    assert run.step((1, changes(ROW, [("-", 1, 3)])), now=1_002) == [("-", 1, 1, 1, 3)]
    last = run.step((1, changes(ROW, [("-", 1, 2)])), now=1_003)
    assert last == [("-", 1, 1, 1, 2), ("+", 1, 1, None, None)]
    assert run.counters.as_dict() == {"orphan-retractions": 1}


LAYOUTS = {
    "any rows": SIDE,
    "unique key": replace(SIDE, layout=SideLayout.HAS_UNIQUE_KEY, unique_key=(1,)),
    "one row": replace(SIDE, layout=SideLayout.KEY_IS_UNIQUE, unique_key=(0,)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_late_update_takes_the_old_pair_back(layout: str) -> None:
    """Though the row was forgotten: by its other side, which is kept; before anything is given."""
    run = Run(
        Join(JoinKind.INNER, LAYOUTS[layout], replace(SIDE, ttl=0), (False,)), [ROW, ROW], PAIRS
    )
    run.step((1, changes(ROW, [("+", 1, 10), ("+", 1, 10)])), now=0)
    run.step((0, changes(ROW, [("+", 1, 7)])), now=0)
    run.restart()
    late = run.step((0, changes(ROW, [("-", 1, 7), ("+", 1, 8)])), now=1_000)
    assert late == [("-", 1, 7, 1, 10)] * 2 + [("+", 1, 8, 1, 10)] * 2
    assert run.table() == {(1, 8, 1, 10): 2}
    assert run.counters.as_dict() == {"orphan-retractions": 1}
    run.step((0, changes(ROW, [("-", 2, 7)])), now=1_000)
    assert run.live()["keys"] == 1
    # What is passed on leaves nothing behind: the row is still not there.
    again = run.step((0, changes(ROW, [("-", 1, 7)])), now=2_000)
    assert again == [("-", 1, 7, 1, 10)] * 2


def test_without_a_lifetime_nothing_is_passed_on() -> None:
    """A side that forgets nothing knows that the row was never there."""
    run = Run(Join(JoinKind.INNER, replace(SIDE, ttl=0), SIDE, (False,)), [ROW, ROW], PAIRS)
    run.step((1, changes(ROW, [("+", 1, 10)])), now=0)
    assert run.step((0, changes(ROW, [("-", 1, 7)])), now=0) == []
    spec = SemiJoin(True, replace(SIDE, ttl=0), replace(SIDE, columns=()), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    assert run.step((0, changes(ROW, [("-", 1, 7)])), now=0) == []
    spec = SemiJoin(True, SIDE, replace(SIDE, columns=(), ttl=0), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    run.step((0, changes(ROW, [("+", 1, 7)])), now=0)
    run.step((1, changes(ROW, [("+", 1, 0)])), now=0)
    assert run.step((1, changes(ROW, [("-", 1, 0), ("-", 1, 0)])), now=0) == [("+", 1, 7)]
    assert run.step((1, changes(ROW, [("+", 1, 0)])), now=0) == [("-", 1, 7)]


def test_a_forgotten_row_of_the_preserved_side_is_taken_back_padded() -> None:
    """Where it meets nothing now; a row with a NULL key as well."""
    run = Run(Join(JoinKind.FULL, SIDE, replace(SIDE, ttl=0), (False,)), [ROW, ROW], PAIRS)
    rows = [("+", 1, 7), ("+", 2, 7), ("+", None, 7)]
    run.step((0, changes(ROW, rows)), (1, changes(ROW, [("+", 2, 10)])), now=0)
    late = [("-", 2, 7), ("+", 1, 8), ("-", 1, 7), ("-", None, 7)]
    assert run.step((0, changes(ROW, late)), now=1_000) == [
        ("-", 2, 7, 2, 10),
        ("-", 1, 7, None, None),
        ("-", None, 7, None, None),
        ("+", 1, 8, None, None),
        ("+", None, None, 2, 10),
    ]


@pytest.mark.parametrize("anti", [False, True])
def test_a_forgotten_row_of_a_semi_join_is_taken_back(anti: bool) -> None:
    """If it would be given now; a forgotten match is one the less."""
    spec = SemiJoin(anti, SIDE, replace(SIDE, columns=(), ttl=0), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    rows = [("+", 1, 7), ("+", 2, 7)]
    run.step((1, changes(ROW, [("+", 1, 0)])), (0, changes(ROW, rows)), now=0)
    assert run.step((0, changes(ROW, [("-", 1, 7), ("-", 2, 7)])), now=1_000) == [
        ("-", 2 if anti else 1, 7)
    ]
    assert run.table() == {}
    spec = SemiJoin(anti, replace(SIDE, ttl=0), replace(SIDE, columns=()), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    run.step((1, changes(ROW, [("+", 1, 0)])), (0, changes(ROW, rows)), now=0)
    run.restart()
    assert run.step((1, changes(ROW, [("-", 1, 0)])), now=1_000) == [("+" if anti else "-", 1, 7)]


def test_a_row_of_a_semi_join_stays_when_its_match_is_forgotten() -> None:
    """And one that comes later has none."""
    spec = SemiJoin(False, replace(SIDE, ttl=0), replace(SIDE, columns=()), (False,))
    run = Run(spec, [ROW, ROW], ROW)
    run.step((0, changes(ROW, [("+", 1, 1)])), (1, changes(ROW, [("+", 1, 0)])), now=0)
    assert run.step((0, changes(ROW, [("+", 1, 2)])), now=1_000) == []
    assert run.table() == {(1, 1): 1}


def test_a_null_of_not_in_is_forgotten_with_its_row() -> None:
    """What came while it was kept stays away; what comes later does not know of it."""
    planner = Planner(
        PlanSettings(state_ttl=TTL),
        "CREATE TABLE l (k BIGINT) WITH ('connector' = 'toy');"
        "CREATE TABLE r (k BIGINT) WITH ('connector' = 'toy', 'scan' = 'retract');",
    )
    plan = planner.plan("SELECT k FROM l WHERE k NOT IN (SELECT k FROM r)")
    (node,) = (n for n in plan.nodes if isinstance(n.spec, SemiJoin))
    row = row_type(k=BigIntType())

    def one(port: int, *rows: tuple[str, int | None]) -> tuple[int, Changes]:
        return port, changes(row, rows)

    spec = replace(node.spec, left=replace(node.spec.left, mode=RETRACT))
    run = Run(spec, [row, row], row)
    assert run.step(one(1, ("+", None)), now=0) == []
    assert run.step(one(0, ("+", 1), ("+", None)), now=1) == []
    assert run.step(one(0, ("+", 2)), now=TTL) == [("+", 2)]
    run.restart()
    # A retraction that comes late is a match less, as for any join.
    assert run.step(one(1, ("-", None)), now=TTL) == [("+", 1), ("+", None)]
    assert run.step(one(1, ("+", 2), ("+", 7)), now=TTL + 1) == [("-", None)]
    assert run.step(one(0, ("+", 3), ("+", None), ("+", 7)), now=TTL + 2) == [("+", 3)]
    run.step(now=9 * TTL)
    assert {t: n for t, n in run.live().items() if n} == {}


def _append(start: int, count: int) -> Changes:
    # Far from each other: keys that lie near have room made for them ahead.
    keys = pa.array(np.arange(start, start + count) * 10_000_019)
    values = pa.array(np.zeros(count, np.int64))
    return Changes(pa.RecordBatch.from_arrays([keys, values], schema=arrow_schema(ROW)))


SLIDING: dict[str, tuple[Spec, RowType]] = {
    "group": (GroupAggregate((0,), (COUNT,), APPEND, ttl=TTL), COUNTED),
    "first": (Deduplicate((0,), None, keep_last=False, ttl=TTL), ROW),
    "last": (Deduplicate((0,), None, keep_last=True, ttl=TTL), ROW),
    "join": (
        Join(JoinKind.LEFT, *(replace(SIDE, mode=APPEND),) * 2, (False,)),
        PAIRS,
    ),
}


@pytest.mark.parametrize("name", SLIDING)
def test_memory_stays_flat_under_new_keys(name: str) -> None:
    """What a lifetime brings is all that is kept, after sixteen of them as after six."""
    spec, output = SLIDING[name]
    ports = 2 if isinstance(spec, Join) else 1
    run = Run(spec, [ROW] * ports, output)
    sizes = []
    for step in range(160):
        run.step(*((p, _append(step * 500, 500)) for p in range(ports)), now=step * 100)
        if step in (60, 159):
            assert max(run.live().values()) <= 500 * 12
            sizes.append(sum(s.bytes for s in run.store.stats().values()))
    assert sizes[1] <= 1.1 * sizes[0]


@pytest.mark.parametrize("layout", SideLayout)
def test_memory_follows_the_rows_that_live(layout: SideLayout) -> None:
    """Not those that were replaced within a lifetime, however often."""
    unique = {SideLayout.KEY_IS_UNIQUE: (0,), SideLayout.HAS_UNIQUE_KEY: (1,)}.get(layout, ())
    side = replace(SIDE, layout=layout, unique_key=unique, ttl=1_000_000)
    run = Run(Join(JoinKind.INNER, side, side, (False,)), [ROW, ROW], PAIRS)
    for step in range(60):
        rows = [row for k in range(300) for row in (("-", k, step - 1), ("+", k, step))]
        run.step((0, changes(ROW, rows if step else rows[1::2])), now=step)
    lifetimes_ = run.operator._sides[0]._lifetimes
    assert len(lifetimes_._queue) <= 2 * 300 + lifetimes._SLICE + 300


def test_a_small_step_frees_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is over; a large step frees more than it brings."""
    monkeypatch.setattr(lifetimes, "_SLICE", 100)
    run = count(APPEND)
    run.step(_append(0, 20_000), now=0)
    run.step(_append(1 << 20, 10), now=5_000)
    assert 20_010 - 200 <= run.live()["groups"] <= 20_010 - 100
    run.step(_append(1 << 21, 3_000), now=5_001)
    assert run.live()["groups"] <= 20_010 - 100 + 3_000 - 2 * 3_000


def test_what_finds_the_old_is_in_the_gauge() -> None:
    """The queue of ages is memory of the table whose rows it finds."""
    many = [("+", k, k) for k in range(5_000)]
    specs = (
        (Normalize((0,), TTL), "lifetimes", [ROW], ROW),
        (_inner_join(), "left_rows", [ROW, ROW], PAIRS),
    )
    for spec, table, rows, output in specs:
        r = Run(spec, rows, output)
        r.step((0, changes(ROW, many)))
        own = r.store.tables[table].stats().bytes
        assert r.store.stats()[table].bytes >= own + 8 * len(many)


def _inner_join() -> Join:
    side = JoinSide((0,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), RETRACT, TTL)
    return Join(JoinKind.INNER, side, side, (False,), None)
