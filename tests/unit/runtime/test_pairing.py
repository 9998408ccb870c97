"""Sinks that rely on the pairs an aggregate gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import ChangelogMode, Changes, kind_names
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import Deduplicate, Rank, SinkMaterialize, SortKey
from flowsql.runtime import outlets
from flowsql.runtime.pairing import compared_columns
from flowsql.types import row_type_of

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.int64())])
Change = tuple[int | None, str, tuple[object, ...]]


def step(*rows: tuple[str, int, int]) -> Changes:
    """One step of `(kind, k, v)`."""
    kinds, keys, values = zip(*rows, strict=True)
    batch = pa.RecordBatch.from_arrays([pa.array(keys), pa.array(values)], schema=SCHEMA)
    return Changes(batch, np.array([("+I", "-U", "+U", "-D").index(k) for k in kinds], np.int8))


def changes(query: str, *steps: Changes) -> list[Change]:
    """`(step, kind, row)` of a query over the table `t`."""
    with flowsql.connect() as session:
        session.from_changes("t", SCHEMA, list(steps), mode="retract")
        return [
            (c.step, kind, tuple(row.values()))
            for c in session.execute(query).changes()
            for kind, row in zip(kind_names(c), c.batch.to_pylist(), strict=True)
        ]


FIRST = step(("+I", 1, 10), ("+I", 2, 20), ("+I", 3, 30))
SECOND = step(("+I", 1, 5), ("-D", 2, 20), ("+I", 4, 40))


def test_updates_are_adjacent_pairs() -> None:
    """A group that changed gives `-U,+U`, one that came or went a single row."""
    got = changes("SELECT k, SUM(v) AS s FROM t GROUP BY k", FIRST, SECOND)
    assert got[3:] == [
        (2, "-U", (1, 10)),
        (2, "+U", (1, 15)),
        (2, "-D", (2, 20)),
        (2, "+I", (4, 40)),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k FROM (SELECT k, SUM(v) AS s FROM t GROUP BY k)",
        "SELECT k, s > 0 AS positive FROM (SELECT k, SUM(v) AS s FROM t GROUP BY k)",
    ],
)
def test_a_pair_that_a_projection_makes_equal_is_no_change(query: str) -> None:
    """What changed in group 1 is not in the result, so nothing is said of it."""
    kinds = [(kind, row[0]) for at, kind, row in changes(query, FIRST, SECOND) if at == 2]
    assert kinds == [("-D", 2), ("+I", 4)]


def test_another_key_is_labelled_anew() -> None:
    """Behind a filter a pair may have lost its half: the label is that of what is left."""
    query = "SELECT k, SUM(v) AS s FROM t GROUP BY k HAVING SUM(v) < 15"
    assert changes(query, FIRST, SECOND) == [(1, "+I", (1, 10)), (2, "-D", (1, 10))]


def test_rows_by_key_come_in_pairs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the last row by key has netted and labelled its rows."""

    def never(*_: object) -> Changes:
        raise AssertionError("labelled again")

    monkeypatch.setattr(outlets, "label", never)
    with flowsql.connect() as session:
        steps = [step(("+I", 1, 10), ("+I", 2, 20)), step(("+U", 1, 11), ("-D", 2, 20))]
        session.from_changes("t", SCHEMA, steps, primary_key=["k"], mode="upsert")
        got = [
            (kind, tuple(row.values()))
            for c in session.execute("SELECT v, k FROM t WHERE TRUE").changes()
            for kind, row in zip(kind_names(c), c.batch.to_pylist(), strict=True)
        ]
    assert got[2:] == [("-U", (10, 1)), ("+U", (11, 1)), ("-D", (20, 2))]


@pytest.mark.parametrize("watermark", [None, "ts"])
def test_rows_with_their_time_are_netted_as_others(watermark: str | None) -> None:
    """They are changed one by one within a step, of which a sink sees nothing."""
    schema = pa.schema([("k", pa.int64()), ("v", pa.int64()), ("ts", pa.timestamp("ms"))])

    def item(*rows: tuple[int, int, int]) -> Changes:
        kinds, keys, values = zip(*rows, strict=True)
        columns = [pa.array(keys), pa.array(values), pa.array([0] * len(rows), schema.types[2])]
        return Changes(pa.RecordBatch.from_arrays(columns, schema=schema), np.array(kinds, np.int8))

    steps = [
        item((0, 1, 10), (2, 1, 11), (0, 2, 20), (3, 2, 20)),
        item((2, 1, 12), (2, 1, 11)),
        item((2, 1, 13), (2, 1, 14)),
    ]
    with flowsql.connect() as session:
        options = {"primary_key": ["k"], "mode": "upsert", "watermark": watermark}
        session.from_changes("t", schema, steps, **options)
        got = [
            (c.step, kind, row["v"])
            for c in session.execute("SELECT k, v, ts FROM t").changes()
            for kind, row in zip(kind_names(c), c.batch.to_pylist(), strict=True)
        ]
    assert got == [(1, "+I", 11), (3, "-U", 11), (3, "+U", 14)]


@pytest.mark.parametrize("order", ["v DESC", "v"])
def test_the_best_row_of_a_key_comes_in_pairs(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another row has taken the place of goes right before it."""

    def never(*_: object) -> Changes:
        raise AssertionError("labelled again")

    monkeypatch.setattr(outlets, "label", never)
    with flowsql.connect() as session:
        steps = [
            step(("+I", 1, 10), ("+I", 2, 20)),
            step(("+I", 1, 15), ("+I", 1, 5), ("+I", 2, 20)),
        ]
        session.from_changes("t", SCHEMA, steps, mode="append")
        query = (
            f"SELECT v, k FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY {order}) = 1"
        )
        got = [
            (kind, tuple(row.values()))
            for c in session.execute(query).changes()
            for kind, row in zip(kind_names(c), c.batch.to_pylist(), strict=True)
        ]
    best = 15 if "DESC" in order else 5
    assert got[2:] == [("-U", (10, 1)), ("+U", (best, 1))]


@pytest.mark.parametrize(
    ("keys", "sink", "columns"), [((0,), (0,), ()), ((0,), (1,), None), ((), (), None)]
)
def test_deduplication_gives_pairs_by_its_key(
    keys: tuple[int, ...], sink: tuple[int, ...], columns: tuple[int, ...] | None
) -> None:
    """By that of the sink, and no other."""
    row = row_type_of(SCHEMA)
    spec = Deduplicate(keys, 1, keep_last=True)
    node = PhysicalNode("d", spec, ("t",), row, ChangelogMode.RETRACT)
    assert compared_columns(node, sink, {"d": node}) == columns


def test_ten_best_rows_give_no_pairs() -> None:
    """A row that comes in may push another out, which is no pair by the partition."""
    row = row_type_of(SCHEMA)
    order = (SortKey(1, descending=False, nulls_first=True),)
    for end in (1, 10):
        spec = Rank((0,), order, end=end, input_mode=ChangelogMode.APPEND)
        table = PhysicalNode("t", SinkMaterialize((0,)), (), row, ChangelogMode.APPEND)
        node = PhysicalNode("r", spec, ("t",), row, ChangelogMode.RETRACT)
        compared = compared_columns(node, (0,), {"r": node, "t": table})
        assert compared == (() if end == 1 else None)


@pytest.mark.parametrize(("key", "columns"), [((1,), ()), ((0,), None), ((0, 1), None), ((), None)])
def test_a_materialiser_gives_pairs_by_its_key(
    key: tuple[int, ...], columns: tuple[int, ...] | None
) -> None:
    """By that of the sink, and no other."""
    row = row_type_of(SCHEMA)
    node = PhysicalNode("m", SinkMaterialize((1,)), ("t",), row, ChangelogMode.RETRACT)
    assert compared_columns(node, key, {"m": node}) == columns
