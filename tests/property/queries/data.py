"""Random changelogs for the tables of `grammar.TABLES`, and random cuts into steps."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flowsql import types as t
from tests.property.queries.grammar import SPLITS, TABLES
from tests.support.connectors import Event, Rows
from tests.support.ddl import physical_columns, primary_key
from tests.support.fold import fold, fold_by_key
from tests.support.rows import NAN, NEGATIVE_ZERO

__all__ = ["SCHEMAS", "cut", "final_tables", "make_events", "restarts_of"]

SCHEMAS: Mapping[str, t.RowType] = {
    name: physical_columns(ddl) for name, (ddl, _) in TABLES.items()
}

Row = tuple[Any, ...]

_VALUES: dict[type[t.DataType], list[Any]] = {
    t.IntType: [0, 1, 2, 3, 3, 4, 2**31 - 1, -(2**31)],
    t.BigIntType: [0, 1, 2, 5, 7, -3, 2**63 - 1, -(2**63) + 1],
    t.VarCharType: ["a", "b", "aa", "", "Ab c", "ä", "b", " a", "\uffee", "\U0001f600"],
    # Multiples of a quarter: their sums are exact in any order.
    t.DoubleType: [0.0, NEGATIVE_ZERO, 1.25, -2.5, 3.0, NAN, 1000000.75],
    t.DecimalType: [Decimal(x) for x in ("0.00", "1.50", "-2.25", "999999.99", "0.10")],
    t.BooleanType: [True, False],
    t.DateType: [18262, 18293, 18322, 0],
    t.TimestampType: [1_577_836_800_000_000, 1_577_836_803_000_000, 1_583_020_799_999_000, -1000],
    t.SmallIntType: [0, 1, 1, -3, 32767],
    t.TimeType: [0, 3_600_000, 86_399_000],
    t.LocalZonedTimestampType: [1_577_836_800_000_000, 1_583_020_799_999_000, -1000],
    t.FloatType: [0.0, NEGATIVE_ZERO, 1.25, -2.5, NAN],
    t.VarBinaryType: [b"", b"a", b"\x00\xff"],
    t.VariantType: ["1", '{"a":1,"b":[2]}', '{"a":2}', "null", '"x"'],
    t.CharType: ["ab", "cd", "ä€"],
    t.RowType: [(1, "a"), (1, None), (2, "a"), (None, None), (2, "")],
    t.ArrayType: [(), (1,), (1, 2), (2, 1), (1, None, 1), (3, 3, 2)],
    t.MapType: [(), (("a", 1),), (("a", 1), ("b", 2)), (("b", None),), (("a", 2), ("", 1))],
}
_START = 1_577_836_800_000_000  # 2020-01-01


def _value(chance: random.Random, kind: t.DataType, *, odd: bool) -> Any:
    value = None if chance.randrange(6) == 0 else chance.choice(_VALUES[type(kind)])
    return value if odd or (value is not NAN and value is not NEGATIVE_ZERO) else 0.5


@dataclass
class _Writer:
    """Writes valid changelogs, some of them as sources do when they are nasty.

    Attributes:
        chance: where all choices come from.
        late: rows may be behind the watermark.
        odd: NaN and −0.0 are among the values.
        events: what has been written, in order of arrival.
    """

    chance: random.Random
    late: bool
    odd: bool
    events: list[Event] = field(default_factory=list)
    live: dict[str, list[Row]] = field(default_factory=dict)
    clock: int = _START
    given: int = 0
    times: set[int] = field(default_factory=set)

    def give(self, name: str, *rows: tuple[str, Row], split: int = 0) -> None:
        self.events.append(Rows(name, rows, split))

    def row(self, name: str) -> Row:
        """A new row; of a table with a key one that is free."""
        fields = [f for f in SCHEMAS[name].fields if f.name not in ("id", "ts", "n")]
        values = [_value(self.chance, f.type, odd=self.odd) for f in fields]
        if name not in ("keyed", "ups"):
            return tuple(values)
        used = {row[0] for row in self.live[name]}
        free = [i for i in range(12) if i not in used]
        return (self.chance.choice(free or [max(used) + 1]), *values)

    def write(self, name: str) -> None:
        """One thing that happens to a table."""
        self.live.setdefault(name, [])
        if name in ("evt", "more"):
            self.event(name)
        elif name == "seq":
            self.unique(name)
        elif name == "ups":
            self.upsert(name)
        elif TABLES[name][1] == "I":
            self.append(name)
        else:
            self.change(name)

    def event(self, name: str) -> None:
        rows = []
        for _ in range(self.chance.choice([1, 1, 1, 4])):
            self.clock += self.chance.choice([0, 100_000, 700_000, 2_500_000])
            late = [6_000_000] if self.late else []
            back = self.chance.choice([0, 0, 300_000, 1_900_000, *late])
            rows.append(("+I", (*self.row(name), (self.clock - back) // 1000 * 1000)))
        self.give(name, *rows, split=self.chance.randrange(SPLITS.get(name, 1)))

    def unique(self, name: str) -> None:
        """Rows numbered as they come, at times of their own."""
        rows = []
        for _ in range(self.chance.choice([1, 1, 1, 3])):
            self.given += 1
            at = self.chance.choice(
                [t for t in range(200) if t not in self.times] or [200 + self.given]
            )
            self.times.add(at)
            rows.append(("+I", (self.given, *self.row(name), _START + at * 100_000)))
        self.give(name, *rows)

    def append(self, name: str) -> None:
        if self.chance.randrange(25) == 0:  # many rows of one key
            row = self.row(name)
            rows = [(*row[:1], *self.row(name)[1:]) for _ in range(self.chance.choice([9, 40]))]
            self.give(name, *[("+I", r) for r in rows])
            return
        self.give(name, ("+I", self.row(name)))

    def change(self, name: str) -> None:
        """Of a table that tells what it takes back."""
        table, keyed = self.live[name], name == "keyed"
        action = self.chance.choice(["add", "add", "up", "cut", "del", "swap"]) if table else "add"
        if action == "add":
            again = not keyed and table and self.chance.randrange(4) == 0
            table.append(self.chance.choice(table) if again else self.row(name))
            self.give(name, ("+I", table[-1]))
            return
        old = table.pop(self.chance.randrange(len(table)))
        if action == "del":
            self.give(name, ("-D", old))
            return
        new = (*(old[:1] if keyed else self.row(name)[:1]), *self.row(name)[1:])
        table.append(new)
        if action == "swap":  # a delete, then an insert of the same key
            self.give(name, ("-D", old), ("+I", new))
        elif action == "up":
            self.give(name, ("-U", old), ("+U", new))
        else:  # the pair in two batches, perhaps in two steps
            self.give(name, ("-U", old))
            self.give(name, ("+U", new))

    def upsert(self, name: str) -> None:
        """Of a table that only tells the newest row of a key; a delete may hold no more."""
        table = self.live[name]
        action = self.chance.choice(["add", "add", "up", "up", "del"]) if table else "add"
        if action == "add":
            table.append(self.row(name))
            self.give(name, (self.chance.choice(["+I", "+I", "+U"]), table[-1]))
            return
        old = table.pop(self.chance.randrange(len(table)))
        if action == "del":
            bare = (old[0], *[None] * (len(old) - 1))
            self.give(name, ("-D", self.chance.choice([old, bare])))
            return
        table.append((old[0], *self.row(name)[1:]))
        self.give(name, (self.chance.choice(["+U", "+U", "+I"]), table[-1]))


def make_events(seed: int, names: Sequence[str], *, late: bool, odd: bool = True) -> list[Event]:
    """A valid changelog of each table in order of arrival, mostly one row an event.

    Args:
        seed: the same events for the same seed.
        names: the tables.
        late: rows of tables with a time may be behind the watermark.
        odd: NaN and −0.0 are among the values.
    """
    chance = random.Random(seed)
    writer = _Writer(chance, late, odd)
    for _ in range(chance.choice([0, 3, 8, 12, 20, 30, 30, 45]) if names else 0):
        writer.write(chance.choice(names))
    return writer.events


def final_tables(events: Sequence[Event], names: Sequence[str]) -> dict[str, list[Row]]:
    """What the tables hold in the end; rows that only come, in order of arrival."""
    tables: dict[str, list[Row]] = {}
    for name in names:
        rows = [r for e in events if isinstance(e, Rows) and e.table == name for r in e.rows]
        ddl, mode = TABLES[name]
        if mode == "I,UA,D":
            key = [SCHEMAS[name].names.index(column) for column in primary_key(ddl)]
            tables[name] = list(fold_by_key(rows, key).elements())
        elif mode == "I":
            tables[name] = [row for _, row in rows]
        else:
            tables[name] = list(fold(rows).elements())
    return tables


def cut(chance: random.Random, events: Sequence[Event]) -> list[int]:
    """How many events have been given at the end of each step; the last is all of them.

    Where two are equal, the second step is empty.
    """
    if not events:
        return []
    ends = sorted(chance.choices(range(len(events)), k=chance.randint(0, 7)))
    return [*ends, len(events)]


def restarts_of(chance: random.Random, steps: int) -> list[tuple[int, int]]:
    """(checkpoint before, stop before) step numbers; a stop may lie some steps behind."""
    if not steps:
        return []
    saves = sorted(chance.sample(range(steps + 1), min(steps + 1, chance.choice([1, 1, 2]))))
    return [(save, min(steps, save + chance.choice([0, 0, 1, 3]))) for save in saves]
