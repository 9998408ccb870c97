"""What rules do to sub-queries, sets, Top-N and grouping sets: the plan before and after."""

from __future__ import annotations

import pytest

from flowsql.logical import Join, LogicalPlan, SemiJoin
from flowsql.optimizer import optimize
from flowsql.optimizer.join_keys import join_keys
from flowsql.optimizer.prune_columns import prune_columns
from flowsql.optimizer.prune_empty import prune_empty
from flowsql.optimizer.push_filters import push_filters
from flowsql.optimizer.rank_rows import rank_rows
from tests.unit.logical.planning import Planner, text


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def bound(planner: Planner, sql: str) -> LogicalPlan:
    """The plan of one query."""
    return planner.bind(sql)[-1]


def shown(plan: LogicalPlan) -> str:
    """The plan's tree under short names."""
    return plan.tree().replace("default_catalog.default_database.", "")


def optimized(planner: Planner, sql: str) -> str:
    """The plan after all rules."""
    return shown(optimize([bound(planner, sql)], planner.settings)[0])


def test_a_filter_by_number_is_a_top_n(planner: Planner) -> None:
    """Conditions on the partition go below it, others stay above."""
    plan = bound(
        planner,
        "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY y ORDER BY id DESC) AS n FROM r) WHERE n <= 3 AND x <> 'a' AND y = 1",
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter((n <= 3) AND (x <> 'a') AND (y = 1))
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[y], order=[id DESC])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Project(id, x, y, number AS n)
   └─ Filter(x <> 'a')
      └─ Rank(ROW_NUMBER, partition=[y], order=[id DESC], 1 to 3)
         └─ Filter(y = 1)
            └─ Scan(r, columns=[id, x, y])
""")


def test_a_range_of_numbers(planner: Planner) -> None:
    """From either side of the comparison."""
    plan = bound(
        planner,
        "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY id) AS n FROM r) WHERE 2 < n AND n < 5",
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter((2 < n) AND (n < 5))
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[], order=[id])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Project(id, x, y, number AS n)
   └─ Rank(ROW_NUMBER, partition=[], order=[id], 3 to 4)
      └─ Scan(r, columns=[id, x, y])
""")


def test_a_number_up_to_a_column(planner: Planner) -> None:
    """It has one value in a partition."""
    plan = bound(
        planner,
        "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY y ORDER BY id) AS n FROM r) WHERE n <= y",
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter(n <= CAST(y AS BIGINT))
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[y], order=[id])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Project(id, x, y, number AS n)
   └─ Rank(ROW_NUMBER, partition=[y], order=[id], 1 to y)
      └─ Scan(r, columns=[id, x, y])
""")


def test_numbers_without_an_end(planner: Planner) -> None:
    """All rows are numbered."""
    plan = bound(
        planner, "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY id) AS n FROM r) WHERE n > 3"
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter(n > 3)
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[], order=[id])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Project(id, x, y, number AS n)
   └─ Filter(number > 3)
      └─ Number(ROW_NUMBER, partition=[], order=[id])
         └─ Scan(r, columns=[id, x, y])
""")


def test_no_number_is_below_one(planner: Planner) -> None:
    """Nothing is read."""
    plan = bound(
        planner, "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY id) AS n FROM r) WHERE n < 1"
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter(n < 1)
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[], order=[id])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
        prune_empty,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Values(rows=0, columns=[x])
""")


def test_a_number_that_nobody_reads(planner: Planner) -> None:
    """It is not given."""
    plan = bound(
        planner,
        "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY y ORDER BY id DESC) AS n FROM r) WHERE n = 1",
    )
    assert shown(plan) == text("""
Project(x)
└─ Filter(n = 1)
   └─ Project(id, x, y, number AS n)
      └─ Number(ROW_NUMBER, partition=[y], order=[id DESC])
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (
        push_filters,
        rank_rows,
        prune_columns,
    ):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Project(x)
   └─ Rank(ROW_NUMBER, partition=[y], order=[id DESC], 1 to 1)
      └─ Scan(r, columns=[id, x, y])
""")


def test_filters_move_through_a_semi_join(planner: Planner) -> None:
    """What reads one side goes into it."""
    plan = bound(
        planner,
        "SELECT a FROM t WHERE b = 'x' AND EXISTS (SELECT 1 FROM r WHERE r.id = t.a AND r.y > 3 AND t.c > 2)",
    )
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(semi, (id = a) AND (c > 2))
   ├─ Filter(b = 'x')
   │  └─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(1 AS EXPR$0, id AS id1)
      └─ Filter(y > 3)
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (push_filters,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(semi, id = a)
   ├─ Filter((b = 'x') AND (c > 2))
   │  └─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(1 AS EXPR$0, id AS id1)
      └─ Filter(y > 3)
         └─ Scan(r, columns=[id, x, y])
""")


def test_an_anti_join_keeps_conditions_on_the_left(planner: Planner) -> None:
    """A left row that fails one has no match, and is given."""
    plan = bound(
        planner,
        "SELECT a FROM t WHERE b = 'x' AND NOT EXISTS (SELECT 1 FROM r WHERE r.id = t.a AND r.y > 3 AND t.c > 2)",
    )
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(anti, (id = a) AND (c > 2))
   ├─ Filter(b = 'x')
   │  └─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(1 AS EXPR$0, id AS id1)
      └─ Filter(y > 3)
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (push_filters,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(anti, (id = a) AND (c > 2))
   ├─ Filter(b = 'x')
   │  └─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(1 AS EXPR$0, id AS id1)
      └─ Filter(y > 3)
         └─ Scan(r, columns=[id, x, y])
""")


def test_filters_move_through_set_operations(planner: Planner) -> None:
    """Into both sides."""
    plan = bound(planner, "SELECT * FROM (SELECT id FROM k EXCEPT SELECT id FROM r) WHERE id > 3")
    assert shown(plan) == text("""
Project(id)
└─ Filter(id > 3)
   └─ SetOperation(except)
      ├─ Project(id)
      │  └─ Scan(k, columns=[id, x])
      └─ Project(id)
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (push_filters,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(id)
└─ SetOperation(except)
   ├─ Project(id)
   │  └─ Filter(id > 3)
   │     └─ Scan(k, columns=[id, x])
   └─ Project(id)
      └─ Filter(id > 3)
         └─ Scan(r, columns=[id, x, y])
""")


def test_keys_of_a_semi_join_become_columns(planner: Planner) -> None:
    """As those of a join."""
    plan = bound(planner, "SELECT a FROM t WHERE a + 1 IN (SELECT y * 2 FROM r)")
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(semi, (a + 1) = EXPR$0)
   ├─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(y * 2 AS EXPR$0)
      └─ Scan(r, columns=[id, x, y])
""")
    for rule in (join_keys,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(a)
└─ Project(a, b, c, d, ts)
   └─ SemiJoin(semi, key5 = EXPR$0)
      ├─ Project(a, b, c, d, ts, a + 1 AS key5)
      │  └─ Scan(t, columns=[a, b, c, d, ts])
      └─ Project(y * 2 AS EXPR$0)
         └─ Scan(r, columns=[id, x, y])
""")


def test_nothing_is_in_an_empty_query(planner: Planner) -> None:
    """No row passes IN."""
    plan = bound(planner, "SELECT a FROM t WHERE a IN (SELECT y FROM r WHERE FALSE)")
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(semi, a = y)
   ├─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(y)
      └─ Filter(FALSE)
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (prune_empty,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Values(rows=0, columns=[a])
""")


def test_everything_is_outside_an_empty_query(planner: Planner) -> None:
    """Every row passes NOT IN."""
    plan = bound(planner, "SELECT a FROM t WHERE a NOT IN (SELECT y FROM r WHERE FALSE)")
    assert shown(plan) == text("""
Project(a)
└─ SemiJoin(not in, a = y)
   ├─ Scan(t, columns=[a, b, c, d, ts])
   └─ Project(y)
      └─ Filter(FALSE)
         └─ Scan(r, columns=[id, x, y])
""")
    for rule in (prune_empty,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(a)
└─ Project(a, b, c, d, ts)
   └─ Scan(t, columns=[a, b, c, d, ts])
""")


def test_grouping_sets_read_their_keys(planner: Planner) -> None:
    """And what is aggregated."""
    plan = bound(planner, "SELECT a, COUNT(*) FROM t GROUP BY CUBE (a)")
    assert shown(plan) == text("""
Project(a, COUNT(*) AS EXPR$1)
└─ Aggregate(keys=[a, grouping], calls=[COUNT(*)])
   └─ Expand(a, 0; NULL, 1)
      └─ Project(a)
         └─ Scan(t, columns=[a, b, c, d, ts])
""")
    for rule in (prune_columns,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(a, COUNT(*) AS EXPR$1)
└─ Aggregate(keys=[a, grouping], calls=[COUNT(*)])
   └─ Expand(a, 0; NULL, 1)
      └─ Project(a)
         └─ Scan(t, columns=[a])
""")


def test_unnest_reads_its_collection(planner: Planner) -> None:
    """And what is given."""
    plan = bound(planner, "SELECT x FROM r CROSS JOIN UNNEST(ARRAY[y]) AS u (e)")
    assert shown(plan) == text("""
Project(x)
└─ Unnest(items, as=[e])
   └─ Project(id, x, y, ARRAY(y) AS items)
      └─ Scan(r, columns=[id, x, y])
""")
    for rule in (prune_columns,):
        plan = rule(plan, planner.settings)
    assert shown(plan) == text("""
Project(x)
└─ Unnest(items, as=[e])
   └─ Project(x, ARRAY(y) AS items)
      └─ Scan(r, columns=[x, y])
""")


@pytest.mark.parametrize(
    ("sql", "left", "right"),
    [
        ("SELECT c, y FROM t JOIN r ON a = id WHERE a > 3", "a > 3", "id > 3"),
        ("SELECT c, y FROM t JOIN r ON a = id AND id IN (1, 2)", "a IN (1, 2)", "id IN (1, 2)"),
        ("SELECT c, y FROM t LEFT JOIN r ON a = id WHERE a > 3", "a > 3", "id > 3"),
        ("SELECT c, y FROM t LEFT JOIN r ON a = id AND id > 3", "", "id > 3"),
        ("SELECT c, y FROM t RIGHT JOIN r ON a = id AND a > 3", "a > 3", ""),
        ("SELECT c, y FROM t FULL JOIN r ON a = id WHERE a > 3", "", ""),
        ("SELECT c, y FROM t JOIN r ON a = id WHERE c > 3", "c > 3", ""),
        ("SELECT c FROM t WHERE a > 3 AND a IN (SELECT id FROM r)", "a > 3", "id > 3"),
        ("SELECT c FROM t WHERE a IN (SELECT id FROM r WHERE id > 3)", "a > 3", "id > 3"),
        (
            "SELECT c FROM t WHERE EXISTS (SELECT 1 FROM r WHERE id = a AND id + t.a > 3)",
            "",
            "",
        ),
        ("SELECT c FROM t WHERE a > 3 AND NOT EXISTS (SELECT 1 FROM r WHERE id = a)",
         "a > 3", "id > 3"),
        ("SELECT c FROM t WHERE a > 3 AND a NOT IN (SELECT y FROM r)", "a > 3", ""),
    ],
)  # fmt: skip
def test_filters_are_inferred_through_equality(
    planner: Planner, sql: str, left: str, right: str
) -> None:
    """From a preserved side to the other, and between the sides of an inner join."""
    plan = optimize([bound(planner, sql)], planner.settings)[0]
    while not isinstance(plan, Join | SemiJoin):
        plan = plan.inputs[0]
    for side, expected in zip(plan.inputs, (left, right), strict=True):
        tree = shown(side)
        assert (f"Filter({expected})" in tree) if expected else ("Filter" not in tree)


def test_floats_infer_nothing(planner: Planner) -> None:
    """0.0 and -0.0 are equal, and two values."""
    planner.bind("CREATE TABLE f (p DOUBLE, q DOUBLE) WITH ('connector' = 'toy')")
    shown_plan = optimized(planner, "SELECT 1 FROM f JOIN f AS g ON f.p = g.q WHERE f.p > 3")
    assert shown_plan.count("Filter") == 1


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("MAP<STRING, INT>", "f.p = MAP['a', 1]"),
        ("MULTISET<INT>", "f.p IS NOT NULL"),
        ("ARRAY<MAP<STRING, INT>>", "f.p IS NOT NULL"),
        ("ROW<a INT, m MAP<STRING, INT>>", "f.p IS NOT NULL"),
        ("ROW<a DOUBLE>", "f.p IS NOT NULL"),
    ],
)
def test_types_whose_equal_values_differ_infer_nothing(kind: str, condition: str) -> None:
    """Equal maps may have their entries in another order."""
    planner = Planner()
    planner.bind(f"CREATE TABLE f (p {kind}, q {kind}) WITH ('connector' = 'toy')")
    sql = f"SELECT 1 FROM f JOIN f AS g ON f.p = g.q WHERE {condition}"
    assert optimized(planner, sql).count("Filter") == 1
