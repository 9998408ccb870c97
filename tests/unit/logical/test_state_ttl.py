"""The hint STATE_TTL: whose state it means, and what is wrong with it."""

from __future__ import annotations

import pytest

from flowsql.logical import PlanSettings
from tests.unit.logical.planning import Planner

HOUR = 3_600_000
T = "SELECT /*+ STATE_TTL('t' = '1 d') */"


def kept(planner: Planner, sql: str) -> list[str]:
    """The operators of a plan that forget, and when."""
    found = []
    for node in planner.plan(sql).nodes:
        name, spec = type(node.spec).__name__, node.spec
        if hasattr(spec, "left"):
            found += [f"{name}.{s} {getattr(spec, s).ttl // HOUR}" for s in ("left", "right")]
        elif getattr(spec, "ttl", 0):
            found.append(f"{name} {spec.ttl // HOUR}")
    return found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"{T} a, COUNT(*) FROM t GROUP BY a", ["GroupAggregate 24"]),
        (f"{T} COUNT(*) FROM t WHERE a > 1", ["GroupAggregate 24"]),
        (f"{T} DISTINCT a FROM t", ["GroupAggregate 24"]),
        (f"{T} a, COUNT(*) FROM t GROUP BY ROLLUP(a)", ["GroupAggregate 24"]),
        ("SELECT /*+ STATE_TTL('x' = 'PT2H') */ a, COUNT(*) FROM t AS x GROUP BY a", ["GroupAggregate 2"]),
        ("SELECT /*+ STATE_TTL('default_database.t' = '2h') */ a, COUNT(*) FROM t GROUP BY a", ["GroupAggregate 2"]),
        ("WITH c AS (SELECT * FROM t) SELECT /*+ STATE_TTL('c' = '2h') */ a, COUNT(*) FROM c GROUP BY a", ["GroupAggregate 2"]),
        ("SELECT /*+ STATE_TTL('s' = '2h') */ a, COUNT(*) FROM (SELECT * FROM t) AS s GROUP BY a", ["GroupAggregate 2"]),
        (f"{T} a, COUNT(*) FROM (SELECT * FROM t) GROUP BY a", ["GroupAggregate 24"]),
        # Of two values of a hint the last counts, of two hints the first.
        ("SELECT /*+ STATE_TTL('t' = '1h', 't' = '2h') */ a, COUNT(*) FROM t GROUP BY a", ["GroupAggregate 2"]),
        ("SELECT /*+ STATE_TTL('t' = '1h'), STATE_TTL('t' = '2h') */ a, COUNT(*) FROM t GROUP BY a", ["GroupAggregate 1"]),
        ("SELECT /*+ STATE_TTL('x' = '1h', 'y' = '2h') */ x.a FROM t x JOIN t y ON x.a = y.a", ["Join.left 1", "Join.right 2"]),
        ("SELECT /*+ STATE_TTL('y' = '2h') */ x.a FROM t x LEFT JOIN t y ON x.a = y.a", ["Join.left 0", "Join.right 2"]),
        # What a join gives has no name.
        (
            "SELECT /*+ STATE_TTL('x' = '1h', 'y' = '2h', 'z' = '3h') */ x.a, COUNT(*) FROM t x JOIN t y ON x.a = y.a JOIN t z ON y.b = z.b GROUP BY x.a",
            ["Join.left 1", "Join.right 2", "Join.left 0", "Join.right 3"],
        ),
        ("SELECT /*+ STATE_TTL('t' = '1h', 'x' = '2h') */ a FROM t WHERE a IN (SELECT a FROM t AS x)", ["SemiJoin.left 1", "SemiJoin.right 2"]),
        # A block's hint is its own.
        (f"SELECT n, COUNT(*) FROM ({T} a, COUNT(*) AS n FROM t GROUP BY a) GROUP BY n", ["GroupAggregate 24"]),
        (f"{T} a, COUNT(*) FROM t GROUP BY a UNION ALL SELECT a, SUM(a) FROM t GROUP BY a", ["GroupAggregate 24"]),
        # Without a join or an aggregate nobody looks at it.
        ("SELECT /*+ STATE_TTL('nobody' = '1 d') */ a FROM t", []),
    ],
)  # fmt: skip
def test_a_hint_names_inputs_of_its_block(sql: str, expected: list[str]) -> None:
    """As Flink 2.3 finds them."""
    assert kept(Planner(), sql) == expected


def test_a_hint_wins_over_the_setting() -> None:
    """Also one that keeps for ever; what it does not name is kept as the setting says."""
    planner = Planner(PlanSettings(state_ttl=5 * HOUR))
    sql = "SELECT /*+ STATE_TTL('x' = '0 s') */ x.a FROM t x JOIN t y ON x.a = y.a"
    assert kept(planner, sql) == ["Join.left 0", "Join.right 5"]
    assert kept(planner, "SELECT a, COUNT(*) FROM t GROUP BY a") == ["GroupAggregate 5"]


def test_a_batch_job_forgets_nothing() -> None:
    """All of its input is read in one step."""
    planner = Planner(PlanSettings(streaming=False, state_ttl=5 * HOUR))
    assert kept(planner, f"{T} a, COUNT(*) FROM t GROUP BY a") == []


def test_what_asks_for_nothing_keeps_its_fingerprint() -> None:
    """A checkpoint of a version that knew no lifetimes goes on; another lifetime is another job."""
    sql = "SELECT x.a, COUNT(*) FROM t x JOIN t y ON x.a = y.a GROUP BY x.a"
    plain = Planner().plan(sql).fingerprint
    assert plain == "0e678eea524ee9d22dae685ab97f6e32b1f41984a1448678e0efdf45beb739d4"
    for ttl in (HOUR, 2 * HOUR):
        assert Planner(PlanSettings(state_ttl=ttl)).plan(sql).fingerprint != plain


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ("STATE_TTL('x' = '1 d')", 'hint "STATE_TTL" names "x", which is no input of a join or an aggregate here'),
        ("STATE_TTL('T' = '1 d')", 'Did you mean "t"?'),
        ("STATE_TTL('t' = 'a day')", 'cannot keep the state of "t" for "a day": expected a duration'),
        ("STATE_TTL('t' = '-1 d')", "expected a duration such as '10 s'"),
        ("STATE_TTL(t)", 'hint "STATE_TTL" needs pairs of a table and a time'),
        ("STATE_TTL", "Write STATE_TTL('orders' = '1 d')."),
    ],
)  # fmt: skip
def test_a_wrong_hint_is_an_error(hint: str, message: str) -> None:
    """With its place."""
    shown = Planner().error(f"SELECT /*+ {hint} */ a, COUNT(*) FROM t GROUP BY a")
    assert message in shown
    assert "^" in shown
