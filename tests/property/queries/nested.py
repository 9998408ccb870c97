"""Random expressions over arrays, maps and rows, in Flink's SQL and in DuckDB's; see `grammar.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowsql import types as t
from tests.property.queries.expressions import (
    ARRAY,
    INT,
    MAP,
    PAIR,
    STRING,
    Column,
    Expressions,
    Text,
    join,
    same,
)

__all__ = ["Nested"]


@dataclass
class Nested(Expressions):
    """Makes expressions that build arrays, maps and rows, and that look into them."""

    def nested(self, columns: Sequence[Column], kind: t.DataType, depth: int) -> Text:
        """An expression of type ARRAY, MAP or PAIR."""
        if kind == ARRAY:
            return self._array(columns, depth)
        if kind == MAP:
            word = self.chance.choice(["a", "b"])
            item = self.value(columns, INT, depth)
            return Text(
                f"MAP['{word}', {item.flink}]",
                None if item.duck is None else f"MAP {{'{word}': {item.duck}}}",
            )
        x, y = self.value(columns, INT, depth), self.value(columns, STRING, depth)
        ducks = None not in (x.duck, y.duck)
        return Text(
            f"CAST(ROW({x.flink}, {y.flink}) AS ROW<x INT, y STRING>)",
            f"{{'x': {x.duck}, 'y': {y.duck}}}" if ducks else None,
        )

    def _array(self, columns: Sequence[Column], depth: int) -> Text:
        below = max(0, depth - 1)
        match self.chance.randrange(7):
            case 0 | 1:
                x, y = self.value(columns, INT, below), self.value(columns, INT, below)
                ducks = None not in (x.duck, y.duck)
                return Text(
                    f"ARRAY[{x.flink}, {y.flink}]",
                    f"[{x.duck}, {y.duck}]::INTEGER[]" if ducks else None,
                )
            case 2:
                a = self.value(columns, ARRAY, below)
                self.uses.add("ARRAY_SORT")
                return Text(
                    f"ARRAY_SORT({a.flink})",
                    None if a.duck is None else f"list_sort({a.duck}, 'ASC', 'NULLS FIRST')",
                )
            case 3:
                a, b = self.value(columns, ARRAY, below), self.value(columns, ARRAY, below)
                self.uses.add("ARRAY_CONCAT")
                ducks = None not in (a.duck, b.duck)
                missing = f"({a.duck}) IS NULL OR ({b.duck}) IS NULL"
                return Text(
                    f"ARRAY_CONCAT({a.flink}, {b.flink})",
                    f"CASE WHEN {missing} THEN NULL ELSE list_concat({a.duck}, {b.duck}) END"
                    if ducks
                    else None,
                )
            case 4:
                a = self.value(columns, ARRAY, below)
                self.uses.add("ARRAY_DISTINCT")
                return Text(f"ARRAY_DISTINCT({a.flink})", None)
            case 5 if any(c.type == MAP for c in columns):
                m = self.value(columns, MAP, 0)
                return join(lambda m: f"MAP_VALUES({m})", m)
            case _:
                a = self.value(columns, ARRAY, below)
                return Text(
                    f"ARRAY_REVERSE({a.flink})",
                    None if a.duck is None else f"list_reverse({a.duck})",
                )

    def looked_up(self, columns: Sequence[Column]) -> Text | None:
        """An INT out of an array, a map, or a row; None where there is none of them."""
        found = [c for c in columns if c.type in (ARRAY, MAP, PAIR)]
        if not found:
            return None
        column = self.chance.choice(found)
        if column.type == PAIR:
            return same(f"{column.name}.x")
        a = self.value(columns, column.type, self.chance.choice([0, 0, 1]))
        if column.type == MAP:
            if self.odds(2):
                key = self.chance.choice("ab")
                return join(lambda m: f"({m})['{key}']", a)
            return Text(
                f"CARDINALITY({a.flink})",
                None if a.duck is None else f"cardinality({a.duck})::INTEGER",
            )
        match self.chance.randrange(3):
            case 0:
                self.uses.add("CARDINALITY(ARRAY)")
                return Text(
                    f"CARDINALITY({a.flink})", None if a.duck is None else f"len({a.duck})::INTEGER"
                )
            case 1:
                return Text(
                    f"ARRAY_MAX({a.flink})", None if a.duck is None else f"list_max({a.duck})"
                )
            case _:
                at = self.chance.choice([1, 2])
                return join(lambda a: f"({a})[{at}]", a)

    def holds(self, columns: Sequence[Column]) -> Text | None:
        """A predicate on an array or a map; None where there is neither."""
        found = [c.type for c in columns if c.type in (ARRAY, MAP)]
        if not found:
            return None
        kind = self.chance.choice(found)
        a = self.value(columns, kind, self.chance.choice([0, 0, 1]))
        if kind == MAP or self.odds(3):
            return join(lambda a: f"({a} IS NULL)", a)
        if self.odds(2):
            text = self.chance.choice(["1", "2", "3"])
            return Text(
                f"ARRAY_CONTAINS({a.flink}, {text})",
                None if a.duck is None else f"list_contains({a.duck}, {text})",
            )
        b = self.value(columns, ARRAY, 0)
        if a.flink == b.flink:
            b = same("ARRAY[1, 2]")
        return join(lambda a, b: f"({a} IS NOT DISTINCT FROM {b})", a, b)
