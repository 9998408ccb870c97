"""State that is forgotten with time: the clocks of the steps decide, and nothing else.

Every operator that forgets is run over the same steps with freeing put off for ever, done in the
smallest slices, and at once, with restarts between: the answers are the same. What they are is
told by models of a group, of a join and of deduplication that keep no more than rows and times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.expr import AggregateCall, Column
from flowsql.operators import lifetimes
from flowsql.physical.specs import (
    Deduplicate,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Normalize,
    OnConflict,
    Rank,
    SemiJoin,
    SetKind,
    SetOperation,
    SideLayout,
    SinkMaterialize,
    SortKey,
    Spec,
)
from flowsql.types import BigIntType, Field, IntType, RowType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(k=IntType(), v=IntType(), s=VarCharType())
K, V, S = (Column(type=f.type, index=i, name=f.name) for i, f in enumerate(ROW.fields))
APPEND, RETRACT, UPSERT = ChangelogMode.APPEND, ChangelogMode.RETRACT, ChangelogMode.UPSERT
TTL = 100
LONG_TEXT = "a text that is longer than what stands beside its key: "

Record = tuple[str, int, int, str]


@dataclass(frozen=True)
class Step:
    """Records by port, at a time."""

    now: int
    records: tuple[tuple[int, Record], ...]
    restart: bool


def _agg(function: str, *args: Column, distinct: bool = False) -> AggregateCall:
    kind = BigIntType(nullable=False) if function == "COUNT" else args[0].type
    return AggregateCall(function, args, distinct, None, kind)


AGGREGATES = (
    _agg("COUNT"),
    _agg("SUM", V),
    _agg("COUNT", V, distinct=True),
    _agg("SUM", V, distinct=True),
    _agg("MIN", V),
    _agg("MAX", S),
    _agg("LAST_VALUE", V),
    _agg("LISTAGG", S),
)
GROUPED = RowType(
    (Field("k", IntType()), *(Field(f"a{i}", a.type) for i, a in enumerate(AGGREGATES))),
    nullable=False,
)
UNIQUE = {
    SideLayout.KEY_IS_UNIQUE: (0,),
    SideLayout.HAS_UNIQUE_KEY: (1,),
    SideLayout.NO_UNIQUE_KEY: (),
}


def _side(layout: SideLayout, mode: ChangelogMode, ttl: int) -> JoinSide:
    return JoinSide((0,), (0, 1, 2), layout, UNIQUE[layout], mode, ttl)


def _pairs() -> RowType:
    fields = [replace(f, name=f"{side}{f.name}") for side in "lr" for f in ROW.fields]
    return RowType(tuple(fields), nullable=False)


def _joins() -> Iterator[tuple[str, Spec, RowType]]:
    for kind in JoinKind:
        for layout in SideLayout:
            sides = _side(layout, APPEND, TTL), _side(layout, APPEND, TTL)
            yield f"{kind.value} join, {layout.value}", Join(kind, *sides, (False,)), _pairs()
    left = _side(SideLayout.NO_UNIQUE_KEY, APPEND, TTL)
    right = replace(left, columns=())
    for anti in (False, True):
        name = "anti join" if anti else "semi join"
        yield name, SemiJoin(anti, left, right, (False,)), ROW


def _keyed() -> Iterator[tuple[str, Spec, RowType]]:
    yield "group", GroupAggregate((0,), AGGREGATES, APPEND, ttl=TTL), GROUPED
    one = GroupAggregate((), AGGREGATES, APPEND, ttl=TTL)
    yield "all", one, GROUPED.select(range(1, len(GROUPED.fields)))
    yield "distinct", GroupAggregate((0, 2), (), APPEND, ttl=TTL), ROW.select((0, 2))
    for order in ((SortKey(1, descending=True),), (SortKey(2),)):
        for end in (1, 2, 30):
            rank = Rank((0,), order, end=end, input_mode=APPEND, ttl=TTL)
            yield f"rank by {order[0].column} to {end}", rank, ROW
    for kind in SetKind:
        yield kind.value, SetOperation(kind, True, APPEND, APPEND, TTL), ROW
    yield "materialize", SinkMaterialize((0,), TTL), ROW
    yield "first", Deduplicate((0,), None, keep_last=False, ttl=TTL), ROW
    yield "last", Deduplicate((0,), None, keep_last=True, ttl=TTL), ROW
    yield "normalize", Normalize((0,), TTL), ROW
    yield "first of a conflict", OnConflict((0,), "t", False, APPEND, TTL), ROW


CASES = {name: (spec, output) for name, spec, output in (*_keyed(), *_joins())}
TTLS = ((TTL, TTL), (0, TTL), (3 * TTL, 0), (TTL, 2 * TTL))


def _taking_back(spec: Spec) -> Spec:
    """The same over input that takes rows back."""
    match spec:
        case GroupAggregate() | Rank():
            return replace(spec, input_mode=RETRACT)
        case SetOperation():
            return replace(spec, left_mode=RETRACT, right_mode=RETRACT)
        case Join() | SemiJoin():
            left, right = (replace(s, mode=RETRACT) for s in (spec.left, spec.right))
            return replace(spec, left=left, right=right)
    return spec


def _steps(seed: int, mode: ChangelogMode, ports: int, unique: tuple[int, ...]) -> list[Step]:
    """Steps with pauses about as long as the lifetimes; what is taken back had been added."""
    random = Random(seed)
    # Several new keys in one lifetime take the slots of those that went.
    keys = random.randint(1, 12)
    held: list[list[Record]] = [[] for _ in range(ports)]
    now, steps = random.choice((0, 1_000_000)), []
    for _ in range(random.randint(4, 24)):
        now += random.choice((0, 1, 1, TTL // 9, TTL // 3, TTL, TTL + 1))
        records: list[tuple[int, Record]] = []
        for _ in range(random.randint(0, 6)):
            port = random.randrange(ports)
            rows = held[port]
            if mode is RETRACT and rows and random.random() < 0.4:
                row = rows.pop(random.randrange(len(rows)))
                records.append((port, ("-", *row[1:])))
                continue
            text = random.choice(("a", "b", LONG_TEXT + "c"))
            row = ("+", random.randint(1, keys), random.randint(1, 3), text)
            if mode is UPSERT and random.random() < 0.3:
                row = ("-", *row[1:])
            key = tuple(row[1 + c] for c in (0, *unique))
            if unique and any(tuple(r[1 + c] for c in (0, *unique)) == key for r in rows):
                if mode is APPEND:
                    continue
                old = next(r for r in rows if tuple(r[1 + c] for c in (0, *unique)) == key)
                rows.remove(old)
                records.append((port, ("-", *old[1:])))
            rows.append(row)
            records.append((port, row))
        steps.append(Step(now, tuple(records), random.random() < 0.3))
    return steps


@contextmanager
def _freeing(least: int, per_write: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifetimes, "_SLICE", least)
        patch.setattr(lifetimes, "_PER_WRITE", per_write)
        yield


def _run(
    spec: Spec, output: RowType, mode: ChangelogMode, steps: list[Step], *, restarts: bool
) -> tuple[Run, list[Counter[Any]]]:
    ports = 2 if isinstance(spec, Join | SemiJoin | SetOperation) else 1
    run = Run(spec, [ROW] * ports, output)
    answers = []
    for step in steps:
        if restarts and step.restart:
            run.restart()
        given = []
        for port, record in step.records:
            row = record[1:] if mode is APPEND else record
            given.append((port, changes(ROW, [row], append=mode is APPEND)))
        answers.append(Counter(run.step(*given, now=step.now)))
    return run, answers


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1 << 32), retract=st.booleans(), ttls=st.sampled_from(TTLS))
def test_answers_do_not_depend_on_when_state_is_freed(
    name: str, seed: int, retract: bool, ttls: tuple[int, int]
) -> None:
    """Never, in slices of one, or at once; with restarts."""
    spec, output = CASES[name]
    mode = APPEND
    if isinstance(spec, Normalize):
        mode = UPSERT
    elif retract and not isinstance(spec, Deduplicate | OnConflict):
        spec, mode = _taking_back(spec), RETRACT
    unique: tuple[int, ...] = ()
    if isinstance(spec, Join | SemiJoin):
        left, right = (
            replace(s, ttl=t) for s, t in zip((spec.left, spec.right), ttls, strict=True)
        )
        spec, unique = replace(spec, left=left, right=right), spec.left.unique_key
    ports = 2 if isinstance(spec, Join | SemiJoin | SetOperation) else 1
    steps = _steps(seed, mode, ports, unique)
    with _freeing(0, 0):
        _, never = _run(spec, output, mode, steps, restarts=False)
    with _freeing(1, 0):
        _, slowly = _run(spec, output, mode, steps, restarts=True)
    with _freeing(1 << 20, 0):
        run, at_once = _run(spec, output, mode, steps, restarts=True)
        assert never == slowly
        assert never == at_once
        joins = isinstance(spec, Join | SemiJoin)
        if not joins or min(ttls) > 0:
            # Long after, nothing is left.
            run.step(now=steps[-1].now + 100 * TTL)
            assert {t: n for t, n in run.live().items() if n} == {}


# -- models --------------------------------------------------------------------------------


def _groups(steps: list[Step]) -> list[Counter[Any]]:
    """COUNT(*), SUM(v) and COUNT(DISTINCT v) by k."""
    groups: dict[int, dict[str, Any]] = {}
    answers = []
    for step in steps:
        groups = {k: g for k, g in groups.items() if g["written"] + TTL > step.now}
        before = {k: _group_row(k, g) for k, g in groups.items()}
        touched = set()
        for _, (sign, k, v, _) in step.records:
            group = groups.get(k)
            if group is None:
                if sign == "-":
                    continue
                group = groups[k] = {"count": 0, "sum": 0, "values": {}}
            touched.add(k)
            group["written"] = step.now
            values = {x: e for x, e in group["values"].items() if e[1] + TTL > step.now}
            group["values"] = values
            change = 1 if sign == "+" else -1
            group["count"] += change
            group["sum"] += change * v
            if change > 0 or v in values:
                values[v] = (values.get(v, (0, 0))[0] + change, step.now)
                if (values[v][0], change) == (1, 1):
                    group["distinct"] = group.get("distinct", 0) + 1
                if values[v][0] == 0:
                    group["distinct"] -= 1
                    del values[v]
            if group["count"] <= 0:
                del groups[k]
        answer: Counter[Any] = Counter()
        for k in touched:
            if k in before:
                answer["-", *before[k]] += 1
            if k in groups:
                answer["+", *_group_row(k, groups[k])] += 1
        answers.append(answer)
    return answers


def _group_row(k: int, group: dict[str, Any]) -> tuple[int, ...]:
    return k, group["count"], group["sum"], group.get("distinct", 0)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32), append=st.booleans())
def test_a_group_begins_anew_when_it_is_over(seed: int, append: bool) -> None:
    """Its rows are counted from zero; a row comes again though it is the same."""
    mode = APPEND if append else RETRACT
    steps = _steps(seed, mode, 1, ())
    # A group that loses its last row within a step and comes again is one group here.
    calls = (AGGREGATES[0], AGGREGATES[1], AGGREGATES[2])
    output = GROUPED.select(range(4))
    spec = GroupAggregate((0,), calls, mode, ttl=TTL)
    steps = [s for s in steps if append or _one_way(s)]
    _, answers = _run(spec, output, mode, steps, restarts=True)
    assert answers == _groups(steps)


def _one_way(step: Step) -> bool:
    """Whether no key has both additions and retractions."""
    signs: dict[int, str] = {}
    return all(signs.setdefault(k, sign) == sign for _, (sign, k, _, _) in step.records)


@dataclass
class _Kept:
    """A row of a join's side."""

    written: int
    weight: int = 1
    matches: int = 0
    padded: int = 0


def _joined(
    steps: list[Step], kind: JoinKind, ttls: tuple[int, int], *, append: bool
) -> list[Counter[Any]]:
    """Flink's join by key: what is kept of a row is its matches."""
    sides: tuple[dict[Any, _Kept], dict[Any, _Kept]] = ({}, {})
    keeps = (
        kind in (JoinKind.LEFT, JoinKind.FULL),
        kind in (JoinKind.RIGHT, JoinKind.FULL),
    )
    nothing = (None, None, None)
    answers = []
    serial = 0
    for step in steps:
        answer: Counter[Any] = Counter()

        def pair(port: int, mine: Any, theirs: Any) -> Any:
            return (*mine, *theirs) if port == 0 else (*theirs, *mine)

        for side, ttl in zip(sides, ttls, strict=True):
            for row in [r for r, e in side.items() if ttl and e.written + ttl <= step.now]:
                del side[row]
        for port, (sign, *row) in step.records:
            me, other = sides[port], sides[1 - port]
            change = 1 if sign == "+" else -1
            serial += 1
            content = (tuple(row), serial if append else 0)
            orphan = change < 0 and content not in me
            if orphan and not ttls[port]:
                continue
            met = [(c, e) for c, e in other.items() if c[0][0] == row[0]]
            for theirs, entry in met:
                answer[sign, *pair(port, row, theirs[0])] += entry.weight
                if keeps[1 - port]:
                    entry.matches += change
                    entry.written = step.now
                    if change > 0 and entry.padded:
                        answer["-", *pair(port, nothing, theirs[0])] += entry.padded
                        entry.padded = 0
            if orphan:
                if keeps[port] and not met:
                    answer["-", *pair(port, row, nothing)] += 1
                continue
            if content not in me:
                me[content] = _Kept(step.now, 1, sum(e.weight for _, e in met))
                continue
            kept = me[content]
            kept.weight += change
            kept.written = step.now
            if kept.padded > kept.weight:
                answer["-", *pair(port, row, nothing)] += 1
                kept.padded = kept.weight
            if not kept.weight:
                del me[content]
        for port in (0, 1):
            for content, kept in sides[port].items():
                missing = kept.weight - kept.padded
                if keeps[port] and kept.matches <= 0 and missing:
                    answer["+", *pair(port, content[0], nothing)] += missing
                    kept.padded = kept.weight
        answers.append(_net(answer))
    return answers


def _net(answer: Counter[Any]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for (sign, *row), n in answer.items():
        total[tuple(row)] += n if sign == "+" else -n
    return Counter({row: n for row, n in total.items() if n})


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    kind=st.sampled_from(list(JoinKind)),
    append=st.booleans(),
    ttls=st.sampled_from(((TTL, TTL), (0, TTL), (3 * TTL, 0))),
)
def test_a_join_meets_rows_that_are_not_over(
    seed: int, kind: JoinKind, append: bool, ttls: tuple[int, int]
) -> None:
    """Against the model, net by step."""
    mode = APPEND if append else RETRACT
    steps = _steps(seed, mode, 2, ())
    sides = [_side(SideLayout.NO_UNIQUE_KEY, mode, ttl) for ttl in ttls]
    _, answers = _run(Join(kind, *sides, (False,)), _pairs(), mode, steps, restarts=True)
    assert [_net(a) for a in answers] == _joined(steps, kind, ttls, append=append)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    anti=st.booleans(),
    append=st.booleans(),
    ttls=st.sampled_from(((TTL, TTL), (0, TTL), (3 * TTL, 0))),
)
def test_a_semi_join_meets_rows_that_are_not_over(
    seed: int, anti: bool, append: bool, ttls: tuple[int, int]
) -> None:
    """Against Flink's way: row by row, what is kept of a left row is its matches; net by step."""
    mode = APPEND if append else RETRACT
    steps = _steps(seed, mode, 2, ())
    left, right = (_side(SideLayout.NO_UNIQUE_KEY, mode, ttl) for ttl in ttls)
    spec = SemiJoin(anti, left, replace(right, columns=()), (False,))
    _, answers = _run(spec, ROW, mode, steps, restarts=True)
    lefts: dict[Any, _Kept] = {}
    rights: list[tuple[int, int]] = []
    for step, answer in zip(steps, answers, strict=True):
        expected: Counter[Any] = Counter()
        lefts = {r: e for r, e in lefts.items() if not ttls[0] or e.written + ttls[0] > step.now}
        rights = [e for e in rights if not ttls[1] or e[1] + ttls[1] > step.now]
        for number, (port, (sign, *row)) in enumerate(step.records):
            change = 1 if sign == "+" else -1
            if port == 0:
                matches = sum(k == row[0] for k, _ in rights)
                content = (*row, (step.now, number) if append else None)
                kept = lefts.get(content)
                if kept is None and change < 0:
                    expected[tuple(row)] -= bool(ttls[0]) and (matches > 0) != anti
                elif kept is None:
                    lefts[content] = _Kept(step.now, 1, matches)
                    expected[tuple(row)] += (matches > 0) != anti
                else:
                    kept.weight += change
                    kept.written = step.now
                    expected[tuple(row)] += change * ((kept.matches > 0) != anti)
                    if not kept.weight:
                        del lefts[content]
                continue
            if change > 0:
                # Equal rows are one row; but those that are only added need not be found again.
                rights = [(k, step.now if k == row[0] and not append else t) for k, t in rights] + [
                    (row[0], step.now)
                ]
            else:
                found = [e for e in rights if e[0] == row[0]]
                if found:
                    rights = [e for e in rights if e[0] != row[0]]
                    rights += [(row[0], step.now)] * (len(found) - 1)
                elif not ttls[1]:
                    continue
            for content, kept in lefts.items():
                if content[0] == row[0]:
                    before = kept.matches > 0
                    kept.matches += change
                    kept.written = step.now
                    gain = (kept.matches > 0) - before
                    expected[content[:3]] += kept.weight * (-gain if anti else gain)
        assert _net(answer) == Counter({r: n for r, n in expected.items() if n})


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), last=st.booleans())
def test_a_key_that_is_over_is_a_new_one(seed: int, last: bool) -> None:
    """First rows live from when they came, last ones from the last."""
    steps = _steps(seed, APPEND, 1, ())
    spec = Deduplicate((0,), None, keep_last=last, ttl=TTL)
    _, answers = _run(spec, ROW, APPEND, steps, restarts=True)
    kept: dict[int, tuple[int, Any]] = {}
    for step, answer in zip(steps, answers, strict=True):
        kept = {k: e for k, e in kept.items() if e[0] + TTL > step.now}
        expected: Counter[Any] = Counter()
        before = dict(kept)
        for _, (_, *row) in step.records:
            if last or row[0] not in kept:
                kept[row[0]] = (step.now, tuple(row))
        for k in {row[0] for _, (_, *row) in step.records}:
            if last and k in before:
                expected["-", *before[k][1]] += 1
            if last or k not in before:
                expected["+", *kept[k][1]] += 1
        assert expected == answer
