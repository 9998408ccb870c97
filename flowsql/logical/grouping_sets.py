"""GROUP BY as sets of keys: plain keys, GROUPING SETS, ROLLUP and CUBE.

a, ROLLUP (b, c)  →  (a, b, c), (a, b), (a)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of

__all__ = ["grouping_sets"]

_MOST = 256

_Sets = list[list[exp.Expr]]


def grouping_sets(group: d.GroupBy) -> _Sets:
    """The sets of keys that a GROUP BY asks for; one for a plain one.

    Raises:
        SqlError: they are too many.
    """
    found: _Sets = [[]]
    for item in group.args["expressions"]:
        ways = _ways(item)
        if len(found) * len(ways) > _MOST:
            raise SqlError(
                f"GROUP BY makes more than {_MOST} grouping sets",
                hint="Name those that are needed with GROUPING SETS.",
                span=span_of(item),
            )
        found = [[*a, *b] for a, b in product(found, ways)]
    return found


def _ways(item: exp.Expr) -> _Sets:
    """The sets that one item of GROUP BY adds its keys in."""
    if not isinstance(item, d.GroupingSet):
        return [[item]]
    items = item.args["expressions"]
    match item.args["kind"]:
        case "SETS":
            return [way for inner in items for way in _ways(inner)]
        case "ROLLUP":
            parts = [_unit(i) for i in items]
            return [_joined(parts[:n]) for n in range(len(parts), -1, -1)]
        case "CUBE":
            parts = [_unit(i) for i in items]
            if 1 << len(parts) > _MOST:
                raise SqlError(
                    f"CUBE of {len(parts)} keys makes more than {_MOST} grouping sets",
                    hint="Name those that are needed with GROUPING SETS.",
                    span=span_of(item),
                )
            chosen = product((True, False), repeat=len(parts))
            return [
                _joined([p for p, take in zip(parts, way, strict=True) if take]) for way in chosen
            ]
        case _:
            return [list(items)]


def _unit(item: exp.Expr) -> list[exp.Expr]:
    """Keys that ROLLUP and CUBE take together: `(a, b)`, or one."""
    return list(item.args["expressions"]) if isinstance(item, d.GroupingSet) else [item]


def _joined(parts: Sequence[Sequence[exp.Expr]]) -> list[exp.Expr]:
    return [key for part in parts for key in part]
