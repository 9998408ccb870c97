"""The stored form of bitmaps, and their functions over columns."""

from __future__ import annotations

import random
import sys

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.errors import ConfigError, DataError
from flowsql.expr import bitmaps
from flowsql.types import ArrayType, BitmapType, Field, RowType
from tests.support.roaring import bitmap_bytes, bitmap_members

# What Flink 2.3 writes: BITMAP_TO_BYTES(BITMAP_BUILD(…)).
RECORDED = [
    ([], "3a30000000000000"),
    ([-1], "3a30000001000000ffff000010000000ffff"),
    (
        [-(2**31), -1, 1, 2, 3],
        "3a300000030000000000020000800000ffff00002000000026000000280000000100020003000000ffff",
    ),
    (
        [1, 2, 3, 4, 5, 6, 7, 100_000, 100_001, 100_002, 100_003],
        "3b3001000300000600010003000100010006000100a0860300",
    ),
]
SETS = [
    *(members for members, _ in RECORDED),
    [1, 2, 3],  # as short as a run
    [0, 1, 2, 10, 11],
    [*range(100), 200, 300],
    list(range(5_000)),
    list(range(0, 8_192, 2)),
    list(range(0, 8_194, 2)),
    [*range(0, 140_000, 3), *range(200_000, 400_000), 7, -5, -4, -3, -2, -1],
]


def build(members: list[int]) -> bytes:
    """A stored bitmap, by the engine."""
    return bitmaps.dump(bitmaps.build(np.array(members, np.int32)))


def sql(text: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with flowsql.connect() as session:
        return session.execute(text).fetchall()


@pytest.mark.parametrize(("members", "expected"), RECORDED)
def test_bytes_are_those_of_flink(members: list[int], expected: str) -> None:
    """Recorded bytes, read and written."""
    assert build(members).hex() == expected
    assert bitmaps.read(bytes.fromhex(expected)).hex() == expected


@pytest.mark.parametrize("members", SETS)
def test_a_set_has_one_form(members: list[int]) -> None:
    """The judge's bytes, whatever the order of building."""
    mixed = random.Random(1).sample(members, len(members))
    assert build(mixed) == bitmap_bytes(members)
    assert bitmap_members(build(members)) == sorted(m & 0xFFFFFFFF for m in members)
    assert bitmaps.cardinality(build(members)) == len(members)


@pytest.mark.parametrize("operation", ["AND", "ANDNOT", "OR", "XOR"])
def test_what_is_computed_has_that_form_too(operation: str) -> None:
    """Every pair of sets; also where a run is cut down to the length of an array."""
    of = {
        "AND": set.intersection,
        "ANDNOT": set.difference,
        "OR": set.union,
        "XOR": set.symmetric_difference,
    }[operation]
    for a in SETS[:-1]:
        for b in [*SETS[:-1], [0, 1, 2], [1, 2], list(range(70_000, 70_010))]:
            found = bitmaps.combined(operation, [build(a), build(b)])
            assert found == bitmap_bytes(of(set(a), set(b)))


def test_a_run_as_short_as_an_array_is_written_as_one() -> None:
    """Equal sets are equal bytes: other writers and the library keep such a run."""
    runs = [bytes.fromhex("3b3000000100000200010000000200")]
    # With four containers the head says where each begins.
    many = [*range(3), 65_536, 65_540, 131_072, *range(200_000, 200_100)]
    head = bytearray(bitmap_bytes([*range(100), *many]))
    assert head[:2] == b"\x3b\x30"
    runs.append(bitmaps.combined("ANDNOT", [bytes(head), build(list(range(3, 100)))]))
    assert [bitmaps.read(r) for r in runs] == [bitmap_bytes(range(3)), bitmap_bytes(many)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes.fromhex("3a30000001000000"),
        bytes.fromhex("3a300000010000000000ff00100000000100"),
        bytes.fromhex("3a3000000100000000000200100000000300020001000200"),  # out of order
    ],
)
def test_bytes_that_are_no_bitmap(data: bytes) -> None:
    """Refused with the bytes; never a crash of the library."""
    with pytest.raises(DataError, match="bytes are no bitmap: X'") as caught:
        sql(f"SELECT BITMAP_FROM_BYTES(X'{data.hex()}')")
    assert "BITMAP_TO_BYTES" in (caught.value.hint or "")
    assert caught.value.span is not None


def test_long_texts_are_cut_as_in_flink() -> None:
    """Lengths and ends recorded from Flink 2.3."""
    column = [build(list(range(100_000, 100_000 + 3 * n, 3))) for n in (80_000, 74_899, 74_900)]
    texts = bitmaps.texts(pa.array([*column, None])).to_pylist()
    assert [None if t is None else len(t) for t in texts] == [524298, 524294, 524298, None]
    assert texts[0].endswith("324688,324691,324694,...}")
    assert texts[1].endswith("324688,324691,324694}")
    assert texts[2].endswith("324688,324691,324694,...}")


def given(*values: bytes) -> flowsql.Session:
    """A session with a table `t` of one column `b`, handed in."""
    session = flowsql.connect()
    batch = pa.record_batch({"b": pa.array(values, pa.binary())})
    session.from_changes("t", RowType((Field("b", BitmapType()),)), [batch])
    return session


def test_bitmaps_handed_in_get_the_stored_form() -> None:
    """Two ways to write one set are one value; what comes out is bytes."""
    with given(bytes.fromhex("3b3000000100000200010000000200"), bitmap_bytes(range(3))) as session:
        assert session.execute("SELECT DISTINCT b FROM t").fetchall() == [(bitmap_bytes(range(3)),)]


def test_what_is_handed_in_is_checked() -> None:
    """Bytes that are none are refused with column and table; within others there is no BITMAP."""
    with given(b"x") as session, pytest.raises(DataError, match='"b" of item 0 of table "t"'):
        session.execute("SELECT b FROM t").fetchall()
    with flowsql.connect() as session, pytest.raises(ConfigError, match="ARRAY<BITMAP>"):
        session.from_changes("t", RowType((Field("a", ArrayType(BitmapType())),)), [])


def test_print_writes_the_integers(capfd: pytest.CaptureFixture[str]) -> None:
    """As Flink's Row.toString, within others too."""
    with flowsql.connect() as session:
        session.execute(
            "CREATE TABLE p (b BITMAP, c ARRAY<BITMAP>, r ROW<x MAP<STRING, BITMAP>>) "
            "WITH ('connector' = 'print')"
        )
        session.execute(
            "INSERT INTO p SELECT b, ARRAY[b, NULL], ROW(MAP['k', b]) FROM "
            "(VALUES (BITMAP_BUILD(ARRAY[2, -1])), (CAST(NULL AS BITMAP))) AS t (b)"
        ).wait(60)
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "+I[{2,4294967295}, [{2,4294967295}, null], +I[{k={2,4294967295}}]]",
        "+I[null, [null, null], +I[{k=null}]]",
    ]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions and aggregates are refused, not the statement's other parts."""
    monkeypatch.setitem(sys.modules, "pyroaring", None)
    bitmaps._class.cache_clear()
    try:
        for call in ("BITMAP_BUILD(ARRAY[1])", "BITMAP_BUILD_AGG(1)"):
            with pytest.raises(ConfigError, match="pyroaring") as caught:
                sql(f"SELECT {call}")
            assert caught.value.hint == 'Run: pip install "flowsql[bitmap]"'
    finally:
        bitmaps._class.cache_clear()
