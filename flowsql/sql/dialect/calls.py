"""Calls and everything else an expression can begin with.

Only syntax has a reader of its own (CAST, EXTRACT, TRIM …); whatever it reads arrives as a
FunctionCall with its arguments in the order Flink's function takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import expressions as exp

from flowsql.errors import SqlError, nearest
from flowsql.sql.dialect import literals
from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.expressions import ExpressionParser
from flowsql.sql.keywords import NILADIC, NO_FUNCTION, RESERVED, TIME_UNITS
from flowsql.sql.tokens import Kind
from flowsql.types import DataType, DayTimeIntervalType, YearMonthIntervalType
from flowsql.types.parser import parse_type_prefix

__all__ = ["CallParser"]

_LARGE = {"YEAR": 0, "MONTH": 1}
_SMALL = {"DAY": 0, "HOUR": 1, "MINUTE": 2, "SECOND": 3}


class CallParser(ExpressionParser):
    """Primary expressions."""

    def primary(self) -> exp.Expr:
        """A literal, name, call, CASE or bracket, without what may follow it."""
        token = self.token
        if token.kind is Kind.WORD:
            syntax = self._SYNTAX.get(token.key)
            if syntax is not None:
                keys, read = syntax
                if not keys or self.peek().key in keys:
                    return self.mark(read(self), token.start)
            if token.key in self._TEMPORAL and self.peek().kind is Kind.STRING:
                return self._temporal()
        node = self.literal()
        if node is not None:
            return node
        if token.key == "(":
            return self.brackets()
        if token.kind is Kind.WORD and self.peek().key == "(" and token.key not in NO_FUNCTION:
            return self._call(self.word(), [], token.start)
        if token.key in NILADIC:
            call = n.FunctionCall(this=self.word(), expressions=[], niladic=True)
            return self._behind(call, token.start)
        if token.key == "?":
            raise self.refuse('a dynamic parameter "?"', hint="Write the value itself.")
        if token.kind in {Kind.WORD, Kind.QUOTED} and (
            token.kind is Kind.QUOTED or token.key not in RESERVED
        ):
            return self._name()
        raise self.unexpected("an expression")

    def _name(self) -> exp.Expr:
        start = self.token.start
        parts = self.path("a column name")
        if self.token.key == "(":
            return self._call(parts[-1], parts[:-1], start)
        return self.mark(n.ColumnReference(expressions=parts), start)

    # Calls

    def _call(self, name: exp.Identifier, qualifier: list[exp.Identifier], start: int) -> exp.Expr:
        call = n.FunctionCall(this=name, qualifier=qualifier, expressions=[])
        self.expect("(")
        if self.token.key == "DISTINCT":
            self.advance()
            call.set("distinct", True)
        else:
            self.take("ALL")
        if self.token.key != ")":
            call.set("expressions", self.listed(self.argument))
            if self.take("ORDER", "BY"):
                call.set("order", self.listed(self.sort_item))
        self.expect(")")
        return self._behind(call, start)

    def call(self) -> n.FunctionCall:
        """A call of a table function."""
        start = self.token.start
        if self.token.kind is Kind.WORD and self.peek().key == "(":
            parts = [self.word()]
        else:
            parts = self.path("a function name")
        if self.token.key != "(":
            raise self.unexpected("(")
        node = self._call(parts[-1], parts[:-1], start)
        assert isinstance(node, n.FunctionCall)
        return node

    def argument(self) -> exp.Expr:
        """One argument of a call."""
        start, token = self.token.start, self.token
        if self.peek().key == "=>" and token.kind in {Kind.WORD, Kind.QUOTED}:
            name = self.word()
            self.advance()
            return self.mark(n.NamedArgument(this=name, expression=self._value()), start)
        return self._value()

    def _value(self) -> exp.Expr:
        start = self.token.start
        if self.token.key == "*" and self.peek().key in {")", ","}:
            self.advance()
            return self.mark(exp.Star(), start)
        if self.token.key == "DEFAULT":
            self.advance()
            return self.mark(n.DefaultArgument(), start)
        if self.goes_on("DESCRIPTOR", "("):
            self.advance()
            columns = self.wrapped(lambda: self.identifier("a column name"))
            return self.mark(n.Descriptor(expressions=columns), start)
        if self.token.key == "TABLE" or (self.token.key == "(" and self._table_brackets()):
            return self._table_argument()
        return self.expression()

    def _table_brackets(self) -> bool:
        """Whether `(query) PARTITION BY …` comes, a table argument without the word TABLE."""
        if not self.query_follows(1):
            return False
        depth, ahead = 0, 0
        while True:
            key = self.peek(ahead).key
            if self.peek(ahead).kind is Kind.END:
                return False
            depth += (key == "(") - (key == ")")
            ahead += 1
            if depth == 0:
                return self.peek(ahead).key in {"PARTITION", "ORDER"}

    def _table_argument(self) -> exp.Expr:
        start = self.token.start
        self.take("TABLE")
        here = self.token.start
        if self.take("("):
            this: exp.Expr = self.query() if self.query_follows() else self._bare_table()
            self.expect(")")
        else:
            this = self._bare_table()
            if self.token.key == "(":
                raise SqlError(
                    "a table function cannot be an argument directly",
                    span=self.since(here),
                    hint="Write TABLE(SELECT * FROM TABLE(f(…))).",
                )
        node = n.TableArgument(this=this)
        if self.take("PARTITION", "BY"):
            node.set("partition", self._partition())
        if self.take("ORDER", "BY"):
            bracketed = self.token.key == "("
            node.set(
                "order",
                self.wrapped(self.sort_item) if bracketed else self._partition_order(),
            )
        return self.mark(node, start)

    def _bare_table(self) -> exp.Expr:
        start = self.token.start
        return self.mark(n.TableReference(expressions=self.path("a table name")), start)

    def _partition(self) -> list[exp.Expr]:
        if self.token.key == "(":
            return self.wrapped(self.expression)
        # Without brackets a comma ends the argument, so there is one column only.
        return [self.expression()]

    def _partition_order(self) -> list[exp.Expr]:
        return [self.sort_item()]

    def sort_item(self) -> exp.Expr:
        """`x [ASC|DESC] [NULLS FIRST|LAST]`."""
        start = self.token.start
        this = self.expression()
        desc = self.take_any(("ASC", "DESC")) == "DESC"
        nulls_first = None
        if self.take("NULLS"):
            nulls_first = self.take_any(("FIRST", "LAST"))
            if nulls_first is None:
                raise self.unexpected("FIRST", "LAST")
        return self.mark(
            n.SortItem(this=this, desc=desc, nulls_first=nulls_first and nulls_first == "FIRST"),
            start,
        )

    # Behind a call

    def _behind(self, call: n.FunctionCall, start: int) -> exp.Expr:
        for nulls in ("IGNORE", "RESPECT"):
            if self.take(nulls, "NULLS"):
                call.set("nulls", nulls)
        if self.take("WITHIN", "GROUP"):
            self.expect("(", "ORDER", "BY")
            call.set("order", self.listed(self.sort_item))
            self.expect(")")
        if self.take("FILTER", "("):
            self.expect("WHERE")
            call.set("filter", self.expression())
            self.expect(")")
        if self.take("OVER"):
            over = self.window_spec() if self.token.key == "(" else self.identifier("a window")
            call.set("over", over)
        return self.mark(call, start)

    def window_spec(self) -> exp.Expr:
        """`([name] [PARTITION BY …] [ORDER BY …] [ROWS|RANGE …])`."""
        start = self.token.start
        self.expect("(")
        spec = n.WindowSpec()
        if self.token.key not in {"PARTITION", "ORDER", "ROWS", "RANGE", ")"}:
            spec.set("this", self.identifier('a window name, "PARTITION BY" or "ORDER BY"'))
        if self.take("PARTITION"):
            self.expect("BY")
            spec.set("partition", self.listed(self.expression))
        if self.take("ORDER"):
            self.expect("BY")
            spec.set("order", self.listed(self.sort_item))
        if self.token.key in {"ROWS", "RANGE"}:
            spec.set("frame", self._frame())
        self.expect(")")
        return self.mark(spec, start)

    def _frame(self) -> exp.Expr:
        start = self.token.start
        kind = self.advance().key
        if self.take("BETWEEN"):
            low = self._bound()
            self.expect("AND")
            high = self._bound()
        else:
            low = self._bound()
            high = n.FrameBound(kind="CURRENT ROW")
            high.meta["span"] = n.span_of(low)
        if self.token.key == "EXCLUDE":
            raise self.refuse("EXCLUDE in a window frame")
        return self.mark(n.WindowFrame(kind=kind, start=low, end=high), start)

    def _bound(self) -> exp.Expr:
        start = self.token.start
        if self.take("CURRENT"):
            self.expect("ROW")
            return self.mark(n.FrameBound(kind="CURRENT ROW"), start)
        this = None if self.take("UNBOUNDED") else self.operand()
        kind = self.take_any(("PRECEDING", "FOLLOWING"))
        if kind is None:
            raise self.unexpected("PRECEDING", "FOLLOWING")
        return self.mark(n.FrameBound(kind=kind, this=this), start)

    def word(self) -> exp.Identifier:
        """The current token as a name, reserved or not."""
        token = self.advance()
        name = exp.Identifier(this=token.value, quoted=token.kind is Kind.QUOTED)
        name.meta["span"] = token.span
        return name

    # Syntax

    def _function(self, name: exp.Expr, *arguments: exp.Expr | None) -> exp.Expr:
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

    def data_type(self) -> DataType:
        """A type, read from the text itself."""
        found, end = parse_type_prefix(self.text, self.token.start)
        while self.token.start < end and self.token.kind is not Kind.END:
            self.advance()
        return found

    def _cast(self) -> exp.Expr:
        try_ = self.advance().key == "TRY_CAST"
        self.expect("(")
        this = self.expression()
        self.expect("AS")
        to = self.data_type()
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
            condition = self.expression()
            if this is not None and self.token.key == ",":
                raise self.refuse("a list of values after WHEN", hint="Write one WHEN for each.")
            self.expect("THEN")
            ifs.append(self.mark(exp.If(this=condition, true=self.expression()), start))
        if self.take("ELSE"):
            default = self.expression()
        if self.token.key != "END":
            raise self.unexpected("WHEN", "ELSE", "END")
        self.advance()
        return exp.Case(this=this, ifs=ifs, default=default)

    def _extract(self) -> exp.Expr:
        name = self._begin()
        unit = self.unit()
        self.expect("FROM")
        this = self.expression()
        self.expect(")")
        return self._function(name, unit, this)

    def _ceil_floor(self) -> exp.Expr:
        name = self._begin()
        this = self.expression()
        unit = self.unit() if self.take("TO") else None
        if unit is None and self.take(","):
            raise self.unexpected(")", "TO")
        self.expect(")")
        return self._function(name, this, unit)

    def _trim(self) -> exp.Expr:
        name = self._begin()
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
        return self._function(name, symbol, chars, this)

    def _position(self) -> exp.Expr:
        name = self._begin()
        what = self.operand()
        self.expect("IN")
        where = self.operand()
        start = self.operand() if self.take("FROM") else None
        self.expect(")")
        return self._function(name, what, where, start)

    def _substring(self) -> exp.Expr:
        name = self._begin()
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
        return self._function(name, this, *arguments)

    def _overlay(self) -> exp.Expr:
        name = self._begin()
        arguments = [self.expression()]
        if self.token.key == ",":
            while self.take(","):
                arguments.append(self.expression())
        else:
            for word in ("PLACING", "FROM"):
                self.expect(word)
                arguments.append(self.expression())
            if self.take("FOR"):
                arguments.append(self.expression())
        self.expect(")")
        return self._function(name, *arguments)

    def _timestamp_arithmetic(self) -> exp.Expr:
        name = self._begin()
        arguments = [self.unit()]
        for _ in range(2):
            self.expect(",")
            arguments.append(self.expression())
        self.expect(")")
        return self._function(name, *arguments)

    def _begin(self) -> exp.Expr:
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
        found = [] if self.token.key == "]" else self.listed(self.expression)
        self.expect("]")
        return found

    def _row(self) -> exp.Expr:
        self.advance()
        return exp.Tuple(expressions=self.wrapped(self.expression))

    def _temporal(self) -> exp.Expr:
        kind = self.advance()
        token = self.advance()
        to, value = literals.temporal(kind.key, token.value, self.since(kind.start))
        return self.mark(n.TemporalLiteral(this=token.value, to=to, value=value), kind.start)

    def _interval(self) -> exp.Expr:
        start = self.advance().start
        negative = self.take_any(("-", "+")) == "-"
        if self.token.kind is not Kind.STRING:
            raise self.unexpected("the interval in single quotes")
        token = self.advance()
        to = self._interval_type()
        value = literals.interval(token.value, to, self.since(start), negative=negative)
        text = f"-{token.value}" if negative else token.value
        return n.IntervalLiteral(this=text, to=to, value=value)

    def _interval_type(self) -> YearMonthIntervalType | DayTimeIntervalType:
        first = self.take_any((*_LARGE, *_SMALL))
        if first is None:
            raise self.unexpected(*_LARGE, *_SMALL)
        precision, fraction, last = 2, 6, None
        if self.take("("):
            precision = self._small_number()
            if first == "SECOND" and self.take(","):
                fraction = self._small_number()
            self.expect(")")
        if self.take("TO"):
            group = _LARGE if first in _LARGE else _SMALL
            later = [unit for unit in group if group[unit] > group[first]]
            last = self.take_any(later)
            if last is None:
                raise self.unexpected(*later) if later else self.unexpected("a smaller unit")
            if last == "SECOND" and self.take("("):
                fraction = self._small_number()
                self.expect(")")
        unit = f"{first} TO {last}" if last else first
        if first in _LARGE:
            return YearMonthIntervalType(unit, precision, nullable=False)
        return DayTimeIntervalType(unit, precision, fraction, nullable=False)

    def _small_number(self) -> int:
        token = self.token
        if token.kind is not Kind.NUMBER or not token.value.isdigit() or int(token.value) > 10:
            raise self.unexpected("a precision up to 10")
        return int(self.advance().value)

    _TEMPORAL: ClassVar = frozenset({"DATE", "TIME", "TIMESTAMP"})
    # word → (the symbols that must follow, none = always; the reader)
    _SYNTAX: ClassVar[dict[str, tuple[tuple[str, ...], Callable[[CallParser], exp.Expr]]]] = {
        "ARRAY": (("[",), _array),
        "CASE": ((), _case),
        "CAST": (("(",), _cast),
        "CEIL": (("(",), _ceil_floor),
        "CEILING": (("(",), _ceil_floor),
        "EXTRACT": (("(",), _extract),
        "FLOOR": (("(",), _ceil_floor),
        "INTERVAL": ((), _interval),
        "MAP": (("[",), _map),
        "OVERLAY": (("(",), _overlay),
        "POSITION": (("(",), _position),
        "ROW": (("(",), _row),
        "SUBSTRING": (("(",), _substring),
        "TIMESTAMPADD": (("(",), _timestamp_arithmetic),
        "TIMESTAMPDIFF": (("(",), _timestamp_arithmetic),
        "TRIM": (("(",), _trim),
        "TRY_CAST": (("(",), _cast),
    }
