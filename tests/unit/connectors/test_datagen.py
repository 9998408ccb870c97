"""Made-up rows follow from their number and the seed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from flowsql.connector import Role
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError
from flowsql.testing import ManualClock, connector_table

DATAGEN = find_connector("datagen")
SPLIT = DATAGEN.open_source(
    [connector_table("a INT", {"connector": "datagen"})], None, None
).discover()[0]


def _table(columns: str, **options: str) -> Any:
    given = {k.replace("__", "."): v for k, v in options.items()}
    given = {k.replace("_", "-"): v for k, v in given.items()}
    return connector_table(columns, {"connector": "datagen", **given})


def _rows(table: Any, count: int = 1000) -> list[dict]:
    reader = DATAGEN.open_source([table], None, None).open([(SPLIT, None)])
    reader._opened -= 1e6
    poll = reader.poll(count, 0)
    return [r for p in poll.pieces for r in p.changes.batch.to_pylist()]


def test_ranges_lengths_and_nulls() -> None:
    """Every option does what it says."""
    table = _table(
        "a TINYINT, b BIGINT, c DOUBLE, d DECIMAL(6, 2), e STRING, f VARCHAR(5), g STRING, "
        "h BYTES, i ARRAY<INT>, j ROW<x INT, y BOOLEAN>, k BIGINT",
        seed="3",
        fields__b__min="-5", fields__b__max="5", fields__c__min="1", fields__c__max="2",
        fields__d__max="10", fields__d__min="9", fields__e__length="7", fields__g__length="9",
        fields__g__var_len="true", fields__i__length="4", fields__i__element__max="3",
        fields__i__element__min="3", fields__j__x__max="1", fields__j__x__min="0",
        fields__k__null_rate="0.25",
    )  # fmt: skip
    DATAGEN.check(table, Role.SCAN)
    rows = _rows(table)
    assert set(range(-5, 6)) == {r["b"] for r in rows}
    assert len({r["a"] for r in rows}) > 200
    assert all(1 <= r["c"] <= 2 and 9 <= r["d"] <= 10 for r in rows)
    assert {7} == {len(r["e"]) for r in rows}
    assert {5} == {len(r["f"]) for r in rows}
    assert set(range(1, 10)) == {len(r["g"]) for r in rows}
    assert {100} == {len(r["h"]) for r in rows}
    assert all(r["i"] == [3, 3, 3, 3] for r in rows)
    assert {0, 1} == {r["j"]["x"] for r in rows}
    assert 200 < sum(r["k"] is None for r in rows) < 300


def test_sequences_end() -> None:
    """The shortest one ends the scan."""
    table = _table(
        "a BIGINT, b STRING, c INT",
        fields__a__kind="sequence", fields__a__start="5", fields__a__end="9",
        fields__b__kind="sequence", fields__b__start="1", fields__b__end="100",
    )  # fmt: skip
    assert DATAGEN.bounded(table)
    rows = _rows(table)
    assert [(r["a"], r["b"]) for r in rows] == [(5, "1"), (6, "2"), (7, "3"), (8, "4"), (9, "5")]


def test_rows_come_at_their_rate() -> None:
    """Ten a second are ten a second."""
    from flowsql_connectors.datagen.source import DatagenReader

    clock = ManualClock()
    reader = DatagenReader(_table("a INT", rows_per_second="10"), clock)
    reader.assign([(SPLIT, None)])
    counts = []
    for _ in range(4):
        poll = reader.poll(1000, 0)
        counts.append(0 if poll is None else len(poll.pieces[0].changes))
        clock.advance(0.55)
    assert counts == [1, 5, 6, 5]


def test_times_are_when_the_row_is_due() -> None:
    """One second apart at one row a second, whenever they are made."""
    rows = _rows(_table("a TIMESTAMP(3), b TIMESTAMP_LTZ(3)", rows_per_second="1"), 3)
    assert {1.0} == {(y["a"] - x["a"]).total_seconds() for x, y in itertools.pairwise(rows)}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ("a MAP<INT, INT>", {}, 'cannot make column "a" of type MAP<INT, INT>'),
        ("a INT", {"fields__a__kind": "sequence"}, 'without option "fields.a.start"'),
        ("a TINYINT", {"fields__a__max": "1000"}, "cannot lie in -128 to 1000"),
        ("price INT", {"fields__pric__max": "1"}, 'option "fields.pric.max" names no column'),
        ("a INT, r ROW<x INT>", {"fields__r.y__max": "1"},
         'option "fields.r.y.max" names no part of column "r"'),
        ("a STRING", {"fields__a__min": "1"}, "has no effect on random values of type STRING"),
        ("a INT", {"fields__a__length": "1"}, "has no effect on random values of type INT"),
        ("a INT", {"fields__a__start": "1"}, "has no effect on random values of type INT"),
        ("a INT", {"fields__a__kind": "sequence", "fields__a__max": "1"}, "has no effect on a sequence"),
        ("a BOOLEAN", {"fields__a__kind": "sequence", "fields__a__start": "1", "fields__a__end": "2"},
         "of type BOOLEAN cannot be a sequence"),
        ("a INT", {"rows_per_second": "0"}, "must be greater than 0"),
        ("a INT", {"number_of_rows": "-1"}, "must not be negative"),
        ("a INT NOT NULL", {"fields__a__null_rate": "0.5"},
         'column "a" is NOT NULL and cannot have a null-rate'),
        ("a ARRAY<INT NOT NULL>", {"fields__a__element__null_rate": "0.5"},
         'column "a.element" is NOT NULL and cannot have a null-rate'),
        ("a INT", {"fields__a__null_rate": "2"}, "must lie in 0 to 1"),
        ("a STRING", {"fields__a__length": "-1"}, "must not be negative"),
        ("a DOUBLE", {"fields__a__min": "2", "fields__a__max": "1"}, 'max" is less than "fields.a.min'),
        ("a TINYINT", {"fields__a__kind": "sequence", "fields__a__start": "1", "fields__a__end": "200"},
         'the sequence of column "a" leaves type TINYINT'),
    ],
)  # fmt: skip
def test_refused_at_planning(columns: str, options: dict, message: str) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError, match=message):
        DATAGEN.check(_table(columns, **options), Role.SCAN)
