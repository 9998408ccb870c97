"""What is made of a group's values: LISTAGG, COLLECT, ARRAY_AGG, JSON_…AGG, SINGLE_VALUE."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import Keys
from flowsql.changelog.key_layout import KeyLayout, LeafKind
from flowsql.errors import DataError, InternalError
from flowsql.expr.nodes import LiteralValue
from flowsql.state import SortColumn
from flowsql.state.order import OrderLayout
from flowsql.types import (
    BigIntType,
    DataType,
    MultisetType,
    VarCharType,
    arrow_type,
)
from flowsql.types.constants import join_texts, text_constant

__all__ = ["collected"]

Ints = npt.NDArray[np.int64]

_GROUP = BigIntType(nullable=False)
_TEXT = VarCharType()


def collected(
    function: str,
    constants: tuple[LiteralValue, ...],
    data_type: DataType,
    *,
    group: Ints,
    values: list[pa.Array],
    groups: int,
    append: bool,
) -> pa.Array:
    """One value a group.

    Args:
        function: its name.
        constants: see `AggregateCall`.
        data_type: of the result.
        group: int64[n], ascending, the group of each value.
        values: the stored columns, n values each, in order of arrival within a group.
        groups: how many groups there are.
        append: values only come, none is taken back.
    """
    counts = np.bincount(group, minlength=groups)
    match function:
        case "LISTAGG":
            separator = str(constants[0]) if constants else ","
            joined = pc.binary_join(_lists(counts, values[0]), text_constant(separator))
            return _where(counts > 0, joined)
        case "ARRAY_AGG":
            offsets = pa.array(_offsets(counts))
            stored = arrow_type(data_type)
            lists = pa.ListArray.from_arrays(offsets, values[0], type=stored)
            return _where(counts > 0, lists)
        case "COLLECT":
            assert isinstance(data_type, MultisetType)
            return _multisets(data_type, group, values[0], groups, append=append)
        case "JSON_ARRAYAGG":
            texts = pc.fill_null(values[0], "null")
            joined = pc.binary_join(_lists(counts, texts), text_constant(","))
            return join_texts("[", joined, "]")
        case "JSON_OBJECTAGG":
            return _objects(group, values, groups)
        case "SINGLE_VALUE":
            return _single(counts, values[0])
        case _:
            raise InternalError(f'aggregate "{function}" is not made of a list')


def _offsets(counts: Ints) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _lists(counts: Ints, values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(_offsets(counts)), values)


def _where(there: npt.NDArray[np.bool_], values: pa.Array) -> pa.Array:
    """The values, NULL where there is none."""
    if there.all():
        return values
    rows = np.arange(len(values))
    return values.take(pa.array(rows, mask=~there))


def _multisets(
    data_type: MultisetType, group: Ints, values: pa.Array, groups: int, *, append: bool
) -> pa.Array:
    """Each value with how often it occurs: in order of first arrival where values only come.

    Else in an order that follows from the content alone: a row that is taken back must be written
    as it was given, whatever came and went in between.
    """
    element = data_type.element.with_nullable(nullable=True)
    ids, first = Keys.of([pa.array(group), values], (_GROUP, element), len(group)).group()
    order = (
        np.argsort(first)
        if append
        else np.lexsort((*_order(values, first, element), group.take(first)))
    )
    first = first.take(order)
    times = np.bincount(ids, minlength=len(first)).take(order)
    counts = np.bincount(group.take(first), minlength=groups)
    return pa.MapArray.from_arrays(
        pa.array(_offsets(counts)),
        values.take(pa.array(first)),
        pa.array(times.astype(np.int32)),
        arrow_type(data_type),
    )


def _order(values: pa.Array, rows: Ints, data_type: DataType) -> list[npt.NDArray[np.uint64]]:
    """Words by which to sort the values at `rows`, the last one first.

    Values that have no order are sorted by their normal form.
    """
    chosen = values.take(pa.array(rows))
    kind = KeyLayout.of((data_type,)).leaves[0].kind
    if kind in (LeafKind.NULL, LeafKind.NESTED, LeafKind.STRUCT):
        normal = Keys.of([chosen], (data_type,), len(rows))
        words = [*normal.words, *(() if normal.nulls is None else (normal.nulls,))]
    else:
        words = OrderLayout([SortColumn(data_type)]).encode([chosen]).words
    return words[::-1]


def _objects(group: Ints, values: list[pa.Array], groups: int) -> pa.Array:
    """JSON objects of keys and `"key":value` texts, by key; a member without text is left out."""
    keys, members = values
    if members.null_count:
        there = members.is_valid().to_numpy(zero_copy_only=False)
        if keys.null_count:
            there |= keys.is_null().to_numpy(zero_copy_only=False)
        rows = there.nonzero()[0]
        index = pa.array(rows)
        keys, members, group = keys.take(index), members.take(index), group.take(rows)
    if keys.null_count:
        raise DataError(
            'a key of "JSON_OBJECTAGG" is NULL',
            hint="Leave such rows out: … WHERE key IS NOT NULL.",
        )
    table = pa.table({"group": group, "key": keys.cast(pa.binary())})
    order = pc.sort_indices(table, sort_keys=[("group", "ascending"), ("key", "ascending")])
    keys, members, group = keys.take(order), members.take(order), group.take(order.to_numpy())
    n = len(group)
    same = np.zeros(n, np.bool_)
    if n > 1:
        normal = Keys.of([pa.array(group), keys], (_GROUP, _TEXT), n)
        every = np.arange(n)
        same[1:] = normal.equal(every[1:], normal, every[:-1])
    if same.any():
        key = keys[int(same.argmax())].as_py()
        raise DataError(
            f'"JSON_OBJECTAGG" has two values for the key "{key}"',
            detail="The keys of a JSON object are unique.",
            hint="Group by the key too, or aggregate its values first.",
        )
    joined = pc.binary_join(
        _lists(np.bincount(group, minlength=groups), members), text_constant(",")
    )
    return join_texts("{", joined, "}")


def _single(counts: Ints, values: pa.Array) -> pa.Array:
    if (counts > 1).any():
        raise DataError(
            "a sub-query that stands for one value gives more than one row",
            hint="Let it give one row: aggregate it, add a condition, or use IN or EXISTS.",
        )
    at = np.cumsum(counts) - 1
    return values.take(pa.array(at, mask=counts == 0))
