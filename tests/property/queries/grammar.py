"""Random queries, each in Flink's SQL and in DuckDB's.

A text for DuckDB is None where `DIFFERENCES` (tests/support/duck.py) keeps a construct away from
it; such a query is judged by our own runs alone. Every name of a query is used once, so that no
reference is ambiguous in either dialect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from flowsql import types as t
from tests.property.queries.expressions import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    INT,
    KEYS,
    NUMBERS,
    PLAIN,
    STRING,
    Column,
    Expressions,
    Text,
    aggregate_text,
    base,
    join,
    same,
)

__all__ = ["TABLES", "Query", "make_query"]

_COMMON = ("k INT", "v BIGINT", "s STRING", "d DOUBLE", "c DECIMAL(8, 2)", "b BOOLEAN", "y DATE")
_KEY = ("id INT NOT NULL", "PRIMARY KEY (id) NOT ENFORCED")

#: name → (DDL, changelog mode)
TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "app": (_COMMON, "I"),
    "ret": (_COMMON, "I,UB,UA,D"),
    "keyed": ((_KEY[0], *_COMMON, _KEY[1]), "I,UB,UA,D"),
    "ups": ((_KEY[0], *_COMMON, _KEY[1]), "I,UA,D"),
    "evt": (
        (
            "k INT",
            "v BIGINT",
            "s STRING",
            "ts TIMESTAMP(3)",
            "WATERMARK FOR ts AS ts - INTERVAL '2' SECOND",
        ),
        "I",
    ),
}
_COLUMNS = {"k": INT, "v": BIGINT, "s": STRING, "d": DOUBLE, "c": DECIMAL, "b": BOOLEAN, "y": DATE}


@dataclass(frozen=True, slots=True)
class Relation:
    """A sub-query or a table, usable in FROM."""

    text: Text
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What `make_query` gives.

    Attributes:
        flink: the query.
        duck: the same for DuckDB, or None.
        views: (name, Flink's text, DuckDB's text), in the order of their definition.
        tables: the tables it reads.
        windows: it has windows, so that late rows matter.
        keyless: it has an aggregate without GROUP BY, which has a row over no rows in batch mode
            and none in streaming, as in Flink.
        ordering: it has MIN or MAX of DOUBLE, whose NaN and zeros go by the order of arrival.
    """

    flink: str
    duck: str | None
    views: tuple[tuple[str, str, str | None], ...]
    tables: frozenset[str]
    windows: bool
    keyless: bool
    ordering: bool


@dataclass
class _Maker(Expressions):
    names: int = 0
    views: list[tuple[str, str, str | None]] = field(default_factory=list)
    ctes: list[Text] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    windows: bool = False
    keyless: bool = False
    ordering: bool = False

    def name(self, stem: str = "x") -> str:
        self.names += 1
        return f"{stem}{self.names}"

    # Relations ------------------------------------------------------------------------------

    def relation(self, depth: int) -> Relation:
        """A relation without a time attribute."""
        if depth == 0:
            return self.table()
        made = self.chance.choices(
            [self.select, self.union, self.aggregate, self.distinct, self.joined, self.tumble],
            weights=[3, 2, 4, 1, 4, 2],
        )[0](depth - 1)
        if self.odds(6):
            name = self.name("w")
            self.ctes.append(join(lambda q: f"{name} AS ({q})", made.text))
            return Relation(same(f"SELECT * FROM {name}"), made.columns)
        if self.odds(6) and not self.ctes:
            name = self.name("view")
            self.views.append((name, made.text.flink, made.text.duck))
            whole = same(f"SELECT * FROM {name}")
            return Relation(whole if made.text.duck else Text(whole.flink, None), made.columns)
        return made

    def table(self) -> Relation:
        name = self.chance.choice(list(TABLES))
        self.tables.add(name)
        owned = [c for c in _COLUMNS if c in "kvs" or name != "evt"]
        chosen = self.chance.sample(owned, self.chance.randint(2, len(owned)))
        columns = [(c, _COLUMNS[c]) for c in chosen]
        if name in ("keyed", "ups"):
            columns.insert(0, ("id", INT))
        renamed = [Column(self.name("c"), kind) for _, kind in columns]
        items = ", ".join(f"{a} AS {b.name}" for (a, _), b in zip(columns, renamed, strict=True))
        return Relation(same(f"SELECT {items} FROM {name}"), tuple(renamed))

    def select(self, depth: int) -> Relation:
        source = self.relation(depth)
        kinds = [c.type for c in source.columns if isinstance(c.type, PLAIN)] or [INT]
        chosen = [self.chance.choice(kinds) for _ in range(self.chance.randint(1, 4))]
        items, columns = [], []
        for kind in chosen:
            column = Column(self.name("c"), base(kind))
            items.append(
                join(lambda e, n=column.name: f"{e} AS {n}", self.value(source.columns, kind))
            )
            columns.append(column)
        text = self.from_(source, items)
        if not self.odds(3):
            text = join(lambda q, p: f"{q} WHERE {p}", text, self.condition(source.columns, 2))
        return Relation(text, tuple(columns))

    def from_(self, source: Relation, items: Sequence[Text]) -> Text:
        alias = self.name("t")
        return join(
            lambda q, *i: f"SELECT {', '.join(i)} FROM ({q}) AS {alias}", source.text, *items
        )

    def union(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(depth)
        kinds = [c.type for c in left.columns if isinstance(c.type, PLAIN)][:3] or [INT]
        columns = tuple(Column(self.name("c"), base(kind)) for kind in kinds)
        sides = [
            self.from_(
                side,
                [
                    join(lambda e, n=c.name: f"{e} AS {n}", self.value(side.columns, c.type, 1))
                    for c in columns
                ],
            )
            for side in (left, right)
        ]
        word = self.chance.choice(["UNION ALL", "UNION ALL", "UNION"])
        text = join(lambda a, b: f"{a} {word} {b}", *sides)
        return Relation(_keyed(text, columns) if word == "UNION" else text, columns)

    def distinct(self, depth: int) -> Relation:
        source = self.relation(depth)
        chosen = self.chance.sample(source.columns, min(2, len(source.columns)))
        columns = tuple(Column(self.name("c"), c.type) for c in chosen)
        items = [same(f"{a.name} AS {b.name}") for a, b in zip(chosen, columns, strict=True)]
        text = self.from_(source, items)
        text = join(lambda q: q.replace("SELECT ", "SELECT DISTINCT ", 1), text)
        return Relation(_keyed(text, columns), columns)

    def aggregates(self, columns: Sequence[Column]) -> list[tuple[Text, t.DataType]]:
        return [self.one_aggregate(columns) for _ in range(self.chance.randint(1, 3))]

    def one_aggregate(self, columns: Sequence[Column]) -> tuple[Text, t.DataType]:
        clause = same("")
        if self.odds(4):
            clause = join(lambda p: f" FILTER (WHERE {p})", self.condition(columns, 1))
        numbers = [c for c in columns if isinstance(c.type, NUMBERS)]
        orders = [c for c in columns if isinstance(c.type, (*NUMBERS, t.VarCharType, t.DateType))]
        which = self.chance.choice(["COUNT(*)", "COUNT", "SUM", "SUM", "AVG", "MIN", "MAX"])
        distinct = "DISTINCT " if self.odds(4) else ""
        match which:
            case "SUM" | "AVG" if numbers:
                column = self.chance.choice(numbers)
                return aggregate_text(which, distinct, column, clause)
            case "MIN" | "MAX" if orders:
                column = self.chance.choice(orders)
                text = join(lambda f: f"{which}({distinct}{column.name}){f}", clause)
                self.ordering |= isinstance(column.type, t.DoubleType)
                return text, column.type
            case "COUNT" if columns:
                column = self.chance.choice(columns)
                text = join(lambda f: f"COUNT({distinct}{column.name}){f}", clause)
                if distinct and isinstance(column.type, t.DoubleType):
                    text = Text(text.flink, None)
                return text, BIGINT
            case _:
                return join(lambda f: f"COUNT(*){f}", clause), BIGINT

    def aggregate(self, depth: int) -> Relation:
        source = self.relation(depth)
        wanted = min(self.chance.choice([0, 1, 1, 1, 2]), len(source.columns))
        keys = self.chance.sample(source.columns, wanted)
        keys = [k for k in keys if isinstance(k.type, PLAIN)]
        measures = self.aggregates(source.columns)
        columns = [Column(self.name("c"), kind) for kind in [k.type for k in keys]]
        results = [Column(self.name("c"), kind) for _, kind in measures]
        items = [same(f"{k.name} AS {c.name}") for k, c in zip(keys, columns, strict=True)]
        items += [
            join(lambda e, n=c.name: f"{e} AS {n}", text)
            for (text, _), c in zip(measures, results, strict=True)
        ]
        text = self.from_(source, items)
        if keys:
            text = join(lambda q: f"{q} GROUP BY {', '.join(k.name for k in keys)}", text)
            if self.odds(4):
                text = join(lambda q: f"{q} HAVING COUNT(*) > 1", text)
            text = _keyed(text, columns)
        self.keyless |= not keys
        return Relation(text, (*columns, *results))

    def joined(self, depth: int) -> Relation:
        left, right = self.relation(depth), self.relation(depth)
        pairs = [
            (a, b)
            for a in left.columns
            for b in right.columns
            if type(a.type) is type(b.type) and isinstance(a.type, KEYS)
        ]
        if not pairs:
            return self.select(depth)
        a, b = self.chance.choice(pairs)
        kind = self.chance.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        x, y = self.name("t"), self.name("t")
        equal = "IS NOT DISTINCT FROM" if self.odds(6) else "="
        on = same(f"{a.name} {equal} {b.name}")
        if self.odds(3):
            both = [*left.columns, *right.columns]
            on = join(lambda c, p: f"{c} AND {p}", on, self.condition(both, 0))
        chosen = self.chance.sample(
            [*left.columns, *right.columns],
            self.chance.randint(1, min(5, len(left.columns) + len(right.columns))),
        )
        columns = tuple(Column(self.name("c"), c.type) for c in chosen)
        items = ", ".join(f"{a.name} AS {b.name}" for a, b in zip(chosen, columns, strict=True))
        text = join(
            lambda q, r, p: f"SELECT {items} FROM ({q}) AS {x} {kind} ({r}) AS {y} ON {p}",
            left.text,
            right.text,
            on,
        )
        return Relation(_keyed(text, [a, b]), columns)

    def tumble(self, depth: int) -> Relation:
        self.tables.add("evt")
        self.windows = True
        size = self.chance.choice([1, 3, 5])
        source = (Column("k", INT), Column("v", BIGINT), Column("s", STRING))
        key = self.chance.choice([None, *source])
        measures = self.aggregates(source)
        columns = [Column(self.name("c"), key.type)] if key else []
        results = [Column(self.name("c"), kind) for _, kind in measures]
        start = Column(self.name("c"), t.TimestampType(3))
        given = f"{key.name} AS {columns[0].name}, " if key else ""
        items = [
            join(lambda e, n=c.name: f"{e} AS {n}", text)
            for (text, _), c in zip(measures, results, strict=True)
        ]
        group = ", ".join(["window_start", "window_end", *([key.name] if key else [])])
        duck_from = (
            f"(SELECT *, time_bucket(INTERVAL '{size} seconds', ts, TIMESTAMP '1970-01-01') "
            f"AS window_start, window_start + INTERVAL '{size} seconds' AS window_end FROM evt)"
        )
        flink_from = f"TABLE(TUMBLE(TABLE evt, DESCRIPTOR(ts), INTERVAL '{size}' SECOND))"

        def build(table: str, texts: Sequence[str]) -> str:
            return (
                f"SELECT {given}window_start AS {start.name}, {', '.join(texts)} "
                f"FROM {table} GROUP BY {group}"
            )

        ducks = [i.duck for i in items]
        duck = None if None in ducks else build(duck_from, [d for d in ducks if d is not None])
        text = Text(build(flink_from, [i.flink for i in items]), duck)
        return Relation(text, (*columns, start, *results))


def _keyed(text: Text, keys: Sequence[Column]) -> Text:
    """Rows are told apart by these columns: DOUBLE among them is not DuckDB's."""
    return Text(text.flink, None) if any(isinstance(k.type, t.DoubleType) for k in keys) else text


def make_query(seed: int) -> Query:
    """The query of this seed; the same in every process."""
    maker = _Maker(random.Random(seed))
    made = maker.relation(maker.chance.choice([1, 1, 2, 2, 3]))
    text = made.text
    if maker.ctes:
        text = join(lambda q, *w: f"WITH {', '.join(w)} {q}", text, *maker.ctes)
    duck = text.duck if all(view[2] is not None for view in maker.views) else None
    return Query(
        text.flink,
        duck,
        tuple(maker.views),
        frozenset(maker.tables),
        maker.windows,
        maker.keyless,
        maker.ordering,
    )
