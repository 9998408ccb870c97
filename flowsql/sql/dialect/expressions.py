"""Expressions, by operator precedence as in Flink (Calcite).

From tightest: `.` and `[]`, unary sign, `* / % ||`, `+ -`, BETWEEN/IN/LIKE/SIMILAR, comparisons and
IS [NOT] DISTINCT FROM, IS …, NOT, AND, OR.
"""

from __future__ import annotations

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.sql.cursor import Cursor
from flowsql.sql.dialect import nodes as n
from flowsql.sql.keywords import RESERVED
from flowsql.sql.tokens import Kind, unescape_unicode
from flowsql.types import BooleanType

__all__ = ["ExpressionParser"]

_OR, _AND, _NOT, _IS, _COMPARE, _PREDICATE, _ADD, _MULTIPLY, _SIGN = range(9)

_BINARY: dict[str, tuple[int, type[exp.Expression]]] = {
    "OR": (_OR, exp.Or),
    "AND": (_AND, exp.And),
    "=": (_COMPARE, exp.EQ),
    "<>": (_COMPARE, exp.NEQ),
    "!=": (_COMPARE, exp.NEQ),
    "<": (_COMPARE, exp.LT),
    "<=": (_COMPARE, exp.LTE),
    ">": (_COMPARE, exp.GT),
    ">=": (_COMPARE, exp.GTE),
    "+": (_ADD, exp.Add),
    "-": (_ADD, exp.Sub),
    "*": (_MULTIPLY, exp.Mul),
    "/": (_MULTIPLY, exp.Div),
    "%": (_MULTIPLY, exp.Mod),
    "||": (_MULTIPLY, exp.DPipe),
}
_PREDICATES = frozenset({"BETWEEN", "IN", "LIKE", "SIMILAR", "OVERLAPS"})
_IS_WHAT = ("NULL", "TRUE", "FALSE", "UNKNOWN")
_JSON_KINDS = ("VALUE", "OBJECT", "ARRAY", "SCALAR")
# Beyond this, Python's stack might end before the brackets do.
_DEEPEST = 75


class ExpressionParser(Cursor):
    """Expressions up to, not including, calls and queries, which subclasses read."""

    _depth = 0

    # To be read by the subclasses

    def primary(self) -> exp.Expr:
        """A literal, name, call, CASE or bracket, without what may follow it."""
        raise NotImplementedError

    def query(self) -> n.Query:
        """A whole query."""
        raise NotImplementedError

    def query_follows(self, at: int = 0) -> bool:
        """Whether the token `at` ahead begins a query."""
        raise NotImplementedError

    # Positions

    def mark(self, node: exp.Expr, start: int) -> exp.Expr:
        """Give `node` its span, from offset `start` to the last token read."""
        node.meta["span"] = self.since(start)
        return node

    # Precedence climbing

    def expression(self, level: int = _OR) -> exp.Expr:
        """An expression whose operators all bind at least as tightly as `level`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SqlError("the expression is nested too deeply", span=self.token.span)
        start = self.token.start
        left = self._prefix()
        while True:
            key = self.token.key
            binary = _BINARY.get(key)
            if binary is not None:
                if binary[0] < level:
                    break
                self.advance()
                if binary[0] == _COMPARE and self.token.key in {"ANY", "SOME", "ALL"}:
                    left = self._quantified(left, key)
                else:
                    left = binary[1](this=left, expression=self.expression(binary[0] + 1))
            elif key == "IS" and level <= _COMPARE:
                distinct = self.goes_on("IS", "DISTINCT") or self.goes_on("IS", "NOT", "DISTINCT")
                if not distinct and level > _IS:
                    break
                left = self._is(left)
            elif level <= _PREDICATE and (
                key in _PREDICATES or (key == "NOT" and self.peek().key in _PREDICATES)
            ):
                left = self._predicate(left, start)
            else:
                break
            self.mark(left, start)
        self._depth -= 1
        return left

    def operand(self) -> exp.Expr:
        """An expression without comparisons and predicates, as between special keywords."""
        return self.expression(_ADD)

    def _prefix(self) -> exp.Expr:
        start, key = self.token.start, self.token.key
        if key == "NOT":
            self.advance()
            return self.mark(exp.Not(this=self.expression(_NOT)), start)
        if key in {"-", "+"}:
            self.advance()
            operand = self.expression(_SIGN)
            return self.mark(
                exp.Neg(this=operand) if key == "-" else n.UnaryPlus(this=operand), start
            )
        if key == "EXISTS":
            self.advance()
            self.expect("(")
            node = exp.Exists(this=self.query())
            self.expect(")")
            return self.mark(node, start)
        return self._postfix(self.primary(), start)

    def _postfix(self, node: exp.Expr, start: int) -> exp.Expr:
        while True:
            if self.take("["):
                node = n.ItemAccess(this=node, expression=self.expression())
                self.expect("]")
            elif self.token.key == "." and self.peek().kind in {Kind.WORD, Kind.QUOTED}:
                self.advance()
                node = n.FieldAccess(this=node, expression=self.identifier("a field name"))
            else:
                return node
            self.mark(node, start)

    def _is(self, left: exp.Expr) -> exp.Expr:
        self.expect("IS")
        negated = self.take("NOT")
        if self.take("DISTINCT"):
            self.expect("FROM")
            right = self.expression(_PREDICATE)
            kind = exp.NullSafeEQ if negated else exp.NullSafeNEQ
            return kind(this=left, expression=right)
        what = self.take_any(_IS_WHAT)
        if what is None and self.take("JSON"):
            kind_ = self.take_any(_JSON_KINDS)
            what = f"JSON {kind_}" if kind_ else "JSON"
        if what is None:
            raise self.unexpected(*_IS_WHAT, "DISTINCT", *([] if negated else ["NOT"]))
        return n.IsPredicate(this=left, what=what, negated=negated)

    def _predicate(self, left: exp.Expr, start: int) -> exp.Expr:
        negated = self.take("NOT")
        key = self.advance().key
        node: exp.Expr
        if key == "BETWEEN":
            symmetric = self.take_any(("SYMMETRIC", "ASYMMETRIC")) == "SYMMETRIC"
            low = self.expression(_PREDICATE + 1)
            self.expect("AND")
            high = self.expression(_PREDICATE + 1)
            node = exp.Between(this=left, low=low, high=high, symmetric=symmetric)
        elif key == "IN":
            self.expect("(")
            if self.query_follows():
                node = exp.In(this=left, query=self.query())
            else:
                node = exp.In(this=left, expressions=self.listed(self.expression))
            self.expect(")")
        elif key == "OVERLAPS":
            node = self._overlaps(left, start)
        else:
            if key == "SIMILAR":
                self.expect("TO")
            pattern = self.expression(_PREDICATE + 1)
            escape = self.expression(_PREDICATE + 1) if self.take("ESCAPE") else None
            node = n.LikePredicate(
                this=left, expression=pattern, escape=escape, similar=key == "SIMILAR"
            )
        if negated:
            node = exp.Not(this=self.mark(node, start))
        return node

    def _overlaps(self, left: exp.Expr, start: int) -> exp.Expr:
        right = self.expression(_PREDICATE + 1)
        for side in (left, right):
            if not isinstance(side, exp.Tuple) or len(side.expressions) != 2:
                raise SqlError(
                    "OVERLAPS compares two periods",
                    span=n.span_of(side) if side is right else self.since(start),
                    hint="Write (start, end) OVERLAPS (start, end).",
                )
        return n.Overlaps(this=left, expression=right)

    def _quantified(self, left: exp.Expr, op: str) -> exp.Expr:
        quantifier = "ALL" if self.advance().key == "ALL" else "ANY"
        self.expect("(")
        node = n.Quantified(this=left, op="<>" if op == "!=" else op, quantifier=quantifier)
        if self.query_follows():
            node.set("query", self.query())
        else:
            node.set("expressions", self.listed(self.expression))
        self.expect(")")
        return node

    # Names and literals

    def identifier(self, what: str = "a name") -> exp.Identifier:
        """One name; a reserved word must be quoted."""
        token = self.token
        if token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.key not in RESERVED):
            self.advance()
            node = exp.Identifier(this=token.value, quoted=token.kind is Kind.QUOTED)
            node.meta["span"] = token.span
            return node
        raise self.unexpected(what)

    def path(self, what: str = "a name") -> list[exp.Identifier]:
        """`a.b.c`."""
        parts = [self.identifier(what)]
        while self.token.key == "." and self.peek().key != "*":
            self.advance()
            parts.append(self.identifier(what))
        return parts

    def literal(self) -> exp.Expr | None:
        """A number, string, binary string, TRUE, FALSE, UNKNOWN or NULL; None if none comes."""
        token = self.token
        node: exp.Expr
        if token.kind is Kind.NUMBER:
            node = exp.Literal(this=token.value.removesuffix("."), is_string=False)
        elif token.kind is Kind.STRING:
            return self._string()
        elif token.kind is Kind.BINARY:
            node = n.BinaryLiteral(this=bytes.fromhex(token.value))
        elif token.key in {"TRUE", "FALSE"}:
            node = exp.Boolean(this=token.key == "TRUE")
        elif token.key == "NULL":
            node = exp.Null()
        elif token.key == "UNKNOWN":
            null = exp.Null()
            null.meta["span"] = token.span
            node = n.FlinkCast(this=null, to=BooleanType(), try_=False)
        else:
            return None
        self.advance()
        return self.mark(node, token.start)

    def _string(self) -> exp.Expr:
        token = self.advance()
        value = token.value
        if self.take("UESCAPE"):
            escape = self.string("the escape character in single quotes")
            raw = self.text[token.start : token.end]
            if raw[:2].upper() != "U&" or len(escape) != 1:
                raise SqlError(
                    "UESCAPE needs one character and a string that begins with U&",
                    span=self.since(token.start),
                )
            value = unescape_unicode(raw[3:-1].replace("''", "'"), escape, token.span)
        # SQL joins strings that follow each other on lines of their own.
        while (
            self.token.kind is Kind.STRING
            and "\n" in self.text[self.tokens[self.at - 1].end : self.token.start]
        ):
            value += self.advance().value
        return self.mark(exp.Literal(this=value, is_string=True), token.start)

    def brackets(self) -> exp.Expr:
        """`(a)`, `(a, b)` as exp.Tuple, or `(query)` as exp.Subquery."""
        start = self.token.start
        self.expect("(")
        if self.query_follows():
            node: exp.Expr = exp.Subquery(this=self.query())
            self.expect(")")
            return self.mark(node, start)
        found = self.listed(self.expression)
        self.expect(")")
        if len(found) > 1:
            return self.mark(exp.Tuple(expressions=found), start)
        return self.bracketed(found[0], start)

    def bracketed(self, node: exp.Expr, start: int) -> exp.Expr:
        """`(a)` is `a`, but errors should mark the brackets with it."""
        return self.mark(node, start)

    def refuse(self, what: str, start: int | None = None, hint: str | None = None) -> SqlError:
        """The error for syntax that Flink has and we do not."""
        span = self.token.span if start is None else Span(start, max(self.token.end, start + 1))
        return SqlError(f"{what} is not supported yet", span=span, hint=hint)
