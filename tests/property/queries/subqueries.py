"""Sub-queries in WHERE, set operations, the first rows of an order, grouping sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.property.queries.expressions import (
    BIGINT,
    INT,
    PLAIN,
    SORTED,
    Column,
    Text,
    base,
    join,
    same,
)
from tests.property.queries.relations import Relation, Relations

__all__ = ["Subqueries"]


@dataclass
class Subqueries(Relations):
    """Makes what compares whole relations, or orders them."""

    def chosen(self, depth: int) -> Relation:
        """Rows that a sub-query chooses."""
        source, other = self.relation(depth), self.relation(min(depth, 1))
        pairs = self.pairs(source, other)
        if not pairs:
            return self.select(depth)
        a, b = self.chance.choice(pairs)
        word = self.chance.choice(["", "", "", "", "AND", "AND", "OR"])
        # Beside OR it is a value, which some forms cannot be yet.
        test = self.keyed(self.sub_query(a, b, other, quantified=word != "OR"), [a])
        if word != "OR" and self.odds(5):
            test = self.rows_chosen((a, b), self.chance.choice(pairs), other)
        if word:
            condition = self.condition(source.columns, 1)
            test = join(lambda p, q: f"({p}) {word} {q}", test, condition)
        items, columns = self.under_new_names(source.columns)
        text = self.from_(source, items)
        return Relation(join(lambda q, p: f"{q} WHERE {p}", text, test), columns)

    def rows_chosen(
        self, first: tuple[Column, Column], second: tuple[Column, Column], other: Relation
    ) -> Text:
        """A predicate on two columns by two of the other relation."""
        (a, b), (c, d) = first, second
        alias = self.name("t")
        word = self.chance.choice(["IN", "NOT IN"])
        if self.odds(2):
            text = join(
                lambda q: (
                    f"({a.name}, {c.name}) {word} (SELECT {b.name}, {d.name} FROM ({q}) AS {alias})"
                ),
                other.text,
            )
        else:
            text = join(
                lambda q: (
                    f"{a.name} {word} (SELECT {b.name} FROM ({q}) AS {alias} WHERE {d.name} = {c.name})"
                ),
                other.text,
            )
        return self.keyed(text, [a, c])

    def sub_query(self, a: Column, b: Column, other: Relation, *, quantified: bool = True) -> Text:
        """A predicate on column `a` by column `b` of the other relation; ALL and ANY on request."""
        alias = self.name("t")
        kept = same("")
        if self.odds(3):
            kept = self.condition(other.columns, 1)
        match self.chance.randrange(8):
            case 4 if quantified and isinstance(a.type, SORTED):
                word = self.chance.choice(["> ALL", "= ANY", "<= ANY", "<> ALL"])
                where = join(lambda p: f" WHERE {p}" if p else "", kept)
                return join(
                    lambda q, w: f"{a.name} {word} (SELECT {b.name} FROM ({q}) AS {alias}{w})",
                    other.text,
                    where,
                )
            case 0 | 1 | 2:
                word = self.chance.choice(["IN", "NOT IN", "NOT IN"])
                where = join(lambda p: f" WHERE {p}" if p else "", kept)
                return join(
                    lambda q, w: f"{a.name} {word} (SELECT {b.name} FROM ({q}) AS {alias}{w})",
                    other.text,
                    where,
                )
            case 3 if isinstance(a.type, SORTED):
                self.keyless = True
                which, sign = self.chance.choice(["MIN", "MAX"]), self.chance.choice("=<>")
                return join(
                    lambda q: f"{a.name} {sign} (SELECT {which}({b.name}) FROM ({q}) AS {alias})",
                    other.text,
                )
            case _:
                word = self.chance.choice(["EXISTS", "NOT EXISTS"])
                more = join(lambda p: f" AND {p}" if p else "", kept)
                return join(
                    lambda q, m: (
                        f"{word} (SELECT 1 FROM ({q}) AS {alias} WHERE {a.name} = {b.name}{m})"
                    ),
                    other.text,
                    more,
                )

    def set_operation(self, depth: int) -> Relation:
        """What two relations have in common, or only the first has."""
        left, right = self.relation(depth), self.relation(depth)
        kinds = [c.type for c in left.columns if isinstance(c.type, PLAIN)][:2] or [INT]
        columns = tuple(Column(self.name("c"), base(kind)) for kind in kinds)
        sides = [
            self.from_(
                side,
                [
                    join(lambda e, n=c.name: f"{e} AS {n}", self.value(side.columns, c.type, 0))
                    for c in columns
                ],
            )
            for side in (left, right)
        ]
        word = self.chance.choice(["INTERSECT", "EXCEPT"]) + self.chance.choice(["", " ALL"])
        return Relation(self.keyed(join(lambda a, b: f"{a} {word} {b}", *sides), columns), columns)

    def sortable(self, source: Relation) -> list[Column]:
        """Some columns that can be put in a total order."""
        found = [c for c in source.columns if isinstance(c.type, SORTED)]
        return (
            self.chance.sample(found, self.chance.randint(1, min(4, len(found)))) if found else []
        )

    def order(self, columns: Sequence[Column]) -> Text:
        """ORDER BY by all of them."""
        self.uses.add("NULL order")
        flink, duck = [], []
        for column in self.chance.sample(columns, len(columns)):
            falls = self.odds(2)
            flink.append(f"{column.name} {'DESC' if falls else 'ASC'}")
            duck.append(f"{flink[-1]} NULLS {'LAST' if falls else 'FIRST'}")
        return Text(", ".join(flink), ", ".join(duck))

    def ranked(self, depth: int) -> Relation:
        """The first rows of each group."""
        source = self.relation(depth)
        kept = self.sortable(source)
        if not kept:
            return self.select(depth)
        items, inside = self.under_new_names(kept)
        rank = self.name("n")
        group = f"PARTITION BY {self.chance.choice(kept).name} " if self.odds(2) else ""
        if self.odds(4):
            most = self.chance.choice(["= 1", "<= 2", "< 4"])
            text = join(
                lambda q, o: f"{q} QUALIFY ROW_NUMBER() OVER ({group}ORDER BY {o}) {most}",
                self.from_(source, items),
                self.order(kept),
            )
            return Relation(text, inside)
        numbered = join(
            lambda o: f"ROW_NUMBER() OVER ({group}ORDER BY {o}) AS {rank}", self.order(kept)
        )
        inner = self.from_(source, [*items, numbered])
        shown = [*inside, *([Column(rank, BIGINT)] if self.odds(2) else [])]
        items, columns = self.under_new_names(shown)
        most = self.chance.choice(["= 1", "<= 1", "<= 2", "<= 3"])
        text = self.from_(Relation(inner, inside), items)
        return Relation(join(lambda q: f"{q} WHERE {rank} {most}", text), columns)

    def numbered(self, depth: int) -> Relation:
        """Rows with their rank, as batch mode alone gives it: of all rows, ties alike."""
        source = self.relation(depth)
        kept = self.sortable(source)
        if not kept:
            return self.select(depth)
        items, inside = self.under_new_names(kept)
        rank = Column(self.name("c"), BIGINT)
        word = self.chance.choice(["RANK", "RANK", "DENSE_RANK", "ROW_NUMBER"])
        order = self.order(kept if word == "ROW_NUMBER" else kept[:1])
        group = f"PARTITION BY {self.chance.choice(kept).name} " if self.odds(2) else ""
        over = join(lambda o: f"{word}() OVER ({group}ORDER BY {o}) AS {rank.name}", order)
        whole = Relation(self.from_(source, [*items, over]), (*inside, rank))
        if self.odds(2):
            return whole
        items, columns = self.under_new_names(whole.columns)
        most = self.chance.choice(["= 1", "<= 2", "BETWEEN 2 AND 3", "> 1"])
        text = self.from_(whole, items)
        return Relation(join(lambda q: f"{q} WHERE {rank.name} {most}", text), columns)

    def approximated(self, depth: int) -> Relation:
        """A count that need not be exact, and is."""
        source = self.relation(depth)
        keys = [c for c in source.columns if isinstance(c.type, SORTED)]
        if not keys:
            return self.select(depth)
        key, counted = self.chance.choice(keys), self.chance.choice(keys)
        columns = (Column(self.name("c"), key.type), Column(self.name("c"), BIGINT))
        items = [
            same(f"{key.name} AS {columns[0].name}"),
            Text(
                f"APPROX_COUNT_DISTINCT({counted.name}) AS {columns[1].name}",
                f"COUNT(DISTINCT {counted.name}) AS {columns[1].name}",
            ),
        ]
        text = self.from_(source, items)
        return Relation(join(lambda q: f"{q} GROUP BY {key.name}", text), columns)

    def limited(self, depth: int) -> Relation:
        """The first rows of all."""
        source = self.relation(depth)
        kept = self.sortable(source)
        if not kept:
            return self.select(depth)
        items, inside = self.under_new_names(kept)
        limit = self.chance.choice(["LIMIT 1", "LIMIT 3", "LIMIT 2 OFFSET 1"])
        inner = join(
            lambda q, o: f"{q} ORDER BY {o} {limit}",
            self.from_(source, items),
            self.order(inside),
        )
        items, columns = self.under_new_names(inside)
        return Relation(self.from_(Relation(inner, inside), items), columns)

    def grouping_sets(self, depth: int) -> Relation:
        """Several groupings at once."""
        source = self.relation(depth)
        keys = [c for c in source.columns if isinstance(c.type, PLAIN)][:2]
        if len(keys) < 2:
            return self.select(depth)
        a, b = (k.name for k in keys)
        sets = self.chance.choice(
            [
                *(f"GROUPING SETS (({a}), ({a}, {b}))", f"GROUPING SETS (({a}), ({b}))"),
                *(f"ROLLUP ({a}, {b})", f"CUBE ({a}, {b})"),
                *(
                    f"GROUPING SETS (({a}, {b}), ({b}), ())",
                    f"GROUPING SETS (ROLLUP ({a}, {b}), ({b}))",
                ),
            ]
        )
        items, columns = self.under_new_names(keys)
        test = self.chance.choice([f"GROUPING({b})", f"GROUPING_ID({a}, {b})"])
        measures = [*self.aggregates(source.columns), (same(test), BIGINT)]
        results = [Column(self.name("c"), kind) for _, kind in measures]
        items += [
            join(lambda e, n=c.name: f"{e} AS {n}", text)
            for (text, _), c in zip(measures, results, strict=True)
        ]
        text = join(lambda q: f"{q} GROUP BY {sets}", self.from_(source, items))
        if "()" in sets or "ROLLUP" in sets or "CUBE" in sets:
            self.uses.add("ROLLUP over no rows")
            text = Text(text.flink, None)
        return Relation(self.keyed(text, keys), (*columns, *results))
