"""Relations that are more than a query over one or two: VALUES, UNNEST, joins of several, LATERAL.

See `grammar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flowsql import types as t
from tests.property.queries.expressions import (
    BOOLEAN,
    DATE,
    INT,
    PLAIN,
    STRING,
    Column,
    Text,
    join,
    same,
)
from tests.property.queries.relations import Relation
from tests.property.queries.subqueries import Subqueries

__all__ = ["Shapes"]


@dataclass
class Shapes(Subqueries):
    """Makes them.

    Attributes:
        tables: what is read.
        own_rows: there are rows that no table gives.
    """

    tables: set[str] = field(default_factory=set)
    own_rows: bool = False

    def values(self) -> Relation:
        """Rows that stand in the query."""
        self.own_rows = True
        kinds = self.chance.choices([INT, INT, STRING, DATE, BOOLEAN], k=self.chance.randint(1, 3))
        columns = tuple(Column(self.name("c"), kind) for kind in kinds)
        rows = [
            join(lambda *v: f"({', '.join(v)})", *(self._cell(kind) for kind in kinds))
            for _ in range(self.chance.choice([1, 2, 4]))
        ]
        alias, names = self.name("t"), ", ".join(c.name for c in columns)
        return Relation(
            join(lambda *r: f"SELECT * FROM (VALUES {', '.join(r)}) AS {alias} ({names})", *rows),
            columns,
        )

    def _cell(self, kind: t.DataType) -> Text:
        if self.odds(4):
            name = "VARCHAR" if isinstance(kind, t.VarCharType) else str(kind)
            return Text(f"CAST(NULL AS {kind})", f"CAST(NULL AS {name})")
        return self.literal(kind)

    def unnested(self, depth: int) -> Relation:
        """A row for each element of an array, a map or a multiset."""
        source = self.relation(depth)
        found = [c for c in source.columns if _elements(c.type)]
        if not found:
            source = self.collection()
            found = [c for c in source.columns if _elements(c.type)]
        column = self.chance.choice(found)
        inner = [Column(self.name("c"), kind) for kind in _elements(column.type)]
        ordinal = []
        if not isinstance(column.type, t.MultisetType) and self.odds(3):
            ordinal = [Column(self.name("c"), INT)]
        kept = [c for c in source.columns if c is not column or self.odds(2)]
        items, columns = self.under_new_names([*kept, *inner, *ordinal])
        x, u = self.name("t"), self.name("t")
        names = ", ".join(c.name for c in [*inner, *ordinal])
        left = self.odds(3)
        before = self.chance.choice(["LEFT JOIN"] if left else ["CROSS JOIN", ","])
        behind = " ON TRUE" if left else ""
        word = " WITH ORDINALITY" if ordinal else ""
        select = ", ".join(i.flink for i in items)
        text = f"UNNEST({column.name}){word} AS {u} ({names})"
        flink = f"SELECT {select} FROM ({source.text.flink}) AS {x} {before} {text}{behind}"
        if source.text.duck is None or isinstance(column.type, t.MultisetType):
            self.uses |= {"COLLECT"} if isinstance(column.type, t.MultisetType) else set()
            return Relation(Text(flink, None), columns)
        if isinstance(column.type, t.MapType):
            self.uses.add("UNNEST(MAP)")
            parts = [f"unnest(map_keys({column.name}))", f"unnest(map_values({column.name}))"]
            parts += [f"generate_subscripts(map_keys({column.name}), 1)"][: len(ordinal)]
            named = (f"{p} AS {c.name}" for p, c in zip(parts, [*inner, *ordinal], strict=True))
            text = f"LATERAL (SELECT {', '.join(named)}) AS {u}"
        duck = f"SELECT {select} FROM ({source.text.duck}) AS {x} {before} {text}{behind}"
        return Relation(Text(flink, duck), columns)

    def collection(self) -> Relation:
        """A table's rows with an array and a map."""
        name = self.chance.choice(["app", "ret", "ups"])
        self.tables.add(name)
        given = [("k", INT), ("s", STRING), ("a", t.ArrayType(INT)), ("m", t.MapType(STRING, INT))]
        columns = tuple(Column(self.name("c"), kind) for _, kind in given)
        items = ", ".join(f"{a} AS {c.name}" for (a, _), c in zip(given, columns, strict=True))
        return Relation(same(f"SELECT {items} FROM {name}"), columns)

    def several(self, depth: int) -> Relation:
        """A join of three or four."""
        first = self.relation(min(depth, 1))
        sides, known = [first], list(first.columns)
        alias = self.name("t")
        text = join(lambda q: f"FROM ({q}) AS {alias}", first.text)
        for _ in range(self.chance.choice([2, 2, 3])):
            side = self.renamed(first) if self.odds(5) else self.relation(min(depth, 1))
            pairs = self.pairs(Relation(first.text, tuple(known)), side)
            if not pairs:
                continue
            a, b = self.chance.choice(pairs)
            kind = self.chance.choice(["JOIN", "JOIN", "LEFT JOIN", "FULL JOIN"])
            on = same(f"{a.name} = {b.name}")
            if self.odds(4) and kind != "FULL JOIN":
                both = [*known, *side.columns]
                on = join(lambda c, p: f"{c} AND {p}", on, self.condition(both, 0))
            alias = self.name("t")
            text = join(
                lambda q, r, o, k=kind, n=alias: f"{q} {k} ({r}) AS {n} ON {o}",
                text,
                side.text,
                self.keyed(on, [a, b]),
            )
            sides.append(side)
            known += side.columns
        chosen = self.chance.sample(known, self.chance.randint(1, min(5, len(known))))
        items, columns = self.under_new_names(chosen)
        return Relation(join(lambda q, *i: f"SELECT {', '.join(i)} {q}", text, *items), columns)

    def crossed(self, depth: int) -> Relation:
        """Each row with each of another relation, which mostly has few."""
        left = self.relation(depth)
        right = self.values() if self.odds(2) else self.relation(min(depth, 1))
        both = [*left.columns, *right.columns]
        items, columns = self.under_new_names(
            self.chance.sample(both, self.chance.randint(1, min(4, len(both))))
        )
        x, y = self.name("t"), self.name("t")
        between = self.chance.choice(["CROSS JOIN", ","])
        return Relation(
            join(
                lambda q, r, *i: f"SELECT {', '.join(i)} FROM ({q}) AS {x} {between} ({r}) AS {y}",
                left.text,
                right.text,
                *items,
            ),
            columns,
        )

    def with_value(self, depth: int) -> Relation:
        """Rows with the value of a sub-query, or with whether one has them."""
        source, other = self.relation(depth), self.relation(min(depth, 1))
        pairs = self.pairs(source, other)
        if not pairs:
            return self.select(depth)
        a, b = self.chance.choice(pairs)
        items, columns = self.under_new_names(source.columns)
        if self.odds(3):
            test = self.keyed(self.sub_query(a, b, other, quantified=False), [a])
            column = Column(self.name("c"), BOOLEAN)
            item = join(lambda p: f"({p}) AS {column.name}", test)
        else:
            value, kind = self.simple_aggregate(other.columns)
            column = Column(self.name("c"), kind)
            where = same("")
            if self.odds(6):
                self.keyless = True
            else:
                kept = self.condition(other.columns, 1) if self.odds(3) else same("")
                where = join(lambda p: f" WHERE {b.name} = {a.name}" + (p and f" AND {p}"), kept)
                where = self.keyed(where, [a])
            alias = self.name("t")
            item = join(
                lambda v, q, w: f"(SELECT {v} FROM ({q}) AS {alias}{w}) AS {column.name}",
                value,
                other.text,
                where,
            )
        return Relation(self.from_(source, [*items, item]), (*columns, column))

    def simple_aggregate(self, columns: Sequence[Column]) -> tuple[Text, t.DataType]:
        """COUNT, SUM, AVG, MIN or MAX."""
        while True:
            text, kind = self.one_aggregate(columns, simple=True)
            if isinstance(kind, PLAIN):
                return text, kind

    def lateral(self, depth: int) -> Relation:
        """Rows with the first rows of another relation, or with an aggregate of them."""
        source, other = self.relation(depth), self.relation(min(depth, 1))
        pairs, kept = self.pairs(source, other), self.sortable(other)
        if not pairs or not kept:
            return self.select(depth)
        a, b = self.chance.choice(pairs)
        where = self.keyed(same(f"WHERE {b.name} = {a.name}"), [a])
        items, inner = self.under_new_names(kept)
        alias, u = self.name("t"), self.name("t")
        first = self.odds(2) or "COUNT(" in other.text.flink
        before, behind = self.chance.choice(
            [("CROSS JOIN", ""), (",", ""), ("LEFT JOIN", " ON TRUE")]
        )
        if first:
            limit = self.chance.choice(["LIMIT 1", "LIMIT 2"])
            below = join(
                lambda q, w, o, *i: (
                    f"SELECT {', '.join(i)} FROM ({q}) AS {alias} {w} ORDER BY {o} {limit}"
                ),
                other.text,
                where,
                self.order(kept),
                *items,
            )
        else:
            value, kind = self.simple_aggregate(other.columns)
            if value.flink.startswith("COUNT("):
                value, kind = same(f"MAX({kept[0].name})"), kept[0].type
            inner = (Column(self.name("c"), kind),)
            below = join(
                lambda v, q, w: f"SELECT {v} AS {inner[0].name} FROM ({q}) AS {alias} {w}",
                value,
                other.text,
                where,
            )
            if not behind:
                self.uses.add("LATERAL (SELECT MAX(x) …)")
                below = Text(below.flink, None)
        outer, columns = self.under_new_names([*source.columns, *inner])
        x = self.name("t")
        text = join(
            lambda q, r, *i: (
                f"SELECT {', '.join(i)} FROM ({q}) AS {x} {before} LATERAL ({r}) AS {u}{behind}"
            ),
            source.text,
            below,
            *outer,
        )
        return Relation(text, columns)


def _elements(kind: t.DataType) -> list[t.DataType]:
    """The columns that UNNEST gives; none for what it is not generated over."""
    match kind:
        case t.ArrayType(element=element) | t.MultisetType(element=element):
            return [element] if isinstance(element, PLAIN) else []
        case t.MapType(key=key, value=value):
            return [key, value]
        case _:
            return []
