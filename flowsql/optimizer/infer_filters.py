"""What is asked of a column holds for the columns that a join makes equal to it.

    Join(a.id = b.id)  over  Filter(a.id > 3)(a), b
    →  Join(a.id = b.id)  over  Filter(a.id > 3)(a), Filter(b.id > 3)(b)

The other side has fewer rows to keep then. A row that fails could match none of those that pass, so
that it may go from a side that is not preserved; and from either side of an inner join.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowsql.changelog import many_forms
from flowsql.expr import Expression, columns_read
from flowsql.logical import LogicalPlan
from flowsql.optimizer.rewrite import columns_of, substituted
from flowsql.types import ArrayType, DataType, DoubleType, FloatType, RowType

__all__ = ["inferred"]

Pairs = Sequence[tuple[int, int]]


def inferred(
    parts: Iterable[Expression], known: Iterable[Expression], pairs: Pairs, to: LogicalPlan
) -> list[Expression]:
    """The conditions of one side as conditions of the other.

    Args:
        parts: over the columns of the one side; they never fail and are deterministic.
        known: conditions that the other side has already.
        pairs: equal columns, (one side's, the other side's).
        to: the other side.
    """
    columns = columns_of(to)
    places = {a: columns[b] for a, b in pairs if not _distinct(columns[b].type)}
    had = list(known)
    found: list[Expression] = []
    for part in parts:
        read = columns_read(part)
        if not read or not read <= places.keys():
            continue
        made = substituted(part, places)
        if made not in had and made not in found:
            found.append(made)
    return found


def _distinct(kind: DataType) -> bool:
    """Whether equal values may be two: 0.0 and -0.0, maps whose entries stand in another order."""
    match kind:
        case FloatType() | DoubleType():
            return True
        case ArrayType(element=element):
            return _distinct(element)
        case RowType(fields=fields):
            return any(_distinct(f.type) for f in fields)
        case _:
            return many_forms(kind)
