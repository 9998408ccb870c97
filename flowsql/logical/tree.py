"""The one printer of plan trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["tree"]

N = TypeVar("N")


def tree(root: N, label: Callable[[N], str], children: Callable[[N], Sequence[N]]) -> str:
    """One line a node, inputs below their reader behind `├─` and `└─`."""
    lines = [label(root)]
    below = children(root)
    for i, child in enumerate(below):
        last = i == len(below) - 1
        first, *rest = tree(child, label, children).split("\n")
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    return "\n".join(lines)
