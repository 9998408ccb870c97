"""Sinks that generated queries write to: with and without a key, taking pairs or the last row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowsql import types as t
from tests.property.queries.expressions import OTHERS
from tests.property.queries.grammar import Query
from tests.support.engine import Change, collected
from tests.support.fold import FoldError, fold, is_insert

__all__ = ["PLAIN", "Target", "make_target"]

_DEFAULTS = {
    t.VarCharType: "CAST('' AS STRING)",
    t.BooleanType: "FALSE",
    t.DateType: "DATE '2020-01-01'",
    t.TimestampType: "CAST(TIMESTAMP '2020-01-01 00:00:00' AS TIMESTAMP(3))",
}
_NOT_KEYS = (t.RowType, t.ArrayType, t.MapType, t.MultisetType, *map(type, OTHERS.values()))


@dataclass(frozen=True, slots=True)
class Target:
    """How a query is written.

    Attributes:
        keys: (expression, type) of what stands in front of the query's columns as the sink's
            primary key; none for a sink without one.
        mode: `I,UA,D` takes the last row of a key, `I,UB,UA,D` what goes and what comes.
        conflict: `ON CONFLICT DO DEDUPLICATE` is said; else the setting lets it be left out.
        appends: the query only adds rows: a sink that takes pairs gets them as they come, and two of
            one key as well, as in Flink.
    """

    keys: tuple[tuple[str, t.DataType], ...] = ()
    mode: str = "I,UB,UA,D"
    conflict: bool = False
    appends: bool = False

    @property
    def one_a_key(self) -> bool:
        """Whether the sink holds at most one row of a key."""
        return bool(self.keys) and not (self.appends and self.mode != "I,UA,D")

    def schema(self, query: t.RowType) -> t.RowType:
        """The rows that the sink gets."""
        keys = [t.Field(f"key{i}", kind) for i, (_, kind) in enumerate(self.keys)]
        return t.RowType((*keys, *query.fields), nullable=False)

    def create(self, name: str, query: t.RowType) -> str:
        """CREATE TABLE of the sink; `{collection}` stands for what it collects."""
        key = ""
        if self.keys:
            names = ", ".join(f"key{i}" for i in range(len(self.keys)))
            key = f"PRIMARY KEY ({names}) NOT ENFORCED"
        return collected(name, self.schema(query), self.mode, key)

    def wrapped(self, query: Query) -> str:
        """The query with its key in front."""
        if not self.keys:
            return query.flink
        given = ", ".join(f"{text} AS key{i}" for i, (text, _) in enumerate(self.keys))
        return f"SELECT {given}, whole.* FROM ({query.flink}) AS whole"

    def insert(self, name: str, query: Query) -> str:
        """The INSERT."""
        # Where rows only come into a sink of pairs there is no conflict to speak of.
        conflict = " ON CONFLICT DO DEDUPLICATE" if self.conflict and self.one_a_key else ""
        return f"INSERT INTO {name} {self.wrapped(query)}{conflict}"

    def folded(self, table: Counter[Any], changes: Sequence[Change]) -> Counter[Any]:
        """The sink's table after more changes.

        Raises:
            FoldError: what no such table can be told.
        """
        if not self.keys or self.mode != "I,UA,D":
            before = [("+I", row) for row in table.elements()]
            after = fold([*before, *((kind, row) for _, kind, row in changes)])
            if self.one_a_key:
                often = Counter(row[: len(self.keys)] for row in after.elements())
                if any(count > 1 for count in often.values()):
                    raise FoldError(f"two rows of one key: {often.most_common(1)}")
            return after
        by_key = {row[: len(self.keys)]: row for row in table}
        for _, kind, row in changes:
            key = row[: len(self.keys)]
            if is_insert(kind):
                by_key[key] = row
            elif kind == "-D" and by_key.pop(key, None) is None:
                raise FoldError(f"-D of a key that is not there: {key!r}")
        return Counter(by_key.values())

    def agrees(self, table: Counter[Any], query: Counter[Any]) -> Counter[Any]:
        """What the sink should hold where the query's table is this, as near as it can be told.

        Of rows with one key the last to come counts; which one that is depends on the order in
        which rows of different inputs come, so that any of them will do.
        """
        if not self.one_a_key:
            return query
        shown = {row[: len(self.keys)]: row for row in table}
        wanted: dict[Any, Any] = {}
        for row in query:
            key = row[: len(self.keys)]
            if key not in wanted or shown.get(key) == row:
                wanted[key] = row
        return Counter(wanted.values())


PLAIN = Target()


def make_target(chance: random.Random, schema: t.RowType, *, appends: bool) -> Target:
    """A sink for rows of this type; `appends` where the query only adds rows."""
    if chance.randrange(5) < 2:
        return PLAIN
    chosen = [f for f in schema.fields if not isinstance(f.type, _NOT_KEYS)]
    sure = [f for f in chosen if not f.type.nullable]
    if sure and chance.randrange(3):
        chosen = sure
    keys = []
    for field in chance.sample(chosen, min(len(chosen), chance.choice([1, 1, 2]))):
        kind = field.type.with_nullable(False)
        text = field.name
        if field.type.nullable:
            zero = _DEFAULTS.get(type(field.type)) or f"CAST(0 AS {field.type.with_nullable(True)})"
            text = f"COALESCE({field.name}, {zero})"
        keys.append((text, kind))
    mode = chance.choice(["I,UA,D", "I,UA,D", "I,UB,UA,D"])
    return Target(tuple(keys), mode, chance.randrange(2) == 0, appends) if keys else PLAIN
