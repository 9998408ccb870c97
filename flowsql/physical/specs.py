"""The operators' specs: what each node of a physical plan computes, without how.

A spec is plain data: it is stored in the manifest (`codec.py`), hashed into the operator's id
(`identity.py`), printed by EXPLAIN (`describe`), and turned into an operator by `runtime/build.py`.
Column numbers are positions in the node's input (for a join: of that side's input).

Times and sizes are milliseconds. `ttl` of a spec is how long what it keeps of a key, or a row, outlives
its last change; 0 for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowsql.changelog import ChangelogMode
from flowsql.expr.nodes import AggregateCall, Expression, LiteralValue
from flowsql.physical.join_specs import (
    Join,
    JoinKind,
    JoinSide,
    SemiJoin,
    SetKind,
    SetOperation,
    SideLayout,
)
from flowsql.physical.spec import Spec
from flowsql.types.predicates import ScanFilter

__all__ = [
    "BadRecordPolicy",
    "Collect",
    "DeadLetters",
    "Deduplicate",
    "EmitStrategy",
    "EndSort",
    "Expand",
    "Filter",
    "FromChangelog",
    "GroupAggregate",
    "Join",
    "JoinKind",
    "JoinSide",
    "Limit",
    "Normalize",
    "OnConflict",
    "Project",
    "Rank",
    "RankFunction",
    "Scan",
    "SemiJoin",
    "SetKind",
    "SetOperation",
    "SideLayout",
    "Sink",
    "SinkMaterialize",
    "Sort",
    "SortKey",
    "Spec",
    "TimeSort",
    "ToChangelog",
    "TumbleAssign",
    "Union",
    "Unnest",
    "Values",
    "Watermark",
    "WindowAggregate",
]


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
        filters: what the source leaves out; those that it takes exactly are part of the node's
            id, for no other node checks them.
    """

    table: str
    columns: tuple[str, ...]
    projection: tuple[Expression, ...] | None
    mode: ChangelogMode
    watermark: Watermark | None = None
    bad_records: BadRecordPolicy = BadRecordPolicy.FAIL
    identity: tuple[tuple[str, str], ...] = ()
    filters: tuple[ScanFilter, ...] = ()


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
class Expand(Spec):
    """Every row once for each projection (GROUPING SETS); kinds and marks stay."""

    projections: tuple[tuple[Expression, ...], ...]


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
        ttl: of a group, and of each of its distinct values.
    """

    keys: tuple[int, ...]
    aggregates: tuple[AggregateCall, ...]
    input_mode: ChangelogMode
    emit_empty: bool = False
    ttl: int = 0


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


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of ORDER BY. Flink's default: NULLs first ascending, last descending."""

    column: int
    descending: bool = False
    nulls_first: bool = True


class RankFunction(Enum):
    """How equal rows are numbered; ROW_NUMBER takes them in order of arrival."""

    ROW_NUMBER = "ROW_NUMBER"
    RANK = "RANK"
    DENSE_RANK = "DENSE_RANK"


@dataclass(frozen=True, slots=True)
class Rank(Spec):
    """Top-N: the rows of each partition whose rank is from `start` to `end`.

    Also ORDER BY … LIMIT/OFFSET (no partition), and LIMIT over updating input (no order: rows in
    order of arrival).

    Output: the input's columns and, if asked for, the rank (BIGINT NOT NULL); RETRACT. Unique keys:
    the input's, where one holds; with ROW_NUMBER the partition and the rank, or the partition
    alone if `start` = `end`.

    Attributes:
        partition: PARTITION BY.
        order: ORDER BY; may be empty with ROW_NUMBER.
        function: which rank. RANK and DENSE_RANK cost the whole partition for each that a step
            touches (Flink has them in batch mode only).
        start: first rank given, from 1.
        end: last rank given, or None where `end_column` says it or there is no last one.
        end_column: input column with each partition's last rank, the same in all its rows
            (Flink's "variable" Top-N).
        rank_column: the rank is given.
        input_mode: APPEND keeps no more rows than are given.
        window_end: for a Top-N of windows that are given once, when the watermark reaches their
            end − 1 ms: the input column with that end, part of the partition. ROW_NUMBER of APPEND
            input; the output is APPEND.
        local_time: as of `WindowAggregate`.
        last: with `window_end`: of equal rows the last to arrive stands first.
        ttl: of a partition; 0 with `window_end`.
    """

    partition: tuple[int, ...]
    order: tuple[SortKey, ...]
    function: RankFunction = RankFunction.ROW_NUMBER
    start: int = 1
    end: int | None = None
    end_column: int | None = None
    rank_column: bool = False
    input_mode: ChangelogMode = ChangelogMode.RETRACT
    window_end: int | None = None
    local_time: bool = False
    last: bool = False
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Deduplicate(Spec):
    """The first or last row by key: ROW_NUMBER() … ORDER BY <time attribute> … = 1.

    Input: APPEND. Output: the input's columns; by key; APPEND where the first row to arrive is
    kept, else RETRACT.

    Attributes:
        keys: PARTITION BY.
        time: the rowtime column, or None for order of arrival (processing time).
        keep_last: ORDER BY … DESC. Of rows with equal times the last to arrive is kept, and
            where the first is kept the first.
        ttl: of a key.
    """

    keys: tuple[int, ...]
    time: int | None
    keep_last: bool
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Limit(Spec):
    """LIMIT/OFFSET/FETCH without ORDER BY over APPEND input: rows in order of arrival; APPEND.

    Over updating input it is a `Rank` without order.

    Attributes:
        offset: rows left out first.
        fetch: how many are given then; None for all.
    """

    offset: int
    fetch: int | None


@dataclass(frozen=True, slots=True)
class Sort(Spec):
    """ORDER BY of all rows in batch mode: APPEND to APPEND, given in order at the end of the step.

    Attributes:
        order: ORDER BY; equal rows keep their order of arrival.
    """

    order: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class EndSort(Spec):
    """ORDER BY of bounded input in streaming mode: to APPEND, given in order when the input has ended.

    Attributes:
        order: ORDER BY.
        input_mode: APPEND or RETRACT.
    """

    order: tuple[SortKey, ...]
    input_mode: ChangelogMode


@dataclass(frozen=True, slots=True)
class TimeSort(Spec):
    """ORDER BY event time on a stream: APPEND to APPEND, rows up to the watermark, in order.

    Attributes:
        order: ORDER BY; the first column is the rowtime, ascending.
    """

    order: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Unnest(Spec):
    """CROSS JOIN UNNEST, or LEFT JOIN UNNEST … ON TRUE: a row for each element.

    Output: the chosen input columns, then of an ARRAY or MULTISET the element (its fields, if it is
    a ROW), of a MAP key and value; then the ordinal (INT NOT NULL, from 1). A MULTISET's element
    stands as often as it is contained; an element that is a NULL row is left out, as in Flink. Changelog mode as the input's; no unique keys.

    Attributes:
        collection: input column.
        columns: input columns that are given.
        ordinality: WITH ORDINALITY.
        outer: a row without elements is given with NULLs.
        condition: of ON, over the output row, or None; an element counts only where TRUE.
    """

    collection: int
    columns: tuple[int, ...]
    ordinality: bool = False
    outer: bool = False
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class ToChangelog(Spec):
    """TO_CHANGELOG: every change is a row with a code that says what it is; APPEND.

    Output: `columns` with the code (STRING) at `at`.

    Attributes:
        codes: the code of each kind of change, `+I -U +U -D`; rows of a kind without one are left
            out.
        columns: input columns.
        at: place of the code.
        nulled: output columns that are NULL in the rows of deletions.
        net: the input's kinds say only what comes and goes: a step's changes are netted, and
            labelled by `key`.
        key: unique key of the input, or None: then nothing is an update.
    """

    codes: tuple[str | None, ...]
    columns: tuple[int, ...]
    at: int
    nulled: tuple[int, ...] = ()
    net: bool = False
    key: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class FromChangelog(Spec):
    """FROM_CHANGELOG: every row of an APPEND input is a change, of the kind that its code says.

    Output: `columns`; RETRACT, or UPSERT by the partition's columns, followed by `Normalize` unless
    it goes straight to an upsert sink.

    Attributes:
        op: input column with the code.
        codes: code and kind, by Flink's number.
        columns: input columns that are given.
        skip: rows with another code, or none, are left out; else they are an error.
    """

    op: int
    codes: tuple[tuple[str, int], ...]
    columns: tuple[int, ...]
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Normalize(Spec):
    """UPSERT → RETRACT: keeps the last row by key; fills unchanged columns."""

    keys: tuple[int, ...]
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class SinkMaterialize(Spec):
    """Rows by the sink's primary key, last wins, where that is not the input's upsert key."""

    keys: tuple[int, ...]
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class OnConflict(Spec):
    """ON CONFLICT DO ERROR | NOTHING: one row a key of the sink, which is not the input's.

    Attributes:
        keys: the sink's primary key.
        table: the sink.
        fails: DO ERROR; else the first row of a key stays.
        input_mode: of the input.
        ttl: of a key; what waits for the watermark is kept.
    """

    keys: tuple[int, ...]
    table: str
    fails: bool
    input_mode: ChangelogMode
    ttl: int = 0


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
        order: ORDER BY, where the final table is sorted when it is known; the changes are not.
    """

    upsert_key: tuple[int, ...] = ()
    order: tuple[SortKey, ...] = ()
