"""Relations: the pieces that queries are put together from; see `grammar.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.property.queries.aggregates import Aggregates
from tests.property.queries.expressions import (
    KEYS,
    Column,
    Text,
    alike,
    has_double,
    has_map,
    join,
    same,
)

__all__ = ["Relation", "Relations"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A sub-query or a table, usable in FROM."""

    text: Text
    columns: tuple[Column, ...]


@dataclass
class Relations(Aggregates):
    """What all makers of relations share.

    Attributes:
        names: how many names have been given.
        keyless: there is an aggregate without GROUP BY.
    """

    names: int = 0
    keyless: bool = False

    def relation(self, depth: int) -> Relation:
        """Some relation that is so deep at most."""
        raise NotImplementedError

    def select(self, depth: int) -> Relation:
        """A projection of some relation."""
        raise NotImplementedError

    def name(self, stem: str = "x") -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def from_(self, source: Relation, items: Sequence[Text]) -> Text:
        alias = self.name("t")
        return join(
            lambda q, *i: f"SELECT {', '.join(i)} FROM ({q}) AS {alias}", source.text, *items
        )

    def keyed(self, text: Text, keys: Sequence[Column]) -> Text:
        """Rows are told apart by these columns: DOUBLE among them is not DuckDB's."""
        if any(has_double(k.type) for k in keys):
            self.uses.add("NaN and −0.0 as keys")
            return Text(text.flink, None)
        if any(has_map(k.type) for k in keys):
            self.uses.add("maps as keys")
            return Text(text.flink, None)
        return text

    def renamed(self, source: Relation) -> Relation:
        """The same rows, their columns under other names."""
        columns = tuple(Column(self.name("c"), c.type) for c in source.columns)
        items = [
            same(f"{old.name} AS {new.name}")
            for old, new in zip(source.columns, columns, strict=True)
        ]
        return Relation(self.from_(source, items), columns)

    def pairs(self, left: Relation, right: Relation) -> list[tuple[Column, Column]]:
        """Columns of one type, which can be compared."""
        return [
            (a, b)
            for a in left.columns
            for b in right.columns
            if alike(a.type, b.type) and isinstance(a.type, KEYS)
        ]

    def under_new_names(self, columns: Sequence[Column]) -> tuple[list[Text], tuple[Column, ...]]:
        """SELECT items that give columns new names, and the columns."""
        new = tuple(Column(self.name("c"), c.type) for c in columns)
        items = [same(f"{a.name} AS {b.name}") for a, b in zip(columns, new, strict=True)]
        return items, new
