"""Functions that build an array or a map from others: sets, parts, order, joining.

All work on the elements of all rows at once: `Lists` (`lists.py`) holds them in one column with the row of each.
Elements are equal as keys are (`changelog/keys.py`): NULL equals NULL, NaN equals NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span
from flowsql.expr.casting import cast_to, same_type
from flowsql.expr.faults import Fault
from flowsql.expr.lists import (
    Lists,
    codes_of,
    element_with,
    entries,
    firsts,
    joined,
    keys_of,
    lists_of,
    nan_mask,
)
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.params import ANY, ARRAY, BOOLEAN, CHARACTER, INT, MAP
from flowsql.expr.registry import (
    Bind,
    Function,
    Maker,
    Overload,
    Param,
    Result,
    by_arguments,
    overload,
    strict,
)
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    as_array,
    build,
    mask_of,
    null_mask,
    numbers,
    row_count,
    true_mask,
    validity,
)
from flowsql.types import (
    ArrayType,
    BooleanType,
    DataType,
    MapType,
    NullType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import common_type, is_character, is_interval, is_nested, is_unordered

__all__ = ["FUNCTIONS"]

Bools = Any
Ints = Any


def _element(call: Call, index: int = 0) -> DataType:
    array = call.args[index].type
    assert isinstance(array, ArrayType)
    return array.element


# Binding


def _common_arrays(name: str, least: int, most: int | None) -> Bind:
    """Arrays of one common type; the result is nullable if any of them is."""
    form = (f"{name}(<COMMON>, <COMMON>)" if most else f"{name}(<COMMON>, ...)",)

    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        fits = len(args) >= least and (most is None or len(args) <= most)
        fits = fits and not any(isinstance(a.type, NullType) for a in args)
        common = common_type([a.type for a in args]) if fits else None
        if not isinstance(common, ArrayType):
            raise wrong_arguments(name, args, span, form)
        given = tuple(cast_to(a, common) for a in args)
        return Call(type=common, function=name, args=given, span=span)

    return bind


def _with_element(name: str, *, widen: bool) -> Bind:
    """An array and a value of its elements' type; `widen`: the result may hold the value."""
    form = (f"{name}(<ARRAY>, <ARRAY ELEMENT>)",)

    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 2 or not isinstance(args[0].type, ArrayType):
            raise wrong_arguments(name, args, span, form)
        array, value = args
        of = args[0].type
        merged = element_with(of.element, value.type)
        if merged is None:
            raise wrong_arguments(name, args, span, form)
        element = merged if widen else merged.with_nullable(of.element.nullable)
        nullable = of.nullable or (widen and value.type.nullable)
        result = ArrayType(element, nullable=nullable)
        if not same_type(merged, of.element):
            array = cast_to(array, ArrayType(merged))
        given = (array, cast_to(value, merged))
        return Call(type=result, function=name, args=given, span=span)

    return bind


def _kernel(make: Callable[[Call], Kernel]) -> Maker:
    return lambda call, _: make(call)


# Elements added


def _add_make(*, front: bool) -> Maker:
    def make(call: Call) -> Kernel:
        arrow = arrow_type(call.type)

        def kernel(_: Any, array: Value, value: Value) -> Value:
            rows = row_count((array, value))
            lists, single = as_array(array, rows), as_array(value, rows)
            nulls = null_mask(lists)
            one = Lists(np.arange(rows), single, np.ones(rows, dtype=np.int64)).where(~nulls)
            many = lists_of(lists)
            parts = [one, many] if front else [many, one]
            return joined([_as(p, arrow) for p in parts]).array(arrow, nulls)

        return kernel

    return _kernel(make)


def _as(lists: Lists, arrow: Any) -> Lists:
    """The elements as the result stores them."""
    wanted = arrow.value_type
    if lists.elements.type == wanted:
        return lists
    return Lists(lists.owner, lists.elements.cast(wanted), lists.counts)


# Sets


Chosen = Callable[[DataType, list[Lists]], Lists]


def _sets_make(choose: Chosen) -> Maker:
    def make(call: Call) -> Kernel:
        element, arrow = _element(call), arrow_type(call.type)

        def kernel(_: Any, *arrays: Value) -> Value:
            rows = row_count(arrays)
            columns = [as_array(a, rows) for a in arrays]
            nulls = validity(*columns)
            parts = [lists_of(c) for c in columns]
            if nulls is not None:
                parts = [p.where(~nulls[p.owner]) for p in parts]
            return choose(element, [_as(p, arrow) for p in parts]).array(arrow, nulls)

        return kernel

    return _kernel(make)


def _union(element: DataType, parts: list[Lists]) -> Lists:
    whole = joined(parts)
    (codes,) = codes_of(element, [whole])
    return whole.take(firsts(codes))


def _chosen_of_first(*, found: bool) -> Chosen:
    def choose(element: DataType, parts: list[Lists]) -> Lists:
        ours, theirs = codes_of(element, parts)
        first = firsts(ours)
        return parts[0].take(first[np.isin(ours[first], theirs, invert=not found)])

    return choose


def _concat(element: DataType, parts: list[Lists]) -> Lists:
    del element
    return joined(parts)


def _remove_make(call: Call) -> Kernel:
    element, arrow = _element(call), arrow_type(call.type)

    def kernel(_: Any, array: Value, value: Value) -> Value:
        rows = row_count((array, value))
        column, single = as_array(array, rows), as_array(value, rows)
        lists = lists_of(column)
        asked = Lists(lists.owner, single.take(pa.array(lists.owner)), lists.counts)
        every = np.arange(len(lists.owner))
        keys = keys_of(lists.elements, element)
        equal = keys.equal(every, keys_of(asked.elements, element), every)
        nan = nan_mask(lists.elements)
        if nan is not None:
            equal &= ~nan
        return _as(lists.where(~equal), arrow).array(arrow, null_mask(column))

    return kernel


# Parts and order


def _reverse(_: Any, array: Value) -> Value:
    lists = lists_of(array)
    ends = np.cumsum(lists.counts)
    number = np.arange(len(lists.owner))
    places = (ends - lists.counts)[lists.owner] + ends[lists.owner] - 1 - number
    turned = Lists(lists.owner, lists.elements.take(pa.array(places)), lists.counts)
    return turned.array(array.type, null_mask(array))


def _slice(_: Any, array: Value, start: Value, end: Value | None = None) -> Value:
    given = (array, start) if end is None else (array, start, end)
    rows = row_count(given)
    column = as_array(array, rows)
    nulls = validity(*(as_array(v, rows) for v in given))
    lists = lists_of(column)
    size = lists.counts
    low = np.broadcast_to(numbers(start), (rows,)).astype(np.int64)
    low = np.maximum(np.where(low < 0, low + size + 1, low), 1)
    high = size if end is None else np.broadcast_to(numbers(end), (rows,)).astype(np.int64)
    high = np.where(high < 0, high + size + 1, high)
    high = np.where(high == 0, 1, np.minimum(high, size))
    number = np.arange(len(lists.owner)) - (np.cumsum(size) - size)[lists.owner] + 1
    inside = (number >= low[lists.owner]) & (number <= high[lists.owner])
    if nulls is not None:
        inside &= ~nulls[lists.owner]
    return lists.where(inside).array(column.type, nulls)


def _ranks(elements: Any) -> Ints:
    """int64: the order of the elements, equal for equal ones; arbitrary where NULL."""
    ranked = pc.rank(elements, sort_keys="ascending", tiebreaker="dense")
    return ranked.to_numpy(zero_copy_only=False).astype(np.int64)


def _sort(_: Any, array: Value, rising: Value = None, nulls_first: Value = None) -> Value:
    given = [v for v in (array, rising, nulls_first) if v is not None]
    rows = row_count(given)
    column = as_array(array, rows)
    nulls = validity(*(as_array(v, rows) for v in given))
    up = np.ones(rows, dtype=bool) if rising is None else true_mask(rising, rows)
    first = up if nulls_first is None else true_mask(nulls_first, rows)
    lists = lists_of(column)
    ranks = _ranks(lists.elements)
    ranks = np.where(up[lists.owner], ranks, -ranks)
    missing = null_mask(lists.elements)
    edge = np.where(first[lists.owner], -len(ranks) - 1, len(ranks) + 1)
    order = np.lexsort((np.where(missing, edge, ranks), lists.owner))
    found = Lists(lists.owner, lists.elements.take(pa.array(order)), lists.counts)
    if nulls is not None:
        found = found.where(~nulls[found.owner])
    return found.array(column.type, nulls)


def _extreme(*, largest: bool) -> Kernel:
    def kernel(_: Any, array: Value) -> Value:
        lists = lists_of(array)
        there = np.flatnonzero(~null_mask(lists.elements))
        ranks = _ranks(lists.elements)[there]
        owner = lists.owner[there]
        if pa.types.is_floating(lists.elements.type):
            ranks = _nan_last(lists.elements, there, owner, ranks, largest=largest)
        order = np.lexsort((-ranks if largest else ranks, owner))
        rows, at = np.unique(owner[order], return_index=True)
        place = np.full(len(lists.counts), -1, dtype=np.int64)
        place[rows] = there[order[at]]
        missing = place < 0
        return lists.elements.take(build(np.where(missing, 0, place), pa.int64(), missing))

    return kernel


def _nan_last(elements: Any, there: Ints, owner: Ints, ranks: Ints, *, largest: bool) -> Ints:
    """Ranks in which NaN is chosen if it comes first, and else never, as in Flink."""
    nan = np.isnan(elements.to_numpy(zero_copy_only=False)[there])
    if not nan.any():
        return ranks
    first = np.zeros(len(there), dtype=bool)
    first[np.unique(owner, return_index=True)[1]] = True
    best, worst = (len(ranks) + 1, -1) if largest else (-1, len(ranks) + 1)
    return np.where(nan, np.where(first, best, worst), ranks)


def _extreme_type(args: Sequence[Expression]) -> DataType:
    assert isinstance(args[0].type, ArrayType)
    return args[0].type.element.with_nullable(True)


def _ordered(data_type: DataType) -> bool:
    if not isinstance(data_type, ArrayType):
        return False
    of = data_type.element
    return not (
        is_nested(of)
        or is_unordered(of)
        or is_interval(of)
        or isinstance(of, BooleanType | NullType)
    )


SORTABLE = Param("<ARRAY OF COMPARABLE>", _ordered)


# Text


def _join(_: Any, array: Value, separator: Value, missing: Value = None) -> Value:
    given = [v for v in (array, separator, missing) if v is not None]
    rows = row_count(given)
    column = as_array(array, rows)
    nulls = validity(*(as_array(v, rows) for v in given))
    lists = lists_of(column)
    gone = null_mask(lists.elements)
    if missing is None:
        lists = lists.where(~gone)
    elif gone.any():
        filler = as_array(missing, rows).take(pa.array(lists.owner))
        elements = pc.coalesce(lists.elements, filler)
        lists = Lists(lists.owner, elements, lists.counts)
    return pc.binary_join(lists.array(pa.list_(pa.string()), nulls), separator)


def _texts(data_type: DataType) -> bool:
    return isinstance(data_type, ArrayType) and is_character(data_type.element)


TEXTS = Param("<ARRAY OF CHARACTER_STRING>", _texts)


# Maps


def _map_of(  # noqa: PLR0917
    owner: Ints, keys: Any, items: Any, arrow: Any, nulls: Bools, key: DataType
) -> Any:
    """The map column of entries in order of their rows; of equal keys the last counts."""
    if keys.null_count:
        raise Fault("a key of a map is NULL", hint="NULL keys cannot be stored; use COALESCE.")
    rows = len(nulls)
    entry = Lists(owner, keys, np.bincount(owner, minlength=rows).astype(np.int64))
    (codes,) = codes_of(key, [entry])
    last = len(codes) - 1 - firsts(codes[::-1])[::-1]
    if len(last) < len(codes):
        entry, items = entry.take(last), items.take(pa.array(last))
    offsets = np.zeros(rows + 1, dtype=np.int32)
    np.cumsum(entry.counts, out=offsets[1:])
    mask = mask_of(nulls) if nulls.any() else None
    return pa.MapArray.from_arrays(pa.array(offsets), entry.elements, items, type=arrow, mask=mask)


def _from_arrays_type(args: Sequence[Expression]) -> DataType:
    keys, values = args[0].type, args[1].type
    assert isinstance(keys, ArrayType)
    assert isinstance(values, ArrayType)
    return MapType(keys.element, values.element, nullable=keys.nullable or values.nullable)


def _from_arrays_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    arrow = arrow_type(call.type)
    key = _element(call)

    def kernel(_: Any, keys: Value, values: Value) -> Value:
        rows = row_count((keys, values))
        columns = [as_array(keys, rows), as_array(values, rows)]
        nulls = null_mask(columns[0]) | null_mask(columns[1])
        left, right = (p.where(~nulls[p.owner]) for p in map(lists_of, columns))
        wrong = np.flatnonzero(left.counts != right.counts)
        if len(wrong):
            a, b = left.counts[wrong[0]], right.counts[wrong[0]]
            raise Fault(
                f"the length of the keys array {a} is not equal to the length of the "
                f"values array {b}"
            )
        return _map_of(left.owner, left.elements, right.elements, arrow, nulls, key)

    return kernel


def _bind_map_union(args: Sequence[Expression], span: Span | None) -> Expression:
    typed = args and not any(isinstance(a.type, NullType) for a in args)
    common = common_type([a.type for a in args]) if typed else None
    if not isinstance(common, MapType):
        raise wrong_arguments("MAP_UNION", args, span, ("MAP_UNION(<COMMON>, <COMMON>...)",))
    given = tuple(cast_to(a, common) for a in args)
    return Call(type=common, function="MAP_UNION", args=given, span=span)


def _map_union_make(call: Call) -> Kernel:
    arrow = arrow_type(call.type)
    assert isinstance(call.type, MapType)
    key = call.type.key

    def kernel(_: Any, *maps: Value) -> Value:
        rows = row_count(maps)
        columns = [as_array(m, rows) for m in maps]
        nulls = np.logical_or.reduce([null_mask(c) for c in columns])
        owners, keys, items = [], [], []
        for column in columns:
            owner, places, _counts = entries(column)
            keep = ~nulls[owner]
            chosen = pa.array(places[keep])
            owners.append(owner[keep])
            keys.append(column.keys.take(chosen))
            items.append(column.items.take(chosen))
        owner = np.concatenate(owners)
        order = pa.array(np.argsort(owner, kind="stable"))
        return _map_of(
            np.sort(owner),
            pa.concat_arrays(keys).take(order),
            pa.concat_arrays(items).take(order),
            arrow,
            nulls,
            key,
        )

    return kernel


def _same(args: Sequence[Expression]) -> DataType:
    return args[0].type.with_nullable(any(a.type.nullable for a in args))


def _sized(kernel: Kernel, params: Sequence[Param], result: Result, optional: int) -> Overload:
    return overload(params, result, strict(kernel), optional=optional)


FUNCTIONS = (
    Function("ARRAY_APPEND", "The array with an element added at its end.",
             (overload((ARRAY, ANY), _same, _add_make(front=False)),),
             _with_element("ARRAY_APPEND", widen=True)),
    Function("ARRAY_PREPEND", "The array with an element added at its beginning.",
             (overload((ARRAY, ANY), _same, _add_make(front=True)),),
             _with_element("ARRAY_PREPEND", widen=True)),
    Function("ARRAY_CONCAT", "The elements of all arrays, one array behind the other.",
             (overload((ARRAY,), _same, _sets_make(_concat), variadic=True),),
             _common_arrays("ARRAY_CONCAT", 1, None), signatures=("ARRAY_CONCAT(<COMMON>, ...)",)),
    Function("ARRAY_DISTINCT", "The elements without repetitions.",
             (overload((ARRAY,), _same, _sets_make(_union)),)),
    Function("ARRAY_EXCEPT", "The elements of the first array that the second has not.",
             (overload((ARRAY, ARRAY), _same, _sets_make(_chosen_of_first(found=False))),),
             _common_arrays("ARRAY_EXCEPT", 2, 2), signatures=("ARRAY_EXCEPT(<COMMON>, <COMMON>)",)),
    Function("ARRAY_INTERSECT", "The elements of the first array that the second has as well.",
             (overload((ARRAY, ARRAY), _same, _sets_make(_chosen_of_first(found=True))),),
             _common_arrays("ARRAY_INTERSECT", 2, 2),
             signatures=("ARRAY_INTERSECT(<COMMON>, <COMMON>)",)),
    Function("ARRAY_UNION", "The elements of both arrays without repetitions.",
             (overload((ARRAY, ARRAY), _same, _sets_make(_union)),),
             _common_arrays("ARRAY_UNION", 2, 2), signatures=("ARRAY_UNION(<COMMON>, <COMMON>)",)),
    Function("ARRAY_REMOVE", "The array without the elements that are equal to a value.",
             (overload((ARRAY, ANY), _same, _kernel(_remove_make)),),
             _with_element("ARRAY_REMOVE", widen=False)),
    Function("ARRAY_REVERSE", "The elements in reverse order.",
             (_sized(_reverse, (ARRAY,), _same, 0),)),
    Function("ARRAY_SLICE", "The elements from one place to another, both included.",
             (_sized(_slice, (ARRAY, INT, INT), _same, 1),)),
    Function("ARRAY_SORT", "The elements in order; NULLs first, or last where it is descending.",
             (_sized(_sort, (SORTABLE, BOOLEAN, BOOLEAN), _same, 2),)),
    Function("ARRAY_MAX", "The largest element.",
             (_sized(_extreme(largest=True), (SORTABLE,), _extreme_type, 0),)),
    Function("ARRAY_MIN", "The smallest element.",
             (_sized(_extreme(largest=False), (SORTABLE,), _extreme_type, 0),)),
    Function("ARRAY_JOIN", "The texts of an array with a separator between them.",
             (_sized(_join, (TEXTS, CHARACTER, CHARACTER), by_arguments(VarCharType()), 1),)),
    Function("MAP_FROM_ARRAYS", "The map of an array of keys and an array of values.",
             (overload((ARRAY, ARRAY), _from_arrays_type, _from_arrays_make),)),
    Function("MAP_UNION", "The entries of all maps; of equal keys the last counts.",
             (overload((MAP,), _same, _kernel(_map_union_make), variadic=True),), _bind_map_union,
             signatures=("MAP_UNION(<COMMON>, <COMMON>...)",)),
)  # fmt: skip
