"""Random queries, each in Flink's SQL and in DuckDB's.

A text for DuckDB is None where `DIFFERENCES` (tests/support/differences.py) keeps a construct away from
it; such a query is judged by our own runs alone. Every name of a query is used once, so that no
reference is ambiguous in either dialect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from flowsql import types as t
from tests.property.queries.expressions import (
    ARRAY,
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    INT,
    MAP,
    OTHERS,
    PAIR,
    PLAIN,
    STRING,
    TIMESTAMP,
    Column,
    Text,
    base,
    join,
    same,
)
from tests.property.queries.ordered import Ordered
from tests.property.queries.relations import Relation

__all__ = ["SPLITS", "TABLES", "Query", "make_batch_query", "make_job", "make_query"]

_COMMON = (
    *("k INT", "v BIGINT", "s STRING", "d DOUBLE", "c DECIMAL(8, 2)", "b BOOLEAN", "y DATE"),
    *("w TIMESTAMP(3)", "r ROW<x INT, y STRING>", "a ARRAY<INT>", "m MAP<STRING, INT>"),
    *("q SMALLINT", "h TIME(0)", "z TIMESTAMP_LTZ(3)", "f FLOAT", "e BYTES", "g CHAR(2)"),
    "j VARIANT",
)
_KEY = ("id INT NOT NULL", "PRIMARY KEY (id) NOT ENFORCED")
_EVENT = (
    *("k INT", "v BIGINT", "s STRING", "ts TIMESTAMP(3)"),
    "WATERMARK FOR ts AS ts - INTERVAL '2' SECOND",
)

#: rows with a number and a time of which no two are equal
_UNIQUE = ("n BIGINT", *_EVENT[:3], "d DOUBLE", "a ARRAY<INT>", *_EVENT[3:], "p AS PROCTIME()")

#: name → (DDL, changelog mode)
TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "app": (_COMMON, "I"),
    "ret": (_COMMON, "I,UB,UA,D"),
    "keyed": ((_KEY[0], *_COMMON, _KEY[1]), "I,UB,UA,D"),
    "ups": ((_KEY[0], *_COMMON, _KEY[1]), "I,UA,D"),
    "evt": (_EVENT, "I"),
    "more": (_EVENT, "I"),
    "seq": (_UNIQUE, "I"),
}
#: tables of which several splits are read at once
SPLITS = {"evt": 2}
_TIMED = ("evt", "more")
_COLUMNS: dict[str, t.DataType] = {
    "k": INT,
    "v": BIGINT,
    "s": STRING,
    "d": DOUBLE,
    "c": DECIMAL,
    "b": BOOLEAN,
    "y": DATE,
    "w": TIMESTAMP,
    "r": PAIR,
    "a": ARRAY,
    "m": MAP,
    **OTHERS,
}


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
        ordering: it compares DOUBLEs in MIN, MAX or PERCENTILE, whose NaN and zeros go by the order of
            arrival.
        arrival: it depends on when rows came, which the final tables do not tell.
        own_rows: it has rows that no table gives.
        uses: the entries of `DIFFERENCES` that its texts go by.
    """

    flink: str
    duck: str | None
    views: tuple[tuple[str, str, str | None], ...]
    tables: frozenset[str]
    windows: bool
    keyless: bool
    ordering: bool
    arrival: bool
    own_rows: bool
    uses: frozenset[str]


@dataclass
class _Maker(Ordered):
    views: list[tuple[str, str, str | None]] = field(default_factory=list)
    ctes: list[Text] = field(default_factory=list)
    windows: bool = False

    def finished(self, made: Relation) -> Text:
        """The text of a whole query: what WITH names stands before it."""
        text = made.text
        if self.ctes:
            text = join(lambda q, *w: f"WITH {', '.join(w)} {q}", text, *self.ctes)
            self.ctes = []
        return text

    def query(self, text: Text) -> Query:
        """The text as a query, with what was made on the way."""
        judged = all(view[2] is not None for view in self.views)
        return Query(
            flink=text.flink,
            duck=text.duck if judged else None,
            views=tuple(self.views),
            tables=frozenset(self.tables),
            windows=self.windows,
            keyless=self.keyless,
            ordering=self.ordering,
            arrival=self.arrival,
            own_rows=self.own_rows,
            uses=frozenset(self.uses),
        )

    # Relations ------------------------------------------------------------------------------

    def relation(self, depth: int) -> Relation:
        """A relation without a time attribute."""
        if depth == 0:
            return self.values() if self.odds(16) else self.table()
        made = self.chance.choices(
            [
                *(self.select, self.union, self.aggregate, self.distinct, self.joined),
                *(self.tumble, self.in_windows, self.chosen, self.set_operation),
                *(self.ranked, self.limited, self.grouping_sets),
                *(self.unnested, self.several, self.crossed, self.with_value, self.lateral),
                *(self.deduplicated, self.in_order, self.json_object),
            ],
            weights=[6, 3, 8, 2, 6, 3, 1, 12, 4, 4, 2, 3, 4, 3, 1, 4, 3, 4, 3, 1],
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
        owned = [c for c in _COLUMNS if c in "kvs" or name not in _TIMED]
        if name == "seq":
            owned = ["k", "v", "s", "d", "a"]
        chosen = self.chance.sample(owned, self.chance.randint(2, min(10, len(owned))))
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
        for pair in [c for c in source.columns if c.type == PAIR][:1]:
            columns += [Column(self.name("c"), kind) for kind in (PAIR, INT)]
            items.append(same(f"{pair.name} AS {columns[0].name}"))
            items.append(same(f"{pair.name}.x AS {columns[1].name}"))
        for other in [c for c in source.columns if c.type in OTHERS.values()][:2]:
            columns.append(Column(self.name("c"), other.type))
            items.append(same(f"{other.name} AS {columns[-1].name}"))
        chosen += [k for k in (ARRAY, MAP, PAIR) if self.odds(6)]
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

    def union(self, depth: int) -> Relation:
        left = right = self.relation(depth)
        if self.odds(4):
            self.uses.add("one sub-query twice")
        else:
            right = self.relation(depth)
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
        return Relation(self.keyed(text, columns) if word == "UNION" else text, columns)

    def distinct(self, depth: int) -> Relation:
        source = self.relation(depth)
        chosen = self.chance.sample(source.columns, min(2, len(source.columns)))
        columns = tuple(Column(self.name("c"), c.type) for c in chosen)
        items = [same(f"{a.name} AS {b.name}") for a, b in zip(chosen, columns, strict=True)]
        text = self.from_(source, items)
        text = join(lambda q: q.replace("SELECT ", "SELECT DISTINCT ", 1), text)
        return Relation(self.keyed(text, columns), columns)

    def aggregate(self, depth: int) -> Relation:
        return self.grouped(self.relation(depth))

    def grouped(self, source: Relation) -> Relation:
        """GROUP BY over a relation, or an aggregate of all its rows."""
        wanted = min(self.chance.choice([0, 1, 1, 1, 2]), len(source.columns))
        keys = self.chance.sample(source.columns, wanted)
        measures = self.aggregates(source.columns)
        columns = [Column(self.name("c"), kind) for kind in [k.type for k in keys]]
        results = [Column(self.name("c"), kind) for _, kind in measures]
        given = [self.key(k) for k in keys]
        items = [
            join(lambda k, n=c.name: f"{k} AS {n}", k) for k, c in zip(given, columns, strict=True)
        ]
        items += [
            join(lambda e, n=c.name: f"{e} AS {n}", text)
            for (text, _), c in zip(measures, results, strict=True)
        ]
        text = self.from_(source, items)
        if keys:
            text = join(lambda q, *k: f"{q} GROUP BY {', '.join(k)}", text, *given)
            if self.odds(3):
                text = join(lambda q, p: f"{q} HAVING {p}", text, self.having(source.columns))
            text = self.keyed(text, columns)
        self.keyless |= not keys
        return Relation(text, (*columns, *results))

    def key(self, column: Column) -> Text:
        """A column, or an expression over it that is no literal."""
        if isinstance(column.type, t.VarCharType) and self.odds(4):
            return same(f"UPPER({column.name})")
        if isinstance(column.type, t.IntType) and self.odds(4):
            return same(f"COALESCE({column.name}, 3)")
        return same(column.name)

    def having(self, columns: Sequence[Column]) -> Text:
        """A predicate over groups."""
        match self.chance.randrange(4):
            case 0:
                (text, _) = self.one_aggregate(columns)
                return join(lambda a: f"{a} IS NOT NULL", text)
            case 1:
                return same("COUNT(*) < 3")
            case 2:
                clause = self.condition(columns, 1)
                return join(lambda p: f"COUNT(*) FILTER (WHERE {p}) = 1", clause)
            case _:
                return same("COUNT(*) > 1")

    def joined(self, depth: int) -> Relation:
        left = self.relation(depth)
        right = self.renamed(left) if self.odds(6) else self.relation(depth)
        pairs = self.pairs(left, right)
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
        if self.odds(5):
            c, d = self.chance.choice(pairs)
            on = join(lambda o: f"{o} AND {c.name} = {d.name}", self.keyed(on, [c, d]))
        if self.odds(9):  # no key at all
            on = self.condition([*left.columns, *right.columns], 1)
        chosen = self.chance.sample(
            [*left.columns, *right.columns],
            self.chance.randint(1, min(5, len(left.columns) + len(right.columns))),
        )
        columns = tuple(Column(self.name("c"), c.type) for c in chosen)
        items = ", ".join(f"{a.name} AS {b.name}" for a, b in zip(chosen, columns, strict=True))
        if self.odds(8):
            return self.joined_using(left, right, (a, b), kind)
        between, before = kind, "ON"
        if kind == "JOIN" and self.odds(3):
            between, before = ("CROSS JOIN" if self.odds(2) else ","), "WHERE"
        text = join(
            lambda q, r, p: f"SELECT {items} FROM ({q}) AS {x} {between} ({r}) AS {y} {before} {p}",
            left.text,
            right.text,
            on,
        )
        return Relation(self.keyed(text, [a, b]), columns)

    def joined_using(
        self, left: Relation, right: Relation, pair: tuple[Column, Column], kind: str
    ) -> Relation:
        """A join of two columns that get one name."""
        name = self.name("u")
        rest = [next((c for c in side.columns if c not in pair), None) for side in (left, right)]
        chosen = [Column(name, pair[0].type), *(c for c in rest if c is not None)]
        columns = tuple(Column(self.name("c"), c.type) for c in chosen)
        items = ", ".join(f"{c.name} AS {n.name}" for c, n in zip(chosen, columns, strict=True))
        sides = [
            self.from_(
                side, [same(f"{key.name} AS {name}"), *([same(other.name)] if other else [])]
            )
            for side, key, other in zip((left, right), pair, rest, strict=True)
        ]
        x, y = self.name("t"), self.name("t")
        text = join(
            lambda q, r: f"SELECT {items} FROM ({q}) AS {x} {kind} ({r}) AS {y} USING ({name})",
            *sides,
        )
        return Relation(self.keyed(text, pair), columns)

    def events(self) -> Text:
        """A table or a view with a time attribute, as `k, v, s, ts`."""
        self.windows = True
        name = self.chance.choice(_TIMED)
        self.tables.add(name)
        source = (Column("k", INT), Column("v", BIGINT), Column("s", STRING))
        match self.chance.randrange(6):
            case 0:
                text = join(
                    lambda p: f"SELECT k, v, s, ts FROM {name} WHERE {p}",
                    self.condition(source, 1),
                )
            case 1:
                self.tables |= set(_TIMED)
                other = next(table for table in _TIMED if table != name)
                text = join(
                    lambda v: (
                        f"SELECT k, v, s, ts FROM {name} UNION ALL SELECT k, {v} AS v, s, ts FROM {other}"
                    ),
                    self.value(source, BIGINT, 1),
                )
            case _:
                return same(name)
        view = self.name("view")
        self.views.append((view, text.flink, text.duck))
        return Text(view, None if text.duck is None else view)

    def windowed(self) -> Text:
        """FROM of rows with their windows."""
        size = self.chance.choice([1, 3, 5])
        source = self.events()
        self.uses.add("TUMBLE")
        duck = (
            f"(SELECT *, time_bucket(INTERVAL '{size} seconds', ts, TIMESTAMP '1970-01-01') AS "
            f"window_start, window_start + INTERVAL '{size} seconds' AS window_end FROM {source.duck})"
        )
        return Text(
            f"TABLE(TUMBLE(TABLE {source.flink}, DESCRIPTOR(ts), INTERVAL '{size}' SECOND))",
            None if source.duck is None else duck,
        )

    def in_windows(self, depth: int) -> Relation:
        """Rows with their windows, not grouped."""
        given = (("k", INT), ("v", BIGINT), ("s", STRING), ("window_start", TIMESTAMP))
        columns = tuple(Column(self.name("c"), kind) for _, kind in given)
        items = ", ".join(f"{a} AS {c.name}" for (a, _), c in zip(given, columns, strict=True))
        return Relation(join(lambda w: f"SELECT {items} FROM {w}", self.windowed()), columns)

    def tumble(self, depth: int) -> Relation:
        source = (Column("k", INT), Column("v", BIGINT), Column("s", STRING))
        key = self.chance.choice([None, *source])
        measures = self.aggregates(source)
        columns = [Column(self.name("c"), key.type)] if key else []
        results = [Column(self.name("c"), kind) for _, kind in measures]
        start = Column(self.name("c"), TIMESTAMP)
        given = f"{key.name} AS {columns[0].name}, " if key else ""
        items = [
            join(lambda e, n=c.name: f"{e} AS {n}", text)
            for (text, _), c in zip(measures, results, strict=True)
        ]
        group = ", ".join(["window_start", "window_end", *([key.name] if key else [])])
        having = same("")
        if self.odds(4):
            having = join(lambda p: f" HAVING {p}", self.having(source))
        text = join(
            lambda w, h, *i: (
                f"SELECT {given}window_start AS {start.name}, {', '.join(i)} "
                f"FROM {w} GROUP BY {group}{h}"
            ),
            self.windowed(),
            having,
            *items,
        )
        return Relation(text, (*columns, start, *results))


def make_batch_query(seed: int) -> Query:
    """A query that only batch mode answers, over up to three levels of others."""
    maker = _Maker(random.Random(seed))
    depth = maker.chance.choice([0, 0, 1, 2])
    made = maker.approximated(depth) if maker.odds(4) else maker.numbered(depth)
    return maker.query(maker.finished(made))


def make_query(seed: int) -> Query:
    """The first query of this seed's job."""
    return make_job(seed)[0]


def make_job(seed: int) -> tuple[Query, ...]:
    """One query, or two that share tables and views; the same in every process."""
    maker = _Maker(random.Random(seed))
    made = maker.relation(maker.chance.choice([1, 1, 1, 2, 2, 2, 3, 3, 4]))
    texts = [maker.finished(made)]
    if maker.odds(6):
        if maker.odds(2):
            name = maker.name("view")
            maker.views.append((name, texts[0].flink, texts[0].duck))
            shared = Relation(Text(f"SELECT * FROM {name}", f"SELECT * FROM {name}"), made.columns)
            texts.append(maker.finished(maker.grouped(shared)))
        else:
            texts.append(maker.finished(maker.relation(maker.chance.choice([1, 2]))))
    return tuple(maker.query(text) for text in texts)
