"""Unique keys of logical plans, and the key that a join side keeps."""

from __future__ import annotations

import pytest

from flowsql.logical import PlanSettings
from flowsql.optimizer.unique_keys import retracts, unique_keys
from flowsql.physical import specs as p
from tests.unit.logical.planning import TABLES, Planner

MORE = """
CREATE TABLE o (oid BIGINT, cust INT, amount BIGINT, note STRING, PRIMARY KEY (oid) NOT ENFORCED)
  WITH ('connector' = 'toy', 'scan' = 'retract', 'path' = '/o');
CREATE TABLE w (name STRING, cust INT, flag BOOLEAN, PRIMARY KEY (name) NOT ENFORCED)
  WITH ('connector' = 'toy', 'scan' = 'retract', 'path' = '/w');
CREATE TABLE app (oid BIGINT, cust INT, amount BIGINT, PRIMARY KEY (oid) NOT ENFORCED)
  WITH ('connector' = 'toy', 'path' = '/app');
"""


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning` and some more."""
    return Planner(tables=TABLES + MORE)


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT * FROM k", ((0,),)),
        ("SELECT x, id FROM k WHERE id > 1", ((1,),)),
        ("SELECT x FROM k", ()),
        ("SELECT b, COUNT(*) FROM t GROUP BY b", ((0,),)),
        ("SELECT COUNT(*) FROM t", ((),)),
        ("SELECT id FROM k UNION ALL SELECT id FROM r", ()),
        ("SELECT k.id, o.oid FROM o JOIN k ON o.cust = k.id", ((1,),)),
        ("SELECT k.id, o.oid FROM o LEFT JOIN k ON o.cust = k.id", ((1,),)),
        ("SELECT k.id, o.oid FROM o RIGHT JOIN k ON o.cust = k.id", ((0, 1),)),
        ("SELECT r.id, u.id FROM r JOIN u ON r.id = u.id", ((0,), (1,))),
        ("SELECT r.id, u.id FROM r FULL JOIN u ON r.id = u.id", ((0, 1),)),
        ("SELECT x.oid, z.oid FROM o x JOIN o z ON x.cust = z.cust", ((0, 1),)),
    ],
)
def test_keys(planner: Planner, sql: str, keys: object) -> None:
    """As deep as the plan goes."""
    assert unique_keys(planner.bind(sql)[-1]) == keys


def test_what_takes_rows_back(planner: Planner) -> None:
    """Updating scans, groups of a stream, padded rows."""
    batch = PlanSettings(streaming=False)
    for sql, stream, bounded in [
        ("SELECT a FROM t", False, False),
        ("SELECT id FROM r", True, True),
        ("SELECT b, COUNT(*) FROM t GROUP BY b", True, False),
        ("SELECT 1 FROM t JOIN k ON a = id", False, False),
        ("SELECT 1 FROM t LEFT JOIN k ON a = id", True, False),
        ("SELECT a FROM t UNION ALL SELECT id FROM r", True, True),
    ]:
        plan = planner.bind(sql)[-1]
        assert (retracts(plan, PlanSettings()), retracts(plan, batch)) == (stream, bounded)


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        # A key no wider than what is stored is read for the state's sake.
        ("SELECT o.amount FROM o JOIN k ON o.cust = k.id", "has unique key [oid], stores [amount]"),
        ("SELECT o.note FROM o JOIN k ON o.cust = k.id", "has unique key [oid], stores [note]"),
        ("SELECT o.amount FROM o JOIN k ON o.cust = k.id AND o.note > k.x",
         "has unique key [oid], stores [amount, note]"),
        # A wide one, or one beside which nothing is stored, is not.
        ("SELECT w.flag FROM w JOIN k ON w.cust = k.id", "no unique key, stores [flag]"),
        ("SELECT k.x FROM o JOIN k ON o.cust = k.id", "no unique key, stores [cust]"),
        # Rows that are never taken back are found by nobody.
        ("SELECT a.amount FROM app a JOIN k ON a.cust = k.id", "no unique key, stores [amount]"),
        # The join key holds it already.
        ("SELECT o.amount FROM o JOIN t ON o.oid = t.c", "join key is unique [oid], stores [amount]"),
        # Through a join below, whose side would have to store it.
        ("SELECT s.amount FROM (SELECT o.*, k.x FROM o JOIN k ON o.cust = k.id) s JOIN t ON s.cust = t.a",
         "no unique key, stores [amount]"),
        ("SELECT s.note FROM (SELECT o.*, k.x FROM o JOIN k ON o.cust = k.id) s JOIN t ON s.cust = t.a",
         "has unique key [oid], stores [note]"),
    ],
)  # fmt: skip
def test_the_key_of_a_join_side(planner: Planner, sql: str, left: str) -> None:
    """EXPLAIN shows the layout, the key and what is stored."""
    join = next(line for line in planner.physical(sql).split("\n") if "Join(" in line)
    assert f"left: {left}; right" in join


def test_a_kept_key_is_not_given(planner: Planner) -> None:
    """It is in the index of rows only."""
    plan = planner.plan("SELECT o.amount FROM o JOIN k ON o.cust = k.id")
    join = next(n for n in plan.nodes if isinstance(n.spec, p.Join))
    assert isinstance(join.spec, p.Join)
    assert join.output.names == ("amount",)
    assert join.spec.left.unique_key == (0,)
    assert join.spec.left.columns == (2,)
