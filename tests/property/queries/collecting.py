"""Random aggregates that keep their values: lists, multisets, spreads, shares, JSON; see `grammar.py`.

What depends on the order of arrival is brought to what does not (`CHAR_LENGTH(LISTAGG(…))`): a step
may bring rows of different inputs in any order. `ordered.py` has what reads the order itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowsql import types as t
from tests.property.queries.expressions import (
    DOUBLE,
    INT,
    NUMBERS,
    SORTED,
    Column,
    Text,
    has_double,
)
from tests.property.queries.nested import Nested

__all__ = ["Collecting"]

_SPREADS = ("STDDEV_POP", "VAR_POP", "STDDEV_SAMP", "STDDEV", "VAR_SAMP", "VARIANCE")


@dataclass
class Collecting(Nested):
    """Makes aggregates that keep all their values.

    Attributes:
        ordering: something compares DOUBLEs, whose NaN and zeros go by the order of arrival.
    """

    ordering: bool = False

    def collected(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        """One of them, with its type; None where no column fits."""
        makers = [self._listed, self._array_agg, self._multiset, self._spread, self._share]
        return self.chance.choice([*makers, self._json, self._bitmap])(columns, distinct, clause)

    def _column(
        self, columns: Sequence[Column], kinds: tuple[type[t.DataType], ...]
    ) -> Column | None:
        found = [c for c in columns if isinstance(c.type, kinds)]
        return self.chance.choice(found) if found else None

    def _listed(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column = self._column(columns, (t.VarCharType,))
        if column is None:
            return None
        separator = "" if distinct or self.odds(2) else ", '--'"
        theirs = separator or ", ','"
        duck = f"length(string_agg({distinct}{column.name}{theirs}){clause.duck})::INTEGER"
        flink = f"CHAR_LENGTH(LISTAGG({distinct}{column.name}{separator}){clause.flink})"
        return Text(flink, None if clause.duck is None else duck), INT

    def _array_agg(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column = self._column(columns, SORTED)
        if column is None:
            return None
        self.uses.add("ARRAY_SORT")
        duck = f"list_sort(list({distinct}{column.name}){clause.duck}, 'ASC', 'NULLS FIRST')"
        return Text(
            f"ARRAY_SORT(ARRAY_AGG({distinct}{column.name}){clause.flink})",
            None if clause.duck is None else duck,
        ), t.ArrayType(column.type)

    def _multiset(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column = self.chance.choice(columns)
        if isinstance(column.type, t.MultisetType):
            return None
        flink = f"COLLECT({distinct}{column.name}){clause.flink}"
        self.uses.add("COLLECT")
        if not isinstance(column.type, SORTED) or clause.duck is None:
            if has_double(column.type):
                self.uses.add("NaN and −0.0 as keys")
            return Text(flink, None), t.MultisetType(column.type)
        found = f"histogram({distinct}{column.name}){clause.duck}"
        return Text(flink, f"COALESCE({found}, MAP {{}})"), t.MultisetType(column.type)

    def _bitmap(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column, other = (self._column(columns, (t.IntType,)) for _ in range(2))
        if column is None or other is None:
            return None
        if self.odds(2):
            flink = f"BITMAP_BUILD_CARDINALITY_AGG({distinct}{column.name}){clause.flink}"
            duck = f"NULLIF(COUNT(DISTINCT {column.name}){clause.duck}, 0)"
            return Text(flink, None if clause.duck is None else duck), t.BigIntType()
        which = self.chance.choice(["AND", "OR", "XOR"])
        bitmap = f"BITMAP_BUILD(ARRAY[{column.name}, {other.name}])"
        flink = f"CAST(BITMAP_{which}_AGG({distinct}{bitmap}){clause.flink} AS STRING)"
        return Text(flink, None), t.VarCharType()

    def _spread(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column = self._column(columns, NUMBERS)
        if column is None:
            return None
        which = self.chance.choice(_SPREADS)
        self.uses.add("VAR_POP, STDDEV_POP …")
        # Small whole numbers: what is large costs the digits of others, also when it has gone, so
        # that it matters whether a step nets it away.
        small = f"MOD({column.name}, 1000)"
        if isinstance(column.type, t.DecimalType):
            small = f"MOD(CAST({column.name} AS INT), 1000)"
        if isinstance(column.type, t.DoubleType):
            small = f"(FLOOR({column.name}) - 1000 * FLOOR({column.name} / 1000))"
        flink = f"{which}({distinct}{small}){clause.flink}"
        if not isinstance(column.type, t.IntType) or clause.duck is None:
            wide = isinstance(column.type, t.DoubleType | t.BigIntType)
            return Text(flink, None), column.type if wide else INT
        x = f"({column.name} % 1000)"
        less = 0 if which.endswith("_POP") else 1
        sums = [
            f"{f}({distinct}({y})::HUGEINT){clause.duck}"
            for f, y in (("COUNT", x), ("SUM", x), ("SUM", f"{x} * {x}"))
        ]
        if distinct:  # x and −x have one square
            sums[2] = (
                f"list_sum([e * e FOR e IN list(DISTINCT {x}::HUGEINT){clause.duck} IF e IS NOT NULL])"
            )
        n, total, squares = (f"({part})" for part in sums)
        variance = f"(({n} * {squares} - {total} * {total}) // NULLIF({n} * ({n} - {less}), 0))"
        if which.startswith("STDDEV"):
            variance = f"floor(sqrt({variance}))"
        return Text(flink, f"{variance}::INTEGER"), INT

    def _share(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        column = self._column(columns, NUMBERS)
        if column is None:
            return None
        share = self.chance.choice(["0.0", "0.25", "0.5", "0.75", "1.0"])
        kind: t.DataType = DOUBLE
        theirs = share
        if self.odds(4):
            share, theirs, kind = "ARRAY[0.25, 1.0]", "[0.25, 1.0]", t.ArrayType(DOUBLE)
        self.uses.add("PERCENTILE")
        duck = f"quantile_cont({distinct}{column.name}::DOUBLE, {theirs}){clause.duck}"
        judged = clause.duck is not None and isinstance(column.type, t.IntType | t.DoubleType)
        self.ordering |= isinstance(column.type, t.DoubleType)
        return Text(
            f"PERCENTILE({distinct}{column.name}, {share}){clause.flink}", duck if judged else None
        ), kind

    def _json(
        self, columns: Sequence[Column], distinct: str, clause: Text
    ) -> tuple[Text, t.DataType] | None:
        del distinct
        column = self._column(columns, (t.IntType, t.BigIntType, t.VarCharType, t.BooleanType))
        if column is None:
            return None
        nulls = self.chance.choice(["", " NULL ON NULL", " ABSENT ON NULL"])
        flink = f"CHAR_LENGTH(JSON_ARRAYAGG({column.name}{nulls}){clause.flink})"
        self.uses.add("JSON_ARRAYAGG")
        if isinstance(column.type, t.VarCharType) or clause.duck is None:
            return Text(flink, None), INT
        kept = clause.duck
        if "NULL ON NULL" not in nulls or "ABSENT" in nulls:
            test = f"{column.name} IS NOT NULL"
            kept = f"{kept[:-1]} AND {test})" if kept else f" FILTER (WHERE {test})"
        return Text(
            flink,
            f"length(COALESCE(to_json(list({column.name}){kept})::VARCHAR, '[]'))::INTEGER",
        ), INT
