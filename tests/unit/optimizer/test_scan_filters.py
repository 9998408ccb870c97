"""What is pushed into scans: the plan before and after, and what must not be pushed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from flowsql.logical import LogicalPlan, PlanSettings, Scan
from flowsql.optimizer import optimize
from flowsql.optimizer.push_filters import push_filters
from flowsql.optimizer.push_filters_into_scans import push_filters_into_scans
from flowsql.optimizer.push_partitions_into_scans import push_partitions_into_scans
from flowsql.types.predicates import predicate_text
from tests.unit.logical.planning import Planner, text

TABLES = """
CREATE TABLE p (a INT, b STRING, x DOUBLE, d DECIMAL(10, 2), ts TIMESTAMP(3), f BOOLEAN, born DATE,
  dt STRING, n SMALLINT, v VARCHAR(3), c AS a + 1) PARTITIONED BY (dt, n)
  WITH ('connector' = 'toy', 'path' = '/p', 'exact' = 'dt;n', 'coarse' = 'a;b;x;d;ts;f;born;v');
CREATE TABLE w (a INT, dt STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) PARTITIONED BY (dt)
  WITH ('connector' = 'toy', 'path' = '/w', 'exact' = 'dt', 'coarse' = 'a');
CREATE TABLE u (id INT, x STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'toy', 'scan' = 'upsert', 'exact' = 'id;x');
CREATE TABLE r (id INT, x STRING) WITH ('connector' = 'toy', 'scan' = 'retract', 'exact' = 'x');
CREATE TABLE plain (a INT) WITH ('connector' = 'toy');
CREATE TABLE s1 (a INT) WITH ('connector' = 'toy');
CREATE TABLE s2 (a INT) WITH ('connector' = 'toy');
"""
HOME = "default_catalog.default_database."


@pytest.fixture(scope="module")
def planner() -> Planner:
    """Tables of which the connector takes conditions."""
    return Planner(tables=TABLES)


def _scans(plans: list[LogicalPlan]) -> set[Scan]:
    found: set[Scan] = set()
    for plan in plans:
        if isinstance(plan, Scan):
            found.add(plan)
        found |= _scans(list(plan.inputs))
    return found


def _told(planner: Planner, sql: str, settings: PlanSettings | None = None) -> list[str]:
    """What the only scan of the statements was told."""
    (scan,) = _scans(optimize(planner.bind(sql), settings or planner.settings))
    return [predicate_text(f.predicate) for f in scan.filters]


def test_partitions_are_pushed(planner: Planner) -> None:
    """The source that takes a condition exactly spares the filter; the others' stay."""
    plan = planner.bind("SELECT a FROM p WHERE dt = 'x' AND a > 1 AND n IN (1, 2)")[-1]
    before = push_filters(plan, planner.settings)
    scan = f"Scan({HOME}p, columns=[a, b, x, d, ts, f, born, dt, n, v, c]"
    assert before.tree() == text(f"""
Project(a)
└─ Filter((dt = 'x') AND (a > 1) AND CAST(n AS INT) IN (1, 2))
   └─ {scan})
""")
    (after,) = push_partitions_into_scans([before], planner.settings)
    assert after.tree() == text(f"""
Project(a)
└─ Filter(a > 1)
   └─ {scan}, partitions=[dt = 'x', n IN (1, 2)])
""")


def test_filters_are_pushed(planner: Planner) -> None:
    """What the source takes coarsely is checked again."""
    plan = planner.bind("SELECT a FROM p WHERE dt = 'x' AND a > 1")[-1]
    before = push_filters(plan, planner.settings)
    (after,) = push_filters_into_scans([before], planner.settings)
    assert after.tree() == text(f"""
Project(a)
└─ Filter((dt = 'x') AND (a > 1))
   └─ Scan({HOME}p, columns=[a, b, x, d, ts, f, born, dt, n, v, c], filter=[a > 1])
""")


def test_a_filter_that_is_spared_leaves_no_trace(planner: Planner) -> None:
    """The scan is read as if the others' rows were not there."""
    assert planner.optimized("SELECT a FROM p WHERE dt = 'x'") == text(f"""
Project(a)
└─ Scan({HOME}p, columns=[a, dt], partitions=[dt = 'x'])
""")


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("a BETWEEN 1 AND 5", ["a >= 1", "a <= 5"]),
        ("5 > a", ["a < 5"]),
        ("NOT (a = 1 OR a > 7)", ["(a <> 1) AND (a <= 7)"]),
        ("NOT (a = 1 AND b = 'x')", ["(a <> 1) OR (b <> 'x')"]),
        ("a NOT IN (1, 2)", ["(a <> 1) AND (a <> 2)"]),
        ("a IS NULL OR b IS NOT NULL", ["(a IS NULL) OR (b IS NOT NULL)"]),
        ("f", ["f = TRUE"]),
        ("NOT f", ["f = FALSE"]),
        ("f IS TRUE", ["f = TRUE"]),
        ("a > 1 + 2", ["a > 3"]),
        ("a = 1.0", ["a = 1"]),
        ("d > 1", ["d > 1.00"]),
        ("x > 1e0", ["x > 1.0"]),
        ("born >= DATE '1970-01-03'", ["born >= DATE '1970-01-03'"]),
        ("ts < TIMESTAMP '1970-01-01 00:00:01'", ["ts < TIMESTAMP '1970-01-01 00:00:01'"]),
        ("ts < TIMESTAMP '1970-01-01 00:00:00.000001'", ["ts < TIMESTAMP '1970-01-01 00:00:00.000001'"]),
        ("a > 1 AND RAND() > 0.5", ["a > 1"]),
        ("(a > 1 AND x > 1e0) OR (b = 'x' AND dt = 'y')",
         ["((a > 1) AND (x > 1.0)) OR ((b = 'x') AND (dt = 'y'))"]),
    ],
)  # fmt: skip
def test_conditions_have_a_plain_form(planner: Planner, condition: str, told: list[str]) -> None:
    """Comparisons of a column with constants, and what joins them."""
    assert _told(planner, f"SELECT * FROM p WHERE {condition}") == told


@pytest.mark.parametrize(
    "condition",
    [
        "a = n", "UPPER(b) = 'X'", "a + 1 > 2", "c > 1", "b LIKE 'x%'", "a > 1.5", "a < 3000000000",
        "d = 1.234", "NOT (x > 1e0)", "f IS NOT TRUE", "CAST(a AS STRING) = '1'", "a > x",
        "a = 1 OR UPPER(b) = 'X'", "CAST(b AS INT) = 1", "a IN (1, n)",
        "ts < TIMESTAMP '1970-01-01 00:00:00.000000001'", "b IS DISTINCT FROM 'x'",
        "v IN ('abcd', 'b')",
    ],
)  # fmt: skip
def test_what_has_none_stays(planner: Planner, condition: str) -> None:
    """Nothing is guessed: other types, functions, other columns, NaN."""
    assert _told(planner, f"SELECT * FROM p WHERE {condition}") == []


def test_a_shared_scan_is_told_what_all_readers_want(planner: Planner) -> None:
    """A table is read once a job: what one reader leaves out another may want."""
    two = "INSERT INTO s1 SELECT a FROM p WHERE {}; INSERT INTO s2 SELECT a + 1 FROM p WHERE {}"
    both = two.format("dt = 'x' AND a > 1", "dt = 'y' AND a > 2 AND b = 'z'")
    assert _told(planner, both) == [
        "(dt = 'x') OR (dt = 'y')", "(a > 1) OR ((a > 2) AND (b = 'z'))"
    ]  # fmt: skip
    common = two.format("dt = 'x' AND n = 1 AND a > 1", "dt = 'x' AND n = 2")
    assert _told(planner, common) == ["dt = 'x'", "(n = 1) OR (n = 2)"]
    plans = optimize(planner.bind(common), planner.settings)
    assert [p.tree().count("dt = 'x'") for p in plans] == [1, 1]
    assert [re.findall(r"Filter\(.*\)", p.tree()) for p in plans] == [
        ["Filter((CAST(n AS INT) = 1) AND (a > 1))"], ["Filter(CAST(n AS INT) = 2)"]
    ]  # fmt: skip
    assert _told(planner, two.format("dt = 'x'", "TRUE")) == []
    assert _told(planner, two.format("1 < a", "a > 1")) == ["a > 1"]


def test_the_rows_that_raise_a_watermark_come(planner: Planner) -> None:
    """Unless its time is not read, or all is read in one step: as in Flink."""
    assert _told(planner, "SELECT ts FROM w WHERE dt = 'x' AND a > 1") == []
    assert _told(planner, "SELECT a FROM w WHERE dt = 'x' AND a > 1") == ["dt = 'x'", "a > 1"]
    batch = replace(planner.settings, streaming=False)
    told = _told(planner, "SELECT ts FROM w WHERE dt = 'x' AND a > 1", batch)
    assert told == ["dt = 'x'", "a > 1"]


def test_upserts_are_only_asked_by_their_key(planner: Planner) -> None:
    """An upsert that is not wanted takes away a row that was."""
    assert _told(planner, "SELECT * FROM u WHERE id = 1 AND x = 'a'") == ["id = 1"]
    assert _told(planner, "SELECT * FROM r WHERE x = 'a'") == ["x = 'a'"]


def test_who_takes_nothing_is_told_nothing(planner: Planner) -> None:
    """The plan is as it was."""
    assert planner.optimized("SELECT a FROM plain WHERE a > 1") == text(f"""
Filter(a > 1)
└─ Scan({HOME}plain, columns=[a])
""")
