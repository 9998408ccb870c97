"""Changelogs folded in plain Python: the judge of what a stream of changes adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

__all__ = ["FoldError", "fold", "fold_by_key", "is_insert"]

_SIGNS = {"+I": 1, "+U": 1, "-U": -1, "-D": -1}


class FoldError(AssertionError):
    """A changelog that no table can have had."""


def is_insert(kind: str) -> bool:
    """Whether the kind adds its row."""
    return _SIGNS[kind] > 0


def fold(changes: Iterable[tuple[str, Hashable]]) -> Counter[Hashable]:
    """The table, as a multiset, after all changes of a retract changelog.

    Raises:
        FoldError: a row is taken away that is not there.
    """
    table: Counter[Hashable] = Counter()
    for kind, row in changes:
        table[row] += _SIGNS[kind]
        if table[row] < 0:
            raise FoldError(f"{kind} of a row that is not there: {row!r}")
        if table[row] == 0:
            del table[row]
    return table


def fold_by_key(
    changes: Iterable[tuple[str, tuple[Hashable, ...]]], key: Sequence[int]
) -> Counter[Hashable]:
    """The table after all changes of an upsert changelog; the last row of a key counts."""
    table: dict[tuple[Hashable, ...], tuple[Hashable, ...]] = {}
    for kind, row in changes:
        at = tuple(row[i] for i in key)
        if kind == "-D":
            table.pop(at, None)
        elif is_insert(kind):
            table[at] = row
    return Counter(table.values())
