"""The state tables each kind of operator needs: `declare_state` fills `PhysicalNode.state`.

The operators take these tables by the names given here (`runtime/build.py` hands them in); the
accumulators of aggregates are declared in `flowsql.state.accumulators`.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowsql.changelog import ChangelogMode, many_forms
from flowsql.physical.specs import (
    Deduplicate,
    EndSort,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Limit,
    Normalize,
    OnConflict,
    Rank,
    RankFunction,
    SemiJoin,
    SetOperation,
    SideLayout,
    SinkMaterialize,
    SortKey,
    Spec,
    TimeSort,
    WindowAggregate,
)
from flowsql.state.accumulators import GROUPS, accumulate_calls, accumulator_specs
from flowsql.state.ages import WRITTEN
from flowsql.state.order import OrderLayout
from flowsql.state.spec import (
    ColumnsSpec,
    KeyIndexSpec,
    OrderedSpec,
    RowListsSpec,
    RowsSpec,
    SortColumn,
    StateSpec,
    TimersSpec,
)
from flowsql.types import BigIntType, DataType, RowType

__all__ = [
    "declare_state",
    "keeps_best_row",
    "keeps_few",
    "keeps_range",
    "rank_columns",
    "sort_columns",
    "stored_columns",
    "stored_value_columns",
    "time_order",
]

_SLOT = BigIntType(nullable=False)

# The watermark of the last `advance`: rows given by the next one carry it as their mark.
_PROGRESS: tuple[StateSpec, ...] = (
    KeyIndexSpec("progress", ()),
    ColumnsSpec("progress_columns", "progress", (("watermark", "int64"),)),
)

# A partition's rows up to this rank are found by comparing, not by a search.
_FEW = 16


def declare_state(
    spec: Spec, inputs: tuple[RowType, ...], output: RowType
) -> tuple[StateSpec, ...]:
    """The state tables of an operator with this spec over these inputs."""
    del output
    match spec:
        case GroupAggregate():
            return _group_aggregate(spec, inputs[0])
        case WindowAggregate():
            return _window_aggregate(spec, inputs[0])
        case Join():
            return _join(spec, inputs)
        case SemiJoin():
            return _semi_join(spec, inputs)
        case SetOperation():
            sides = (("left", "int64"), ("right", "int64"))
            rows = KeyIndexSpec("rows", inputs[0].types)
            return (rows, ColumnsSpec("counts", "rows", sides), *_ages(spec.ttl, "rows"))
        case Rank() if keeps_best_row(spec, inputs[0]):
            best = _best_row(spec.partition, spec.order, inputs[0])
            return (*best, *_ages(spec.ttl, "keys"))
        case Rank() if keeps_few(spec, inputs[0]):
            return (*_top_few(spec, inputs[0]), *_ages(spec.ttl, "partitions"))
        case Rank():
            return (*_top_n(spec, inputs[0]), *_ages(spec.ttl, "partitions"))
        case Deduplicate() if spec.time is None and not spec.keep_last:
            keys = KeyIndexSpec("keys", _types(inputs[0], spec.keys))
            return (keys, *_ages(spec.ttl, "keys"))
        case Deduplicate():
            best = _best_row(spec.keys, time_order(spec), inputs[0])
            return (*best, *_ages(spec.ttl, "keys"))
        case TimeSort():
            return _time_sort(spec, inputs[0])
        case EndSort():
            return _row_bag(inputs[0], tuple(range(len(inputs[0].fields))), spec.input_mode)
        case Limit():
            return (KeyIndexSpec("all", ()), ColumnsSpec("count", "all", (("rows", "int64"),)))
        case Normalize():
            return (*_last_row(spec.keys, inputs[0]), *_ages(spec.ttl, "keys"))
        case SinkMaterialize():
            return (*_materialize(spec, inputs[0]), *_ages(spec.ttl, "keys"))
        case OnConflict() if spec.input_mode is ChangelogMode.APPEND:
            keys = KeyIndexSpec("keys", _types(inputs[0], spec.keys))
            return (keys, *_ages(spec.ttl, "keys"))
        case OnConflict():
            row = inputs[0]
            fixed = (("sign", "int8"), ("mark", "int64"))
            pending = RowsSpec("pending", row.fields, fixed)
            return (*_last_row(spec.keys, row), pending, *_ages(spec.ttl, "keys"))
        case _:
            return ()


def _types(row: RowType, columns: tuple[int, ...]) -> tuple[DataType, ...]:
    return tuple(row.fields[i].type for i in columns)


def _ages(ttl: int, index: str) -> tuple[StateSpec, ...]:
    """When each key was last written, where keys are forgotten a while after."""
    return (ColumnsSpec("lifetimes", index, ((WRITTEN, "int64"),)),) if ttl else ()


def _group_aggregate(spec: GroupAggregate, row: RowType) -> tuple[StateSpec, ...]:
    retract = spec.input_mode is not ChangelogMode.APPEND
    plan = accumulate_calls(spec.aggregates, row, retract=retract)
    tables = accumulator_specs(plan, _types(row, spec.keys), row_count=retract, ages=spec.ttl > 0)
    return (*tables, *_ages(spec.ttl, GROUPS))


def _window_aggregate(spec: WindowAggregate, row: RowType) -> tuple[StateSpec, ...]:
    retract = spec.input_mode is not ChangelogMode.APPEND
    plan = accumulate_calls(spec.aggregates, row, retract=retract)
    key = (row.fields[spec.window_end].type, *_types(row, spec.keys))
    start = (("window_start", "int64"),)
    return (
        *accumulator_specs(plan, key, row_count=retract, extra=start, timers=True),
        TimersSpec("timers", GROUPS),
        *_PROGRESS,
    )


def stored_columns(side: JoinSide, row: RowType) -> tuple[int, ...]:
    """The input columns that a join side stores: those given or read, but the join key's.

    The key's values are known from the row that finds the stored one, unless equal ones can be told
    apart. There is always a column, since Arrow cannot count rows that have none.
    """
    return _unknown(side.columns, side.keys, row) or side.keys[:1] or (0,)


def _unknown(columns: Iterable[int], keys: tuple[int, ...], row: RowType) -> tuple[int, ...]:
    """The columns whose values do not follow from an equal key."""
    return tuple(c for c in columns if c not in keys or many_forms(row.fields[c].type))


def _join(spec: Join, inputs: tuple[RowType, ...]) -> tuple[StateSpec, ...]:
    sides = (spec.left, spec.right)
    fixed: list[tuple[str, str]] = []
    tables: list[StateSpec] = []
    append = all(s.mode is ChangelogMode.APPEND for s in sides) and spec.kind is JoinKind.INNER
    append = append and not spec.ages
    for name, side, row in zip(("left", "right"), sides, inputs, strict=True):
        kept = _preserved(spec.kind, name)
        # An output's size is known before it is made, but for a side with one row a key.
        if not (append and side.layout is SideLayout.KEY_IS_UNIQUE):
            fixed.append((f"{name}_count", "int64"))
        mutable: tuple[tuple[str, str], ...] = ()
        if kept:
            mutable = (("padded", "int64"),)
            if spec.condition is not None or spec.ages:
                mutable += (("matches", "int64"),)
        tables += _side(name, side, row, mutable)
        if side.layout is SideLayout.KEY_IS_UNIQUE:
            fixed.append((f"{name}_row", "int64"))
    keys = KeyIndexSpec("keys", _types(inputs[0], spec.left.keys))
    if not fixed:
        return (keys, *tables)
    return (keys, ColumnsSpec("keys_columns", "keys", tuple(fixed)), *tables)


def _side(
    name: str, side: JoinSide, row: RowType, mutable: tuple[tuple[str, str], ...]
) -> list[StateSpec]:
    """The tables of one side's rows, beside what stands behind the join key."""
    identified = (
        side.mode is not ChangelogMode.APPEND and side.layout is not SideLayout.KEY_IS_UNIQUE
    )
    if side.ttl:
        mutable += ((WRITTEN, "int64"), ("slot", "int64"))
        if identified:
            mutable += (("place", "int64"),)
    stored = stored_columns(side, row)
    tables: list[StateSpec] = [
        RowsSpec(f"{name}_rows", tuple(row.fields[c] for c in stored), mutable)
    ]
    if side.layout is not SideLayout.KEY_IS_UNIQUE:
        tables.append(RowListsSpec(f"{name}_lists", f"{name}_rows"))
    if identified:
        ids = side.unique_key if side.layout is SideLayout.HAS_UNIQUE_KEY else stored
        tables += [
            KeyIndexSpec(f"{name}_ids", (_SLOT, *_types(row, ids))),
            ColumnsSpec(f"{name}_ids_columns", f"{name}_ids", (("row", "int64"),)),
        ]
    return tables


def _semi_join(spec: SemiJoin, inputs: tuple[RowType, ...]) -> tuple[StateSpec, ...]:
    fixed = [("left_count", "int64"), ("right_count", "int64")]
    tables: list[StateSpec] = []
    for name, side, row in zip(("left", "right"), (spec.left, spec.right), inputs, strict=True):
        mutable: tuple[tuple[str, str], ...] = ()
        if name == "left":
            mutable = (("given", "int64"),)
            if spec.keeps_right:
                mutable += (("matches", "int64"),)
        elif not spec.keeps_right:
            continue
        tables += _side(name, side, row, mutable)
        if side.layout is SideLayout.KEY_IS_UNIQUE:
            fixed.append((f"{name}_row", "int64"))
    if spec.null_aware:
        facts = (("rows", "int64"), ("nulls", "int64"))
        tables += [KeyIndexSpec("facts", ()), ColumnsSpec("facts_columns", "facts", facts)]
    keys = KeyIndexSpec("keys", _types(inputs[0], spec.left.keys))
    return (keys, ColumnsSpec("keys_columns", "keys", tuple(fixed)), *tables)


def sort_columns(order: tuple[SortKey, ...], row: RowType) -> tuple[SortColumn, ...]:
    """How the columns of ORDER BY are ordered."""
    return tuple(SortColumn(row.fields[k.column].type, k.descending, k.nulls_first) for k in order)


def time_order(spec: Deduplicate) -> tuple[SortKey, ...]:
    """The order in which the first row of each key is kept."""
    return () if spec.time is None else (SortKey(spec.time, descending=spec.keep_last),)


def keeps_best_row(spec: Rank, row: RowType) -> bool:
    """Whether one row a partition is enough, found by comparing words."""
    return (
        spec.input_mode is ChangelogMode.APPEND
        and spec.window_end is None
        and spec.function is RankFunction.ROW_NUMBER
        and (spec.start, spec.end, spec.end_column) == (1, 1, None)
        and not OrderLayout(sort_columns(spec.order, row)).texts
    )


def keeps_few(spec: Rank, row: RowType) -> bool:
    """Whether a partition's rows are few enough to stand side by side."""
    layout = OrderLayout(sort_columns(spec.order, row))
    return (
        keeps_range(spec)
        and spec.window_end is None
        and spec.end is not None
        and 0 < spec.end <= _FEW
        and layout.words > 0
        and not layout.texts
    )


def keeps_range(spec: Rank) -> bool:
    """Whether rows behind the last rank can be forgotten."""
    return (
        spec.input_mode is ChangelogMode.APPEND
        and not spec.last
        and spec.function is RankFunction.ROW_NUMBER
        and (spec.end is not None or spec.end_column is not None)
    )


def _time_sort(spec: TimeSort, row: RowType) -> tuple[StateSpec, ...]:
    return (
        KeyIndexSpec("all", ()),
        ColumnsSpec("columns", "all", (("given", "int64"), ("watermark", "int64"))),
        RowsSpec("rows", row.fields),
        OrderedSpec("order", "all", sort_columns(spec.order, row), "rows"),
    )


def _best_row(
    keys: tuple[int, ...], order: tuple[SortKey, ...], row: RowType
) -> tuple[StateSpec, ...]:
    words = OrderLayout(sort_columns(order, row)).words
    fixed = (("row", "int64"), *((f"word{i}", "uint64") for i in range(words)))
    stored = stored_value_columns(keys, row)
    return (
        KeyIndexSpec("keys", _types(row, keys)),
        ColumnsSpec("keys_columns", "keys", fixed),
        RowsSpec("rows", tuple(row.fields[c] for c in stored)),
    )


def _top_few(spec: Rank, row: RowType) -> tuple[StateSpec, ...]:
    assert spec.end is not None
    words = OrderLayout(sort_columns(spec.order, row)).words
    fixed: list[tuple[str, str]] = []
    for rank in range(spec.end):
        fixed.append((f"row{rank}", "int64"))
        fixed += [(f"word{rank}.{i}", "uint64") for i in range(words)]
    stored = stored_value_columns(spec.partition, row)
    return (
        KeyIndexSpec("partitions", _types(row, spec.partition)),
        ColumnsSpec("columns", "partitions", tuple(fixed)),
        RowsSpec("rows", tuple(row.fields[c] for c in stored)),
    )


def _top_n(spec: Rank, row: RowType) -> tuple[StateSpec, ...]:
    sort = sort_columns(spec.order, row)
    fixed: list[tuple[str, str]] = [("rows", "int64")]
    if spec.end_column is not None:
        fixed.append(("end", "int64"))
    layout = OrderLayout(sort)
    if keeps_range(spec) and not layout.texts:
        fixed += [(f"word{i}", "uint64") for i in range(layout.words)]
    if spec.last:
        sort = (*sort, SortColumn(_SLOT, descending=True))
    # What the order reads is stored, so that an entry can be found again.
    stored = rank_columns(spec, row)
    rows, *ids = _row_bag(row, stored, spec.input_mode)
    tables: list[StateSpec] = [
        KeyIndexSpec("partitions", _types(row, spec.partition)),
        ColumnsSpec("columns", "partitions", tuple(fixed)),
        rows,
        OrderedSpec("order", "partitions", sort, "rows"),
        *ids,
    ]
    if spec.window_end is not None:
        tables += [TimersSpec("timers", "partitions"), *_PROGRESS]
    return tuple(tables)


def _row_bag(row: RowType, stored: tuple[int, ...], mode: ChangelogMode) -> tuple[StateSpec, ...]:
    """Rows that come and go by their content, of an owner each."""
    rows = RowsSpec("rows", tuple(row.fields[c] for c in stored))
    if mode is ChangelogMode.APPEND:
        return (rows,)
    return (
        rows,
        KeyIndexSpec("rows_ids", (_SLOT, *_types(row, stored))),
        ColumnsSpec("rows_ids_columns", "rows_ids", (("count", "int64"),)),
        OrderedSpec("rows_copies", "rows_ids", (), "rows"),
    )


def rank_columns(spec: Rank, row: RowType) -> tuple[int, ...]:
    """The columns that `Rank` stores: all but the partition's, unless the order reads them."""
    sort = {k.column for k in spec.order}
    known = tuple(k for k in spec.partition if k not in sort)
    return _unknown(range(len(row.fields)), known, row) or spec.partition[:1]


def _preserved(kind: JoinKind, side: str) -> bool:
    return kind is JoinKind.FULL or kind.value == side


def stored_value_columns(keys: tuple[int, ...], row: RowType) -> tuple[int, ...]:
    """The columns `Normalize` stores beside the key; there is always one."""
    return _unknown(range(len(row.fields)), keys, row) or keys[:1]


def _last_row(keys: tuple[int, ...], row: RowType) -> tuple[StateSpec, ...]:
    stored = stored_value_columns(keys, row)
    return (
        KeyIndexSpec("keys", _types(row, keys)),
        ColumnsSpec("keys_columns", "keys", (("row", "int64"),)),
        RowsSpec("rows", tuple(row.fields[c] for c in stored)),
    )


def _materialize(spec: SinkMaterialize, row: RowType) -> tuple[StateSpec, ...]:
    stored = stored_value_columns(spec.keys, row)
    return (
        KeyIndexSpec("keys", _types(row, spec.keys)),
        # The row that the sink shows. Of crowded keys, which ever held two, all rows are in `ids`, and
        # those not shown in `hidden`, newest first.
        ColumnsSpec(
            "keys_columns", "keys", (("row", "int64"), ("hidden", "int64"), ("crowded", "uint8"))
        ),
        RowsSpec("rows", tuple(row.fields[c] for c in stored)),
        OrderedSpec("hidden", "keys", (SortColumn(_SLOT, descending=True),), "rows"),
        KeyIndexSpec("ids", (_SLOT, *_types(row, stored))),
        ColumnsSpec("ids_columns", "ids", (("row", "int64"), ("count", "int64"))),
    )
