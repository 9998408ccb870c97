"""The generated queries must be able to fail: an engine broken on purpose is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from flowsql import FlowSQLError
from flowsql.changelog import Changes
from flowsql.operators import (
    FilterOperator,
    GroupAggregateOperator,
    JoinOperator,
    NormalizeOperator,
    UnionOperator,
    WindowAggregateOperator,
)
from flowsql.state.store import StateStore
from tests.property.queries.triple import check

ENOUGH = 120


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

MUTATIONS: list[tuple[type, str, Mutation]] = [
    (FilterOperator, "process", _without_retractions),
    (FilterOperator, "process", _first_again),
    (UnionOperator, "process", _twice),
    (GroupAggregateOperator, "flush", _without_last),
    (GroupAggregateOperator, "flush", _without_retractions),
    (JoinOperator, "process", _without_last),
    (JoinOperator, "flush", _without_retractions),
    (NormalizeOperator, "flush", _without_retractions),
    (WindowAggregateOperator, "advance", _without_last),
    (WindowAggregateOperator, "advance", _nothing),
]


def _noticed() -> bool:
    """Whether some seed of the first ones differs."""
    for seed in range(ENOUGH):
        try:
            check(seed, cuts=2)
        except AssertionError:
            return True
        except FlowSQLError:
            continue  # another finding; the test of all queries reports it
    return False


@pytest.mark.parametrize(
    ("operator", "method", "mutation"),
    MUTATIONS,
    ids=[f"{o.__name__}.{m}{f.__name__}" for o, m, f in MUTATIONS],
)
def test_a_broken_operator_is_noticed(
    monkeypatch: pytest.MonkeyPatch, operator: type, method: str, mutation: Mutation
) -> None:
    """What an operator gives is changed a little: some query differs."""
    sound = getattr(operator, method)

    def broken(self: Any, *arguments: Any) -> Iterator[Changes]:
        return mutation(sound(self, *arguments))

    monkeypatch.setattr(operator, method, broken)
    assert _noticed()


def test_lost_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that brings nothing back: some restart differs."""
    monkeypatch.setattr(StateStore, "restore", lambda *_, **__: None)
    assert _noticed()
