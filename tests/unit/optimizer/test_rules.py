"""Each rule: the plan before and after it."""

from __future__ import annotations

import pytest

from flowsql.logical import LogicalPlan, PlanSettings
from flowsql.optimizer import RULES, optimize
from flowsql.optimizer.fold_constants import fold_constants
from flowsql.optimizer.join_keys import join_keys
from flowsql.optimizer.merge_projects import merge_projects
from flowsql.optimizer.prune_columns import prune_columns
from flowsql.optimizer.prune_empty import prune_empty
from flowsql.optimizer.push_filters import push_filters
from flowsql.optimizer.remove_projects import remove_projects
from tests.unit.logical.planning import Planner, text

T = "Scan(default_catalog.default_database.t, columns=[a, b, c, d, ts])"
K = "Scan(default_catalog.default_database.k, columns=[id, x])"


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def bound(planner: Planner, sql: str) -> LogicalPlan:
    """The plan of one query."""
    return planner.bind(sql)[-1]


def test_constants_are_folded(planner: Planner) -> None:
    """What fails stays, for no row may reach it; WHERE TRUE goes."""
    plan = bound(planner, "SELECT 1 + 2 AS x FROM t WHERE a > 2 * 3")
    assert fold_constants(plan, planner.settings).tree() == text(f"""
Project(3 AS x)
└─ Filter(a > 6)
   └─ {T}
""")
    plan = bound(planner, "SELECT 1 / 0 AS x FROM t WHERE 1 = 1")
    assert fold_constants(plan, planner.settings).tree() == text(f"""
Project(1 / 0 AS x)
└─ {T}
""")


def test_projections_are_merged(planner: Planner) -> None:
    """Unless a value would be computed twice, or drawn twice."""
    plan = bound(planner, "SELECT x * 2 AS y FROM (SELECT a + 1 AS x FROM t)")
    assert merge_projects(plan, planner.settings).tree() == text(f"""
Project((a + 1) * 2 AS y)
└─ {T}
""")
    for inner in ("a + 1", "CAST(b AS INT)"):
        twice = bound(planner, f"SELECT x + x AS y FROM (SELECT {inner} AS x FROM t)")
        assert merge_projects(twice, planner.settings) == twice


@pytest.mark.parametrize(
    ("sql", "tree"),
    [
        ("SELECT a FROM t WHERE 1 = 0", "Values(rows=0, columns=[a])"),
        ("SELECT a + 1 FROM t WHERE a > 1 AND CAST(NULL AS BOOLEAN)",
         "Values(rows=0, columns=[EXPR$0])"),
        ("SELECT b, COUNT(*) AS n FROM t WHERE FALSE GROUP BY b", "Values(rows=0, columns=[b, n])"),
        ("SELECT a, x FROM t JOIN (SELECT * FROM k WHERE FALSE) z ON a = id",
         "Values(rows=0, columns=[a, x])"),
        ("SELECT a FROM t WHERE FALSE UNION ALL SELECT id FROM k WHERE FALSE",
         "Values(rows=0, columns=[a])"),
        ("SELECT COUNT(*) AS n FROM t WHERE FALSE", "Project(COUNT(*) AS n)\n└─ Values(rows=1, columns=[COUNT(*)])"),
    ],
)  # fmt: skip
def test_what_has_no_row_is_not_computed(planner: Planner, sql: str, tree: str) -> None:
    """A global aggregate over nothing is a row of constants, as in Flink."""
    pushed = push_filters(fold_constants(bound(planner, sql), planner.settings), planner.settings)
    assert prune_empty(pushed, planner.settings).tree() == tree


def test_a_preserved_side_keeps_its_rows(planner: Planner) -> None:
    """Only the side that is padded may be empty."""
    for kind in ("LEFT", "FULL"):
        sql = f"SELECT a, x FROM t {kind} JOIN (SELECT * FROM k WHERE FALSE) z ON a = id"
        assert "Join(" in planner.optimized(sql)


def test_idle_projections_vanish(planner: Planner) -> None:
    """One that renames stays."""
    plan = bound(planner, "SELECT id, x FROM k")
    assert remove_projects(plan, planner.settings).tree() == K
    renamed = bound(planner, "SELECT id AS i, x FROM k")
    assert remove_projects(renamed, planner.settings) == renamed


def test_filters_pass_projections_and_unions(planner: Planner) -> None:
    """A condition on a computed column stays above it."""
    sql = """SELECT * FROM (SELECT a AS p, a + 1 AS q FROM t UNION ALL SELECT id, id FROM k)
             WHERE p > 1"""
    assert push_filters(bound(planner, sql), planner.settings).tree() == text(f"""
Project(p, q)
└─ Union(all)
   ├─ Project(a AS p, a + 1 AS q)
   │  └─ Filter(a > 1)
   │     └─ {T}
   └─ Project(id, id)
      └─ Filter(id > 1)
         └─ {K}
""")
    above = push_filters(
        bound(planner, "SELECT * FROM (SELECT a + 1 AS q FROM t) WHERE q > 1"), planner.settings
    )
    assert above.tree() == text(f"""
Project(q)
└─ Filter(q > 1)
   └─ Project(a + 1 AS q)
      └─ {T}
""")


def test_filters_pass_an_inner_join(planner: Planner) -> None:
    """Each part goes to its side, comparisons of both into the condition."""
    sql = "SELECT a FROM t, k WHERE t.a = k.id AND c > 1 AND x = 'y'"
    assert push_filters(bound(planner, sql), planner.settings).tree() == text(f"""
Project(a)
└─ Join(inner, a = id)
   ├─ Filter(c > 1)
   │  └─ {T}
   └─ Filter(x = 'y')
      └─ {K}
""")


def test_filters_of_an_outer_join(planner: Planner) -> None:
    """WHERE goes below the preserved side, ON below the padded one, never the other way."""
    sql = """SELECT a FROM t LEFT JOIN k ON t.a = k.id AND k.x = 'on' AND t.c > 1
             WHERE t.c > 2 AND k.x = 'where'"""
    assert push_filters(bound(planner, sql), planner.settings).tree() == text(f"""
Project(a)
└─ Filter(x = 'where')
   └─ Join(left, (a = id) AND (c > 1))
      ├─ Filter(c > 2)
      │  └─ {T}
      └─ Filter(x = 'on')
         └─ {K}
""")
    full = push_filters(
        bound(
            planner,
            "SELECT a FROM t FULL JOIN k ON t.a = k.id AND k.x = 'on' WHERE t.c > 2",
        ),
        planner.settings,
    )
    assert full.tree() == text(f"""
Project(a)
└─ Filter(c > 2)
   └─ Join(full, (a = id) AND (x = 'on'))
      ├─ {T}
      └─ {K}
""")


def test_what_may_fail_does_not_pass_a_join(planner: Planner) -> None:
    """On more rows than now it could fail where it does not."""
    sql = "SELECT a FROM t JOIN k ON t.a = k.id WHERE CAST(t.b AS INT) > 1"
    tree = push_filters(bound(planner, sql), planner.settings).tree()
    assert tree.split("\n")[1] == "└─ Filter(CAST(b AS INT) > 1)"


def test_filters_pass_an_aggregate_by_its_keys(planner: Planner) -> None:
    """What reads an aggregate stays above; a global aggregate lets nothing pass."""
    sql = "SELECT * FROM (SELECT a, COUNT(*) AS n FROM t GROUP BY a) WHERE a > 1 AND n > 2"
    tree = push_filters(bound(planner, sql), planner.settings).tree()
    assert tree == text(f"""
Project(a, n)
└─ Project(a, COUNT(*) AS n)
   └─ Filter(COUNT(*) > 2)
      └─ Aggregate(keys=[a], calls=[COUNT(*)])
         └─ Project(a)
            └─ Filter(a > 1)
               └─ {T}
""")
    whole = bound(planner, "SELECT * FROM (SELECT COUNT(*) AS n FROM t) WHERE n > 2")
    tree = push_filters(whole, planner.settings).tree()
    assert "Filter(COUNT(*) > 2)" in tree.split("\n")[2]


def test_equal_expressions_become_key_columns(planner: Planner) -> None:
    """Of one type on both sides."""
    plan = bound(planner, "SELECT x FROM t JOIN k ON t.a + 1 = k.id")
    assert join_keys(plan, planner.settings).tree() == text(f"""
Project(x)
└─ Project(a, b, c, d, ts, id, x)
   └─ Join(inner, key5 = id)
      ├─ Project(a, b, c, d, ts, a + 1 AS key5)
      │  └─ {T}
      └─ {K}
""")
    typed = bound(planner, "SELECT x FROM t JOIN k ON t.c = k.id")
    assert "CAST(id AS BIGINT)" in join_keys(typed, planner.settings).tree()


def test_columns_are_pruned(planner: Planner) -> None:
    """Into scans, join sides, aggregates and unions."""
    sql = """SELECT n FROM (SELECT b, COUNT(*) AS n, MAX(c) AS m FROM t JOIN k ON t.a = k.id
             GROUP BY b)"""
    tree = planner.optimized(sql)
    assert "columns=[a, b]" in tree
    assert "columns=[id]" in tree
    assert "MAX" not in tree
    assert "columns=[a]" in planner.optimized("SELECT a FROM t UNION ALL SELECT a FROM t")


def test_pruning_keeps_what_rows_are_found_by(planner: Planner) -> None:
    """The key of upserts; a column where only the number of rows matters."""
    assert "columns=[id, y]" in planner.optimized("SELECT y FROM u")
    assert "columns=[y]" in planner.optimized("SELECT y FROM r")
    assert "columns=[a]" in planner.optimized("SELECT COUNT(*) FROM t")
    planner.optimized("SELECT 1 FROM (SELECT COUNT(*), MAX(a) FROM t)")
    one_sided = "SELECT t.a FROM t JOIN (SELECT MIN(a) AS p, MAX(a) AS q FROM t) AS m ON p = q"
    assert "Project()" not in planner.optimized(one_sided)


def test_pruning_keeps_the_watermark_only_with_its_column(planner: Planner) -> None:
    """Time that nobody reads is not kept."""
    planner.bind("""CREATE TABLE w (a INT, late TIMESTAMP(3), ts TIMESTAMP(3), WATERMARK FOR ts AS late)
                    WITH ('connector' = 'toy')""")
    assert "columns=[late, ts]" in planner.optimized("SELECT ts FROM w")
    assert "columns=[a]" in planner.optimized("SELECT a FROM w")


def test_a_table_is_scanned_once_a_job(planner: Planner) -> None:
    """With the union of the columns."""
    sql = "INSERT INTO log SELECT c, b FROM t; INSERT INTO log SELECT a, b FROM t WHERE c > 1"
    tree = planner.optimized(sql)
    assert tree.count("columns=[a, b, c]") == 2


QUERIES = [
    "SELECT a + 1, b FROM t WHERE c > 3",
    "SELECT * FROM t LEFT JOIN k ON t.a = k.id AND c > 1 WHERE x IS NULL",
    "SELECT a, SUM(c), COUNT(DISTINCT b) FROM t GROUP BY a HAVING COUNT(*) > 1",
    "SELECT DISTINCT b FROM t UNION SELECT x FROM k",
    """SELECT window_start, window_end, COUNT(*) FROM
       TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY)) WHERE a > 1
       GROUP BY window_start, window_end""",
    "SELECT k.x, n FROM k JOIN (SELECT a, COUNT(*) AS n FROM t GROUP BY a) ON a = id + 0",
    "SELECT a FROM t WHERE a + 1 IN (SELECT id FROM k) AND NOT EXISTS (SELECT 1 FROM r WHERE y = a)",
    "SELECT a, (SELECT COUNT(*) FROM r WHERE y = a) FROM t WHERE c > (SELECT MAX(y) FROM r)",
    "SELECT a, b, COUNT(*), GROUPING(a) FROM t GROUP BY ROLLUP (a, b) HAVING COUNT(*) > 1",
    "SELECT id FROM k INTERSECT SELECT y FROM r EXCEPT ALL SELECT a FROM t WHERE a > 1",
    """SELECT x, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY x ORDER BY y DESC) AS n FROM r)
       WHERE n < 4 AND x = 'a'""",
    "SELECT b, e FROM t CROSS JOIN UNNEST(ARRAY[a, 1]) AS u (e) WHERE e > 1 ORDER BY c LIMIT 3",
]


@pytest.mark.parametrize("sql", QUERIES)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_keeps_the_schema(planner: Planner, sql: str, rule: object) -> None:
    """Names and types are what was promised, whatever the rule and wherever it stands."""
    plan = bound(planner, sql)
    assert rule(plan, planner.settings).schema == plan.schema  # type: ignore[operator]


@pytest.mark.parametrize("sql", QUERIES)
def test_rules_come_to_rest(planner: Planner, sql: str) -> None:
    """All of them once more change nothing."""
    once = optimize([bound(planner, sql)], PlanSettings())
    assert once[0].schema == bound(planner, sql).schema
    again = optimize(once, PlanSettings())
    assert [p.tree() for p in again] == [p.tree() for p in once]


def test_pruning_alone_keeps_a_select_star(planner: Planner) -> None:
    """Nothing to prune, nothing changed."""
    plan = bound(planner, "SELECT * FROM k")
    assert prune_columns(plan, planner.settings) == plan
