"""What an aggregating operator keeps for its aggregates: pure data, known to plan and operator.

`SUM(x)` and `AVG(x)` share one running sum, `COUNT(x)`, `SUM(x)`, `AVG(x)`, `MIN(x)` one count of
non-NULL values, `MIN(x)` and `MAX(x)` over updates one ordered multiset: each is an `Accumulator`,
kept once. `accumulate_calls` finds them, `accumulator_specs` declares their state tables, and an
operator updates them (`operators/aggregates`).

Accumulators of DISTINCT aggregates are the same, but fed with a value only when it appears or
vanishes; a `DistinctSet` knows which values a group holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowsql.errors import SqlError
from flowsql.expr.nodes import AggregateCall
from flowsql.state.spec import (
    ColumnsSpec,
    KeyIndexSpec,
    OrderedSpec,
    SortColumn,
    StateSpec,
    TimersSpec,
)
from flowsql.types import (
    BigIntType,
    BooleanType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    RowType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    YearMonthIntervalType,
)

__all__ = [
    "ACCUMULATORS",
    "GROUPS",
    "ROW_COUNT",
    "Accumulator",
    "AccumulatorKind",
    "AccumulatorPlan",
    "AggregateOutput",
    "DistinctSet",
    "accumulate_calls",
    "accumulator_specs",
]

GROUPS = "groups"
ACCUMULATORS = "accumulators"
ROW_COUNT = "rows"

_INTEGERS = (TinyIntType, SmallIntType, IntType, BigIntType)
_WORDS = (
    *_INTEGERS,
    FloatType,
    DoubleType,
    BooleanType,
    DateType,
    TimeType,
    TimestampType,
    LocalZonedTimestampType,
    YearMonthIntervalType,
    DayTimeIntervalType,
)


class AccumulatorKind(Enum):
    """How a group's values are kept.

    COUNT: how many non-NULL values (or rows, without an argument).
    SUM_INTEGER: modulo 2^64.
    SUM_FLOAT, SUM_DOUBLE: in order of arrival, in that width.
    SUM_FLOAT_RETRACT, SUM_DOUBLE_RETRACT: as before, with NaN, +Infinity and −Infinity counted
        aside so that taking one back restores the sum.
    SUM_DECIMAL: exact, in 32-bit limbs each held in an int64.
    EXTREME_WORD: the smallest or greatest of fixed-width values, as an order-keeping 64-bit word.
    EXTREME_VALUE: the smallest or greatest of values of any width.
    ORDERED: all values with their multiplicity in ascending order, for MIN and MAX over updates.
    """

    COUNT = "count"
    SUM_INTEGER = "sum"
    SUM_FLOAT = "sum float"
    SUM_DOUBLE = "sum double"
    SUM_FLOAT_RETRACT = "sum float retract"
    SUM_DOUBLE_RETRACT = "sum double retract"
    SUM_DECIMAL = "sum decimal"
    EXTREME_WORD = "extreme word"
    EXTREME_VALUE = "extreme value"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class Accumulator:
    """One accumulator of every group.

    Attributes:
        name: of its column or columns in the table `ACCUMULATORS`; of its table if ORDERED.
        kind: see `AccumulatorKind`.
        arg: the input column, None for COUNT(*).
        type: the argument's type; BIGINT for COUNT(*).
        filter: the BOOLEAN input column of FILTER, or None.
        distinct: number of the `DistinctSet` that feeds it, or None.
        greatest: for an extreme: MAX rather than MIN.
    """

    name: str
    kind: AccumulatorKind
    arg: int | None
    type: DataType
    filter: int | None = None
    distinct: int | None = None
    greatest: bool = False

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(name, NumPy dtype) of its fixed-width columns."""
        match self.kind:
            case AccumulatorKind.COUNT | AccumulatorKind.SUM_INTEGER:
                return ((self.name, "int64"),)
            case AccumulatorKind.SUM_FLOAT:
                return ((self.name, "float32"),)
            case AccumulatorKind.SUM_DOUBLE:
                return ((self.name, "float64"),)
            case AccumulatorKind.SUM_FLOAT_RETRACT | AccumulatorKind.SUM_DOUBLE_RETRACT:
                single = self.kind is AccumulatorKind.SUM_FLOAT_RETRACT
                aside = (f"{self.name}.{part}" for part in ("nan", "inf", "-inf"))
                width = "float32" if single else "float64"
                return ((self.name, width), *((name, "int64") for name in aside))
            case AccumulatorKind.SUM_DECIMAL:
                return tuple((f"{self.name}.{i}", "int64") for i in range(self.limbs))
            case AccumulatorKind.EXTREME_WORD:
                if isinstance(self.type, FloatType | DoubleType):
                    # Two zeros share a word, since they are equal; one remembers which it was.
                    return ((self.name, "uint64"), (f"{self.name}.negative zero", "uint8"))
                return ((self.name, "uint64"),)
            case AccumulatorKind.EXTREME_VALUE | AccumulatorKind.ORDERED:
                return ()

    @property
    def limbs(self) -> int:
        """How many 32-bit limbs a decimal sum has, the least significant first."""
        small = isinstance(self.type, DecimalType) and self.type.precision <= 18
        return 2 if small else 4


@dataclass(frozen=True, slots=True)
class DistinctSet:
    """The values of one column that a group holds.

    Attributes:
        name: its `KeyIndex`, keyed by (slot of the group, value).
        arg: the input column.
        type: the column's type.
        filter: the BOOLEAN input column of FILTER, or None.
    """

    name: str
    arg: int
    type: DataType
    filter: int | None

    @property
    def counts(self) -> str:
        """Its `Columns` with a multiplicity a value, over input that takes rows back."""
        return f"{self.name}_counts"

    @property
    def timers(self) -> str:
        """Its `Timers` with the end of the window a value belongs to."""
        return f"{self.name}_timers"


@dataclass(frozen=True, slots=True)
class AggregateOutput:
    """How one aggregate's value is made.

    Attributes:
        function: COUNT, SUM, AVG, MIN or MAX.
        type: the result type.
        value: number of the accumulator with the sum, extreme or count.
        count: number of the accumulator with the count of non-NULL values.
    """

    function: str
    type: DataType
    value: int
    count: int


@dataclass(frozen=True, slots=True)
class AccumulatorPlan:
    """All that an aggregating operator keeps a group.

    Attributes:
        accumulators: each once.
        distinct: the sets that feed some of them.
        outputs: one an aggregate, in order.
        retract: the input may take rows back.
    """

    accumulators: tuple[Accumulator, ...]
    distinct: tuple[DistinctSet, ...]
    outputs: tuple[AggregateOutput, ...]
    retract: bool


def accumulate_calls(
    calls: tuple[AggregateCall, ...], input_row: RowType, *, retract: bool
) -> AccumulatorPlan:
    """What to keep for these aggregates over rows of `input_row`.

    Raises:
        SqlError: for an aggregate function or argument type that is not supported.
    """
    planner = _Planner(input_row, retract)
    outputs = tuple(planner.output(call) for call in calls)
    return AccumulatorPlan(
        tuple(planner.accumulators), tuple(planner.distinct), outputs, retract=retract
    )


class _Planner:
    def __init__(self, row: RowType, retract: bool) -> None:
        self.row = row
        self.retract = retract
        self.accumulators: list[Accumulator] = []
        self.distinct: list[DistinctSet] = []

    def output(self, call: AggregateCall) -> AggregateOutput:
        arg = call.args[0].index if call.args else None
        condition = call.filter.index if call.filter is not None else None
        extreme = call.function in {"MIN", "MAX"}
        # The extreme of the distinct values is that of all values.
        source = self._distinct(call, arg, condition) if call.distinct and not extreme else None
        if len(call.args) > 1 or (arg is None and call.function != "COUNT"):
            raise SqlError(
                f'aggregate function "{call.function}" takes one argument',
                span=call.span,
            )
        count = self._accumulator(AccumulatorKind.COUNT, arg, condition, source)
        match call.function:
            case "COUNT":
                value = count
            case "SUM" | "AVG":
                value = self._accumulator(self._sum_kind(call), arg, condition, source)
            case "MIN" | "MAX":
                greatest = call.function == "MAX"
                value = self._accumulator(
                    self._extreme_kind(call), arg, condition, None, greatest=greatest
                )
            case _:
                raise SqlError(
                    f'aggregate function "{call.function}" is not supported yet',
                    hint="Supported are COUNT, SUM, AVG, MIN and MAX.",
                    span=call.span,
                )
        return AggregateOutput(call.function, call.type, value, count)

    def _distinct(self, call: AggregateCall, arg: int | None, condition: int | None) -> int:
        if arg is None:
            raise SqlError("DISTINCT needs an argument", span=call.span)
        for i, known in enumerate(self.distinct):
            if (known.arg, known.filter) == (arg, condition):
                return i
        name = f"distinct_{len(self.distinct)}"
        self.distinct.append(DistinctSet(name, arg, self.row.fields[arg].type, condition))
        return len(self.distinct) - 1

    def _sum_kind(self, call: AggregateCall) -> AccumulatorKind:
        match call.args[0].type:
            case TinyIntType() | SmallIntType() | IntType() | BigIntType():
                return AccumulatorKind.SUM_INTEGER
            case DecimalType():
                return AccumulatorKind.SUM_DECIMAL
            case FloatType() if call.function == "SUM":
                if self.retract:
                    return AccumulatorKind.SUM_FLOAT_RETRACT
                return AccumulatorKind.SUM_FLOAT
            case FloatType() | DoubleType():
                if self.retract:
                    return AccumulatorKind.SUM_DOUBLE_RETRACT
                return AccumulatorKind.SUM_DOUBLE
            case other:
                raise SqlError(
                    f'"{call.function}" cannot be computed over type "{other}"',
                    hint="Cast the argument to a numeric type.",
                    span=call.span,
                )

    def _extreme_kind(self, call: AggregateCall) -> AccumulatorKind:
        if self.retract:
            return AccumulatorKind.ORDERED
        kind = call.args[0].type
        if isinstance(kind, _WORDS) or (isinstance(kind, DecimalType) and kind.precision <= 18):
            return AccumulatorKind.EXTREME_WORD
        return AccumulatorKind.EXTREME_VALUE

    def _accumulator(
        self,
        kind: AccumulatorKind,
        arg: int | None,
        condition: int | None,
        source: int | None,
        *,
        greatest: bool = False,
    ) -> int:
        if kind is AccumulatorKind.ORDERED:
            greatest = False
        field = None if arg is None else self.row.fields[arg]
        if kind is AccumulatorKind.COUNT and source is None and field and not field.type.nullable:
            arg, field = None, None
        for i, known in enumerate(self.accumulators):
            if (known.kind, known.arg, known.filter, known.distinct, known.greatest) == (
                kind,
                arg,
                condition,
                source,
                greatest,
            ):
                return i
        number = len(self.accumulators)
        if kind is AccumulatorKind.ORDERED:
            name = f"ordered_{number}"
        else:
            label = {
                AccumulatorKind.COUNT: "count",
                AccumulatorKind.EXTREME_WORD: "max" if greatest else "min",
                AccumulatorKind.EXTREME_VALUE: "max" if greatest else "min",
            }.get(kind, "sum")
            inner = "*" if field is None else field.name
            name = f"{label}({'distinct ' if source is not None else ''}{inner})"
            if condition is not None:
                name += f" where {self.row.fields[condition].name}"
            if any(name == known.name for known in self.accumulators) or name == ROW_COUNT:
                name += f" #{number}"
        of = BigIntType() if field is None else field.type
        self.accumulators.append(
            Accumulator(name, kind, arg, of, condition, source, greatest=greatest)
        )
        return number


def accumulator_specs(
    plan: AccumulatorPlan,
    key: tuple[DataType, ...],
    *,
    row_count: bool,
    extra: tuple[tuple[str, str], ...] = (),
    timers: bool = False,
) -> tuple[StateSpec, ...]:
    """The state tables of an aggregating operator.

    Args:
        plan: what is kept a group.
        key: types of the group's key.
        row_count: keep the number of rows of each group, in the column `ROW_COUNT`.
        extra: further fixed-width columns a group.
        timers: distinct values leave when their window is over.
    """
    fixed = [(ROW_COUNT, "int64")] if row_count else []
    fixed += extra
    values: list[Field] = []
    tables: list[StateSpec] = []
    for a in plan.accumulators:
        fixed += a.columns
        if a.kind is AccumulatorKind.EXTREME_VALUE:
            values.append(Field(a.name, a.type.with_nullable(nullable=True)))
        elif a.kind is AccumulatorKind.ORDERED:
            tables.append(OrderedSpec(a.name, GROUPS, (SortColumn(a.type.not_null()),)))
    for d in plan.distinct:
        tables.append(KeyIndexSpec(d.name, (BigIntType(nullable=False), d.type.not_null())))
        if plan.retract:
            tables.append(ColumnsSpec(d.counts, d.name, (("count", "int64"),)))
        if timers:
            tables.append(TimersSpec(d.timers, d.name))
    return (
        KeyIndexSpec(GROUPS, key),
        ColumnsSpec(ACCUMULATORS, GROUPS, tuple(fixed), tuple(values)),
        *tables,
    )
