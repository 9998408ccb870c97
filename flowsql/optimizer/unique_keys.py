"""Which columns of a plan hold each live row once, and which of them a join side should keep.

A side whose rows may be taken back finds each by its unique key if it has one, else by all that it
stores: then every row is kept twice. A key that nobody reads is therefore worth its place unless it
is wider than what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowsql.changelog import ChangelogMode
from flowsql.expr import Call, Cast, Column, Expression
from flowsql.logical import (
    Aggregate,
    Expand,
    Filter,
    FromChangelog,
    Join,
    JoinKind,
    LogicalPlan,
    Number,
    PlanSettings,
    Project,
    Rank,
    RankFunction,
    Scan,
    SemiJoin,
    SetKind,
    SetOperation,
    Sort,
    Tumble,
    Union,
    Unnest,
)
from flowsql.optimizer.rewrite import conjuncts
from flowsql.types import (
    MAX_LENGTH,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DoubleType,
    TimestampType,
    TimeType,
    VarBinaryType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import common_type, is_integer

__all__ = [
    "Keys",
    "equalities",
    "mapped",
    "minimal",
    "paired",
    "projected",
    "rank_keys",
    "retracts",
    "side_key",
    "unique_keys",
]

Keys = tuple[tuple[int, ...], ...]

# More are never asked for, and joins multiply them.
_MOST = 16

_EQUAL = {"=": False, "IS NOT DISTINCT FROM": True}

# Bytes of a stored value, as far as they are known before there is one.
_NARROW = 8
_TEXT = 32
_NESTED = 64


def minimal(keys: Iterable[Sequence[int]]) -> Keys:
    """The keys, each sorted, without those that hold another; the shortest first."""
    ordered = sorted({tuple(sorted(set(k))) for k in keys}, key=lambda k: (len(k), k))
    kept: list[tuple[int, ...]] = []
    for key in ordered:
        if not any(set(k) <= set(key) for k in kept):
            kept.append(key)
    return tuple(kept[:_MOST])


def mapped(keys: Keys, places: Mapping[int, Sequence[int]]) -> Keys:
    """The keys that survive where column `c` of the input stands at `places[c]`."""
    return minimal([places[c][0] for c in key] for key in keys if all(places.get(c) for c in key))


def projected(keys: Keys, expressions: Sequence[Expression]) -> Keys:
    """The keys behind a projection."""
    places: dict[int, list[int]] = {}
    for i, e in enumerate(expressions):
        column = e.arg if isinstance(e, Cast) and _tells_apart(e.arg.type, e.type) else e
        if isinstance(column, Column):
            # The column itself is found before a cast of it.
            found = places.setdefault(column.index, [])
            found.insert(0, i) if column is e else found.append(i)
    return mapped(keys, places)


def _tells_apart(source: DataType, target: DataType) -> bool:
    """Whether a cast gives different values different results, as far as Flink knows that too."""
    text = isinstance(target, VarCharType) and target.length == MAX_LENGTH
    match source:
        case _ if is_integer(source):
            wider = is_integer(target) and common_type((source, target)) == target.with_nullable(
                source.nullable or target.nullable
            )
            return wider or text
        case VarCharType():
            return isinstance(target, VarCharType) and target.length >= source.length
        case VarBinaryType() | BinaryType():
            return isinstance(target, VarBinaryType) and target.length >= source.length
        case CharType() | BooleanType() | DateType() | TimeType() | TimestampType() | DoubleType():
            return text
        case _:
            return False


def equalities(
    condition: Expression | None, width: int
) -> tuple[list[tuple[int, int, bool]], list[Expression]]:
    """The equal column pairs (left, right, NULL-safe) of a join condition, and its other parts.

    Args:
        condition: over the left columns, then the right ones.
        width: number of left columns.
    """
    pairs: list[tuple[int, int, bool]] = []
    rest: list[Expression] = []
    for part in conjuncts(condition):
        if isinstance(part, Call) and part.function in _EQUAL:
            a, b = part.args
            if isinstance(a, Column) and isinstance(b, Column) and _comparable(a, b):
                low, high = sorted((a.index, b.index))
                if low < width <= high:
                    pairs.append((low, high - width, _EQUAL[part.function]))
                    continue
        rest.append(part)
    return pairs, rest


def _comparable(a: Column, b: Column) -> bool:
    """Whether equal values have equal keys: the stored types are the same."""
    return bool(arrow_type(a.type) == arrow_type(b.type))


def unique_keys(plan: LogicalPlan) -> Keys:
    """The unique keys of a plan, as far as its nodes tell."""
    match plan:
        case Scan():
            key = plan.table.primary_key
            if not key or not set(key) <= set(plan.columns):
                return ()
            return minimal([[plan.columns.index(k) for k in key]])
        case Filter() | Tumble() | Sort() | Number():
            return unique_keys(plan.input)
        case SemiJoin():
            return unique_keys(plan.left)
        case SetOperation():
            return () if plan.all else minimal([range(len(plan.schema.fields))])
        case Rank():
            numbered = None if plan.name is None else len(plan.schema.fields) - 1
            return rank_keys(
                unique_keys(plan.input),
                plan.partition,
                one=plan.start == plan.end and plan.function is RankFunction.ROW_NUMBER,
                number=numbered if plan.function is RankFunction.ROW_NUMBER else None,
            )
        case Project():
            return projected(unique_keys(plan.input), plan.expressions)
        case Aggregate():
            return minimal([range(len(plan.keys))])
        case FromChangelog(upsert=True):
            return minimal([range(len(plan.partition))])
        case Join():
            return _join_keys(plan)
        case _:
            return ()


def paired(
    left: Keys, right: Sequence[tuple[int, ...]], row: Sequence[DataType], *, full: bool
) -> list[tuple[int, ...]]:
    """Keys of both sides together, which a join gives once.

    Not so in a full join where both may be NULL: a left row and a right row without a match are
    alike then.

    Args:
        left: the left side's keys, as columns of the join's row.
        right: the right side's.
        row: its types before either side is padded.
        full: it is a full join.
    """
    return [
        a + b for a in left for b in right if not full or not all(row[c].nullable for c in a + b)
    ]


def rank_keys(keys: Keys, partition: Sequence[int], *, one: bool, number: int | None) -> Keys:
    """The unique keys of a Top-N.

    Args:
        keys: the input's.
        partition: its partition columns.
        one: no more than one row of a partition is given.
        number: the column with a number that no two rows of a partition share, or None.
    """
    found: list[Sequence[int]] = [*keys]
    if one:
        found.append(partition)
    if number is not None:
        found.append((*partition, number))
    return minimal(found)


def _join_keys(plan: Join) -> Keys:
    width = len(plan.left.schema.fields)
    pairs, _ = equalities(plan.condition, width)
    left = unique_keys(plan.left)
    right = unique_keys(plan.right)
    shifted = [tuple(c + width for c in k) for k in right]
    left_once = any(set(k) <= {a for a, _, _ in pairs} for k in left)
    right_once = any(set(k) <= {b for _, b, _ in pairs} for k in right)
    found: list[tuple[int, ...]] = []
    if right_once and plan.kind in {JoinKind.INNER, JoinKind.LEFT}:
        found += left
    if left_once and plan.kind in {JoinKind.INNER, JoinKind.RIGHT}:
        found += shifted
    row = [f.type for side in plan.inputs for f in side.schema.fields]
    found += paired(left, shifted, row, full=plan.kind is JoinKind.FULL)
    if plan.kind is JoinKind.INNER:
        # Equal columns of both sides stand for each other.
        for a, b, _ in pairs:
            swap = {a: b + width, b + width: a}
            found += [tuple(swap.get(c, c) for c in k) for k in found if set(k) & set(swap)]
            found = list(minimal(found))
    return minimal(found)


def retracts(plan: LogicalPlan, settings: PlanSettings) -> bool:
    """Whether rows of the plan may be taken back."""
    match plan:
        case Scan():
            return plan.table.scan_mode is not ChangelogMode.APPEND
        case Aggregate():
            return settings.streaming and not plan.window
        case FromChangelog():
            return True
        case Join():
            padded = settings.streaming and plan.kind is not JoinKind.INNER
            return padded or any(retracts(i, settings) for i in plan.inputs)
        case Rank():
            return settings.streaming
        case SemiJoin():
            changes = settings.streaming and plan.anti
            return changes or any(retracts(i, settings) for i in plan.inputs)
        case SetOperation():
            changes = settings.streaming and plan.kind is SetKind.EXCEPT
            return changes or any(retracts(i, settings) for i in plan.inputs)
        case Sort():
            top = settings.streaming and bool(plan.order)
            return top or retracts(plan.input, settings)
        case Filter() | Project() | Tumble() | Union() | Expand() | Unnest() | Number():
            return any(retracts(i, settings) for i in plan.inputs)
        case _:
            return False


def side_key(
    plan: LogicalPlan, joined: Iterable[int], read: Iterable[int], settings: PlanSettings
) -> frozenset[int]:
    """The columns of a unique key that a join side should keep beside those that are needed.

    Args:
        plan: the side.
        joined: its equality columns.
        read: its columns that are given or read by the condition.
        settings: the session's.
    """
    stored = set(read) - set(joined)
    needed = stored | set(joined)
    if not stored or not retracts(plan, settings):
        return frozenset()
    keys = unique_keys(plan)
    if any(set(k) <= needed for k in keys):
        return frozenset()
    types = plan.schema.types
    joins = _joins(plan)

    def cost(key: Sequence[int]) -> int:
        # Joins below store what is kept for this one.
        fresh = sum(_size(types[c]) for c in key if c not in needed)
        return sum(_size(types[c]) for c in key) + joins * fresh

    best = min(keys, key=cost, default=None)
    if best is None or cost(best) > sum(_size(types[c]) for c in stored):
        return frozenset()
    return frozenset(best) - needed


def _joins(plan: LogicalPlan) -> int:
    below = sum(_joins(i) for i in plan.inputs)
    return below + 1 if isinstance(plan, Join) else below


def _size(kind: DataType) -> int:
    match kind.root:
        case "VARCHAR" | "CHAR" | "VARBINARY" | "BINARY" | "DECIMAL":
            return _TEXT
        case "ROW" | "ARRAY" | "MAP" | "MULTISET":
            return _NESTED
        case _:
            return _NARROW
