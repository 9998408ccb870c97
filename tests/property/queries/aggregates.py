"""Random aggregates, in Flink's SQL and in DuckDB's; see `grammar.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowsql import types as t
from tests.property.queries.collecting import Collecting
from tests.property.queries.expressions import (
    BIGINT,
    NUMBERS,
    Column,
    Text,
    base,
    has_double,
    has_map,
    join,
    same,
)
from tests.support.duck import wrap

__all__ = ["Aggregates"]

_ORDERED = (
    *(*NUMBERS, t.VarCharType, t.DateType, t.TimestampType),
    *(t.SmallIntType, t.FloatType, t.TimeType, t.LocalZonedTimestampType, t.CharType),
)


@dataclass
class Aggregates(Collecting):
    """Makes aggregates over given columns."""

    def aggregates(self, columns: Sequence[Column]) -> list[tuple[Text, t.DataType]]:
        """One to three, with their types."""
        return [self.one_aggregate(columns) for _ in range(self.chance.randint(1, 3))]

    def one_aggregate(
        self, columns: Sequence[Column], *, simple: bool = False
    ) -> tuple[Text, t.DataType]:
        """An aggregate, perhaps DISTINCT, perhaps with FILTER; `simple`: of a number or none."""
        clause = same("")
        if self.odds(4):
            clause = join(lambda p: f" FILTER (WHERE {p})", self.condition(columns, 1))
        which = self.chance.choice(["COUNT(*)", "COUNT", "SUM", "SUM", "AVG", "MIN", "MAX"])
        distinct = "DISTINCT " if self.odds(4) else ""
        if (
            not simple
            and self.odds(3)
            and (made := self.collected(columns, distinct, clause)) is not None
        ):
            return made
        fitting: tuple[type[t.DataType], ...] = (t.DataType,)
        if which in ("SUM", "AVG"):
            fitting = NUMBERS
        elif which in ("MIN", "MAX"):
            fitting = _ORDERED
        chosen = [c for c in columns if isinstance(c.type, fitting)]
        if which == "COUNT(*)" or not chosen:
            return join(lambda f: f"COUNT(*){f}", clause), BIGINT
        column = self.chance.choice(chosen)
        kind, given = column.type, same(column.name)
        if self.odds(5) and isinstance(kind, (*NUMBERS, t.VarCharType)):
            kind = base(kind)
            given = self.value(columns, kind, 1)
        if which in ("SUM", "AVG"):
            return self._total(which, distinct, given, kind, clause)
        text = join(lambda x, f: f"{which}({distinct}{x}){f}", given, clause)
        if which != "COUNT":
            self.ordering |= isinstance(kind, t.DoubleType | t.FloatType)
            return text, kind
        if distinct and has_map(kind):
            self.uses.add("maps as keys")
            text = Text(text.flink, None)
        if distinct and has_double(kind):
            self.uses.add("NaN and −0.0 as keys")
            text = Text(text.flink, None)
        return text, BIGINT

    def _total(
        self, which: str, distinct: str, given: Text, kind: t.DataType, clause: Text
    ) -> tuple[Text, t.DataType]:
        """SUM or AVG, in Flink's type."""
        flink = f"{which}({distinct}{given.flink}){clause.flink}"
        duck = None
        whole = isinstance(kind, t.IntType | t.BigIntType)
        if whole:
            self.uses.add(f"{which}(INT), {which}(BIGINT)")
        if clause.duck is not None and given.duck is not None:
            total = f"SUM({distinct}{given.duck}){clause.duck}"
            count = f"NULLIF(COUNT({distinct}{given.duck}){clause.duck}, 0)"
            if whole and which == "SUM":
                duck = wrap(total, kind)
            elif whole:
                duck = f"(({wrap(total, BIGINT)}) // ({count}))::{kind.root}"
            elif which == "SUM":
                duck = total
        if not isinstance(kind, t.DecimalType):
            return Text(flink, duck), kind
        if which == "AVG":
            self.uses.add("AVG(DECIMAL)")
            return Text(flink, None), t.DecimalType(38, max(6, kind.scale))
        return Text(flink, duck), t.DecimalType(38, kind.scale)
