"""Ids, fingerprints, stored plans, differences."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.errors import StateError
from flowsql.expr import AggregateCall, Call, Case, Cast, Column, FieldAccess, Literal
from flowsql.logical import PlanSettings
from flowsql.physical import PhysicalNode, PhysicalPlan, canonical_forms, codec, difference
from flowsql.physical import specs as p
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    Field,
    IntType,
    MapType,
    RowType,
    TimeAttribute,
    TimestampType,
    VarBinaryType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
)
from tests.unit.logical.planning import Planner


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def ids(plan: PhysicalPlan, kind: type[p.Spec]) -> list[str]:
    """Ids of the nodes of a kind."""
    return [n.id for n in plan.nodes if isinstance(n.spec, kind)]


GROUP = "INSERT INTO log SELECT COUNT(*), b FROM t WHERE c > 1 GROUP BY b"


def test_ids_are_stable_and_short(planner: Planner) -> None:
    """Sixteen hex digits, the same in every process."""
    plan = planner.plan(GROUP)
    assert plan == planner.plan(GROUP)
    for node in plan.nodes:
        assert len(node.id) == 16
        int(node.id, 16)


def test_an_id_does_not_see_what_is_read_beside(planner: Planner) -> None:
    """Another statement makes the scan wider: nothing else is another operator."""
    alone = planner.plan(GROUP)
    together = planner.plan(f"{GROUP}; INSERT INTO log SELECT a, 'x' FROM t")
    for kind in (p.Scan, p.Filter, p.GroupAggregate):
        assert ids(alone, kind) == ids(together, kind)


def test_an_aggregate_beside_does_not_change_the_group(planner: Planner) -> None:
    """Aggregates are identified one by one."""
    more = "INSERT INTO log SELECT COUNT(*), MAX(b) FROM t WHERE c > 1 GROUP BY b"
    assert ids(planner.plan(GROUP), p.GroupAggregate) == ids(planner.plan(more), p.GroupAggregate)


@pytest.mark.parametrize(
    "other",
    [
        GROUP.replace("c > 1", "c > 2"),
        GROUP.replace("GROUP BY b", "GROUP BY b, a"),
        GROUP.replace("FROM t", "FROM t /*+ OPTIONS('path' = '/x') */"),
    ],
)
def test_other_rows_are_another_operator(planner: Planner, other: str) -> None:
    """A condition, a key, a source."""
    assert ids(planner.plan(GROUP), p.GroupAggregate) != ids(planner.plan(other), p.GroupAggregate)


def test_what_does_not_identify_changes_nothing(planner: Planner) -> None:
    """Tuning and credentials are no part of an id; neither are names and blanks."""
    planner.bind("""CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'toy', 'path' = '/s')""")
    a = planner.plan("SELECT a AS x FROM s WHERE a > 1")
    b = planner.plan("SELECT a  AS   x FROM s AS q /* why not */ WHERE q.a > 1")
    assert a == b
    planner.catalog.drop(["s"], view=False)
    planner.bind("""CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'toy', 'path' = '/s',
        'port' = '9', 'password' = 'x')""")
    c = planner.plan("SELECT a AS x FROM s WHERE a > 1")
    assert c == a


def test_equal_operators_are_numbered(planner: Planner) -> None:
    """Joins that differ only in what they store."""
    join = "FROM t JOIN k ON t.a = k.id"
    plan = planner.plan(f"SELECT c, '' {join} UNION ALL SELECT 0, x {join}")
    first, second = ids(plan, p.Join)
    assert second == f"{first}#2"


def test_a_self_join_knows_its_sides(planner: Planner) -> None:
    """The same columns of both sides are two values."""
    a = planner.plan("SELECT 1 FROM r x JOIN r z ON x.y = z.id AND x.x < z.x")
    b = planner.plan("SELECT 1 FROM r x JOIN r z ON x.y = z.id AND x.x > z.x")
    c = planner.plan("SELECT 1 FROM r x JOIN r z ON x.y = z.id AND z.x > x.x")
    assert ids(a, p.Join) != ids(b, p.Join)
    assert len(ids(c, p.Join)) == 1


def test_canonical_forms_of_a_stored_plan(planner: Planner) -> None:
    """They give the ids again."""
    plan = planner.plan(f"{GROUP}; {GROUP}; INSERT INTO log SELECT y, k.x FROM r JOIN k USING (id)")
    forms = canonical_forms(codec.loads(codec.dumps(plan)))
    assert list(forms) == [n.id for n in plan.nodes]
    text = json.dumps(forms)
    assert "/t" in text
    assert "select" not in text.lower()


def test_fingerprints(planner: Planner) -> None:
    """The statement's meaning and the settings it depends on; not its layout."""
    base = planner.plan(GROUP).fingerprint
    assert len(base) == 64
    assert base == planner.plan(GROUP.replace(" FROM", "\n  FROM")).fingerprint
    assert base != planner.plan(GROUP.replace("c > 1", "1 < c")).fingerprint
    other = Planner(PlanSettings(local_time_zone="Asia/Tokyo"))
    assert base != other.plan(GROUP).fingerprint


def test_a_difference_is_explained(planner: Planner) -> None:
    """By the lines of the statements, by what they stand on, or by a setting."""
    old = planner.plan(GROUP)
    assert difference(old, planner.plan(GROUP)) == ""
    assert difference(old, planner.plan(GROUP.replace("c > 1", "c > 2"))) == (
        "- WHERE c > 1\n+ WHERE c > 2"
    )
    changed = difference(old, planner.plan(GROUP.replace("COUNT(*)", "MAX(a)"))).splitlines()
    assert "- COUNT(*) GROUP BY b" in changed
    assert "+ MAX(a) GROUP BY b" in changed
    assert not [line for line in changed if "(" in line and "keys=" in line]
    moved = Planner(
        tables="""CREATE TABLE t (a INT, b STRING, c BIGINT) WITH ('connector' = 'toy',
        'path' = '/new'); CREATE TABLE log (a BIGINT, b STRING) WITH ('connector' = 'toy')"""
    )
    assert "'path' = '/new'" in difference(
        PhysicalPlan(old.nodes, old.fingerprint, statement=""),
        PhysicalPlan(moved.plan(GROUP).nodes, "x", statement=""),
    )
    batch = PhysicalPlan(old.nodes, "x", streaming=False, statement=old.statement)
    assert "execution.runtime-mode" in difference(old, batch)
    zone = PhysicalPlan(old.nodes, "x", statement=old.statement)
    assert "a setting such as table.local-time-zone" in difference(old, zone)


# Stored plans

_TYPES = st.recursive(
    st.sampled_from([
        IntType(), IntType(nullable=False), BigIntType(), BooleanType(), DoubleType(),
        DecimalType(20, 4), VarCharType(), VarCharType(7), VarBinaryType(), VariantType(),
        TimestampType(3, TimeAttribute.ROWTIME), TimestampType(9),
        YearMonthIntervalType("MONTH"), DayTimeIntervalType("SECOND", fraction=3),
    ]),
    lambda inner: st.one_of(
        inner.map(ArrayType),
        st.tuples(inner, inner).map(lambda t: MapType(t[0].not_null(), t[1])),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda ts: RowType(tuple(Field(f"f {i}`", t) for i, t in enumerate(ts)))
        ),
    ),
    max_leaves=4,
)  # fmt: skip
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.decimals(allow_nan=False, allow_infinity=False),
)  # fmt: skip
_LEAVES = st.one_of(
    st.builds(lambda t, v: Literal(type=t, value=v), _TYPES, _VALUES),
    st.builds(lambda t, i: Column(type=t, index=i, name="c"), _TYPES, st.integers(0, 9)),
)
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda t, a: Call(type=t, function="+", args=(a, a)), _TYPES, inner),
        st.builds(lambda t, a, s: Cast(type=t, arg=a, safe=s), _TYPES, inner, st.booleans()),
        st.builds(lambda t, a: Case(type=t, conditions=(a,), results=(a, a)), _TYPES, inner),
        st.builds(lambda t, a: FieldAccess(type=t, arg=a, index=1), _TYPES, inner),
    ),
    max_leaves=6,
)


@st.composite
def _plans(draw: st.DrawFn) -> PhysicalPlan:
    expressions = tuple(draw(st.lists(_EXPRESSIONS, min_size=1, max_size=3)))
    row = RowType(tuple(Field(f"c{i}", draw(_TYPES)) for i in range(3)), nullable=False)
    column = Column(type=row.types[0], index=0, name="c0")
    call = AggregateCall("SUM", (column,), draw(st.booleans()), None, BigIntType())
    specs: list[p.Spec] = [
        p.Scan("t", ("a",), expressions, ChangelogMode.APPEND,
               p.Watermark(0, expressions[0], idle_timeout=draw(st.none() | st.integers(0))),
               identity=(("connector", draw(st.text())),)),
        p.Values(tuple((v,) for v in draw(st.lists(_VALUES, max_size=3)))),
        p.Project(expressions),
        p.GroupAggregate((0,), (call,), draw(st.sampled_from(ChangelogMode))),
    ]  # fmt: skip
    nodes = tuple(
        PhysicalNode(f"{i:016x}", s, (), row, ChangelogMode.RETRACT, ((0, 1), ()))
        for i, s in enumerate(specs)
    )
    return PhysicalPlan(nodes, draw(st.text()), draw(st.booleans()), draw(st.text()))


def _same(a: Any, b: Any) -> bool:
    """Equal, NaN too."""
    return repr(a) == repr(b)


@settings(max_examples=60, deadline=None)
@given(_plans())
def test_a_plan_survives_its_json(plan: PhysicalPlan) -> None:
    """Types, enums, decimals, bytes and NaN included."""
    assert _same(codec.loads(codec.dumps(plan)), plan)


def test_every_kind_of_node_survives(planner: Planner) -> None:
    """Plans of real statements, state included."""
    for sql in (
        GROUP,
        "SELECT x.id, k.x FROM r x FULL JOIN k ON x.id = k.id AND x.x > k.x",
        "INSERT INTO kv SELECT y, x FROM u ON CONFLICT DO DEDUPLICATE",
        "INSERT INTO kv SELECT a, b FROM t ON CONFLICT DO ERROR",
        "SELECT DISTINCT a FROM t UNION SELECT 1",
        """SELECT window_start, MAX(DISTINCT c) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts),
           INTERVAL '1' DAY)) GROUP BY window_start, window_end""",
    ):
        plan = planner.plan(sql)
        assert codec.decode(json.loads(json.dumps(codec.encode(plan)))) == plan


def test_a_stored_plan_learns_its_places(planner: Planner) -> None:
    """From the statement that is run again; a node that is another one now stays as it was."""
    plan = planner.plan(GROUP)
    stored = codec.decode(codec.encode(plan))
    assert not any(n.span for n in stored.nodes)
    assert [n.span for n in stored.placed(plan).nodes] == [n.span for n in plan.nodes]
    assert any(n.span for n in plan.nodes)
    newer = planner.plan(GROUP.replace("> 1", "> 2"))
    spans = [n.span for n in stored.placed(newer).nodes]
    assert stored.placed(newer) == stored
    assert spans[0] is not None
    assert spans[1] is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", '{"$": "Popen", "args": []}', '{"$": "PhysicalPlan", "x": 1}',
     '{"$": "PhysicalPlan", "nodes": [{"$enum": "Nope", "name": "X"}], "fingerprint": ""}',
     '{"$type": "NOT A TYPE"}', '{"$": "Filter", "condition": null}'],
)  # fmt: skip
def test_a_foreign_plan_is_refused(text: str) -> None:
    """Nothing but the listed classes is ever built."""
    with pytest.raises(StateError, match="cannot read the stored plan"):
        codec.loads(text)


def test_a_missing_field_has_its_default(planner: Planner) -> None:
    """What an older flowsql wrote can be read."""
    data = codec.encode(planner.plan(GROUP))
    del data["statement"]
    assert codec.decode(data).statement == ""


def test_numbers_keep_their_kind() -> None:
    """1 is no 1.0, and a decimal keeps its scale."""
    values = (1, 1.0, True, Decimal("1.00"), -0.0, math.inf, b"\x00\xff")
    plan = PhysicalPlan(
        (PhysicalNode("a", p.Values((values,)), (), RowType(()), ChangelogMode.APPEND),), "f"
    )
    again = codec.loads(codec.dumps(plan))
    assert _same(again, plan)


def test_what_a_source_takes_exactly_is_part_of_its_id() -> None:
    """No other node holds it; what it takes coarsely is checked by one."""
    planner = Planner(
        tables="""
        CREATE TABLE q (a INT, b STRING, d DECIMAL(5, 2)) WITH ('connector' = 'toy', 'path' = '/q',
          'exact' = 'b;d', 'coarse' = 'a')"""
    )
    plans = [
        planner.plan(f"SELECT COUNT(*) FROM q WHERE {condition}")
        for condition in (
            "b = 'x'",
            "b = 'y'",
            "d IN (1.5, 2)",
            "a > 1",
            "a > 2",
            "a <> CHAR_LENGTH(b)",
        )
    ]
    scans = [ids(plan, p.Scan)[0] for plan in plans]
    assert len(set(scans)) == 4
    assert scans[3] == scans[4] == scans[5]
    counts = {ids(plan, p.GroupAggregate)[0] for plan in plans}
    assert len(counts) == 6
    for plan in plans:
        assert codec.loads(codec.dumps(plan)) == plan
        assert canonical_forms(codec.loads(codec.dumps(plan))) == canonical_forms(plan)
