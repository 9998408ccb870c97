"""The state tables each kind of operator needs: `declare_state` fills `PhysicalNode.state`.

The operators take these tables by the names given here (`runtime/build.py` hands them in); the
accumulators of aggregates are declared in `flowsql.state.accumulators`.
"""

from __future__ import annotations

from flowsql.changelog import ChangelogMode
from flowsql.physical.specs import (
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Normalize,
    SideLayout,
    SinkMaterialize,
    Spec,
    WindowAggregate,
)
from flowsql.state.accumulators import GROUPS, accumulate_calls, accumulator_specs
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

__all__ = ["declare_state", "stored_columns", "stored_value_columns"]

_SLOT = BigIntType(nullable=False)


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
        case Normalize():
            return _last_row(spec.keys, inputs[0])
        case SinkMaterialize():
            return _materialize(spec, inputs[0])
        case _:
            return ()


def _types(row: RowType, columns: tuple[int, ...]) -> tuple[DataType, ...]:
    return tuple(row.fields[i].type for i in columns)


def _group_aggregate(spec: GroupAggregate, row: RowType) -> tuple[StateSpec, ...]:
    retract = spec.input_mode is not ChangelogMode.APPEND
    plan = accumulate_calls(spec.aggregates, row, retract=retract)
    return accumulator_specs(plan, _types(row, spec.keys), row_count=retract)


def _window_aggregate(spec: WindowAggregate, row: RowType) -> tuple[StateSpec, ...]:
    retract = spec.input_mode is not ChangelogMode.APPEND
    plan = accumulate_calls(spec.aggregates, row, retract=retract)
    key = (row.fields[spec.window_end].type, *_types(row, spec.keys))
    start = (("window_start", "int64"),)
    return (
        *accumulator_specs(plan, key, row_count=retract, extra=start, timers=True),
        TimersSpec("timers", GROUPS),
        # The watermark of the last `advance`: rows given by the next one carry it as their mark.
        KeyIndexSpec("progress", ()),
        ColumnsSpec("progress_columns", "progress", (("watermark", "int64"),)),
    )


def stored_columns(side: JoinSide) -> tuple[int, ...]:
    """The input columns that a join side stores: those given or read, but the join key's.

    The key's values are known from the row that finds the stored one. There is always a column,
    since Arrow cannot count rows that have none.
    """
    return tuple(c for c in side.columns if c not in side.keys) or side.keys[:1]


def _join(spec: Join, inputs: tuple[RowType, ...]) -> tuple[StateSpec, ...]:
    sides = (spec.left, spec.right)
    fixed: list[tuple[str, str]] = []
    tables: list[StateSpec] = []
    append = all(s.mode is ChangelogMode.APPEND for s in sides) and spec.kind is JoinKind.INNER
    for name, side, row in zip(("left", "right"), sides, inputs, strict=True):
        kept = _preserved(spec.kind, name)
        # An output's size is known before it is made, but for a side with one row a key.
        if not (append and side.layout is SideLayout.KEY_IS_UNIQUE):
            fixed.append((f"{name}_count", "int64"))
        mutable: tuple[tuple[str, str], ...] = ()
        if kept:
            mutable = (("padded", "int64"),)
            if spec.condition is not None:
                mutable += (("matches", "int64"),)
        stored = stored_columns(side)
        tables.append(RowsSpec(f"{name}_rows", tuple(row.fields[c] for c in stored), mutable))
        if side.layout is SideLayout.KEY_IS_UNIQUE:
            fixed.append((f"{name}_row", "int64"))
            continue
        tables.append(RowListsSpec(f"{name}_lists", f"{name}_rows"))
        if side.mode is ChangelogMode.APPEND:
            continue
        ids = side.unique_key if side.layout is SideLayout.HAS_UNIQUE_KEY else stored
        tables += [
            KeyIndexSpec(f"{name}_ids", (_SLOT, *_types(row, ids))),
            ColumnsSpec(f"{name}_ids_columns", f"{name}_ids", (("row", "int64"),)),
        ]
    keys = KeyIndexSpec("keys", _types(inputs[0], spec.left.keys))
    if not fixed:
        return (keys, *tables)
    return (keys, ColumnsSpec("keys_columns", "keys", tuple(fixed)), *tables)


def _preserved(kind: JoinKind, side: str) -> bool:
    return kind is JoinKind.FULL or kind.value == side


def stored_value_columns(keys: tuple[int, ...], row: RowType) -> tuple[int, ...]:
    """The columns `Normalize` stores beside the key; there is always one."""
    return tuple(i for i in range(len(row.fields)) if i not in keys) or keys[:1]


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
