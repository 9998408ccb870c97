"""Bound plans: every name is a position, every expression has its type.

A plan node knows its `schema`, the row it gives. Expressions of a node refer to the columns of
its input by position; a join's condition to those of the left input, then of the right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from flowsql.config import show_duration
from flowsql.errors import Span
from flowsql.expr import AggregateCall, Expression, render
from flowsql.expr.nodes import LiteralValue
from flowsql.logical.table import BoundTable
from flowsql.logical.tree import tree
from flowsql.types import (
    Field,
    LocalZonedTimestampType,
    RowType,
    TimeAttribute,
    TimestampType,
)
from flowsql.types.datatypes import DataType
from flowsql.types.predicates import ScanFilter, filter_texts

__all__ = [
    "Aggregate",
    "Binary",
    "Filter",
    "Insert",
    "Join",
    "JoinKind",
    "LogicalPlan",
    "Project",
    "Scan",
    "Tumble",
    "Unary",
    "Union",
    "Values",
    "Window",
    "call_text",
    "ttl_text",
    "without_time",
]


def without_time(data_type: DataType) -> DataType:
    """The type of a value computed from one of this type: no time attribute."""
    if isinstance(data_type, TimestampType | LocalZonedTimestampType):
        return replace(data_type, attribute=TimeAttribute.NONE)
    return data_type


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalPlan:
    """Base of all nodes.

    Attributes:
        span: where the SQL says it; no part of equality.
        schema: the row it gives.
    """

    span: Span | None = field(default=None, compare=False, repr=False)
    schema: RowType = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", RowType(self._fields(), nullable=False))

    def _fields(self) -> tuple[Field, ...]:
        raise NotImplementedError

    @property
    def inputs(self) -> tuple[LogicalPlan, ...]:
        """The nodes it reads."""
        return ()

    def with_inputs(self, inputs: tuple[LogicalPlan, ...]) -> LogicalPlan:
        """The same node over other inputs of equal schema, in the order of `inputs`."""
        del inputs
        return self

    def tree(self) -> str:
        """The plan as text, one line a node."""
        return tree(self, str, lambda n: n.inputs)


@dataclass(frozen=True, slots=True)
class Unary(LogicalPlan):
    """Base of nodes over one input."""

    input: LogicalPlan

    @property
    def inputs(self) -> tuple[LogicalPlan, ...]:
        return (self.input,)

    def with_inputs(self, inputs: tuple[LogicalPlan, ...]) -> LogicalPlan:
        return replace(self, input=inputs[0])


@dataclass(frozen=True, slots=True)
class Binary(LogicalPlan):
    """Base of nodes over two inputs."""

    left: LogicalPlan
    right: LogicalPlan

    @property
    def inputs(self) -> tuple[LogicalPlan, ...]:
        return (self.left, self.right)

    def with_inputs(self, inputs: tuple[LogicalPlan, ...]) -> LogicalPlan:
        return replace(self, left=inputs[0], right=inputs[1])


@dataclass(frozen=True, slots=True)
class Scan(LogicalPlan):
    """Columns of a table.

    Attributes:
        table: the table.
        columns: positions in `table.schema` that are given, ascending.
        filters: what the source was told of the rows that are wanted.
    """

    table: BoundTable
    columns: tuple[int, ...]
    filters: tuple[ScanFilter, ...] = ()

    def _fields(self) -> tuple[Field, ...]:
        return self.table.schema.select(self.columns).fields

    def __str__(self) -> str:
        told = "".join(f", {text}" for text in filter_texts(self.filters))
        return f"Scan({self.table.name}, columns=[{', '.join(self.schema.names)}]{told})"


@dataclass(frozen=True, slots=True)
class Values(LogicalPlan):
    """Constant rows.

    Attributes:
        row: their type.
        rows: storage values, see `Literal`.
    """

    row: RowType
    rows: tuple[tuple[LiteralValue, ...], ...]

    def _fields(self) -> tuple[Field, ...]:
        return self.row.fields

    def __str__(self) -> str:
        return f"Values(rows={len(self.rows)}, columns=[{', '.join(self.schema.names)}])"


@dataclass(frozen=True, slots=True)
class Filter(Unary):
    """Rows for which the condition is TRUE."""

    condition: Expression

    def _fields(self) -> tuple[Field, ...]:
        return self.input.schema.fields

    def __str__(self) -> str:
        return f"Filter({render(self.condition)})"


@dataclass(frozen=True, slots=True)
class Project(Unary):
    """Other columns for the same rows."""

    expressions: tuple[Expression, ...]
    names: tuple[str, ...]

    def _fields(self) -> tuple[Field, ...]:
        return tuple(Field(n, e.type) for n, e in zip(self.names, self.expressions, strict=True))

    def __str__(self) -> str:
        shown = []
        for name, expression in zip(self.names, self.expressions, strict=True):
            text = render(expression)
            shown.append(text if text == name else f"{text} AS {name}")
        return f"Project({', '.join(shown)})"


class Window(Enum):
    """What a column says of a window."""

    START = "window_start"
    END = "window_end"
    TIME = "window_time"


@dataclass(frozen=True, slots=True)
class Tumble(Unary):
    """TUMBLE: appends `window_start`, `window_end`, `window_time`.

    Attributes:
        time: the time column of the input; behind, it is a plain timestamp.
        size, offset: milliseconds.
    """

    time: int
    size: int
    offset: int = 0

    def _fields(self) -> tuple[Field, ...]:
        fields = list(self.input.schema.fields)
        time = fields[self.time]
        fields[self.time] = replace(time, type=without_time(time.type))
        bound = TimestampType(3, nullable=False)
        return (
            *fields,
            Field(Window.START.value, bound),
            Field(Window.END.value, bound),
            Field(Window.TIME.value, time.type.not_null()),
        )

    def __str__(self) -> str:
        offset = f", offset={show_duration(self.offset)}" if self.offset else ""
        name = self.input.schema.names[self.time]
        return f"Tumble(time={name}, size={show_duration(self.size)}{offset})"


@dataclass(frozen=True, slots=True)
class Aggregate(Unary):
    """GROUP BY: the keys, then one column a call. Without calls: DISTINCT.

    Attributes:
        keys: columns of the input.
        calls: their arguments are columns of the input.
        names: of the output columns.
        window: what the key columns say of a window (column → meaning), where START and END are
            among them: the aggregate is one of windows and gives each of them once.
        ttl: how long a group is kept, in milliseconds; None for as the settings say.
    """

    keys: tuple[int, ...]
    calls: tuple[AggregateCall, ...]
    names: tuple[str, ...]
    window: tuple[tuple[int, Window], ...] = ()
    ttl: int | None = None

    def _fields(self) -> tuple[Field, ...]:
        fields = self.input.schema.fields
        times = {c for c, w in self.window if w is Window.TIME}
        types = [fields[k].type if k in times else without_time(fields[k].type) for k in self.keys]
        types += [c.type for c in self.calls]
        return tuple(Field(n, t) for n, t in zip(self.names, types, strict=True))

    def __str__(self) -> str:
        names = self.input.schema.names
        parts = [f"keys=[{', '.join(names[k] for k in self.keys)}]"]
        if self.calls:
            parts.append(f"calls=[{', '.join(call_text(c) for c in self.calls)}]")
        if self.window:
            parts.append("windowed")
        return f"Aggregate({', '.join(parts)}{ttl_text(self.ttl)})"


def ttl_text(*ttls: int | None) -> str:
    """What a hint says of how long inputs' state is kept; nothing without one."""
    if all(ttl is None for ttl in ttls):
        return ""
    shown = ("default" if ttl is None else show_duration(ttl) for ttl in ttls)
    return f", ttl=[{', '.join(shown)}]"


def call_text(call: AggregateCall) -> str:
    """An aggregate call as SQL text."""
    constants = (f"'{c}'" if isinstance(c, str) else str(c) for c in call.constants)
    args = ", ".join([*(a.name for a in call.args), *constants]) or "*"
    text = f"{call.function}({'DISTINCT ' if call.distinct else ''}{args})"
    return f"{text} FILTER (WHERE {call.filter.name})" if call.filter is not None else text


class JoinKind(Enum):
    """Which side's rows are preserved."""

    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Join(Binary):
    """Pairs of rows for which the condition is TRUE; the left columns, then the right ones.

    Time attributes end here: neither side's time is the time of the result.

    Attributes:
        ttls: how long each side's rows are kept, in milliseconds; None for as the settings say.
    """

    kind: JoinKind
    condition: Expression | None
    ttls: tuple[int | None, int | None] = (None, None)

    def _fields(self) -> tuple[Field, ...]:
        pads_left = self.kind in {JoinKind.RIGHT, JoinKind.FULL}
        pads_right = self.kind in {JoinKind.LEFT, JoinKind.FULL}
        fields = []
        for side, padded in ((self.left, pads_left), (self.right, pads_right)):
            for f in side.schema.fields:
                plain = without_time(f.type)
                fields.append(Field(f.name, plain.with_nullable(True) if padded else plain))
        return tuple(fields)

    def __str__(self) -> str:
        on = "TRUE" if self.condition is None else render(self.condition)
        return f"Join({self.kind.value}, {on}{ttl_text(*self.ttls)})"


@dataclass(frozen=True, slots=True)
class Union(LogicalPlan):
    """UNION ALL of inputs with equal types; the names are the first one's."""

    parts: tuple[LogicalPlan, ...]

    def _fields(self) -> tuple[Field, ...]:
        columns = zip(*(p.schema.fields for p in self.parts), strict=True)
        return tuple(
            Field(fs[0].name, fs[0].type.with_nullable(any(f.type.nullable for f in fs)))
            for fs in columns
        )

    @property
    def inputs(self) -> tuple[LogicalPlan, ...]:
        return self.parts

    def with_inputs(self, inputs: tuple[LogicalPlan, ...]) -> LogicalPlan:
        return replace(self, parts=inputs)

    def __str__(self) -> str:
        return "Union(all)"


@dataclass(frozen=True, slots=True)
class Insert(LogicalPlan):
    """INSERT INTO: the query's columns are the target's, in order and of its types.

    Attributes:
        target: the table.
        input: the query, cast to the target's types.
        not_null: target columns that are NOT NULL where the query's may be NULL.
        conflict: of ON CONFLICT, what happens to several rows with one primary key: ERROR, NOTHING
            (the first stays) or DEDUPLICATE (the last counts); None where it is not said.
    """

    target: BoundTable
    input: LogicalPlan
    not_null: tuple[int, ...] = ()
    conflict: str | None = None

    def _fields(self) -> tuple[Field, ...]:
        return self.input.schema.fields

    @property
    def inputs(self) -> tuple[LogicalPlan, ...]:
        return (self.input,)

    def with_inputs(self, inputs: tuple[LogicalPlan, ...]) -> LogicalPlan:
        return replace(self, input=inputs[0])

    def __str__(self) -> str:
        return f"Insert({self.target.name})"
