"""A query's changes, told by TO_CHANGELOG and read by FROM_CHANGELOG, are the query again.

Whatever the query, and however its input is cut into steps: at the end of each step the rows told so
far, in their order, make the query's table, and no row goes that was not there.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from tests.property.queries.data import cut, make_events
from tests.property.queries.grammar import SPLITS, TABLES, Query, make_job
from tests.support.engine import Answer, Engine, Table
from tests.support.fold import fold
from tests.support.rows import unordered

SEEDS = int(os.environ.get("FLOWSQL_CHANGELOGS", "30"))
FIRST = int(os.environ.get("FLOWSQL_SEED", "0"))
_OP = "op => DESCRIPTOR(`its op`)"


def _engine(query: Query) -> Engine:
    tables = [Table(n, *TABLES[n][:2], SPLITS.get(n, 1)) for n in sorted(query.tables)]
    return Engine(tables, [f"CREATE VIEW {name} AS {text}" for name, text, _ in query.views])


def _tables(query: Query, answer: Answer, steps: int) -> list[Counter[Any]]:
    """The table at the end of each step and of all; FoldError where a row goes that is not there.

    Rows that no table gives come in a step of their own, sooner or later.
    """
    rows = [(at, kind, unordered(row, answer.schema)) for at, kind, row in answer.changes]
    ends = [] if query.own_rows else [[r for r in rows if r[0] <= step] for step in range(steps)]
    return [fold((kind, row) for _, kind, row in part) for part in (*ends, rows)]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_a_changelog_makes_its_table_again(seed: int) -> None:
    """Both run over the same steps."""
    query = make_job(seed)[0]
    told = f"SELECT * FROM TO_CHANGELOG(input => ({query.flink}), {_OP})"
    again = f"SELECT * FROM FROM_CHANGELOG(input => ({told}), {_OP})"
    engine = _engine(query)
    events = make_events(seed, sorted(query.tables), late=False, odd=not query.ordering)
    ends = cut(random.Random(~seed), events)
    steps = [list(events[a:b]) for a, b in pairwise([0, *ends])]
    expected = _tables(query, engine.select(query.flink, steps), len(steps))
    assert _tables(query, engine.select(again, steps), len(steps)) == expected
