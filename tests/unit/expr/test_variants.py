"""VARIANT: its bytes, and its parts over whole columns."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.expr.faults import Fault
from flowsql.expr.variant_binary import NotVariant, TooDeep, from_json, to_json, to_python
from flowsql.expr.variant_columns import element_at, member_at

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=5) | st.integers(60, 300).map("x".__mul__)
_KEYS = st.sampled_from(["a", "b", "", "é", "😀", "\uffff", "k" * 300])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.integers(-200, 200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def _bytes(document: Any) -> bytes:
    return from_json(json.dumps(document, ensure_ascii=False), last_wins=False)


def _column(values: list[Any]) -> pa.Array:
    return pa.array([None if v is None else _bytes(v) for v in values], pa.binary())


@pytest.mark.parametrize(
    ("text", "metadata", "value"),
    [
        ("null", "010000", "00"),
        ("true", "010000", "04"),
        ("false", "010000", "08"),
        ("1", "010000", "0c01"),
        ("-129", "010000", "107fff"),
        ("70000", "010000", "1470110100"),
        ("5000000000", "010000", "1800f2052a01000000"),
        ("1.5e0", "010000", "1c000000000000f83f"),
        ("1.50", "010000", "200296000000"),
        ("1234567890.5", "010000", "2401391cdcdf02000000"),
        ("12345678901234567890", "010000", "2800d20a1feb8ca954ab0000000000000000"),
        ('"ab"', "010000", "096162"),
        ("[]", "010000", "030000"),
        ("[1,[]]", "010000", "03020002050c01030000"),
        ("{}", "010000", "020000"),
        # Member a (key 1) begins behind member b (key 0), which came first.
        ('{"b":1,"a":{"c":2}}', "010300010203626163", "020201000200090c0102010200020c02"),
    ],
)
def test_bytes_are_those_of_the_variant_encoding(text: str, metadata: str, value: str) -> None:
    """Parquet's Variant encoding; keys are numbered as they come, members stand by key."""
    assert metadata + value == from_json(text, last_wins=False).hex()


@settings(max_examples=150, deadline=None)
@given(_DOCUMENTS)
def test_python_values_come_back(document: Any) -> None:
    """What JSON says is what Python gets; a double is one, a decimal keeps its digits."""
    data = _bytes(document)
    assert _as_float(document) == _as_float(to_python(data))
    again = json.loads(to_json(data))
    assert _as_float(document) == _as_float(again)


def _as_float(value: Any) -> Any:
    match value:
        case bool() | None | str():
            return value
        case int() | float() | Decimal():
            return float(value)
        case list():
            return [_as_float(v) for v in value]
        case _:
            return {k: _as_float(v) for k, v in value.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.50", Decimal("1.50")),
        ("-0.00", Decimal("0.00")),
        ("1e3", 1000.0),
        ("1" * 38, int("1" * 38)),
        ("1" * 39, float("1" * 39)),
        ("0." + "0" * 38 + "1", 1e-39),
        ("1e400", math.inf),
    ],
)
def test_the_kind_of_a_number(text: str, expected: object) -> None:
    """Decimals have up to 38 digits; an exponent, or more digits, makes a double."""
    found = to_python(from_json(text, last_wins=False))
    assert expected == found
    assert isinstance(found, float) == isinstance(expected, float)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.dictionaries(_KEYS, _DOCUMENTS, max_size=5), st.none() | _KEYS)
    )
)
def test_members(rows: list[tuple[dict[str, Any] | None, str | None]]) -> None:
    """Each row's member by its own key; NULL for none, and for a NULL."""
    names = [name for _, name in rows]
    absent = np.array([v is None or n is None for v, n in rows], dtype=bool)
    found = member_at(_column([v for v, _ in rows]), pa.array(names, pa.string()), absent)
    expected = [
        None if v is None or n is None or n not in v else to_json(_bytes(v[n])) for v, n in rows
    ]
    assert expected == [None if b is None else to_json(b) for b in found.to_pylist()]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.none() | st.lists(_DOCUMENTS, max_size=4), st.integers(-1, 5))))
def test_elements(rows: list[tuple[list[Any] | None, int]]) -> None:
    """Each row's element, counted from 1; NULL outside."""
    absent = np.array([v is None for v, _ in rows], dtype=bool)
    index = np.array([i for _, i in rows], dtype=np.int64)
    found = element_at(_column([v for v, _ in rows]), index, absent)
    expected = [
        None if v is None or not 1 <= i <= len(v) else to_json(_bytes(v[i - 1])) for v, i in rows
    ]
    assert expected == [None if b is None else to_json(b) for b in found.to_pylist()]


def test_wide_numbers() -> None:
    """Counts, keys and offsets of more than a byte."""
    wide = {f"key{i}": i for i in range(70_000)}
    found = member_at(_column([wide]), pa.array(["key69999"]), np.array([False]))
    assert [to_python(b) for b in found.to_pylist()] == [69_999]
    found = element_at(_column([["x" * 70_000, "y"] * 200]), np.array([400]), np.array([False]))
    assert [to_python(b) for b in found.to_pylist()] == ["y"]


def test_a_part_keeps_the_keys_of_the_whole() -> None:
    """As in Flink, which therefore tells 1 within one object from 1 within another."""
    both = _column([{"a": 1, "b": 2}, {"a": 1, "c": 2}])
    found = member_at(both, pa.array(["a", "a"]), np.array([False, False]))
    one, other = found.to_pylist()
    assert one != other
    assert to_json(one) == to_json(other) == "1"


def test_slices_and_small_batches() -> None:
    """A batch may be a part of a larger one."""
    column = _column([{"a": i} for i in range(5)]).slice(3, 2)
    found = member_at(column, pa.array(["a", "a"]), np.array([False, False]))
    assert [to_python(b) for b in found.to_pylist()] == [3, 4]


def test_parts_of_others() -> None:
    """Only arrays have elements, only objects members."""
    with pytest.raises(Fault, match="an integer in brackets needs a VARIANT that is an array"):
        element_at(_column([[1], {"a": 1}]), np.array([1, 1]), np.array([False, False]))
    with pytest.raises(Fault, match="a string in brackets needs a VARIANT that is an object"):
        member_at(_column([[1]]), pa.array(["a"]), np.array([False]))


def test_keys_that_occur_twice() -> None:
    """Refused, or the last one counts; what is left out leaves its keys behind, as in Flink."""
    with pytest.raises(NotVariant, match='key "a" occurs twice in an object'):
        from_json('{"a":1,"a":2}', last_wins=False)
    text = '{"a":{"x":1},"b":2,"a":3}'
    assert to_json(from_json(text, last_wins=True)) == '{"a":3,"b":2}'


@pytest.mark.parametrize("depth", [500, 501, 100_000])
def test_depth(depth: int) -> None:
    """500 levels come back; more are told apart from what is no JSON."""
    text = "[" * depth + "]" * depth
    if depth == 500:
        assert text == to_json(from_json(text, last_wins=False))
    else:
        with pytest.raises(TooDeep):
            from_json(text, last_wins=False)


def test_size() -> None:
    """A value and its keys have at most 16 MiB each."""
    with pytest.raises(NotVariant, match="at most 16 MiB"):
        from_json(json.dumps("x" * (1 << 24)), last_wins=False)
    with pytest.raises(NotVariant, match="at most 16 MiB"):
        from_json(json.dumps({"x" * (1 << 24): 1}), last_wins=False)
