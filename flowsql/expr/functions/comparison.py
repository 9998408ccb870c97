"""= <> < <= > >=, IS [NOT] DISTINCT FROM, BETWEEN, IN, IS [NOT] NULL.

Text compared with a point in time is read as one. What cannot be read is NULL to `=`, `<>` and
IS [NOT] DISTINCT FROM, and an error to the others and where it is a literal. IN reads
its items, and compares a text with points in time as they are written. Text and
numbers compare by `<` only, as numbers; `=` between them is refused, as in Flink. Nested values
are equal if all their parts are, NULL parts being equal to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span, SqlError
from flowsql.expr.casting import cast_to, same_type
from flowsql.expr.functions.arithmetic import bind_sum
from flowsql.expr.lists import entries, keys_of
from flowsql.expr.nodes import Call, Case, Expression, Literal
from flowsql.expr.params import ANY
from flowsql.expr.registry import Function, Maker, by_arguments, overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, Value, as_array, build, null_mask, row_count
from flowsql.types import (
    BitmapType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    MapType,
    NullType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import (
    common_type,
    is_approximate,
    is_character,
    is_datetime,
    is_interval,
    is_nested,
    is_numeric,
    is_unordered,
    plain_type,
)

__all__ = ["FUNCTIONS", "bind_comparison", "bind_in"]

_ARROW_NAME = {
    "=": "equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_FORMS = ("<COMPARABLE_TYPE> ? <COMPARABLE_TYPE>",)


def bind_comparison(
    symbol: str, left: Expression, right: Expression, span: Span | None
) -> Expression:
    """Left symbol right, both brought to a type in which they compare."""
    a, b = left.type, right.type
    if (is_unordered(a) or is_unordered(b)) and symbol in ("<", "<=", ">", ">="):
        kind = a if is_unordered(a) else b
        cure = "Compare what JSON_VALUE takes out of it."
        if isinstance(kind, BitmapType):
            cure = "Sets are equal or not; BITMAP_CARDINALITY tells which has more integers."
        raise SqlError(
            f'"{symbol}" does not compare {kind.with_nullable(True)}',
            hint=cure,
            span=span,
        )
    nullable = a.nullable or b.nullable
    pair = _aligned(symbol, left, right, span)
    if pair is None:
        raise wrong_arguments(symbol, (left, right), span)
    if symbol in ("IS DISTINCT FROM", "IS NOT DISTINCT FROM"):
        nullable = False
    else:
        nullable = nullable or any(x.type.nullable for x in pair)
    return Call(type=BooleanType(nullable=nullable), function=symbol, args=pair, span=span)


def _aligned(
    symbol: str, left: Expression, right: Expression, span: Span | None
) -> tuple[Expression, Expression] | None:
    a, b = left.type, right.type
    if isinstance(a, NullType) and isinstance(b, NullType):
        return cast_to(left, BooleanType()), cast_to(right, BooleanType())
    if isinstance(a, NullType):
        return cast_to(left, b), right
    if isinstance(b, NullType):
        return left, cast_to(right, a)
    if is_numeric(a) and is_numeric(b):
        return _numbers(left, right)
    if is_character(a) and is_character(b):
        return left, right
    if is_character(b) and is_datetime(a):
        return left, cast_to(right, plain_type(a), safe=_unread_is_null(symbol, right))
    if is_character(a) and is_datetime(b):
        return cast_to(left, plain_type(b), safe=_unread_is_null(symbol, left)), right
    if is_character(a) != is_character(b) and (is_numeric(a) or is_numeric(b)):
        if symbol not in ("<", "<=", ">", ">="):
            number, written = (b, right) if is_character(a) else (a, left)
            cure = f"Write CAST(… AS {number.with_nullable(True)}), or a literal without quotes."
            if isinstance(written, Literal):
                cure = (
                    f"Write '{written.value!s}', or CAST(… AS {number.with_nullable(True)}) to compare "
                    "numbers."
                )
            raise SqlError(
                f'cannot compare "{a.with_nullable(True)}" with "{b.with_nullable(True)}" '
                f"by {symbol}",
                detail="Implicit type conversion between numbers and text is not supported here.",
                hint=cure,
                span=span,
            )
        if is_character(a):
            return cast_to(left, b), right
        return left, cast_to(right, a)
    merged = common_type((a, b))
    if merged is None:
        return None
    return cast_to(left, merged), cast_to(right, merged)


def _unread_is_null(symbol: str, text: Expression) -> bool:
    return symbol not in ("<", "<=", ">", ">=") and not isinstance(text, Literal)


def _numbers(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    a, b = left.type, right.type
    if isinstance(a, DecimalType) or isinstance(b, DecimalType):
        if is_approximate(a) or is_approximate(b):
            double = DoubleType()
            return cast_to(left, double), cast_to(right, double)
        merged = common_type((a, b))
        assert isinstance(merged, DecimalType)
        digits = [x for x in (a, b) if isinstance(x, DecimalType)]
        if all(merged.scale >= x.scale for x in digits):
            whole = merged.precision - merged.scale
            if all(whole >= x.precision - x.scale for x in digits):
                return cast_to(left, merged), cast_to(right, merged)
        wide = DecimalType(19, 0)
        return (
            left if isinstance(a, DecimalType) else cast_to(left, wide),
            right if isinstance(b, DecimalType) else cast_to(right, wide),
        )
    if isinstance(a, DoubleType) or isinstance(b, DoubleType):
        return cast_to(left, DoubleType()), cast_to(right, DoubleType())
    merged = common_type((a, b))
    assert merged is not None
    return cast_to(left, merged), cast_to(right, merged)


def _compare(symbol: str) -> Maker:
    call = pc.get_function(_ARROW_NAME[symbol]).call

    def make(node: Call, settings: EvalSettings) -> Kernel:
        del settings
        a, b = node.args[0].type, node.args[1].type
        if is_nested(a):
            return _compare_nested(symbol, a)
        if isinstance(a, DecimalType) and isinstance(b, DecimalType) and not same_type(a, b):
            scale = max(a.scale, b.scale)
            wide = pa.decimal256(76, scale)
            return lambda _, x, y: call([x.cast(wide), y.cast(wide)])
        return lambda _, x, y: call([x, y])

    return make


def _compare_nested(symbol: str, data_type: DataType) -> Kernel:
    def kernel(_: Any, left: Value, right: Value) -> Value:
        rows = row_count((left, right))
        left, right = as_array(left, rows), as_array(right, rows)
        same = _same(left, right, data_type)
        nulls = null_mask(left) | null_mask(right)
        return build(same if symbol == "=" else ~same, pa.bool_(), nulls)

    return kernel


def _same(left: Any, right: Any, data_type: DataType) -> Any:
    every = np.arange(len(left))
    same = keys_of(left, data_type).equal(every, keys_of(right, data_type), every)
    return same & ~_null_items(left) if isinstance(data_type, MapType) else same


def _null_items(maps: Any) -> Any:
    """Which maps have a NULL among their values: in Flink such a map is equal to none."""
    owner, places, _ = entries(maps)
    found = np.zeros(len(maps), dtype=bool)
    found[owner[null_mask(maps.items)[places]]] = True
    return found


def _distinct(negated: bool) -> Maker:
    def make(node: Call, settings: EvalSettings) -> Kernel:
        compare = _compare("=")(node, settings) if not is_nested(node.args[0].type) else None
        data_type = node.args[0].type

        def kernel(context: Any, left: Value, right: Value) -> Value:
            rows = row_count((left, right))
            left, right = as_array(left, rows), as_array(right, rows)
            if compare is None:
                same = _same(left, right, data_type)
                return build(same if negated else ~same, pa.bool_())
            value = compare(context, left, right)
            if value.null_count:
                both = pc.and_(left.is_null(), right.is_null())
                value = value.fill_null(False)
                value = pc.or_(value, both)
            return value if negated else pc.invert(value)

        return kernel

    return make


def _bind_pair(symbol: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 2:
            raise wrong_arguments(symbol, args, span)
        if is_nested(args[0].type) and symbol in ("<", "<=", ">", ">="):
            raise SqlError(
                f'"{symbol}" does not compare {args[0].type.with_nullable(True)}',
                hint="Compare its parts.",
                span=span,
            )
        if symbol in ("=", "<>") and all(_is_row_value(a) for a in args):
            return _bind_row_values(symbol, args, span)
        return bind_comparison(symbol, args[0], args[1], span)

    return bind


def _is_row_value(node: Expression) -> bool:
    return isinstance(node, Call) and node.function == "ROW"


def _bind_row_values(symbol: str, args: Sequence[Expression], span: Span | None) -> Expression:
    """(a, b) = (c, d) is a = c AND b = d: a NULL member makes it unknown."""
    left, right = args[0].children, args[1].children
    if len(left) != len(right) or not left:
        raise wrong_arguments(symbol, args, span)
    pairs = tuple(bind_comparison("=", a, b, span) for a, b in zip(left, right, strict=True))
    nullable = any(p.type.nullable for p in pairs)
    result = BooleanType(nullable=nullable)
    same = pairs[0] if len(pairs) == 1 else Call(type=result, function="AND", args=pairs, span=span)
    return same if symbol == "=" else Call(type=result, function="NOT", args=(same,), span=span)


def _both(operator: str, left: Expression, right: Expression, span: Span | None) -> Expression:
    nullable = left.type.nullable or right.type.nullable
    return Call(
        type=BooleanType(nullable=nullable), function=operator, args=(left, right), span=span
    )


def _bind_between(args: Sequence[Expression], span: Span | None) -> Expression:
    """Value BETWEEN low AND high: args are the three; a fourth literal 'SYMMETRIC' swaps bounds."""
    if len(args) not in (3, 4):
        raise wrong_arguments("BETWEEN", args, span)
    value, low, high = args[:3]

    def within(a: Expression, b: Expression) -> Expression:
        return _both(
            "AND",
            bind_comparison(">=", value, a, span),
            bind_comparison("<=", value, b, span),
            span,
        )

    inside = within(low, high)
    if len(args) == 4:
        flag = args[3]
        if isinstance(flag, Literal) and flag.value == "SYMMETRIC":
            return _both("OR", inside, within(high, low), span)
    return inside


def _bind_overlaps(args: Sequence[Expression], span: Span | None) -> Expression:
    """(a, b) OVERLAPS (c, d): args are the four; b and d may be intervals from a and c."""
    if len(args) != 4:
        raise wrong_arguments("OVERLAPS", args, span)
    periods = []
    for start, end in (args[:2], args[2:]):
        if is_interval(end.type):
            end = bind_sum((start, end), span)  # noqa: PLW2901
        backwards = bind_comparison(">", start, end, span)
        both = [start, end]
        periods.append(
            [
                Case(
                    type=x.type.with_nullable(start.type.nullable or end.type.nullable),
                    conditions=(backwards,),
                    results=(y, x),
                    span=span,
                )
                for x, y in zip(both, both[::-1], strict=True)
            ]
        )
    (a, b), (c, d) = periods
    return _both("AND", bind_comparison(">=", b, c, span), bind_comparison(">=", d, a, span), span)


def bind_in(args: Sequence[Expression], span: Span | None) -> Expression:
    """args[0] IN (args[1:]): one lookup if the list is constant, else equalities joined by OR."""
    if len(args) < 2:
        raise wrong_arguments("IN", args, span)
    value, *items = args
    if is_character(value.type) and any(is_datetime(i.type) for i in items):
        items = [cast_to(i, VarCharType()) if is_datetime(i.type) else i for i in items]
    elif is_datetime(value.type):
        plain = plain_type(value.type)
        items = [cast_to(i, plain) if is_character(i.type) else i for i in items]
    args = (value, *items)
    typed = [a.type for a in args if not isinstance(a.type, NullType)]
    merged = common_type([t.with_nullable(True) for t in typed])
    flat = merged is not None and not is_nested(merged) and not is_approximate(merged)
    if flat and merged is not None and all(isinstance(i, Literal) for i in items):
        fixed = tuple(cast_to(i, merged) for i in items)
        nullable = any(a.type.nullable for a in args)
        return Call(
            type=BooleanType(nullable=nullable),
            function="IN",
            args=(cast_to(value, merged), *fixed),
            span=span,
        )
    equal = _bind_pair("=")
    equalities = [equal((value, i), span) for i in items]
    if len(items) == 1:
        return equalities[0]
    nullable = any(e.type.nullable for e in equalities)
    return Call(
        type=BooleanType(nullable=nullable), function="OR", args=tuple(equalities), span=span
    )


def _lookup(node: Call, settings: EvalSettings) -> Kernel:
    del settings
    arrow = arrow_type(node.args[0].type)
    # The items are constants, or casts of constants, so that each run gives the same scalars.
    known: dict[int, Any] = {}

    def kernel(_: Any, value: Value, *items: Value) -> Value:
        if not known:
            scalars = [i if isinstance(i, pa.Scalar) else i[0] for i in items]
            valid = [pa.repeat(i, 1) for i in scalars if i.is_valid]
            members = pa.concat_arrays(valid) if valid else pa.array([], arrow)
            known[0] = pc.SetLookupOptions(members, skip_nulls=True)
            known[1] = len(valid) < len(scalars)
        found = pc.call_function("is_in", [value], known[0])
        if value.null_count or known[1]:
            nulls = null_mask(value)
            if known[1]:
                nulls = nulls | ~np.asarray(found.to_numpy(zero_copy_only=False))
            return build(found.to_numpy(zero_copy_only=False), pa.bool_(), nulls)
        return found

    return kernel


def _is_null(negated: bool) -> Maker:
    call = pc.get_function("is_valid" if negated else "is_null").call

    def make(node: Call, settings: EvalSettings) -> Kernel:
        del node, settings
        return lambda _, value: call([value])

    return make


def _bind_is_null(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 1:
            raise wrong_arguments(name, args, span)
        arg = args[0]
        if isinstance(arg.type, NullType):
            return Literal(type=BooleanType(nullable=False), value=name == "IS NULL", span=span)
        return Call(type=BooleanType(nullable=False), function=name, args=(arg,), span=span)

    return bind


_BOOLEAN = by_arguments(BooleanType())
_CERTAIN = BooleanType(nullable=False)


def _pair(symbol: str, doc: str) -> Function:
    kinds = (overload((ANY, ANY), _BOOLEAN, _compare(symbol), total=True),)
    forms = tuple(f.replace("?", symbol) for f in _FORMS)
    aliases = ("!=",) if symbol == "<>" else ()
    return Function(symbol, doc, kinds, _bind_pair(symbol), aliases=aliases, signatures=forms)


FUNCTIONS = (
    _pair("=", "True if both are equal."),
    _pair("<>", "True if both differ."),
    _pair("<", "True if the first is smaller."),
    _pair("<=", "True if the first is not greater."),
    _pair(">", "True if the first is greater."),
    _pair(">=", "True if the first is not smaller."),
    Function(
        "IS DISTINCT FROM",
        "True if both differ, NULL being equal to NULL.",
        (overload((ANY, ANY), lambda _: _CERTAIN, _distinct(negated=False), total=True),),
        _bind_pair("IS DISTINCT FROM"),
    ),
    Function(
        "IS NOT DISTINCT FROM",
        "True if both are equal, NULL being equal to NULL.",
        (overload((ANY, ANY), lambda _: _CERTAIN, _distinct(negated=True), total=True),),
        _bind_pair("IS NOT DISTINCT FROM"),
    ),
    Function(
        "BETWEEN",
        "True if the value is between both bounds, bounds included.",
        (),
        _bind_between,
        signatures=("<COMPARABLE_TYPE> BETWEEN <COMPARABLE_TYPE> AND <COMPARABLE_TYPE>",),
    ),
    Function(
        "OVERLAPS",
        "True if two periods have a moment in common.",
        (),
        _bind_overlaps,
        signatures=(
            "(<DATETIME>, <DATETIME>|<INTERVAL>) OVERLAPS (<DATETIME>, <DATETIME>|<INTERVAL>)",
        ),
    ),
    Function(
        "IN",
        "True if the value equals one of a list.",
        (overload((ANY, ANY), _BOOLEAN, _lookup, variadic=True, total=True),),
        bind_in,
        signatures=("<COMPARABLE_TYPE> IN (<COMPARABLE_TYPE>, ...)",),
    ),
    Function(
        "IS NULL",
        "True if the value is NULL.",
        (overload((ANY,), lambda _: _CERTAIN, _is_null(negated=False), total=True),),
        _bind_is_null("IS NULL"),
    ),
    Function(
        "IS NOT NULL",
        "True if the value is not NULL.",
        (overload((ANY,), lambda _: _CERTAIN, _is_null(negated=True), total=True),),
        _bind_is_null("IS NOT NULL"),
    ),
)
