"""Keys of generated types and values, against Python's own comparison."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import Keys
from flowsql.changelog.key_layout import KeyLayout
from flowsql.expr.variant_binary import from_json
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    DoubleType,
    Field,
    IntType,
    MapType,
    RowType,
    VarBinaryType,
    VarCharType,
    VariantType,
    arrow_type,
)

LEAVES: dict[DataType, st.SearchStrategy[Any]] = {
    BigIntType(): st.sampled_from([0, 1, -1, 2**63 - 1]),
    BooleanType(): st.booleans(),
    DoubleType(): st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    VarCharType(): st.sampled_from(
        ["", "a", "ab", "exactly12abc", "thirteen byte", "a long one " * 3]
    ),
    VarBinaryType(): st.sampled_from([b"", b"\0", b"\0\0", b"x" * 40]),
    VariantType(): st.sampled_from(
        [from_json(t, last_wins=False) for t in ("1", "1.0", '{"a":1,"b":2}', '{"b":2,"a":1}')]
    ),
}


def values_of(data_type: DataType) -> st.SearchStrategy[Any]:
    """Values of a type, NULL among them."""
    match data_type:
        case ArrayType(element=element):
            inner = st.lists(values_of(element), max_size=3)
        case MapType(key=key, value=value):
            inner = st.lists(
                st.tuples(LEAVES[key.with_nullable(nullable=True)], values_of(value)),
                max_size=3,
                unique_by=lambda entry: frozen(key, entry[0]),
            )
        case RowType(fields=fields):
            inner = st.fixed_dictionaries({f.name: values_of(f.type) for f in fields})
        case IntType():
            inner = st.integers(0, 1)
        case _:
            inner = LEAVES[data_type]
    return st.one_of(st.none(), inner)


def frozen(data_type: DataType, value: Any) -> Any:
    """A Python value that is equal exactly where the key is."""
    if value is None:
        return None
    match data_type:
        case ArrayType(element=element):
            return tuple(frozen(element, v) for v in value)
        case MapType(key=key, value=inner):
            return frozenset((frozen(key, k), frozen(inner, v)) for k, v in value)
        case RowType(fields=fields):
            return tuple(frozen(f.type, value[f.name]) for f in fields)
        case DoubleType():
            return "NaN" if math.isnan(value) else str(value)
        case _:
            return value


leaf_types = st.sampled_from(list(LEAVES))
types = st.recursive(
    leaf_types,
    lambda inner: st.one_of(
        inner.map(ArrayType),
        st.tuples(leaf_types.map(lambda t: t.not_null()), inner).map(lambda kv: MapType(*kv)),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda ts: RowType(tuple(Field(f"f{i}", t) for i, t in enumerate(ts)))
        ),
    ),
    max_leaves=3,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_grouping_is_python_equality(data: st.DataObject) -> None:
    """Rows have one group number exactly where their values are the same."""
    columns = data.draw(st.lists(types, min_size=1, max_size=2))
    rows = data.draw(st.lists(st.tuples(*map(values_of, columns)), min_size=1, max_size=12))
    rows = rows + rows[::2]
    arrays = [pa.array([r[i] for r in rows], arrow_type(t)) for i, t in enumerate(columns)]
    keys = Keys.of(arrays, columns)
    ids, first = keys.group()
    model: dict[Any, int] = {}
    expected = [
        model.setdefault(tuple(frozen(t, v) for t, v in zip(columns, r, strict=True)), len(model))
        for r in rows
    ]
    assert ids.tolist() == expected
    assert len(first) == len(model)
    assert len(keys.words) == KeyLayout.of(columns).words
    # The same rows from slices of longer columns, and taken apart, hash and compare alike.
    longer = [pa.concat_arrays([a, a]).slice(len(a) // 2, len(a)) for a in arrays]
    order = np.array([(i + len(rows) // 2) % len(rows) for i in range(len(rows))])
    assert (Keys.of(longer, columns).hash() == keys.take(order).hash()).all()
    assert keys.equal(order, Keys.of(longer, columns), np.arange(len(rows))).all()
    assert keys.has_null.tolist() == [any(v is None for v in r) for r in rows]
