"""Unique keys of joins, and what they make of a join side's state."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.optimizer.unique_keys import Keys, mapped, minimal, paired
from flowsql.physical.specs import Join, JoinKind, JoinSide, SideLayout
from flowsql.types import DataType

__all__ = ["join_keys", "side_layout"]


def side_layout(keys: Sequence[int], unique_keys: Keys) -> tuple[SideLayout, tuple[int, ...]]:
    """How a join side with these equality columns keeps its rows, and by which unique key."""
    inside = [k for k in unique_keys if set(k) <= set(keys)]
    if inside:
        return SideLayout.KEY_IS_UNIQUE, inside[0]
    if unique_keys:
        return SideLayout.HAS_UNIQUE_KEY, unique_keys[0]
    return SideLayout.NO_UNIQUE_KEY, ()


def join_keys(spec: Join, left: Keys, right: Keys, types: Sequence[DataType]) -> Keys:
    """The unique keys of a join's output, whose types before padding are `types`."""
    kind = spec.kind
    left_once = any(set(k) <= set(spec.left.keys) for k in left)
    right_once = any(set(k) <= set(spec.right.keys) for k in right)
    shift = len(spec.left.columns)
    at_left = _places(spec.left, 0)
    at_right = _places(spec.right, shift)
    if kind is JoinKind.INNER:
        # Equal columns of both sides stand for each other.
        for a, b in zip(spec.left.keys, spec.right.keys, strict=True):
            if a not in at_left and b in at_right:
                at_left[a] = at_right[b]
            elif b not in at_right and a in at_left:
                at_right[b] = at_left[a]
    lefts, rights = mapped(left, at_left), mapped(right, at_right)
    found: list[tuple[int, ...]] = []
    if right_once and kind in {JoinKind.INNER, JoinKind.LEFT}:
        found += lefts
    if left_once and kind in {JoinKind.INNER, JoinKind.RIGHT}:
        found += rights
    found += paired(lefts, rights, types, full=kind is JoinKind.FULL)
    return minimal(found)


def _places(side: JoinSide, shift: int) -> dict[int, Sequence[int]]:
    return {c: [i + shift] for i, c in enumerate(side.columns)}
