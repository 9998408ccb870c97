"""What an expression begins with: literals, names, brackets and calls."""

from __future__ import annotations

from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.expressions import ExpressionParser
from flowsql.sql.keywords import COLUMN_WORDS, NILADIC, NO_FUNCTION, RESERVED
from flowsql.sql.tokens import Kind

__all__ = ["CallParser"]


class CallParser(ExpressionParser):
    """Primary expressions."""

    def primary(self) -> exp.Expr:
        """A literal, name, call, CASE or bracket, without what may follow it."""
        token = self.token
        if token.kind is Kind.WORD:
            node = self.special()
            if node is not None:
                return self.mark(node, token.start)
        node = self.literal()
        if node is not None:
            return node
        if token.key == "(":
            return self.brackets()
        if token.kind is Kind.WORD and self.peek().key == "(" and token.key not in NO_FUNCTION:
            return self._call(self.word(), [], token.start)
        if token.key in NILADIC and self.peek().key != ".":
            call = n.FunctionCall(this=self.word(), expressions=[], niladic=True)
            return self.behind(call, token.start)
        if token.key in COLUMN_WORDS and token.kind is Kind.WORD and self.peek().key != ".":
            return self.mark(n.ColumnReference(expressions=[self.word()]), token.start)
        if token.key == "?":
            raise self.refuse('a dynamic parameter "?"', hint="Write the value itself.")
        if token.kind in {Kind.WORD, Kind.QUOTED} and (
            token.kind is Kind.QUOTED or token.key not in RESERVED
        ):
            return self._name()
        raise self.unexpected("an expression")

    def special(self) -> exp.Expr | None:
        """What has a syntax of its own; None if nothing such comes."""
        raise NotImplementedError

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
            self._null_treatment(call)
            if self.take("ORDER", "BY"):
                call.set("order", self.listed(self.sort_item))
        self.expect(")")
        return self.behind(call, start)

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
                    hint="Write (SELECT * FROM f(…)).",
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

    def behind(self, call: n.FunctionCall, start: int) -> exp.Expr:
        """What may follow a call: null treatment, order, FILTER, OVER."""
        self._null_treatment(call)
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

    def _null_treatment(self, call: n.FunctionCall) -> None:
        for nulls in ("IGNORE", "RESPECT"):
            if self.take(nulls, "NULLS"):
                call.set("nulls", nulls)

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
