"""From SQL to bound plans."""

from __future__ import annotations

import pytest

from flowsql.logical import PlanSettings
from flowsql.logical.queries import unique_names
from tests.unit.logical.planning import Planner, text

SCAN = "Scan(default_catalog.default_database.t, columns=[a, b, c, d, ts])"


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def schema(planner: Planner, sql: str) -> dict[str, str]:
    """Names and types of a query's columns."""
    row = planner.bind(sql)[-1].schema
    return {f.name: str(f.type) for f in row.fields}


def test_projection_and_where(planner: Planner) -> None:
    """Expressions without a name are called by their place."""
    assert planner.tree("SELECT a + 1, b AS x, t.c FROM t WHERE c > 3") == text(f"""
Project(a + 1 AS EXPR$0, b AS x, c)
└─ Filter(c > 3)
   └─ {SCAN}
""")


def test_a_select_without_from_has_one_row(planner: Planner) -> None:
    """As in Flink."""
    assert planner.tree("SELECT 1 AS uno") == text("""
Project(1 AS uno)
└─ Values(rows=1, columns=[ZERO])
""")


def test_values_share_their_types(planner: Planner) -> None:
    """NULL takes the type of the others."""
    assert schema(planner, "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS v (i, s)") == {
        "i": "INT NOT NULL",
        "s": "CHAR(1)",
    }


def test_stars_and_repeated_names(planner: Planner) -> None:
    """Names that repeat get digits behind."""
    names = schema(planner, "SELECT k.*, r.x, k.id FROM k JOIN r ON k.id = r.id")
    assert list(names) == ["id", "x", "x0", "id0"]
    assert unique_names(["a", "a", "a0", "a"]) == ("a", "a0", "a00", "a1")


def test_using_gives_the_shared_column_once(planner: Planner) -> None:
    """In front of the others; of a full join whichever side has it."""
    assert list(schema(planner, "SELECT * FROM k JOIN r USING (id)")) == ["id", "x", "x0", "y"]
    full = planner.tree("SELECT id FROM k FULL JOIN u USING (id)")
    assert full.split(" AS ")[0] == "Project(COALESCE(id, id)"
    assert list(schema(planner, "SELECT * FROM k NATURAL JOIN r")) == ["id", "x", "y"]


def test_an_outer_join_makes_the_other_side_nullable(planner: Planner) -> None:
    """The key column of the padded side may be NULL."""
    sql = "SELECT k.id AS a, r.id AS b FROM k {} JOIN r ON k.id = r.id"
    assert schema(planner, sql.format("LEFT")) == {"a": "INT NOT NULL", "b": "INT"}
    assert schema(planner, sql.format("RIGHT")) == {"a": "INT", "b": "INT NOT NULL"}
    assert schema(planner, sql.format("FULL")) == {"a": "INT", "b": "INT"}
    assert schema(planner, sql.format("")) == {"a": "INT NOT NULL", "b": "INT NOT NULL"}


def test_group_by_and_having(planner: Planner) -> None:
    """Keys may be expressions; equal calls are one."""
    sql = """SELECT a + 1, COUNT(*) AS n, SUM(DISTINCT c), MAX(b) FILTER (WHERE c > 1)
             FROM t GROUP BY a + 1 HAVING COUNT(*) > 1"""
    assert planner.tree(sql) == text(f"""
Project(a + 1 AS EXPR$0, COUNT(*) AS n, SUM(DISTINCT c) AS EXPR$2, MAX(b) FILTER (WHERE c > 1) AS EXPR$3)
└─ Filter(COUNT(*) > 1)
   └─ Aggregate(keys=[a + 1], calls=[COUNT(*), SUM(DISTINCT c), MAX(b) FILTER (WHERE c > 1)])
      └─ Project(a + 1, c, b, c > 1)
         └─ {SCAN}
""")


def test_types_of_aggregates(planner: Planner) -> None:
    """NULL only where there may be no row or no value."""
    sql = "SELECT COUNT(a) AS n, SUM(c) AS s, MAX(c) FILTER (WHERE a > 1) AS f FROM t"
    assert schema(planner, sql) == {"n": "BIGINT NOT NULL", "s": "BIGINT", "f": "BIGINT"}
    assert schema(planner, f"{sql} GROUP BY b")["s"] == "BIGINT NOT NULL"


def test_distinct_and_union(planner: Planner) -> None:
    """UNION is UNION ALL without duplicates; types meet."""
    assert planner.tree("SELECT DISTINCT b FROM t").startswith("Aggregate(keys=[b])")
    sql = "SELECT a FROM t UNION ALL SELECT c FROM t UNION ALL SELECT id FROM k"
    tree = planner.tree(sql)
    assert tree.startswith("Union(all)")
    assert schema(planner, "SELECT a FROM t UNION SELECT c FROM t") == {"a": "BIGINT"}


def test_with_and_views_are_expanded(planner: Planner) -> None:
    """A name of WITH hides a table."""
    planner.bind("CREATE VIEW big (x, y) AS SELECT a, c FROM t WHERE c > 10")
    assert schema(planner, "SELECT * FROM big AS w") == {"x": "INT", "y": "BIGINT NOT NULL"}
    sql = "WITH t AS (SELECT 1 AS uno), s (two) AS (SELECT uno + 1 FROM t) SELECT * FROM s"
    assert schema(planner, sql) == {"two": "INT NOT NULL"}


def test_tumble_by_position_and_by_name(planner: Planner) -> None:
    """Window columns are NOT NULL; the old time attribute ends, window_time is the new one."""
    sql = "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
    row = schema(planner, sql)
    assert row["ts"] == "TIMESTAMP(3)"
    assert row["window_start"] == row["window_end"] == "TIMESTAMP(3) NOT NULL"
    assert row["window_time"] == "TIMESTAMP(3) NOT NULL *ROWTIME*"
    named = """SELECT * FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts),
               SIZE => INTERVAL '1' MINUTE, OFFSET => INTERVAL '10' SECOND))"""
    assert "Tumble(time=ts, size=1 min, offset=10 s)" in planner.tree(named)


def test_an_aggregate_of_windows_is_known(planner: Planner) -> None:
    """Through projections, and only where both bounds are keys."""
    window = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
    both = (
        f"SELECT s, COUNT(*) FROM (SELECT window_start s, window_end e FROM {window}) GROUP BY s, e"
    )
    assert "windowed" in planner.tree(both)
    one = f"SELECT window_start, COUNT(*) FROM {window} GROUP BY window_start"
    assert "windowed" not in planner.tree(one)
    distinct = f"SELECT DISTINCT window_start, window_end FROM {window}"
    assert "windowed" in planner.tree(distinct)


def test_time_attributes_end_where_flink_ends_them(planner: Planner) -> None:
    """Projections and filters keep them; expressions, groups and joins do not."""
    kept = schema(planner, "SELECT ts AS x FROM (SELECT * FROM t WHERE a > 1)")
    assert kept["x"] == "TIMESTAMP(3) *ROWTIME*"
    assert schema(planner, "SELECT ts FROM t GROUP BY ts")["ts"] == "TIMESTAMP(3)"
    assert schema(planner, "SELECT ts FROM t JOIN k ON a = id")["ts"] == "TIMESTAMP(3)"
    assert "ROWTIME" not in schema(planner, "SELECT ts + INTERVAL '1' DAY AS x FROM t")["x"]


def test_insert_casts_and_fills(planner: Planner) -> None:
    """Columns by position, or those named; the rest is NULL."""
    tree = planner.tree("INSERT INTO files SELECT a, b FROM t")
    assert tree.split("\n")[1] == "└─ Project(CAST(a AS BIGINT) AS a, b)"
    tree = planner.tree("INSERT INTO files (b) SELECT b FROM t")
    assert tree.split("\n")[1] == "└─ Project(NULL AS a, b)"
    assert planner.bind("INSERT INTO kv SELECT a, b FROM t")[0].not_null == (0,)  # type: ignore[attr-defined]


def test_hints_change_options(planner: Planner) -> None:
    """The table gets a name of its own, for it is read by itself."""
    plan = planner.bind("SELECT * FROM k /*+ OPTIONS('path' = '/other') */")[0]
    scan = plan.inputs[0]
    assert dict(scan.table.options)["path"] == "/other"  # type: ignore[attr-defined]
    assert scan.table.name.startswith("default_catalog.default_database.k#")  # type: ignore[attr-defined]


def test_batch_mode_needs_no_watermark() -> None:
    """Any timestamp can be windowed."""
    planner = Planner(PlanSettings(streaming=False))
    planner.bind("CREATE TABLE w (ts TIMESTAMP(3)) WITH ('connector' = 'toy')")
    planner.bind("SELECT * FROM TABLE(TUMBLE(TABLE w, DESCRIPTOR(ts), INTERVAL '1' DAY))")


def test_a_long_chain_is_no_deep_tree(planner: Planner) -> None:
    """Thousands of ORs are bound; thousands of brackets are refused."""
    chain = " OR ".join(f"a = {i}" for i in range(3000))
    planner.plan(f"SELECT * FROM t WHERE {chain}")


def test_metadata_and_computed_columns(planner: Planner) -> None:
    """A computed column may read the others."""
    planner.bind("""CREATE TABLE m (a INT, o INT METADATA FROM 'offset' VIRTUAL, topic STRING METADATA,
        s AS a + o) WITH ('connector' = 'toy')""")
    assert schema(planner, "SELECT * FROM m")["s"] == "INT"
    scan = planner.plan("SELECT s, topic FROM m").nodes[0]
    assert scan.spec.columns == ("a", "o", "topic")  # type: ignore[attr-defined]
    assert [str(e.type) for e in scan.spec.projection] == ["STRING", "INT"]  # type: ignore[attr-defined]
