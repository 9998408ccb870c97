"""The operators' specs: what each node of a physical plan computes, without how.

A spec is plain data: it is stored in the manifest (`codec.py`), hashed into the operator's id
(`identity.py`), printed by EXPLAIN (`describe`), and turned into an operator by `runtime/build.py`.
Column numbers are positions in the node's input (for a join: of that side's input).

Times and sizes are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowsql.changelog import ChangelogMode
from flowsql.expr.nodes import AggregateCall, Expression, LiteralValue

__all__ = [
    "BadRecordPolicy",
    "Collect",
    "DeadLetters",
    "EmitStrategy",
    "Filter",
    "GroupAggregate",
    "Join",
    "JoinKind",
    "JoinSide",
    "Normalize",
    "Project",
    "Scan",
    "SideLayout",
    "Sink",
    "SinkMaterialize",
    "Spec",
    "TumbleAssign",
    "Union",
    "Values",
    "Watermark",
    "WindowAggregate",
]


class Spec:
    """Base of all specs."""

    __slots__ = ()


class EmitStrategy(Enum):
    """`scan.watermark.emit.strategy`."""

    ON_EVENT = "on-event"
    ON_PERIODIC = "on-periodic"


class BadRecordPolicy(Enum):
    """`scan.bad-record`: what becomes of a record that cannot be decoded."""

    FAIL = "fail"
    SKIP = "skip"
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class Watermark:
    """WATERMARK FOR of a scan.

    Attributes:
        rowtime: position in the scan's output.
        expression: over the scan's output; its value (a timestamp) is the row's watermark.
        strategy: when it is emitted.
        idle_timeout: after which a silent split no longer holds time back; None for never.
        all_idle_close: after which all-idle splits let time go on to +∞; None for never.
    """

    rowtime: int
    expression: Expression
    strategy: EmitStrategy = EmitStrategy.ON_EVENT
    idle_timeout: int | None = None
    all_idle_close: int | None = None


@dataclass(frozen=True, slots=True)
class Scan(Spec):
    """One table, read once a job whatever reads it.

    Attributes:
        table: full name in the catalog.
        columns: names of the physical and metadata columns that are read, in schema order; the
            row that the connector gives.
        projection: the output columns over that row (computed columns), or None for the row
            itself.
        mode: what the connector gives; UPSERT is followed by `Normalize` or goes straight to an
            upsert sink through linear operators.
        watermark: event time, or None.
        bad_records: the policy; DEAD_LETTER has a `DeadLetters` node reading this scan.
        identity: connector and identifying options, as written; part of the node's id.
    """

    table: str
    columns: tuple[str, ...]
    projection: tuple[Expression, ...] | None
    mode: ChangelogMode
    watermark: Watermark | None = None
    bad_records: BadRecordPolicy = BadRecordPolicy.FAIL
    identity: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetters(Spec):
    """The bad records of its input, a `Scan`, as rows.

    Output: `table_name STRING, place STRING, record BYTES, reason STRING`.
    """


@dataclass(frozen=True, slots=True)
class Values(Spec):
    """Constant rows; bounded, given in the first step."""

    rows: tuple[tuple[LiteralValue, ...], ...]


@dataclass(frozen=True, slots=True)
class Filter(Spec):
    """Rows for which the condition is TRUE."""

    condition: Expression


@dataclass(frozen=True, slots=True)
class Project(Spec):
    """Other columns for the same rows."""

    expressions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Union(Spec):
    """UNION ALL of inputs with equal types; rows keep their order of arrival."""


@dataclass(frozen=True, slots=True)
class TumbleAssign(Spec):
    """TUMBLE: appends the window columns to the input's.

    Attributes:
        time: the rowtime column.
        size: length of a window.
        offset: shift of the windows' starts from 1970.
        window_columns: which of `window_start`, `window_end`, `window_time` are appended, in that
            order; the first two are TIMESTAMP(3), the third is the time attribute.
    """

    time: int
    size: int
    offset: int = 0
    window_columns: tuple[str, ...] = ("window_start", "window_end", "window_time")


@dataclass(frozen=True, slots=True)
class GroupAggregate(Spec):
    """GROUP BY, or a global aggregate without keys.

    Output: the keys, then one column an aggregate; RETRACT.

    Attributes:
        keys: grouping columns.
        aggregates: see `AggregateCall`; may be empty (DISTINCT).
        input_mode: RETRACT keeps what is needed to take rows back.
        emit_empty: a global aggregate over no rows gives its row (batch mode only, as in Flink).
    """

    keys: tuple[int, ...]
    aggregates: tuple[AggregateCall, ...]
    input_mode: ChangelogMode
    emit_empty: bool = False


@dataclass(frozen=True, slots=True)
class WindowAggregate(Spec):
    """GROUP BY window_start, window_end and other keys, over rows that carry their window.

    Output: the keys, one column an aggregate, then the window columns; APPEND. A window is given
    when the watermark reaches its end − 1 ms; a row whose window had been given by then is late.

    Attributes:
        keys: grouping columns other than the window's.
        aggregates: see `AggregateCall`.
        window_start: column of the input.
        window_end: column of the input.
        window_columns: which of `window_start`, `window_end`, `window_time` are given.
        input_mode: RETRACT where the input may take rows back.
        local_time: the time attribute is TIMESTAMP_LTZ, so the windows' bounds are in the
            session's time zone while watermarks are instants.
    """

    keys: tuple[int, ...]
    aggregates: tuple[AggregateCall, ...]
    window_start: int
    window_end: int
    window_columns: tuple[str, ...]
    input_mode: ChangelogMode = ChangelogMode.APPEND
    local_time: bool = False


class JoinKind(Enum):
    """Which side's rows are preserved."""

    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"


class SideLayout(Enum):
    """How a join side's rows are kept (DESIGN 3), chosen by the planner.

    KEY_IS_UNIQUE: the join key holds the unique key: one row a slot.
    HAS_UNIQUE_KEY: rows are found by their unique key.
    NO_UNIQUE_KEY: rows are found by their whole content, with a weight.
    """

    KEY_IS_UNIQUE = "join key is unique"
    HAS_UNIQUE_KEY = "has unique key"
    NO_UNIQUE_KEY = "no unique key"


@dataclass(frozen=True, slots=True)
class JoinSide:
    """One side of a join.

    Attributes:
        keys: equality columns, pairwise with the other side's.
        columns: columns that are given, or read by the condition; the only ones stored beside
            the unique key.
        layout: how the rows are kept.
        unique_key: columns of the unique key; empty for NO_UNIQUE_KEY.
        mode: APPEND or RETRACT.
    """

    keys: tuple[int, ...]
    columns: tuple[int, ...]
    layout: SideLayout
    unique_key: tuple[int, ...]
    mode: ChangelogMode


@dataclass(frozen=True, slots=True)
class Join(Spec):
    """Equi-join of two updating inputs (ports 0 and 1).

    Output: `left.columns`, then `right.columns`. An inner join of APPEND sides is APPEND.

    Attributes:
        kind: INNER, LEFT, RIGHT, FULL.
        left, right: the sides.
        null_safe: for each key pair, whether NULL matches NULL (`IS NOT DISTINCT FROM`).
        condition: over the output row, or None; a pair counts as a match only where TRUE.
    """

    kind: JoinKind
    left: JoinSide
    right: JoinSide
    null_safe: tuple[bool, ...]
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class Normalize(Spec):
    """UPSERT → RETRACT: keeps the last row by key; fills unchanged columns."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SinkMaterialize(Spec):
    """Rows by the sink's primary key, last wins, where that is not the input's upsert key."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sink(Spec):
    """A target table.

    Attributes:
        table: full name in the catalog.
        mode: what the sink is given: APPEND, RETRACT, or UPSERT by `upsert_key`.
        upsert_key: columns; where set, updates of a key are labelled `-U,+U` (RETRACT) or `+U`
            (UPSERT); empty: `+I` and `-D` only.
        not_null: columns that are NOT NULL in the target but not in the input.
        identity: connector and identifying options, as written; part of the node's id.
    """

    table: str
    mode: ChangelogMode
    upsert_key: tuple[int, ...] = ()
    not_null: tuple[int, ...] = ()
    identity: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Collect(Spec):
    """The result of a SELECT, handed to the session.

    Attributes:
        upsert_key: as for `Sink`.
    """

    upsert_key: tuple[int, ...] = ()
