"""Relations that depend on the order of arrival: deduplication, first and last values, lists.

All read one table as it is: rows of several inputs have no order. See `grammar.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowsql import types as t
from tests.property.queries.expressions import BIGINT, INT, STRING, Column, Text, join, same
from tests.property.queries.relations import Relation
from tests.property.queries.shapes import Shapes

__all__ = ["Ordered"]

_COLUMNS = (Column("k", INT), Column("v", BIGINT), Column("s", STRING))


@dataclass
class Ordered(Shapes):
    """Makes them.

    Attributes:
        arrival: something depends on when rows came, which the final tables do not tell.
    """

    arrival: bool = False

    def deduplicated(self, depth: int) -> Relation:
        """The first or the last row of a key by time, of which no two are equal."""
        del depth
        self.tables.add("seq")
        group = self.chance.choice(["", "k", "k", "s", "k, s"])
        by, theirs = self.chance.choice(
            [("ts", "ts"), ("ts DESC", "ts DESC"), ("p", "n"), ("p DESC", "n DESC")]
        )
        self.uses |= {"PROCTIME"} if by.startswith("p") else set()
        partition = f"PARTITION BY {group} " if group else ""
        over = Text(
            f"ROW_NUMBER() OVER ({partition}ORDER BY {by})",
            f"ROW_NUMBER() OVER ({partition}ORDER BY {theirs})",
        )
        where = same("")
        if self.odds(3):
            where = join(lambda p: f" WHERE {p}", self.condition(_COLUMNS, 1))
        most = self.chance.choice(["= 1", "= 1", "<= 1", "<= 2"])
        if by.startswith(
            "p"
        ):  # rows of a step come at one time; only the first or the last is told
            most = "= 1"
            self.arrival |= by.endswith("DESC")  # to batch mode they are all alike
        items, columns = self.under_new_names([Column("n", BIGINT), *_COLUMNS])
        if self.odds(3):
            text = join(
                lambda o, w, *i: f"SELECT {', '.join(i)} FROM seq{w} QUALIFY {o} {most}",
                over,
                where,
                *items,
            )
            return Relation(text, columns)
        rank, alias = self.name("n"), self.name("t")
        if self.odds(3):
            columns = (*columns, Column(self.name("c"), BIGINT))
            items.append(same(f"{rank} AS {columns[-1].name}"))
        text = join(
            lambda o, w, *i: (
                f"SELECT {', '.join(i)} FROM (SELECT *, {o} AS {rank} FROM seq{w}) AS {alias} "
                f"WHERE {rank} {most}"
            ),
            over,
            where,
            *items,
        )
        return Relation(text, columns)

    def in_order(self, depth: int) -> Relation:
        """First, last and all values of a key, in order of arrival."""
        del depth
        name = self.chance.choice(["app", "seq", "ret"])
        self.tables.add(name)
        self.arrival |= name == "ret"
        clause = same("")
        if self.odds(4):
            clause = join(lambda p: f" AND {p}", self.condition(_COLUMNS, 1))
        key = self.chance.choice([None, "k", "k", "s"])
        items = [same(f"{key} AS {self.name('c')}")] if key else []
        columns = []
        if key:
            columns = [Column(f"c{self.names}", INT if key == "k" else STRING)]
        for _ in range(self.chance.randint(1, 3)):
            text, kind = self._kept(clause)
            columns.append(Column(self.name("c"), kind))
            items.append(join(lambda e, n=columns[-1].name: f"{e} AS {n}", text))
        where = same("")
        if self.odds(4):
            where = join(lambda p: f" WHERE {p}", self.condition(_COLUMNS, 1))
        self.keyless |= not key
        group = f" GROUP BY {key}" if key else ""
        text = join(lambda w, *i: f"SELECT {', '.join(i)} FROM {name}{w}{group}", where, *items)
        if name == "ret":  # DuckDB has what is left of it, in some order
            text = Text(text.flink, None)
        return Relation(text, tuple(columns))

    def _kept(self, clause: Text) -> tuple[Text, t.DataType]:
        column = self.chance.choice(_COLUMNS)
        x = column.name
        kept = join(lambda p: f" FILTER (WHERE {x} IS NOT NULL{p})", clause)
        plain = join(lambda p: p and f" FILTER (WHERE {p.removeprefix(' AND ')})", clause)
        duck = kept.duck is not None
        match self.chance.randrange(5):
            case 0:
                self.uses.add("FIRST_VALUE, LAST_VALUE")
                return Text(
                    f"FIRST_VALUE({x}){plain.flink}", f"first({x}){kept.duck}" if duck else None
                ), column.type
            case 1:
                self.uses.add("FIRST_VALUE, LAST_VALUE")
                return Text(
                    f"LAST_VALUE({x}){plain.flink}", f"last({x}){kept.duck}" if duck else None
                ), column.type
            case 2:
                text = join(lambda p: f"LISTAGG(s, '/'){p}", plain)
                return text, STRING
            case 3:
                self.uses.add("JSON_ARRAYAGG")
                distinct = self.chance.choice(["", "DISTINCT "])
                if distinct or self.odds(2):
                    return Text(f"ARRAY_AGG({distinct}{x}){plain.flink}", None), t.ArrayType(
                        column.type
                    )
                return Text(f"JSON_ARRAYAGG({x}){plain.flink}", None), t.VarCharType(length=2000)
            case _:
                return Text(
                    f"ARRAY_AGG({x}){plain.flink}", f"list({x}){plain.duck}" if duck else None
                ), t.ArrayType(column.type)

    def json_object(self, depth: int) -> Relation:
        """Objects whose names occur once, as the table has a key."""
        del depth
        name = self.chance.choice(["keyed", "ups"])
        self.tables.add(name)
        columns = (
            Column(self.name("c"), STRING),
            Column(self.name("c"), t.VarCharType(length=2000)),
        )
        self.uses.add("JSON_OBJECTAGG")
        nulls = self.chance.choice(["", " NULL ON NULL", " ABSENT ON NULL"])
        value = self.chance.choice(["k", "v", "s", "b", "c"])
        text = (
            f"SELECT s AS {columns[0].name}, JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE {value}"
            f"{nulls}) AS {columns[1].name} FROM {name} GROUP BY s"
        )
        return Relation(Text(text, None), columns)
