"""Lowering of TO_CHANGELOG and FROM_CHANGELOG: what is read, which changes are updates."""

from __future__ import annotations

import pytest

from flowsql.logical import PlanSettings
from flowsql.physical import PhysicalPlan
from flowsql.physical import specs as p
from tests.unit.logical.planning import Planner, text


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner(PlanSettings(require_on_conflict=False))


def only(plan: PhysicalPlan, kind: type[p.Spec]) -> p.Spec:
    """The one spec of a kind."""
    (found,) = [n.spec for n in plan.nodes if isinstance(n.spec, kind)]
    return found


def test_every_column_of_a_changelog_counts(planner: Planner) -> None:
    """One that nobody reads may be all that an update changes."""
    assert planner.physical("SELECT op FROM TO_CHANGELOG(TABLE u)") == text("""
Collect()
└─ Project(op)
   └─ ToChangelog(codes=[INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE])
      └─ Normalize(keys=[id])
         └─ Scan(u, columns=[id, x, y])
""")


def test_a_filter_stays_above_a_changelog(planner: Planner) -> None:
    """Below, an update would lose one of its rows before it is told."""
    assert planner.physical("SELECT * FROM TO_CHANGELOG(TABLE r) WHERE y > 3") == text("""
Collect()
└─ Filter(y > 3)
   └─ ToChangelog(codes=[INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE])
      └─ Scan(r, columns=[id, x, y])
""")


@pytest.mark.parametrize(
    ("query", "net", "key"),
    [
        ("SELECT * FROM t", False, None),
        ("SELECT id, y + 1 AS z FROM r WHERE y > 3", False, None),
        ("SELECT * FROM u", False, None),
        ("SELECT x, COUNT(*) AS n FROM r GROUP BY x", False, None),
        ("SELECT * FROM r UNION ALL SELECT * FROM u", False, None),
        ("SELECT r.id, u.y FROM r JOIN u ON r.id = u.id", True, (0,)),
        ("SELECT r.x, u.y FROM r JOIN u ON r.id = u.id", True, None),
        ("SELECT u.y, r.id FROM r LEFT JOIN u ON r.id = u.id", True, None),
        ("SELECT * FROM r WHERE y IN (SELECT y FROM u)", True, (0,)),
        ("SELECT * FROM r WHERE y NOT IN (SELECT id FROM u)", True, None),
        ("SELECT id FROM r INTERSECT SELECT id FROM u", True, None),
        ("SELECT * FROM r ORDER BY y LIMIT 2", True, None),
        ("SELECT a, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) n FROM t) WHERE n = 1",
         True, (0,)),
        ("SELECT a, c, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) n FROM t) WHERE n < 3",
         True, (0, 2)),
    ],
)  # fmt: skip
def test_which_changes_are_updates(
    planner: Planner, query: str, net: bool, key: tuple[int, ...] | None
) -> None:
    """Where a source or an aggregate says so, and by key where Flink's operator tells them too."""
    spec = only(planner.plan(f"SELECT * FROM TO_CHANGELOG(({query}))"), p.ToChangelog)
    assert isinstance(spec, p.ToChangelog)
    assert (spec.net, spec.key) == (net, key)


def test_deletions_keep_the_partition_and_the_unique_key(planner: Planner) -> None:
    """All else is NULL in them."""
    sql = "SELECT * FROM TO_CHANGELOG(TABLE r PARTITION BY x, produces_full_deletes => FALSE)"
    assert planner.physical(sql) == text("""
Collect()
└─ ToChangelog(codes=[INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE], deletes without [y])
   └─ Scan(r, columns=[id, x, y])
""")


_KEYED = (
    "FROM_CHANGELOG(input => (SELECT a, b, c, b AS op FROM t) PARTITION BY a, "
    "op_mapping => MAP['c', 'INSERT', 'u', 'UPDATE_AFTER', 'd', 'DELETE'])"
)


def test_a_changelog_reads_what_is_asked_for(planner: Planner) -> None:
    """And the code; of a keyed one the partition."""
    sql = "SELECT c FROM FROM_CHANGELOG(TABLE t, op => DESCRIPTOR(b))"
    assert planner.physical(sql, changelog=True) == text("""
Collect()  changelogMode=retract
└─ FromChangelog(b=[INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE])  changelogMode=retract
   └─ Scan(t, columns=[b, c])  changelogMode=append
""")
    sql = "SELECT COUNT(*) FROM FROM_CHANGELOG(TABLE t, op => DESCRIPTOR(b))"
    assert "Scan(t, columns=[a, b])" in planner.physical(sql)
    shown = planner.physical(f"SELECT c FROM {_KEYED}", changelog=True)
    assert "Normalize(keys=[a])  changelogMode=retract  keys=[a]" in shown
    assert "Scan(t, columns=[a, b, c])" in shown


def test_upserts_of_a_changelog_go_straight_to_a_sink(planner: Planner) -> None:
    """With its key, as those of a table; else the last row of each key is kept."""
    assert planner.physical(f"INSERT INTO kv SELECT a, b FROM {_KEYED}", changelog=True) == text("""
Sink(kv, takes=upsert, key=[a])  changelogMode=upsert  keys=[a]
└─ FromChangelog(b=[INSERT as "c", UPDATE_AFTER as "u", DELETE as "d"])  changelogMode=upsert  keys=[a]
   └─ Scan(t, columns=[a, b])  changelogMode=append
""")
    shown = planner.physical(f"INSERT INTO kv SELECT CAST(c AS INT), b FROM {_KEYED}")
    assert "Normalize(keys=[a])" in shown
    assert "SinkMaterialize" in shown


def test_a_keyed_changelog_has_a_unique_key(planner: Planner) -> None:
    """A join needs no more of it; a plain one may hold equal rows."""
    sql = f"SELECT k.x, f.b FROM k JOIN {_KEYED} AS f ON k.id = f.a"
    assert "right: join key is unique" in planner.physical(sql)
    sql = "SELECT k.x, f.c FROM k JOIN FROM_CHANGELOG(TABLE t, DESCRIPTOR(b)) AS f ON k.id = f.a"
    assert "right: no unique key" in planner.physical(sql)


def test_plans_are_stored_and_read(planner: Planner) -> None:
    """Codes, NULLs among them, come back as they were."""
    from flowsql.physical.codec import dumps, loads

    for sql in (
        "SELECT * FROM TO_CHANGELOG(TABLE r, op_mapping => MAP['INSERT', 'i', 'DELETE', ''])",
        f"SELECT * FROM {_KEYED}",
    ):
        plan = planner.plan(sql)
        assert loads(dumps(plan)) == plan


def test_ids_do_not_depend_on_what_is_read_beside(planner: Planner) -> None:
    """Of the aggregate behind it."""

    def ids(more: str) -> set[str]:
        sql = f"SELECT a, COUNT(*) {more} FROM FROM_CHANGELOG(TABLE t, DESCRIPTOR(b)) GROUP BY a"
        nodes = planner.plan(sql).nodes
        return {n.id for n in nodes if isinstance(n.spec, p.FromChangelog | p.GroupAggregate)}

    assert ids("") == ids(", SUM(c)")
