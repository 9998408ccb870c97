"""Random expressions, in Flink's SQL and in DuckDB's; see `grammar.py`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flowsql import types as t
from tests.support.duck import wrap

__all__ = [
    "ARRAY",
    "BIGINT",
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "INT",
    "KEYS",
    "MAP",
    "NUMBERS",
    "OTHERS",
    "PAIR",
    "PLAIN",
    "SORTED",
    "STRING",
    "TIMESTAMP",
    "Column",
    "Expressions",
    "Text",
    "alike",
    "base",
    "has_double",
    "has_map",
    "join",
    "same",
]

INT, BIGINT, STRING = t.IntType(), t.BigIntType(), t.VarCharType()
DOUBLE, DECIMAL, BOOLEAN, DATE = t.DoubleType(), t.DecimalType(8, 2), t.BooleanType(), t.DateType()
TIMESTAMP = t.TimestampType(3)
PAIR = t.RowType((t.Field("x", INT), t.Field("y", STRING)))
ARRAY, MAP = t.ArrayType(INT), t.MapType(STRING, INT)

STRINGS = ["'a'", "'b'", "'aa'", "''", "'Ab c'"]
NUMBERS = (t.IntType, t.BigIntType, t.DoubleType, t.DecimalType)
PLAIN = (*NUMBERS, t.VarCharType, t.BooleanType, t.DateType, t.TimestampType)
#: types that are only passed on, compared, and told apart
OTHERS = {
    "q": t.SmallIntType(),
    "h": t.TimeType(0),
    "z": t.LocalZonedTimestampType(3),
    "f": t.FloatType(),
    "e": t.VarBinaryType(),
    "g": t.CharType(2),
    "j": t.VariantType(),
}
KEYS = (
    *map(type, OTHERS.values()),
    *NUMBERS,
    t.VarCharType,
    t.DateType,
    t.TimestampType,
    t.RowType,
    t.ArrayType,
)
#: what both dialects put in one order, but for NULL
SORTED = (t.IntType, t.BigIntType, t.VarCharType, t.DecimalType, t.DateType, t.TimestampType)
_NESTED = (t.ArrayType, t.MapType, t.MultisetType, t.RowType)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of SQL in both dialects."""

    flink: str
    duck: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation."""

    name: str
    type: t.DataType


def join(build: Callable[..., str], *parts: Text) -> Text:
    """One text out of others, in both dialects."""
    ducks = [p.duck for p in parts]
    duck = None if any(d is None for d in ducks) else build(*ducks)
    return Text(build(*(p.flink for p in parts)), duck)


def same(text: str) -> Text:
    """A text that both dialects share."""
    return Text(text, text)


@dataclass
class Expressions:
    """Makes expressions over given columns.

    Attributes:
        chance: where all choices come from.
        uses: the entries of `DIFFERENCES` that its texts go by.
    """

    chance: random.Random
    uses: set[str] = field(default_factory=set)

    def odds(self, one_in: int) -> bool:
        """True once in so many times."""
        return self.chance.randrange(one_in) == 0

    # Expressions ----------------------------------------------------------------------------

    def literal(self, kind: t.DataType) -> Text:
        pick = self.chance.choice
        match kind:
            case t.IntType():
                return same(pick(["0", "1", "2", "3", "-7", "2147483647"]))
            case t.BigIntType():
                return self.big(pick(["0", "1", "5", "-3", "9223372036854775807"]))
            case t.VarCharType():
                return Text(f"CAST({(s := pick(STRINGS))} AS STRING)", f"{s}::VARCHAR")
            case t.DoubleType():
                value = pick(["0.5", "1.25", "-2.0", "0.0"])
                return Text(f"CAST({value} AS DOUBLE)", f"{value}::DOUBLE")
            case t.DecimalType():
                value = pick(["0.10", "1.50", "-2.25", "999999.99"])
                return Text(f"CAST({value} AS DECIMAL(8, 2))", f"({value})::DECIMAL(8, 2)")
            case t.BooleanType():
                return same(pick(["TRUE", "FALSE"]))
            case t.ArrayType():
                return Text("ARRAY[1, CAST(NULL AS INT)]", "[1, NULL::INTEGER]")
            case t.MapType():
                return Text("MAP['a', 1, 'b', 2]", "MAP {'a': 1, 'b': 2}")
            case t.RowType():
                return Text("CAST(ROW(1, 'a') AS ROW<x INT, y STRING>)", "{'x': 1, 'y': 'a'}")
            case t.TimestampType():
                text = f"TIMESTAMP '2020-01-01 00:00:0{self.chance.randint(0, 5)}'"
                return Text(f"CAST({text} AS TIMESTAMP(3))", text)
            case _:
                return same(f"DATE '2020-0{self.chance.randint(1, 3)}-01'")

    def big(self, digits: str) -> Text:
        return Text(f"CAST({digits} AS BIGINT)", f"({digits})::BIGINT")

    def value(self, columns: Sequence[Column], kind: t.DataType, depth: int = 2) -> Text:
        """An expression of this type."""
        fitting = [c for c in columns if alike(c.type, kind)]
        if fitting and (depth == 0 or not self.odds(3)):
            return same(self.chance.choice(fitting).name)
        if depth == 0:
            return self.literal(kind)
        if kind in (ARRAY, MAP, PAIR):
            return self.nested(columns, kind, depth - 1)
        below = depth - 1
        match self.chance.randrange(5):
            case 0:
                return self.literal(kind)
            case 1:
                return join(
                    lambda p, a, b: f"CASE WHEN {p} THEN {a} ELSE {b} END",
                    self.condition(columns, below),
                    self.value(columns, kind, below),
                    self.value(columns, kind, below),
                )
            case 2:
                return join(
                    lambda a, b: f"COALESCE({a}, {b})",
                    self.value(columns, kind, below),
                    self.literal(kind),
                )
            case _:
                return self.function(columns, kind, below)

    def nested(self, columns: Sequence[Column], kind: t.DataType, depth: int) -> Text:
        """An expression of type ARRAY, MAP or PAIR."""
        raise NotImplementedError

    def looked_up(self, columns: Sequence[Column]) -> Text | None:
        """An INT out of an array, a map, or a row; None where there is none of them."""
        raise NotImplementedError

    def holds(self, columns: Sequence[Column]) -> Text | None:
        """A predicate on an array or a map; None where there is neither."""
        raise NotImplementedError

    def function(self, columns: Sequence[Column], kind: t.DataType, depth: int) -> Text:
        match kind:
            case t.IntType() | t.BigIntType():
                return self.arithmetic(columns, kind, depth)
            case t.VarCharType():
                return self.string(columns, depth)
            case t.DoubleType():
                a = self.value(columns, INT, depth)
                return join(lambda a: f"CAST({a} AS DOUBLE)", a)
            case t.DecimalType():
                a = self.value(columns, DECIMAL, 0)
                return join(lambda a: f"CASE WHEN {a} > 0 THEN -({a}) ELSE {a} END", a)
            case t.BooleanType():
                test = self.chance.choice(["", " IS TRUE", " IS NOT FALSE"])
                return join(lambda p: f"(({p}){test})", self.condition(columns, depth))
            case t.TimestampType():
                if self.odds(2):
                    a = self.value(columns, DATE, depth)
                    return Text(
                        f"CAST({a.flink} AS TIMESTAMP(3))",
                        None if a.duck is None else f"CAST({a.duck} AS TIMESTAMP)",
                    )
                a = self.value(columns, TIMESTAMP, depth)
                return join(lambda a: f"({a} + INTERVAL '1' DAY)", a)
            case t.DateType():
                a = self.value(columns, TIMESTAMP, depth)
                self.uses.add("CAST(TIMESTAMP AS DATE)")
                days = f"(epoch_ms({a.duck}) // 86400000)::INTEGER"
                return Text(
                    f"CAST({a.flink} AS DATE)",
                    None if a.duck is None else f"(DATE '1970-01-01' + {days})",
                )
            case _:
                return self.literal(kind)

    def arithmetic(self, columns: Sequence[Column], kind: t.DataType, depth: int) -> Text:
        if isinstance(kind, t.IntType) and self.odds(2):
            found = self.looked_up(columns)
            if found is not None:
                return found
        if self.odds(4):
            return self.measure(columns, kind, depth)
        a, b = self.value(columns, kind, depth), self.value(columns, kind, depth)
        sign = self.chance.choice("+-*/%c")
        if sign in "+-*":
            self.uses.add("overflow of + - *")
            huge = [f"({x.duck})::HUGEINT" if x.duck is not None else None for x in (a, b)]
            wrapped = wrap(f"{huge[0]} {sign} {huge[1]}", kind) if None not in huge else None
            return Text(f"({a.flink} {sign} {b.flink})", wrapped)
        if sign in "/%":
            self.uses |= {"7 / 2"} if sign == "/" else set()
            # The least integer by −1 wraps in Java and fails in DuckDB: 3 divides safely.
            by = same("3") if isinstance(kind, t.IntType) else self.big("3")
            theirs = "//" if sign == "/" else "%"
            duck = None if a.duck is None else f"(({a.duck}) {theirs} {by.duck})"
            return Text(f"({a.flink} {sign} {by.flink})", duck)
        if isinstance(kind, t.BigIntType):
            return join(lambda a: f"CAST({a} AS BIGINT)", self.value(columns, INT, depth))
        c = self.value(columns, DECIMAL, 0)
        self.uses.add("CAST(1.5 AS INT)")
        return Text(
            f"CAST({c.flink} AS INT)", None if c.duck is None else f"trunc({c.duck})::INTEGER"
        )

    def measure(self, columns: Sequence[Column], kind: t.DataType, depth: int) -> Text:
        """A length, a place, a part of a date."""
        if isinstance(kind, t.BigIntType):
            part = self.chance.choice(["YEAR", "MONTH", "DAY"])
            moment = self.value(columns, self.chance.choice([DATE, TIMESTAMP]), depth)
            return join(lambda m: f"EXTRACT({part} FROM {m})", moment)
        a = self.value(columns, STRING, depth)
        if self.odds(2):
            return Text(
                f"CHAR_LENGTH({a.flink})", None if a.duck is None else f"length({a.duck})::INTEGER"
            )
        return Text(
            f"POSITION('a' IN {a.flink})",
            None if a.duck is None else f"position('a' IN {a.duck})::INTEGER",
        )

    def string(self, columns: Sequence[Column], depth: int) -> Text:
        a = self.value(columns, STRING, depth)
        match self.chance.randrange(9):
            case 0:
                return join(lambda a: f"UPPER({a})", a)
            case 4:
                return join(lambda a: f"REPLACE({a}, 'a', 'xy')", a)
            case 5:
                return join(lambda a: f"NULLIF(LOWER({a}), 'aa')", a)
            case 6:
                return join(lambda a: f"TRIM({a})", a)
            case 7:
                self.uses.add("CAST(DOUBLE AS STRING)")
                return Text(f"CAST({self.value(columns, DOUBLE, 0).flink} AS STRING)", None)
            case 1:
                b = self.value(columns, STRING, depth)
                return join(lambda a, b: f"({a} || {b})", a, b)
            case 2:
                return join(lambda a: f"SUBSTRING({a}, 2, 2)", a)
            case 3:
                i = self.value(columns, self.chance.choice([INT, BIGINT, DATE, DECIMAL]), 0)
                return Text(
                    f"CAST({i.flink} AS STRING)",
                    None if i.duck is None else f"CAST({i.duck} AS VARCHAR)",
                )
            case _:
                p = self.condition(columns, 0)
                self.uses.add("CAST(TRUE AS STRING)")
                return Text(
                    f"CAST(({p.flink}) AS STRING)",
                    None if p.duck is None else f"upper(CAST(({p.duck}) AS VARCHAR))",
                )

    def condition(self, columns: Sequence[Column], depth: int) -> Text:
        """A predicate."""
        if depth and self.odds(3):
            a, b = self.condition(columns, depth - 1), self.condition(columns, depth - 1)
            word = self.chance.choice(["AND", "OR"])
            both = join(lambda a, b: f"({a} {word} {b})", a, b)
            return join(lambda p: f"(NOT {p})", both) if self.odds(4) else both
        if self.odds(8) and (found := self.holds(columns)) is not None:
            return found
        kind = self.chance.choice(columns).type if columns else INT
        kind = kind if isinstance(kind, PLAIN) else INT
        a = self.value(columns, kind, min(depth, 1))
        match self.chance.randrange(8):
            case 0:
                return join(lambda a: f"({a} IS NULL)", a)
            case 1:
                return join(lambda a: f"({a} IS NOT NULL)", a)
            case 4 if not isinstance(kind, t.DoubleType):
                b, c = self.literal(kind), self.value(columns, kind, 0)
                return join(lambda a, b, c: f"({a} BETWEEN {b} AND {c})", a, b, c)
            case 5 if not isinstance(kind, t.DoubleType):
                b = self.value(columns, kind, 0)
                word = self.chance.choice(["IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
                return join(lambda a, b: f"({a} {word} {b})", a, b)
            case 2 if isinstance(kind, t.VarCharType):
                return join(lambda a: f"({a} LIKE '%a%')", a)
            case 3 if isinstance(kind, t.IntType | t.VarCharType):
                b, c = self.literal(kind), self.literal(kind)
                word = self.chance.choice(["IN", "IN", "NOT IN"])
                return join(lambda a, b, c: f"({a} {word} ({b}, {c}))", a, b, c)
            case _:
                b = self.value(columns, kind, 0)
                if b.flink == a.flink:  # Flink's planner makes `x = x` from NaN true
                    b = self.literal(kind)
                sign = self.chance.choice(["=", "<>", "<", "<=", ">", ">="])
                if isinstance(kind, t.DoubleType):
                    self.uses.add("NaN in comparisons")
                return _compared(a, sign, b, kind)


def alike(a: t.DataType, b: t.DataType) -> bool:
    """Whether values of the two types can stand for one another."""
    return a == b if isinstance(b, _NESTED) else type(a) is type(b)


def has_double(kind: t.DataType) -> bool:
    """Whether there are numbers with NaN and two zeros in its values."""
    return isinstance(kind, t.DoubleType | t.FloatType) or any(map(has_double, _parts(kind)))


def has_map(kind: t.DataType) -> bool:
    """Whether there are entries without an order in its values."""
    return isinstance(kind, t.MapType | t.MultisetType) or any(map(has_map, _parts(kind)))


def _parts(kind: t.DataType) -> list[t.DataType]:
    match kind:
        case t.ArrayType(element=element) | t.MultisetType(element=element):
            return [element]
        case t.MapType(key=key, value=value):
            return [key, value]
        case t.RowType(fields=fields):
            return [f.type for f in fields]
        case _:
            return []


def base(kind: t.DataType) -> t.DataType:
    """The type that `value` makes for a type of this class."""
    return DECIMAL if isinstance(kind, t.DecimalType) else kind


def _compared(a: Text, sign: str, b: Text, kind: t.DataType) -> Text:
    plain = join(lambda a, b: f"({a} {sign} {b})", a, b)
    if not isinstance(kind, t.DoubleType) or a.duck is None or b.duck is None:
        return plain
    nan = "TRUE" if sign == "<>" else "FALSE"
    return Text(
        plain.flink,
        f"(CASE WHEN {a.duck} IS NULL OR {b.duck} IS NULL THEN NULL "
        f"WHEN isnan({a.duck}) OR isnan({b.duck}) THEN {nan} ELSE {a.duck} {sign} {b.duck} END)",
    )
