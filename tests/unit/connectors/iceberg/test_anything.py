"""Whatever was done to a table, its rows are read as they are, and a condition changes none of them."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from typing import Any

import pytest

from flowsql.errors import FlowSQLError
from flowsql.session import Session

from .anything import KINDS, Anything
from .lake import Lake

MORE = 60 if os.environ.get("FLOWSQL_TEST_ALL") else 1


def _plain(value: Any) -> Any:
    """Comparable and hashable; NaN is itself, and −0.0 is not 0.0."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    if isinstance(value, dict):
        return tuple((k, _plain(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value


def _expected(past: Anything) -> Counter[Any]:
    return Counter(_plain(row) for row in past.rows())


class Conditions:
    """Random ones over the columns of a table.

    Args:
        past: of the table.
        choose: makes every choice.
    """

    def __init__(self, past: Anything, choose: random.Random) -> None:
        self._choose = choose
        self._columns = [
            (f"`{f.name}`", KINDS[past.kinds[f.field_id]].literals)
            for f in past.table.schema().fields
            if f.field_id in past.kinds
        ]

    def any(self, depth: int = 2) -> str:
        """One of them."""
        choose = self._choose
        if depth and choose.random() < 0.5:
            word = choose.choice(["AND", "OR"])
            inner = f"({self.any(depth - 1)}) {word} ({self.any(depth - 1)})"
            return f"NOT ({inner})" if choose.random() < 0.3 else inner
        column, literals = choose.choice(self._columns)
        if not literals or choose.random() < 0.1:
            return f"{column} IS {choose.choice(['', 'NOT '])}NULL"
        one, other = choose.choice(literals), choose.choice(literals)
        return choose.choice(
            [
                f"{column} {choose.choice(['=', '<>', '<', '<=', '>', '>='])} {one}",
                f"{one} {choose.choice(['=', '<', '<=', '>', '>='])} {column}",
                f"{column} {choose.choice(['', 'NOT '])}IN ({one}, {other})",
                f"{column} {choose.choice(['', 'NOT '])}BETWEEN {one} AND {other}",
                f"{column} IS {choose.choice(['', 'NOT '])}DISTINCT FROM {one}",
            ]
        )


@pytest.mark.parametrize("seed", range(5 * MORE))
def test_every_row_is_found(lake: Lake, seed: int) -> None:
    """As plain rows, and by conditions that files and row groups are chosen by."""
    choose = random.Random(seed)
    past = Anything(lake, choose)
    for _ in range(choose.randint(3, 14)):
        past.act()
    session = lake.session()
    session.execute("USE CATALOG lake")
    found = session.execute("SELECT * FROM t").fetchall()
    assert Counter(map(_plain, found)) == _expected(past), past.log
    conditions = Conditions(past, choose)
    if past.kinds:
        for _ in range(12):
            _check(session, conditions.any())


def _check(session: Session, condition: str) -> None:
    """The rows for which it holds are the rows of a query with it."""
    try:
        answers = session.execute(f"SELECT rid, {condition} FROM t").fetchall()
    except FlowSQLError as error:
        # Types that cannot be compared: so cannot they in WHERE.
        with pytest.raises(type(error)):
            session.execute(f"SELECT rid FROM t WHERE {condition}").fetchall()
        return
    found = session.execute(f"SELECT rid FROM t WHERE {condition}").fetchall()
    assert sorted(found) == sorted((rid,) for rid, holds in answers if holds), condition
