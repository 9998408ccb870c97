"""Random changelogs for the tables of `grammar.TABLES`, and random cuts into steps."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from flowsql import types as t
from tests.property.queries.grammar import TABLES
from tests.support.connectors import Event, Rows
from tests.support.ddl import physical_columns, primary_key
from tests.support.fold import fold, fold_by_key
from tests.support.rows import NAN, NEGATIVE_ZERO

__all__ = ["SCHEMAS", "cut", "final_tables", "make_events", "restarts_of"]

SCHEMAS: Mapping[str, t.RowType] = {
    name: physical_columns(ddl) for name, (ddl, _) in TABLES.items()
}

_VALUES: dict[type[t.DataType], list[Any]] = {
    t.IntType: [0, 1, 2, 3, 3, 4, 2**31 - 1, -(2**31)],
    t.BigIntType: [0, 1, 2, 5, 7, -3, 2**63 - 1, -(2**63) + 1],
    t.VarCharType: ["a", "b", "aa", "", "Ab c", "ä", "b"],
    # Multiples of a quarter: their sums are exact in any order.
    t.DoubleType: [0.0, NEGATIVE_ZERO, 1.25, -2.5, 3.0, NAN, 1000000.75],
    t.DecimalType: [Decimal(x) for x in ("0.00", "1.50", "-2.25", "999999.99", "0.10")],
    t.BooleanType: [True, False],
    t.DateType: [18262, 18293, 18322, 0],
}


def _value(chance: random.Random, kind: t.DataType, *, odd: bool) -> Any:
    value = None if chance.randrange(6) == 0 else chance.choice(_VALUES[type(kind)])
    return value if odd or (value is not NAN and value is not NEGATIVE_ZERO) else 0.5


def _row(
    chance: random.Random, name: str, live: Mapping[int, Any], *, odd: bool
) -> tuple[Any, ...]:
    schema = SCHEMAS[name]
    values = [_value(chance, f.type, odd=odd) for f in schema.fields if f.name not in ("id", "ts")]
    if name in ("keyed", "ups"):
        free = [i for i in range(12) if i not in live]
        return (chance.choice(free or [max(live) + 1]), *values)
    return tuple(values)


def make_events(seed: int, names: Sequence[str], *, late: bool, odd: bool = True) -> list[Event]:
    """A valid changelog of each table, one row an event, in order of arrival.

    Args:
        seed: the same events for the same seed.
        names: the tables.
        late: rows of `evt` may be behind the watermark.
        odd: NaN and −0.0 are among the values.
    """
    chance = random.Random(seed)
    live: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
    clock = 1_577_836_800_000_000
    events: list[Event] = []

    def give(name: str, *rows: tuple[str, tuple[Any, ...]]) -> None:
        events.append(Rows(name, rows))

    for _ in range(chance.choice([0, 3, 12, 30, 45]) if names else 0):
        name = chance.choice(names)
        table, mode = live[name], TABLES[name][1]
        if name == "evt":
            clock += chance.choice([0, 100_000, 700_000, 2_500_000])
            back = chance.choice([0, 0, 300_000, 1_900_000, *([6_000_000] if late else [])])
            moment = (clock - back) // 1000 * 1000
            give(name, ("+I", (*_row(chance, name, {}, odd=odd), moment)))
            continue
        action = "add" if mode == "I" or not table else chance.choice(["add", "add", "up", "del"])
        keys = {row[0]: row for row in table} if name in ("keyed", "ups") else {}
        if action == "add":
            again = mode != "I,UA,D" and not keys and table and chance.randrange(4) == 0
            row = chance.choice(table) if again else _row(chance, name, keys, odd=odd)
            table.append(row)
            give(name, ("+I", row))
            continue
        old = table.pop(chance.randrange(len(table)))
        if action == "del":
            give(name, ("-D", old))
            continue
        new = _row(chance, name, {}, odd=odd)
        new = (old[0], *new[1:]) if name in ("keyed", "ups") else new
        table.append(new)
        if mode == "I,UA,D":
            give(name, ("+U", new))
        else:
            give(name, ("-U", old), ("+U", new))
    return events


def final_tables(events: Sequence[Event], names: Sequence[str]) -> dict[str, Counter[Any]]:
    """What the tables hold in the end, as multisets."""
    tables = {}
    for name in names:
        rows = [r for e in events if isinstance(e, Rows) and e.table == name for r in e.rows]
        ddl, mode = TABLES[name]
        if mode == "I,UA,D":
            key = [SCHEMAS[name].names.index(column) for column in primary_key(ddl)]
            tables[name] = fold_by_key(rows, key)
        else:
            tables[name] = fold(rows)
    return tables


def cut(chance: random.Random, events: Sequence[Event]) -> list[int]:
    """How many events have been given at the end of each step; the last is all of them."""
    if not events:
        return []
    inner = range(1, len(events))
    ends = sorted(chance.sample(inner, chance.randint(0, min(6, len(inner)))))
    return [*ends, len(events)]


def restarts_of(chance: random.Random, steps: int) -> list[tuple[int, int]]:
    """(checkpoint before, stop before) step numbers; a stop may lie some steps behind."""
    if not steps:
        return []
    saves = sorted(chance.sample(range(steps + 1), min(steps + 1, chance.choice([1, 1, 2]))))
    return [(save, min(steps, save + chance.choice([0, 0, 1, 3]))) for save in saves]
