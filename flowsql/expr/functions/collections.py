"""Arrays, maps and rows: making them, taking members, asking about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog.keys import Keys
from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.casting import cast_to, same_type
from flowsql.expr.faults import Fault
from flowsql.expr.functions.variants import variant_element, variant_member
from flowsql.expr.lists import element_with, entries, keys_of, nan_mask, offsets_of
from flowsql.expr.nodes import Call, Expression, FieldAccess, Literal
from flowsql.expr.params import ANY, ARRAY, CHARACTER, INT, MAP, MULTISET, VARIANT
from flowsql.expr.registry import (
    Bind,
    Function,
    Result,
    by_arguments,
    forced_nullable,
    overload,
    strict,
)
from flowsql.expr.resolve import resolve
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
    validity,
)
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    Field,
    IntType,
    MapType,
    NullType,
    RowType,
    VariantType,
    arrow_type,
)
from flowsql.types.common import common_type, is_character, is_integer

__all__ = ["FUNCTIONS"]

_INT = by_arguments(IntType())


def _fixed(call_type: DataType) -> Result:
    return lambda _: call_type


# Constructors


def _bind_array(args: Sequence[Expression], span: Span | None) -> Expression:
    element = common_type([a.type for a in args]) if args else None
    if element is None or isinstance(element, NullType):
        raise wrong_arguments("ARRAY", args, span, ("ARRAY[<COMMON>, ...]",))
    result = ArrayType(element, nullable=False)
    given = tuple(cast_to(a, element) for a in args)
    return Call(type=result, function="ARRAY", args=given, span=span)


def _bind_map(args: Sequence[Expression], span: Span | None) -> Expression:
    keys, values = args[::2], args[1::2]
    key = common_type([a.type for a in keys]) if args else None
    value = common_type([a.type for a in values]) if args else None
    if isinstance(value, NullType) and key is not None:
        value = key.with_nullable(True)  # as in Flink
    known = key is not None and value is not None and not isinstance(key, NullType)
    if not known or key is None or value is None or len(keys) != len(values):
        raise wrong_arguments("MAP", args, span, ("MAP[<COMMON>, <COMMON>, ...]",))
    result = MapType(key, value, nullable=False)
    given = tuple(cast_to(a, value if i % 2 else key) for i, a in enumerate(args))
    return Call(type=result, function="MAP", args=given, span=span)


def _bind_row(args: Sequence[Expression], span: Span | None) -> Expression:
    for arg in args:
        if isinstance(arg.type, NullType):
            raise SqlError(
                "NULL has no type here",
                hint="Write CAST(NULL AS INT), with the type it is to have.",
                span=arg.span or span,
            )
    fields = tuple(Field(f"EXPR${i}", a.type) for i, a in enumerate(args))
    return Call(type=RowType(fields, nullable=False), function="ROW", args=tuple(args), span=span)


def _interleaved(values: Sequence[Value], rows: int) -> Any:
    """Row by row: the first value of each, then the second of each, …."""
    count = len(values)
    joined = pa.concat_arrays([as_array(v, rows) for v in values])
    order = np.arange(rows * count).reshape(rows, count)
    return joined.take(pa.array((order % count * rows + order // count).ravel()))


def _array_kernel(_: Any, *values: Value) -> Value:
    rows = row_count(values)
    count = len(values)
    offsets = pa.array(np.arange(0, (rows + 1) * count, count, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, _interleaved(values, rows))


def _map_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    assert isinstance(call.type, MapType)
    arrow, key_type = arrow_type(call.type), call.type.key
    literals = [a.value for a in call.args[::2] if isinstance(a, Literal)]
    distinct = len(set(literals)) == len(call.args) // 2 and None not in literals

    def kernel(_: Any, *values: Value) -> Value:
        rows = row_count(values)
        keys, items = values[::2], values[1::2]
        count = len(keys)
        flat_keys, flat_items = _interleaved(keys, rows), _interleaved(items, rows)
        keep = None if distinct else _last_of_equal(keys, rows, key_type)
        offsets = np.arange(0, (rows + 1) * count, count, dtype=np.int32)
        if keep is not None and not keep.all():
            chosen = pa.array(np.flatnonzero(keep.ravel()))
            flat_keys, flat_items = flat_keys.take(chosen), flat_items.take(chosen)
            offsets = np.concatenate(([0], np.cumsum(keep.sum(axis=1)))).astype(np.int32)
        return _map_of(offsets, flat_keys, flat_items, arrow)

    return kernel


def _map_of(offsets: Any, keys: Any, items: Any, arrow: Any) -> Any:
    if keys.null_count:
        raise Fault("a key of a map is NULL", hint="NULL keys cannot be stored; use COALESCE.")
    return pa.MapArray.from_arrays(pa.array(offsets), keys, items, type=arrow)


def _last_of_equal(keys: Sequence[Value], rows: int, key_type: DataType) -> Any:
    """bool[rows, keys]: no later key of the row is equal."""
    forms = [Keys.of([as_array(k, rows)], [key_type]) for k in keys]
    every = np.arange(rows)
    keep = np.ones((rows, len(keys)), dtype=bool)
    for i, a in enumerate(forms):
        for b in forms[i + 1 :]:
            keep[:, i] &= ~a.equal(every, b, every)
    return keep


def _row_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    fields = list(arrow_type(call.type))

    def kernel(_: Any, *values: Value) -> Value:
        rows = row_count(values)
        arrays = [as_array(v, rows) for v in values]
        return pa.StructArray.from_arrays(arrays, fields=fields)

    return kernel


# Members


def _bind_item(args: Sequence[Expression], span: Span | None) -> Expression:
    forms = (
        "<ARRAY>[<INTEGER>]",
        "<MAP>[<ANY>]",
        "<ROW>[<CHARACTER>|<INTEGER>]",
        "<VARIANT>[<CHARACTER>|<INTEGER>]",
    )
    if len(args) != 2:
        raise wrong_arguments("ITEM", args, span, forms)
    value, key = args
    match value.type:
        case ArrayType(element=element) if is_integer(key.type):
            if isinstance(key.type, BigIntType):
                raise SqlError(
                    "the index of an array is BIGINT, not INT",
                    hint="Write CAST(… AS INT).",
                    span=key.span or span,
                )
            if isinstance(key, Literal) and isinstance(key.value, int) and key.value < 1:
                raise SqlError(
                    f"an array's elements are counted from 1, but the index is {key.value}",
                    span=key.span or span,
                )
            result = element.with_nullable(True)
            return Call(
                type=result, function="ITEM", args=(value, cast_to(key, IntType())), span=span
            )
        case MapType(key=wanted, value=found):
            common = common_type((wanted, key.type))
            if common is None or is_character(common) != is_character(key.type):
                raise wrong_arguments("ITEM", args, span, forms)
            result = found.with_nullable(True)
            given = (value, cast_to(key, wanted) if not is_character(wanted) else key)
            return Call(type=result, function="ITEM", args=given, span=span)
        case VariantType() if is_character(key.type) or is_integer(key.type):
            # A BIGINT wraps, as in Flink.
            place = cast_to(key, IntType()) if is_integer(key.type) else key
            return Call(
                type=value.type.with_nullable(True), function="ITEM", args=(value, place), span=span
            )
        case RowType() if isinstance(key, Literal):
            return _member(value, value.type, key, span)
        case _:
            raise wrong_arguments("ITEM", args, span, forms)


def _member(row: Expression, row_type: RowType, key: Literal, span: Span | None) -> Expression:
    if isinstance(key.value, str):
        if key.value not in row_type.names:
            near = nearest(key.value, row_type.names)
            raise SqlError(
                f'row has no field "{key.value}"',
                hint=f'Did you mean "{near}"?' if near else None,
                span=key.span or span,
            )
        index = row_type.index(key.value)
    else:
        index = int(key.value or 0) - 1
        if not 0 <= index < len(row_type.fields):
            raise SqlError(f"row has no field number {key.value!s}", span=key.span or span)
    found = row_type.types[index]
    nullable = found.nullable or row_type.nullable
    return FieldAccess(type=found.with_nullable(nullable), arg=row, index=index, span=span)


def _at(_: Any, value: Value, index: Value) -> Value:
    rows = row_count((value, index))
    array = as_array(value, rows)
    if len(array) == 0:
        return pa.array([], array.type.value_type)
    offsets = offsets_of(array)
    wanted = np.broadcast_to(numbers(index), (rows,)).astype(np.int64)
    outside = (wanted < 1) | (wanted > np.diff(offsets))
    nulls = validity(array, index)
    if nulls is not None:
        outside = outside | nulls
    place = build(np.where(outside, 0, offsets[:-1] + wanted - 1), pa.int64(), outside)
    return array.values.take(place)


def _lookup_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    map_type = call.args[0].type
    assert isinstance(map_type, MapType)
    key_type = map_type.key

    def kernel(_: Any, value: Value, key: Value) -> Value:
        rows = row_count((value, key))
        array, wanted = as_array(value, rows), as_array(key, rows)
        owner, entry, _counts = entries(array)
        keys = Keys.of([array.keys.take(pa.array(entry))], [key_type])
        asked = Keys.of([wanted.take(pa.array(owner))], [key_type])
        every = np.arange(len(owner))
        hit = keys.equal(every, asked, every)
        place = np.full(rows, -1, dtype=np.int64)
        place[owner[hit]] = entry[hit]
        missing = place < 0
        return array.items.take(build(np.where(missing, 0, place), pa.int64(), missing))

    return kernel


# Questions


def _cardinality(_: Any, value: Value) -> Value:
    lengths = np.diff(offsets_of(value)) if len(value) else np.zeros(0)
    return build(lengths.astype(np.int32), pa.int32(), validity(value))


def _element_type(args: Sequence[Expression]) -> DataType:
    array = args[0].type
    assert isinstance(array, ArrayType)
    return array.element.with_nullable(array.element.nullable or array.nullable)


def _element(context: Any, value: Value) -> Value:
    if len(value) and int((np.diff(offsets_of(value))[~null_mask(value)]).max(initial=0)) > 1:
        raise Fault("array has more than one element")
    return _at(context, value, pa.scalar(1, pa.int32()))


def _hits(array: Any, needle: Any, element: DataType) -> tuple[Any, Any, Any]:
    """For each element: its row, its place in the row from 0, and whether it is the needle."""
    owner, entry, counts = entries(array)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    every = np.arange(len(owner))
    elements = array.values.take(pa.array(entry))
    flat = keys_of(elements, element)
    asked = keys_of(needle.take(pa.array(owner)), element)
    hit = flat.equal(every, asked, every)
    nan = nan_mask(elements)
    return owner, place, hit if nan is None else hit & ~nan


def _bind_search(name: str, strict_needle: bool) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        form = (f"{name}(haystack <ARRAY>, needle <ARRAY ELEMENT>)",)
        if len(args) != 2 or not isinstance(args[0].type, ArrayType):
            raise wrong_arguments(name, args, span, form)
        array, needle = args
        element = args[0].type.element
        merged = element_with(element, needle.type)
        if merged is None:
            raise wrong_arguments(name, args, span, form)
        if not same_type(merged, element):
            array = cast_to(array, ArrayType(merged))
        given = (array, cast_to(needle, merged))
        nullable = array.type.nullable or (strict_needle and needle.type.nullable)
        result = IntType(nullable=nullable) if strict_needle else BooleanType(nullable=nullable)
        return Call(type=result, function=name, args=given, span=span)

    return bind


def _search_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    array_type = call.args[0].type
    assert isinstance(array_type, ArrayType)
    element = array_type.element
    position = call.function == "ARRAY_POSITION"

    def kernel(_: Any, haystack: Value, needle: Value) -> Value:
        rows = row_count((haystack, needle))
        array, wanted = as_array(haystack, rows), as_array(needle, rows)
        owner, place, hit = _hits(array, wanted, element)
        if position:
            found = np.zeros(rows, dtype=np.int32)
            found[owner[hit][::-1]] = place[hit][::-1] + 1
            return build(found, pa.int32(), validity(array, wanted))
        seen = np.zeros(rows, dtype=bool)
        seen[owner[hit]] = True
        return build(seen, pa.bool_(), validity(array))

    return kernel


def _keys_type(args: Sequence[Expression]) -> DataType:
    assert isinstance(args[0].type, MapType)
    return ArrayType(args[0].type.key, nullable=args[0].type.nullable)


def _values_type(args: Sequence[Expression]) -> DataType:
    assert isinstance(args[0].type, MapType)
    return ArrayType(args[0].type.value, nullable=args[0].type.nullable)


def _entries_type(args: Sequence[Expression]) -> DataType:
    of = args[0].type
    assert isinstance(of, MapType)
    entry = RowType((Field("key", of.key), Field("value", of.value)))
    return ArrayType(entry, nullable=of.nullable)


def _lists(value: Any, flat: Any) -> Any:
    nulls = null_mask(value)
    mask = mask_of(nulls) if nulls.any() else None
    offsets = pa.array(offsets_of(value).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, flat, mask=mask)


def _entries_kernel(_: Any, value: Value) -> Value:
    flat = pa.StructArray.from_arrays([value.keys, value.items], names=["key", "value"])
    return _lists(value, flat)


def _of_constructor(name: str) -> Bind:
    """MAP_KEYS(MAP[k, v]) and the like are read off a constructor of one entry.

    Such a map is never stored, so its key may be NULL, which no stored map can hold.
    """

    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        built = args[0] if len(args) == 1 else None
        if not (isinstance(built, Call) and built.function == "MAP" and len(built.args) == 2):
            return resolve(_PLAIN[name], args, span)
        key, value = built.args
        if name == "MAP_KEYS":
            inner = key
        elif name == "MAP_VALUES":
            inner = value
        else:
            fields = (Field("key", key.type), Field("value", value.type))
            row = RowType(fields, nullable=False)
            inner = Call(type=row, function="ROW", args=(key, value), span=span)
        element = inner.type
        if name == "MAP_ENTRIES":  # Flink gives the entries of a map as nullable rows
            element = element.with_nullable(True)
        result = ArrayType(element, nullable=False)
        return Call(type=result, function="ARRAY", args=(inner,), span=span)

    return bind


_PLAIN = {
    f.name: f
    for f in (
        Function("MAP_KEYS", "The keys of a map.",
                 (overload((MAP,), _keys_type, strict(lambda _, v: _lists(v, v.keys))),)),
        Function("MAP_VALUES", "The values of a map.",
                 (overload((MAP,), _values_type, strict(lambda _, v: _lists(v, v.items))),)),
        Function("MAP_ENTRIES", "The entries of a map as rows.",
                 (overload((MAP,), _entries_type, strict(_entries_kernel)),)),
    )
}  # fmt: skip

FUNCTIONS = (
    Function("ARRAY", "An array of the values.",
             (overload((ANY,), _fixed(ArrayType(NullType())), strict(_array_kernel),
                       variadic=True),),
             _bind_array, signatures=("ARRAY[<COMMON>, ...]",)),
    Function("MAP", "A map of keys and values; of equal keys the last counts.",
             (overload((ANY, ANY), _fixed(MapType(NullType(), NullType())), _map_make,
                       variadic=True),),
             _bind_map, signatures=("MAP[<COMMON>, <COMMON>, ...]",)),
    Function("ROW", "A row of the values.",
             (overload((ANY,), _fixed(RowType()), _row_make, variadic=True),), _bind_row,
             signatures=("ROW(<ANY>, ...)",)),
    Function("ITEM", "An element of an array, a value of a map, a field of a row; a part of a VARIANT.",
             (overload((ARRAY, INT), _element_type, strict(_at)),
              overload((MAP, ANY), _values_type, _lookup_make),
              overload((VARIANT, INT), forced_nullable(VariantType()), strict(variant_element)),
              overload((VARIANT, CHARACTER), forced_nullable(VariantType()),
                       strict(variant_member))),
             _bind_item),
    Function("CARDINALITY", "The number of elements.",
             tuple(overload((p,), _INT, strict(_cardinality)) for p in (ARRAY, MAP, MULTISET))),
    Function("ELEMENT", "The only element of an array.",
             (overload((ARRAY,), _element_type, strict(_element)),)),
    Function("ARRAY_CONTAINS", "True if the array has the element.",
             (overload((ARRAY, ANY), _fixed(BooleanType()), _search_make),),
             _bind_search("ARRAY_CONTAINS", strict_needle=False)),
    Function("ARRAY_POSITION", "Where the element first stands in the array, from 1.",
             (overload((ARRAY, ANY), _fixed(IntType()), _search_make),),
             _bind_search("ARRAY_POSITION", strict_needle=True)),
    *(replace(f, bind=_of_constructor(f.name), signatures=f.supported()) for f in _PLAIN.values()),
)  # fmt: skip
