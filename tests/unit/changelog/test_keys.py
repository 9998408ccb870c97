"""The normal form of keys: what is one key and what is two."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import Keys, in_order, many_forms
from flowsql.operators.vectors import to_numpy
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    VarBinaryType,
    VarCharType,
    arrow_type,
)
from flowsql.types.parser import parse_type


def groups(data_type: DataType, values: list[Any]) -> list[int]:
    """The group number of each value, also when the column is a slice of a longer one."""
    array = pa.array(values, arrow_type(data_type))
    ids, first = Keys.of([array], [data_type]).group()
    longer = pa.concat_arrays([array.slice(0, 1), array, array.slice(0, 2)]).slice(1, len(array))
    assert Keys.of([longer], [data_type]).group()[0].tolist() == ids.tolist()
    assert first.tolist() == [ids.tolist().index(i) for i in range(len(first))]
    return ids.tolist()


def test_null_is_one_key() -> None:
    """NULL equals NULL and nothing else, not zero and not the empty string."""
    assert groups(BigIntType(), [0, None, 0, None]) == [0, 1, 0, 1]
    assert groups(VarCharType(), ["", None, "", None]) == [0, 1, 0, 1]
    assert groups(NullType(), [None, None]) == [0, 0]
    assert groups(BooleanType(), [False, None, True, False]) == [0, 1, 2, 0]


def test_nan_is_one_key_and_zeros_are_two() -> None:
    """Every NaN is one key; −0.0 and 0.0 are two."""
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    assert groups(DoubleType(), [float("nan"), odd, 0.0, -0.0, 0.0]) == [0, 0, 1, 2, 1]
    assert groups(FloatType(), [float("nan"), odd, 0.0, -0.0, 0.0]) == [0, 0, 1, 2, 1]


def test_decimals_compare_by_value() -> None:
    """Both widths, negative numbers included."""
    for precision in (5, 18, 19, 38):
        values = [Decimal(1), Decimal(-1), None, Decimal("1.0"), Decimal("-1.00")]
        assert groups(DecimalType(precision, 2), values) == [0, 1, 2, 0, 1]
    big = Decimal(2**64)
    assert groups(DecimalType(38, 0), [big, Decimal(0), big, -big]) == [0, 1, 0, 2]


def test_strings_of_all_lengths() -> None:
    """Values in a view, longer ones, ones that differ in their last byte only, zero bytes."""
    base = "x" * 100
    values = [base[:i] for i in range(100)]
    assert groups(VarCharType(), values + values) == [*range(100), *range(100)]
    twins = [base[:i] + c for i in range(60) for c in "ab"]
    assert groups(VarCharType(), twins) == list(range(120))
    assert groups(VarBinaryType(), [b"a", b"a\0", b"\0", b"", b"a"]) == [0, 1, 2, 3, 0]


def test_nested_values() -> None:
    """Entries of maps have no order, elements of arrays do; NULL elements are elements."""
    assert groups(ArrayType(BigIntType()), [[1, 2], [2, 1], [1, 2, None], [1, 2], [], None]) == [
        0, 1, 2, 0, 3, 4,
    ]  # fmt: skip
    nested = ArrayType(ArrayType(VarCharType()))
    assert groups(nested, [[["a"], ["b"]], [["a", "b"]], [["a"], ["b"]], [["ab"]]]) == [0, 1, 0, 2]
    long = "a key that does not fit a view"
    maps = [[("a", 1), (long, 2)], [(long, 2), ("a", 1)], [("a", 2), (long, 1)], None, []]
    assert groups(MapType(VarCharType(), IntType()), maps) == [0, 0, 1, 2, 3]
    assert groups(MultisetType(BigIntType()), [[(1, 2), (2, 1)], [(2, 1), (1, 2)]]) == [0, 0]
    by_nan = MapType(DoubleType(), VarCharType())
    assert groups(by_nan, [[(float("nan"), "x")], [(float("nan"), "x")]]) == [0, 0]
    row = RowType((Field("a", BigIntType()), Field("b", VarCharType())))
    rows = [{"a": None, "b": None}, None, {"a": 1, "b": "x"}, {"a": 1, "b": "x"}]
    assert groups(row, rows) == [0, 1, 2, 2]
    assert groups(ArrayType(row), [[rows[0]], [None], [rows[2]], [rows[3]]]) == [0, 1, 2, 2]


def test_null_array_with_elements_behind_it() -> None:
    """What stands behind a NULL's offsets does not count."""
    offsets, values = pa.array([0, 2, 4, 6], pa.int32()), pa.array([1, 2, 3, 4, 1, 2])
    hidden = pa.ListArray.from_arrays(offsets, values, mask=pa.array([False, True, False]))
    ids, _ = Keys.of([hidden], [ArrayType(BigIntType())]).group()
    assert ids.tolist() == [0, 1, 0]


@pytest.mark.parametrize("text", ["TIMESTAMP(3)", "INT", "DOUBLE", "DECIMAL(30, 2)"])
def test_the_buffer_of_no_values_may_be_short(text: str) -> None:
    """As Arrow leaves it for the values of empty multisets: its size need not fit the type."""
    kind = parse_type(text)
    array = pa.Array.from_buffers(arrow_type(kind), 0, [None, pa.py_buffer(b"1234")])
    assert Keys.of([array], [kind]).group()[0].tolist() == []
    assert len(to_numpy(array)) == 0


def test_has_null_looks_at_whole_columns() -> None:
    """A NULL field of a ROW does not make the key NULL; many columns have many NULL words."""
    row = RowType((Field("a", BigIntType()),))
    array = pa.array([{"a": None}, None], arrow_type(row))
    keys = Keys.of([array, pa.array([1, 1])], [row, BigIntType()])
    assert keys.has_null.tolist() == [False, True]
    many = [pa.array([1, 1, 1])] * 129 + [pa.array([1, None, 1])]
    wide = Keys.of(many, [BigIntType()] * 130)
    assert wide.has_null.tolist() == [False, True, False]
    assert wide.group()[0].tolist() == [0, 1, 0]


def test_keys_of_two_batches_compare() -> None:
    """`equal` compares rows of different batches, with and without NULLs and long strings."""
    types = [VarCharType(), BigIntType()]
    a = Keys.of([pa.array(["x", "long " * 5, "y"]), pa.array([1, 2, 3])], types)
    b = Keys.of([pa.array(["long " * 5, None, "y"]), pa.array([2, 1, None])], types)
    i, j = np.array([0, 1, 1, 2]), np.array([1, 0, 1, 2])
    assert a.equal(i, b, j).tolist() == [False, True, False, False]
    assert b.equal(j, a, i).tolist() == [False, True, False, False]
    assert a.take(np.array([1])).hash(7).tolist() == b.take(np.array([0])).hash(7).tolist()


def test_colliding_hashes_do_not_join_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are compared: with one hash for all, grouping is the same."""
    keys = Keys.of([pa.array([5, 6, 5, 7, 6])], [BigIntType()])
    monkeypatch.setattr(
        "flowsql.changelog.hashing.hash_words", lambda w, b, n, s: np.zeros(n, np.uint64)
    )
    assert keys.group()[0].tolist() == [0, 1, 0, 2, 1]


def test_the_unseeded_hash_is_fixed() -> None:
    """Checkpoints carry key groups: these numbers must never change."""
    ints = Keys.of([pa.array([0, 1, -1, None])], [BigIntType()])
    texts = ["", "a", "exactly12abc", "longer than twelve bytes", None]
    strings = Keys.of([pa.array(texts)], [VarCharType()])
    maps = Keys.of(
        [pa.array([[(1, "x")]], pa.map_(pa.int32(), pa.string()))],
        [MapType(IntType(), VarCharType())],
    )
    found = [*ints.key_group().tolist(), *strings.key_group().tolist(), *maps.key_group().tolist()]
    assert found == EXPECTED_GROUPS


EXPECTED_GROUPS = [0, 40, 0, 51, 0, 63, 42, 31, 51, 36]


@pytest.mark.parametrize(
    ("text", "values", "equal"),
    [
        ("MAP<STRING, INT>", [[("a", 1), ("b", 2)], [("b", 2), ("a", 1)]], False),
        ("MAP<STRING, INT>", [[("a", 1), ("b", None)], [("a", 1), ("b", None)]], True),
        ("MULTISET<INT>", [[(1, 2), (3, 1)], [(3, 1), (1, 2)]], False),
        ("MAP<STRING, INT>", [None, None], True),
        ("MAP<STRING, INT>", [None, []], False),
        ("ARRAY<MAP<STRING, INT>>", [[[("a", 1), ("b", 2)]], [[("b", 2), ("a", 1)]]], False),
        ("MAP<INT, MAP<INT, INT>>", [[(1, [(1, 1), (2, 2)])], [(1, [(2, 2), (1, 1)])]], False),
        ("ROW<m MAP<INT, INT>>", [{"m": [(1, 1), (2, 2)]}, {"m": [(2, 2), (1, 1)]}], False),
    ],
)
def test_in_order_only_the_same_is_equal(text: str, values: list[Any], equal: bool) -> None:
    """Equal maps may be told apart; as arrays of entries they are compared with their order."""
    kind = parse_type(text)
    assert many_forms(kind)
    ordered = in_order(kind)
    assert not many_forms(ordered)
    cast = pa.array(values, arrow_type(kind)).cast(arrow_type(ordered))
    keys = Keys.of([cast], [ordered])
    assert bool(keys.equal(np.array([0]), keys, np.array([1]))[0]) is equal


@pytest.mark.parametrize("text", ["INT", "DOUBLE", "STRING", "ARRAY<ROW<a INT, b STRING>>"])
def test_most_types_have_one_form(text: str) -> None:
    """Nothing is compared in another way, or stored twice, without need."""
    kind = parse_type(text)
    assert not many_forms(kind)
    assert in_order(kind) is kind
