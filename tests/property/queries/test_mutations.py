"""The generated queries must be able to fail: an engine broken on purpose is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from flowsql import FlowSQLError
from flowsql.changelog import Changes
from flowsql.operators import (
    BestRowOperator,
    ExpandOperator,
    FilterOperator,
    FirstRowOperator,
    GroupAggregateOperator,
    JoinOperator,
    NormalizeOperator,
    SemiJoinOperator,
    SetOperationOperator,
    SinkMaterializeOperator,
    TopFewOperator,
    TopNOperator,
    UnionOperator,
    UnnestOperator,
    WindowAggregateOperator,
)
from flowsql.state.store import StateStore
from tests.property.queries import triple
from tests.property.queries.grammar import make_query
from tests.property.queries.triple import check

ENOUGH = 60


def _without_last(given: Iterable[Changes]) -> Iterator[Changes]:
    """All rows but the last of the call."""
    parts = list(given)
    yield from parts[:-1]
    if parts and len(parts[-1]) > 1:
        yield parts[-1].slice(0, len(parts[-1]) - 1)


def _without_retractions(given: Iterable[Changes]) -> Iterator[Changes]:
    """Only what is added."""
    for part in given:
        kept = part.filter(part.signs > 0)
        if len(kept):
            yield kept


def _twice(given: Iterable[Changes]) -> Iterator[Changes]:
    """Every batch again."""
    for part in given:
        yield part
        yield part


def _first_again(given: Iterable[Changes]) -> Iterator[Changes]:
    """The last row of every batch is a copy of its first."""
    for part in given:
        order = np.arange(len(part))
        order[-1] = 0
        yield part.take(order)


def _nothing(given: Iterable[Changes]) -> Iterator[Changes]:
    """Not a row."""
    return iter(())


Mutation = Callable[[Iterable[Changes]], Iterator[Changes]]

#: operator, method, what is done to what it gives, a word that a query it serves has
MUTATIONS: list[tuple[type, str, Mutation, str]] = [
    (FilterOperator, "process", _without_retractions, " WHERE "),
    (FilterOperator, "process", _first_again, " WHERE "),
    (UnionOperator, "process", _twice, "UNION"),
    (GroupAggregateOperator, "flush", _without_last, "GROUP BY"),
    (GroupAggregateOperator, "flush", _without_retractions, "GROUP BY"),
    (JoinOperator, "process", _without_last, " JOIN "),
    (JoinOperator, "process", _without_retractions, " JOIN "),
    (JoinOperator, "flush", _nothing, "LEFT JOIN"),
    (SinkMaterializeOperator, "flush", _without_retractions, "JOIN"),
    (SinkMaterializeOperator, "flush", _without_last, "UNION"),
    (NormalizeOperator, "flush", _without_retractions, " ups"),
    (SemiJoinOperator, "flush", _without_last, "EXISTS"),
    (SemiJoinOperator, "flush", _without_retractions, "NOT EXISTS"),
    (SetOperationOperator, "flush", _without_retractions, "EXCEPT"),
    (TopNOperator, "flush", _without_retractions, "ROW_NUMBER"),
    (BestRowOperator, "flush", _nothing, " = 1"),
    (BestRowOperator, "flush", _without_retractions, "ORDER BY ts DESC"),
    (FirstRowOperator, "process", _without_last, "ORDER BY p)"),
    (TopFewOperator, "flush", _without_retractions, "QUALIFY"),
    (UnnestOperator, "process", _without_last, "UNNEST("),
    (UnnestOperator, "process", _without_retractions, "UNNEST("),
    (GroupAggregateOperator, "flush", _first_again, "COLLECT("),
    (SemiJoinOperator, "flush", _without_last, " ALL ("),
    (JoinOperator, "process", _twice, "LATERAL ("),
    (ExpandOperator, "process", _without_last, "ROLLUP"),
    (WindowAggregateOperator, "advance", _without_last, "TUMBLE"),
    (WindowAggregateOperator, "advance", _nothing, "TUMBLE"),
]


def _noticed(word: str) -> bool:
    """Whether some seed of the first ones that have the word differs."""
    seeds = (seed for seed in range(5000) if word in make_query(seed).flink)
    for seed in islice(seeds, ENOUGH):
        try:
            check(seed, cuts=2)
        except AssertionError:
            return True
        except FlowSQLError:
            continue  # another finding; the test of all queries reports it
    return False


@pytest.mark.parametrize(
    ("operator", "method", "mutation", "word"),
    MUTATIONS,
    ids=[f"{o.__name__}.{m}{f.__name__}" for o, m, f, _ in MUTATIONS],
)
def test_a_broken_operator_is_noticed(
    monkeypatch: pytest.MonkeyPatch, operator: type, method: str, mutation: Mutation, word: str
) -> None:
    """What an operator gives is changed a little: some query differs."""
    sound = getattr(operator, method)

    def broken(self: Any, *arguments: Any) -> Iterator[Changes]:
        return mutation(sound(self, *arguments))

    monkeypatch.setattr(operator, method, broken)
    monkeypatch.setattr(triple, "SHRINK_S", 0.0)
    assert _noticed(word)


def test_lost_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that brings nothing back: some restart differs."""
    monkeypatch.setattr(StateStore, "restore", lambda *_, **__: None)
    monkeypatch.setattr(triple, "SHRINK_S", 0.0)
    assert _noticed("GROUP BY")
