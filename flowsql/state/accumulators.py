"""What an aggregating operator keeps for its aggregates: pure data, known to plan and operator.

`SUM(x)` and `AVG(x)` share one running sum, `COUNT(x)`, `SUM(x)`, `AVG(x)`, `MIN(x)` one count of
non-NULL values, `MIN(x)` and `MAX(x)` over updates one ordered multiset: each is an `Accumulator`,
kept once; so are the values that LISTAGG(x) and ARRAY_AGG(x) are made of. `accumulate_calls` finds them, `accumulator_specs` declares their state tables, and an
operator updates them (`operators/aggregates`).

Accumulators of DISTINCT aggregates are the same, but fed with a value only when it appears or
vanishes; a `DistinctSet` knows which values a group holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from flowsql.errors import Span, SqlError
from flowsql.expr.nodes import AggregateCall, LiteralValue
from flowsql.state.ages import WRITTEN
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
from flowsql.types import (
    BigIntType,
    BitmapType,
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
    "BITMAPS",
    "GROUPS",
    "ROW_COUNT",
    "VARIANCES",
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
# When a group was made, in microseconds: its distinct values are told from those of the group that
# had its slot before.
BEGUN = "begun"

# Over the sum of squares: by how many less than all values it is divided, and whether a root is taken.
VARIANCES = {
    "STDDEV_POP": (0, True),
    "STDDEV_SAMP": (1, True),
    "STDDEV": (1, True),
    "VAR_POP": (0, False),
    "VAR_SAMP": (1, False),
    "VARIANCE": (1, False),
}
# What each makes of a group's bitmaps, or integers.
BITMAPS = {
    f"BITMAP_{part}_{middle}AGG": part
    for part in ("BUILD", "AND", "OR", "XOR")
    for middle in ("", "CARDINALITY_")
}
_LISTS = ("LISTAGG", "COLLECT", "ARRAY_AGG", "JSON_OBJECTAGG", "JSON_ARRAYAGG", "SINGLE_VALUE")

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
    MOMENTS: sums of the values' distance from the group's first one, and of its square.
    FIRST, LAST: the first or last non-NULL value to arrive.
    LIST: all values in order of arrival.
    ARRIVALS: the same, of which the first or last is asked for.
    PERCENTILE: all values in ascending order, each with its frequency.
    BITMAP_BUILD: the set of integers; fed by a `DistinctSet` where rows are taken back.
    BITMAP_AND, BITMAP_OR, BITMAP_XOR: what bitmaps have in common, have together, or an odd number
        of them has.
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
    MOMENTS = "moments"
    FIRST = "first"
    LAST = "last"
    LIST = "list"
    ARRIVALS = "arrivals"
    PERCENTILE = "percentile"
    BITMAP_BUILD = "bitmap"
    BITMAP_AND = "bitmap and"
    BITMAP_OR = "bitmap or"
    BITMAP_XOR = "bitmap xor"


# Kinds with tables of their own.
_TABLES = (
    AccumulatorKind.ORDERED,
    AccumulatorKind.LIST,
    AccumulatorKind.ARRIVALS,
    AccumulatorKind.PERCENTILE,
)


_BITMAPS = (
    AccumulatorKind.BITMAP_BUILD,
    AccumulatorKind.BITMAP_AND,
    AccumulatorKind.BITMAP_OR,
    AccumulatorKind.BITMAP_XOR,
)


@dataclass(frozen=True, slots=True)
class Accumulator:
    """One accumulator of every group.

    Attributes:
        name: of its column or columns in the table `ACCUMULATORS`; of its table, if it has one.
        kind: see `AccumulatorKind`.
        arg: the input column, None for COUNT(*).
        type: the argument's type; BIGINT for COUNT(*).
        filter: the BOOLEAN input column of FILTER, or None.
        distinct: number of the `DistinctSet` that feeds it, or None.
        greatest: for an extreme: MAX rather than MIN.
        more: further input columns, and their types: JSON_OBJECTAGG's members as text,
            PERCENTILE's frequency.
        nulls: rows whose `arg` is NULL are fed too.
    """

    name: str
    kind: AccumulatorKind
    arg: int | None
    type: DataType
    filter: int | None = None
    distinct: int | None = None
    greatest: bool = False
    more: tuple[tuple[int, DataType], ...] = ()
    nulls: bool = False

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
            case AccumulatorKind.MOMENTS:
                parts = (("origin", "float64"), ("square", "float64"), ("odd", "int64"))
                beside = ((f"{self.name}.{part}", dtype) for part, dtype in parts)
                return ((self.name, "float64"), *beside, (f"{self.name}.begun", "uint8"))
            case AccumulatorKind.FIRST:
                return ((f"{self.name}.begun", "uint8"),)
            case _:
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
        nulls: NULL is a value.
        members: the values are the members of the column's bitmaps, `type` is INT.
    """

    name: str
    arg: int
    type: DataType
    filter: int | None
    nulls: bool = False
    members: bool = False

    @property
    def counts(self) -> str:
        """Its `Columns` with a multiplicity a value, over input that takes rows back."""
        return f"{self.name}_counts"

    @property
    def timers(self) -> str:
        """Its `Timers` with the end of the window a value belongs to."""
        return f"{self.name}_timers"

    @property
    def lifetimes(self) -> str:
        """Its `Columns` with the last write of a value, where values are forgotten."""
        return f"{self.name}_lifetimes"


@dataclass(frozen=True, slots=True)
class AggregateOutput:
    """How one aggregate's value is made.

    Attributes:
        function: its name.
        type: the result type.
        value: number of the accumulator with the sum, extreme, values or count.
        count: number of the accumulator with the count of non-NULL values, `value` itself or one before it.
        constants: see `AggregateCall`.
        span: where the SQL calls it; no part of equality.
    """

    function: str
    type: DataType
    value: int
    count: int
    constants: tuple[LiteralValue, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


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
        pairs = call.function in {"JSON_OBJECTAGG", "PERCENTILE"}
        if len(call.args) > (2 if pairs else 1) or (arg is None and call.function != "COUNT"):
            raise SqlError(
                f'aggregate function "{call.function}" takes one argument',
                span=call.span,
            )
        nulls = _takes_nulls(call)
        if call.function in BITMAPS:
            assert arg is not None
            return self._bitmap(call, arg, condition)
        # The extreme of the distinct values is that of all values.
        source = None
        if call.distinct and not extreme:
            source = self._distinct(call, arg, condition, nulls)
        count = self._accumulator(AccumulatorKind.COUNT, arg, condition, source)
        match call.function:
            case "COUNT" | "APPROX_COUNT_DISTINCT":
                value = count
            case "SUM" | "AVG":
                value = self._accumulator(self._sum_kind(call), arg, condition, source)
            case "MIN" | "MAX":
                greatest = call.function == "MAX"
                value = self._accumulator(
                    self._extreme_kind(call), arg, condition, None, greatest=greatest
                )
            case "FIRST_VALUE" | "LAST_VALUE":
                kind = AccumulatorKind.ARRIVALS
                if not self.retract:
                    last = call.function == "LAST_VALUE"
                    kind = AccumulatorKind.LAST if last else AccumulatorKind.FIRST
                value = self._accumulator(kind, arg, condition, source)
            case "PERCENTILE":
                more = tuple((a.index, a.type) for a in call.args[1:])
                value = self._accumulator(
                    AccumulatorKind.PERCENTILE, arg, condition, source, more=more
                )
            case function if function in VARIANCES:
                value = self._accumulator(AccumulatorKind.MOMENTS, arg, condition, source)
            case function if function in _LISTS:
                more = tuple((a.index, a.type) for a in call.args[1:])
                value = self._accumulator(
                    AccumulatorKind.LIST, arg, condition, source, more=more, nulls=nulls
                )
            case _:
                raise SqlError(
                    f'aggregate function "{call.function}" is not supported yet',
                    span=call.span,
                )
        return AggregateOutput(call.function, call.type, value, count, call.constants, call.span)

    def _bitmap(self, call: AggregateCall, arg: int, condition: int | None) -> AggregateOutput:
        """A set of integers, or what is made of bitmaps.

        Over rows that are also taken back it is counted how often each integer is there, but for
        XOR, which undoes itself: the bitmap then holds those that are there at all, and AND
        chooses the ones that are there as often as there are bitmaps.
        """
        part = BITMAPS[call.function]
        kind = AccumulatorKind[f"BITMAP_{part}"]
        source = None
        if call.distinct and part == "XOR":  # to the others a value that comes twice is nothing new
            source = self._distinct(call, arg, condition, nulls=False)
        if not self.retract or part == "XOR":
            count = self._accumulator(AccumulatorKind.COUNT, arg, condition, source)
            value = self._accumulator(kind, arg, condition, source)
            return AggregateOutput(call.function, call.type, value, count, span=call.span)
        members = self._distinct(call, arg, condition, nulls=False, members=part != "BUILD")
        counted = members if part == "BUILD" else None
        value = count = self._accumulator(AccumulatorKind.COUNT, arg, condition, counted)
        if call.function != "BITMAP_BUILD_CARDINALITY_AGG":
            value = self._accumulator(AccumulatorKind.BITMAP_BUILD, arg, condition, members)
        return AggregateOutput(call.function, call.type, value, count, span=call.span)

    def _distinct(
        self,
        call: AggregateCall,
        arg: int | None,
        condition: int | None,
        nulls: bool,
        *,
        members: bool = False,
    ) -> int:
        if arg is None:
            raise SqlError("DISTINCT needs an argument", span=call.span)
        if len(call.args) > 1:
            raise SqlError(
                f'"{call.function}" takes no DISTINCT with two arguments', span=call.span
            )
        for i, known in enumerate(self.distinct):
            same = (known.arg, known.filter, known.nulls, known.members)
            if same == (arg, condition, nulls, members):
                return i
        name = f"distinct_{len(self.distinct)}"
        kind = IntType() if members else self.row.fields[arg].type
        self.distinct.append(DistinctSet(name, arg, kind, condition, nulls, members))
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
        more: tuple[tuple[int, DataType], ...] = (),
        nulls: bool = False,
    ) -> int:
        if kind is AccumulatorKind.ORDERED:
            greatest = False
        field = None if arg is None else self.row.fields[arg]
        if kind is AccumulatorKind.COUNT and source is None and field and not field.type.nullable:
            arg, field = None, None
        for i, known in enumerate(self.accumulators):
            same = (known.kind, known.arg, known.filter, known.distinct, known.greatest)
            if same == (kind, arg, condition, source, greatest) and (known.more, known.nulls) == (
                more,
                nulls,
            ):
                return i
        number = len(self.accumulators)
        if kind in _TABLES:
            name = f"{kind.value}_{number}"
        else:
            label = {
                AccumulatorKind.COUNT: "count",
                AccumulatorKind.EXTREME_WORD: "max" if greatest else "min",
                AccumulatorKind.EXTREME_VALUE: "max" if greatest else "min",
                AccumulatorKind.MOMENTS: "moments",
                AccumulatorKind.FIRST: "first",
                AccumulatorKind.LAST: "last",
                **{k: k.value for k in _BITMAPS},
            }.get(kind, "sum")
            inner = "*" if field is None else field.name
            name = f"{label}({'distinct ' if source is not None else ''}{inner})"
            if condition is not None:
                name += f" where {self.row.fields[condition].name}"
            if any(name == known.name for known in self.accumulators) or name == ROW_COUNT:
                name += f" #{number}"
        of = BigIntType() if field is None else field.type
        self.accumulators.append(
            Accumulator(name, kind, arg, of, condition, source, greatest, more, nulls)
        )
        return number


def accumulator_specs(
    plan: AccumulatorPlan,
    key: tuple[DataType, ...],
    *,
    row_count: bool,
    extra: tuple[tuple[str, str], ...] = (),
    timers: bool = False,
    ages: bool = False,
) -> tuple[StateSpec, ...]:
    """The state tables of an aggregating operator.

    Args:
        plan: what is kept a group.
        key: types of the group's key.
        row_count: keep the number of rows of each group, in the column `ROW_COUNT`.
        extra: further fixed-width columns a group.
        timers: distinct values leave when their window is over.
        ages: groups and distinct values are forgotten a while after their last change.
    """
    if ages and plan.distinct:
        extra = (*extra, (BEGUN, "int64"))
    fixed = [(ROW_COUNT, "int64")] if row_count else []
    fixed += extra
    values: list[Field] = []
    tables: list[StateSpec] = []
    for a in plan.accumulators:
        fixed += a.columns
        match a.kind:
            case AccumulatorKind.EXTREME_VALUE | AccumulatorKind.FIRST | AccumulatorKind.LAST:
                values.append(Field(a.name, a.type.with_nullable(nullable=True)))
            case kind if kind in _BITMAPS:
                values.append(Field(a.name, BitmapType()))
            case AccumulatorKind.ORDERED | AccumulatorKind.PERCENTILE:
                tables.append(OrderedSpec(a.name, GROUPS, (SortColumn(a.type.not_null()),)))
            case AccumulatorKind.LIST | AccumulatorKind.ARRIVALS:
                tables += _list_specs(a, retract=plan.retract)
            case _:
                pass
    for d in plan.distinct:
        value = d.type if d.nulls else d.type.not_null()
        group = (BigIntType(nullable=False),) * (2 if ages else 1)
        tables.append(KeyIndexSpec(d.name, (*group, value)))
        if plan.retract:
            tables.append(ColumnsSpec(d.counts, d.name, (("count", "int64"),)))
        if timers:
            tables.append(TimersSpec(d.timers, d.name))
        if ages:
            tables.append(ColumnsSpec(d.lifetimes, d.name, ((WRITTEN, "int64"),)))
    return (
        KeyIndexSpec(GROUPS, key),
        ColumnsSpec(ACCUMULATORS, GROUPS, tuple(fixed), tuple(values)),
        *tables,
    )


def _list_specs(what: Accumulator, *, retract: bool) -> list[StateSpec]:
    """A bag of rows (`operators/row_bag.py`) and the rows of each group."""
    types = (what.type, *(t for _, t in what.more))
    fields = tuple(Field(f"value{i}", t.with_nullable(nullable=True)) for i, t in enumerate(types))
    tables: list[StateSpec] = [
        RowsSpec(what.name, fields),
        RowListsSpec(f"{what.name}_lists", what.name),
    ]
    if retract:
        ids = f"{what.name}_ids"
        tables += [
            KeyIndexSpec(ids, (BigIntType(nullable=False), *(f.type for f in fields))),
            ColumnsSpec(f"{ids}_columns", ids, (("count", "int64"),)),
            OrderedSpec(f"{what.name}_copies", ids, (), what.name),
        ]
    if what.kind is AccumulatorKind.ARRIVALS:
        tables.append(OrderedSpec(f"{what.name}_order", GROUPS, (), what.name))
    return tables


def _takes_nulls(call: AggregateCall) -> bool:
    """Whether NULL is one of the values that the aggregate is made of."""
    match call.function:
        case "ARRAY_AGG":
            return "IGNORE NULLS" not in call.constants
        case "JSON_OBJECTAGG":
            # The key must not be NULL, which the operator says.
            return True
        case "JSON_ARRAYAGG":
            return "NULL" in call.constants
        case "SINGLE_VALUE":
            return True
        case _:
            return False
