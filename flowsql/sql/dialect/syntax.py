"""Everything with a syntax of its own: CASE, CAST, literals with a keyword, EXTRACT, TRIM.

A function among them arrives as a FunctionCall with its arguments in the order Flink takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import expressions as exp

from flowsql.errors import SqlError, nearest
from flowsql.sql.dialect import literals
from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.calls import CallParser
from flowsql.sql.keywords import TIME_UNITS
from flowsql.sql.tokens import Kind
from flowsql.types import DataType, DayTimeIntervalType, NullType, YearMonthIntervalType
from flowsql.types.parser import parse_type_prefix

__all__ = ["SyntaxParser"]

_TEMPORAL = frozenset({"DATE", "TIME", "TIMESTAMP"})
_LARGE = {"YEAR": 0, "MONTH": 1}
_SMALL = {"DAY": 0, "HOUR": 1, "MINUTE": 2, "SECOND": 3}
_UNITS = {
    **{unit: (unit, 1) for unit in (*_LARGE, *_SMALL)},
    "QUARTER": ("MONTH", 3),
    "WEEK": ("DAY", 7),
}


class SyntaxParser(CallParser):
    """Calls and constructors that are more than a name and arguments."""

    rounding = False
    """Whether what is read stands in CEIL or FLOOR, which may go on with TO."""

    def special(self) -> exp.Expr | None:
        """What has a syntax of its own; None if nothing such comes."""
        key = self.token.key
        found = self.readers.get(key)
        if found is not None:
            opening, read = found
            if opening is None or self.peek().key == opening:
                return read(self)
        if key in _TEMPORAL and self.peek().kind is Kind.STRING:
            return self._temporal()
        return None

    def function(self, name: exp.Expr, *arguments: exp.Expr | None) -> exp.Expr:
        """A call of `name` with the arguments that were written."""
        return n.FunctionCall(this=name, expressions=[a for a in arguments if a is not None])

    def unit(self) -> exp.Expr:
        """A time unit."""
        token = self.token
        key = token.key.removeprefix("SQL_TSI_")
        if token.kind is not Kind.WORD or key not in TIME_UNITS:
            meant = nearest(key, TIME_UNITS) if key else None
            raise SqlError(
                f'"{token.value}" is not a time unit' if token.value else "expected a time unit",
                span=token.span,
                hint=f'Did you mean "{meant}"?' if meant else "Units are YEAR, MONTH, DAY, HOUR …",
            )
        self.advance()
        return self.mark(n.Symbol(this=key), token.start)

    def data_type(self, *, nullability: bool = True) -> DataType:
        """A type, read from the text itself."""
        token = self.token
        found, end = parse_type_prefix(self.text, token.start, nullability=nullability)
        if isinstance(found, NullType):
            raise SqlError('"NULL" is no data type that can be declared', span=token.span)
        while self.token.start < end and self.token.kind is not Kind.END:
            self.advance()
        return found

    def _cast(self) -> exp.Expr:
        try_ = self.advance().key == "TRY_CAST"
        self.expect("(")
        this = self.expression()
        self.expect("AS")
        to = self.data_type(nullability=False)
        self.expect(")")
        return n.FlinkCast(this=this, to=to, try_=try_)

    def _case(self) -> exp.Expr:
        self.advance()
        this = None if self.token.key == "WHEN" else self.expression()
        ifs, default = [], None
        if self.token.key != "WHEN":
            raise self.unexpected("WHEN")
        while self.token.key == "WHEN":
            start = self.advance().start
            # `WHEN 1, 2 THEN x` is `WHEN 1 THEN x WHEN 2 THEN x`.
            conditions = [self.expression()] if this is None else self.listed(self.expression)
            self.expect("THEN")
            result = self.expression()
            for i, condition in enumerate(conditions):
                true = result if i == 0 else result.copy()
                ifs.append(self.mark(exp.If(this=condition, true=true), start))
        if self.take("ELSE"):
            default = self.expression()
        if self.token.key != "END":
            raise self.unexpected("WHEN", "ELSE", "END")
        self.advance()
        return exp.Case(this=this, ifs=ifs, default=default)

    def _extract(self) -> exp.Expr:
        name = self.begin()
        unit = self.unit()
        self.expect("FROM")
        this = self.expression()
        self.expect(")")
        return self.function(name, unit, this)

    def _ceil_floor(self) -> exp.Expr:
        name = self.begin()
        before, self.rounding = self.rounding, True
        this = self.expression()
        self.rounding = before
        unit = self.unit() if self.take("TO") else None
        if unit is None and self.take(","):
            raise self.unexpected(")", "TO")
        self.expect(")")
        return self.function(name, this, unit)

    def _trim(self) -> exp.Expr:
        name = self.begin()
        here = self.token.start
        side = self.take_any(("BOTH", "LEADING", "TRAILING"))
        symbol = self.mark(n.Symbol(this=side or "BOTH"), here)
        blank = exp.Literal(this=" ", is_string=True)
        blank.meta["span"] = n.span_of(symbol)
        chars: exp.Expr = blank
        if side is not None and self.take("FROM"):
            this = self.expression()
        else:
            this = self.expression()
            if side is not None or self.token.key == "FROM":
                self.expect("FROM")
                chars, this = this, self.expression()
        self.expect(")")
        return self.function(name, symbol, chars, this)

    def _position(self) -> exp.Expr:
        name = self.begin()
        what = self.operand()
        self.expect("IN")
        where = self.operand()
        start = self.operand() if self.take("FROM") else None
        self.expect(")")
        return self.function(name, what, where, start)

    def _substring(self) -> exp.Expr:
        name = self.begin()
        this = self.expression()
        arguments: list[exp.Expr] = []
        if self.take("FROM"):
            arguments.append(self.expression())
            if self.take("FOR"):
                arguments.append(self.expression())
        else:
            while self.take(","):
                arguments.append(self.expression())
        self.expect(")")
        return self.function(name, this, *arguments)

    def _overlay(self) -> exp.Expr:
        name = self.begin()
        arguments = [self.expression()]
        for word in ("PLACING", "FROM"):
            self.expect(word)
            arguments.append(self.expression())
        if self.take("FOR"):
            arguments.append(self.expression())
        self.expect(")")
        return self.function(name, *arguments)

    def _timestamp_arithmetic(self) -> exp.Expr:
        name = self.begin()
        arguments = [self.unit()]
        for _ in range(2):
            self.expect(",")
            arguments.append(self.expression())
        self.expect(")")
        return self.function(name, *arguments)

    def begin(self) -> exp.Expr:
        """Step over `name(` and return the name."""
        name = self.word()
        self.expect("(")
        return name

    def _array(self) -> exp.Expr:
        self.advance()
        return exp.Array(expressions=self._bracketed())

    def _map(self) -> exp.Expr:
        start = self.advance().start
        found = self._bracketed()
        if len(found) % 2:
            raise SqlError(
                "MAP needs a value for every key",
                span=self.since(start),
                hint="Write MAP[key, value, key, value].",
            )
        return n.MapConstructor(expressions=found)

    def _bracketed(self) -> list[exp.Expr]:
        self.expect("[")
        if self.token.key == "]":
            raise SqlError("expected at least one element", span=self.token.span)
        found = self.listed(self.expression)
        self.expect("]")
        return found

    def _row(self) -> exp.Expr:
        self.advance()
        return exp.Tuple(expressions=self.wrapped(self.expression))

    def _temporal(self) -> exp.Expr:
        kind = self.advance()
        token = self.advance()
        to, value = literals.temporal(kind.key, token.value, self.since(kind.start))
        return n.TemporalLiteral(this=token.value, to=to, value=value)

    def _interval(self) -> exp.Expr:
        start = self.advance().start
        negative = self.take_any(("-", "+")) == "-"
        token = self.token
        if token.kind is not Kind.STRING and not token.value.isdigit():
            raise self.unexpected("the interval in single quotes")
        self.advance()
        word = self.token.key
        to, times = self._interval_type()
        value = times * literals.interval(
            token.value, to, self.since(start), word=word if times > 1 else None, negative=negative
        )
        # Flink's planner knows two interval types only, whatever the units written.
        if isinstance(to, YearMonthIntervalType):
            to = YearMonthIntervalType("MONTH", nullable=False)
        else:
            to = DayTimeIntervalType("SECOND", fraction=3, nullable=False)
        text = f"-{token.value}" if negative else token.value
        return n.IntervalLiteral(this=text, to=to, value=value)

    def bracketed(self, node: exp.Expr, start: int) -> exp.Expr:
        """Also `(a - b) DAY`: the interval between two points in time."""
        if not isinstance(node, exp.Sub) or self.token.key not in _UNITS:
            return super().bracketed(node, start)
        here = self.token.start
        to, _ = self._interval_type()
        unit = "MONTH" if isinstance(to, YearMonthIntervalType) else "SECOND"
        symbol = self.mark(n.Symbol(this=unit), here)
        name = self.mark(exp.Identifier(this="DATETIME -", quoted=False), start)
        points = [symbol, node.args["this"], node.args["expression"]]
        return self.mark(n.FunctionCall(this=name, expressions=points), start)

    def _interval_unit(self) -> tuple[str, int]:
        """A unit of intervals and how many of it the word means: WEEK is 7 DAY."""
        key = self.token.key
        key = key.removesuffix("S") if key not in _UNITS else key
        if key not in _UNITS:
            raise self.unexpected(*_UNITS)
        self.advance()
        return _UNITS[key]

    def _interval_type(self) -> tuple[YearMonthIntervalType | DayTimeIntervalType, int]:
        single = self.token
        first, times = self._interval_unit()
        precision, fraction, last = 2, 6, None
        if self.take("("):
            precision = self._small_number()
            if first == "SECOND" and self.take(","):
                fraction = self._small_number()
            self.expect(")")
        group = _LARGE if first in _LARGE else _SMALL
        later = [unit for unit in group if group[unit] > group[first]]
        # In FLOOR(a - INTERVAL '1' YEAR TO DAY) the unit behind TO is that of FLOOR.
        other = self.peek().key in TIME_UNITS and self.peek().key not in later
        if self.token.key == "TO" and times == 1 and not (other and self.rounding):
            self.advance()
            last = self.take_any(later)
            if last is None:
                raise self.unexpected(*(later or ["no unit smaller than " + single.value]))
            if last == "SECOND" and self.take("("):
                fraction = self._small_number()
                self.expect(")")
        unit = f"{first} TO {last}" if last else first
        if first in _LARGE:
            return YearMonthIntervalType(unit, precision, nullable=False), times
        return DayTimeIntervalType(unit, precision, fraction, nullable=False), times

    def _small_number(self) -> int:
        token = self.token
        if token.kind is not Kind.NUMBER or not token.value.isdigit() or int(token.value) > 10:
            raise self.unexpected("a precision up to 10")
        return int(self.advance().value)

    # word → (the symbol that must follow, None = none; the reader)
    readers: ClassVar[dict[str, tuple[str | None, Callable[..., exp.Expr]]]] = {
        "ARRAY": ("[", _array),
        "CASE": (None, _case),
        "CAST": ("(", _cast),
        "CEIL": ("(", _ceil_floor),
        "CEILING": ("(", _ceil_floor),
        "EXTRACT": ("(", _extract),
        "FLOOR": ("(", _ceil_floor),
        "INTERVAL": (None, _interval),
        "MAP": ("[", _map),
        "OVERLAY": ("(", _overlay),
        "POSITION": ("(", _position),
        "ROW": ("(", _row),
        "SUBSTRING": ("(", _substring),
        "TIMESTAMPADD": ("(", _timestamp_arithmetic),
        "TIMESTAMPDIFF": ("(", _timestamp_arithmetic),
        "TRIM": ("(", _trim),
        "TRY_CAST": ("(", _cast),
    }
