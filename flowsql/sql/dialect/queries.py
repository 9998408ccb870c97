"""Queries: SELECT, VALUES, set operations, WITH, ORDER BY and LIMIT."""

from __future__ import annotations

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.sql.cursor import bounded
from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.relations import RelationParser
from flowsql.sql.tokens import Kind, tokenize

__all__ = ["QueryParser", "parse_expression", "parse_query"]

_STARTS = frozenset({"SELECT", "WITH", "VALUES"})
_BEHIND_FROM = frozenset({"WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY"})
_GOES_ON = frozenset({"UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"})


class QueryParser(RelationParser):
    """The whole query language; `query` and `expression` are its entrances."""

    _queries = 0

    def query_follows(self, at: int = 0) -> bool:
        """Whether the token `at` ahead begins a query."""
        token = self.peek(at) if at else self.token
        return token.key in _STARTS or (token.key == "TABLE" and self._explicit_table(at))

    def _explicit_table(self, at: int) -> bool:
        return self.peek(at + 1).key != "(" and self.peek(at + 1).kind in {Kind.WORD, Kind.QUOTED}

    def query(self) -> n.Query:
        """A query with everything that belongs to it."""
        self._queries += 1
        if self._queries > 40:
            raise SqlError("the query is nested too deeply", span=self.token.span)
        start = self.token.start
        query = n.Query(ctes=[], order=[])
        if self.take("WITH"):
            query.set("recursive", self.take("RECURSIVE"))
            query.set("ctes", self.listed(self._cte))
        query.set("this", self._union(self._term()))
        found = self._tail(query, start)
        self._queries -= 1
        return found

    def query_rest(self, left: exp.Expr, start: int) -> n.Query:
        """The query that goes on behind its first, bracketed part."""
        return self._tail(n.Query(ctes=[], order=[], this=self._union(self._crossed(left))), start)

    def brackets(self) -> exp.Expr:
        """As in expressions; also `((SELECT …) UNION SELECT …)`."""
        start = self.token.start
        if self.peek().key != "(":
            return super().brackets()
        self.expect("(")
        first = self.token.start
        inner = self.expression()
        if isinstance(inner, exp.Subquery) and self.token.key in _GOES_ON:
            inner = exp.Subquery(this=self.query_rest(inner.this, first))
            self.expect(")")
            return self.mark(inner, start)
        found = [inner]
        while self.take(","):
            found.append(self.expression())
        self.expect(")")
        if len(found) == 1:
            return self.bracketed(inner, start)
        return self.mark(exp.Tuple(expressions=found), start)

    def _cte(self) -> exp.Expr:
        start = self.token.start
        cte = n.Cte(this=self.identifier("a name"))
        if self.token.key == "(":
            cte.set("columns", self.wrapped(lambda: self.identifier("a column name")))
        self.expect("AS", "(")
        cte.set("query", self._bracketed_query())
        self.expect(")")
        return self.mark(cte, start)

    def _bracketed_query(self) -> n.Query:
        if self.query_follows() or self.token.key == "(":
            return self.query()
        raise self.unexpected("SELECT", "VALUES", "WITH")

    # Set operations

    def _union(self, left: exp.Expr) -> exp.Expr:
        left = self._crossed(left)
        while True:
            kind = self.take_any(("UNION", "EXCEPT"))
            if kind is None:
                break
            all_ = self.take_any(("ALL", "DISTINCT")) == "ALL"
            left = self._set(left, self._crossed(self._term()), kind, all_=all_)
        if self.token.key == "MINUS":
            raise SqlError("MINUS is not Flink SQL", span=self.token.span, hint="Write EXCEPT.")
        return left

    def _crossed(self, left: exp.Expr) -> exp.Expr:
        while self.take("INTERSECT"):
            all_ = self.take_any(("ALL", "DISTINCT")) == "ALL"
            left = self._set(left, self._term(), "INTERSECT", all_=all_)
        return left

    def _set(self, left: exp.Expr, right: exp.Expr, kind: str, *, all_: bool) -> exp.Expr:
        node = n.SetOperation(left=left, right=right, kind=kind, all=all_)
        return self.mark(node, n.span_of(left).start)

    def _term(self) -> exp.Expr:
        start = self.token.start
        if self.take("SELECT"):
            return self._select(start)
        if self.take("VALUES"):
            rows: list[exp.Expr] = self.listed(self._values_row)
            return self.mark(n.Values(expressions=rows), start)
        if self.token.key == "TABLE" and self._explicit_table(0):
            self.advance()
            return self.mark(n.TableReference(expressions=self.path("a table name")), start)
        if self.take("("):
            inner = self._bracketed_query()
            self.expect(")")
            return self.mark(inner, start)
        raise self.unexpected("SELECT", "VALUES", "WITH")

    def _values_row(self) -> exp.Expr:
        start = self.token.start
        row = self.expression()
        if isinstance(row, exp.Tuple):
            return row
        return self.mark(exp.Tuple(expressions=[row]), start)

    def _tail(self, query: n.Query, start: int) -> n.Query:
        if self.take("ORDER"):
            self.expect("BY")
            query.set("order", self.listed(self.sort_item))
        if self.take("LIMIT") and not self.take("ALL"):
            query.set("limit", self._count())
            if self.token.key == ",":
                raise SqlError(
                    "LIMIT takes one number", span=self.token.span, hint="Write LIMIT n OFFSET m."
                )
        if self.take("OFFSET"):
            query.set("offset", self._count())
            self.take_any(("ROW", "ROWS"))
        if self.token.key == "FETCH":
            if query.args.get("limit") is not None:
                raise SqlError("LIMIT and FETCH say the same twice", span=self.token.span)
            self.advance()
            if self.take_any(("FIRST", "NEXT")) is None:
                raise self.unexpected("FIRST", "NEXT")
            query.set("limit", self._count())
            if self.take_any(("ROW", "ROWS")) is None:
                raise self.unexpected("ROW", "ROWS")
            self.expect("ONLY")
        self.mark(query, start)
        return query

    def _count(self) -> exp.Expr:
        token = self.token
        if token.kind is not Kind.NUMBER or not token.value.isdigit():
            raise self.unexpected("a whole number")
        found = self.literal()
        assert found is not None
        return found

    # SELECT

    def _select(self, start: int) -> exp.Expr:
        select = n.Select()
        if self.token.kind is Kind.HINT:
            select.set("hints", self.hints())
        if self.take_any(("ALL", "DISTINCT")) == "DISTINCT":
            select.set("distinct", True)
        select.set("expressions", self.listed(self._select_item))
        if not self.take("FROM"):
            if self.token.key in _BEHIND_FROM:
                raise SqlError(
                    f"{self.token.key} needs a FROM in front of it", span=self.token.span
                )
            return self.mark(select, start)
        select.set("from_", self.relation())
        if self.take("WHERE"):
            select.set("where", self.expression())
        if self.token.key == "GROUP":
            select.set("group", self._group())
        if self.take("HAVING"):
            select.set("having", self.expression())
        if self.take("WINDOW"):
            select.set("windows", self.listed(self._named_window))
        if self.take("QUALIFY"):
            select.set("qualify", self.expression())
        return self.mark(select, start)

    def _select_item(self) -> exp.Expr:
        start = self.token.start
        if self.take("*"):
            return self.mark(exp.Star(), start)
        star = self._star_of()
        if star is not None:
            return star
        if self.token.key == "FROM":
            raise self.unexpected("an expression")
        node = self.expression()
        alias = self.alias("a column name")
        return node if alias is None else self.mark(exp.Alias(this=node, alias=alias), start)

    def _star_of(self) -> exp.Expr | None:
        ahead = 0
        while self.peek(ahead).kind in {Kind.WORD, Kind.QUOTED} and self.peek(ahead + 1).key == ".":
            if self.peek(ahead + 2).key == "*":
                start = self.token.start
                parts = self.path("a table name")
                self.expect(".", "*")
                return self.mark(n.StarOf(expressions=parts), start)
            ahead += 2
        return None

    def _named_window(self) -> exp.Expr:
        start = self.token.start
        name = self.identifier("a window name")
        self.expect("AS")
        return self.mark(exp.Alias(this=self.window_spec(), alias=name), start)

    def _group(self) -> exp.Expr:
        start = self.token.start
        self.expect("GROUP", "BY")
        distinct = self.take_any(("ALL", "DISTINCT")) == "DISTINCT"
        return self.mark(
            n.GroupBy(expressions=self.listed(self._group_item), distinct=distinct), start
        )

    def _group_item(self) -> exp.Expr:
        start = self.token.start
        if self.take("GROUPING", "SETS"):
            return self.mark(
                n.GroupingSet(kind="SETS", expressions=self.wrapped(self._group_item)), start
            )
        if self.token.key in {"CUBE", "ROLLUP"} and self.peek().key == "(":
            kind = self.advance().key
            return self.mark(
                n.GroupingSet(kind=kind, expressions=self.wrapped(self._group_item)), start
            )
        if self.take("(", ")"):
            return self.mark(n.GroupingSet(kind="LIST", expressions=[]), start)
        node = self.expression()
        if isinstance(node, exp.Tuple):
            return self.mark(n.GroupingSet(kind="LIST", expressions=node.expressions), start)
        return node


def parse_query(text: str) -> n.Query:
    """The one query that `text` is.

    Raises:
        SqlError: It is not a query of Flink SQL, or more follows.
    """
    parser = QueryParser(text, tokenize(text))
    with bounded(Span(0, len(text))):
        found = parser.query()
    parser.finish()
    return found


def parse_expression(text: str) -> exp.Expr:
    """The one expression that `text` is; raises as parse_query."""
    parser = QueryParser(text, tokenize(text))
    with bounded(Span(0, len(text))):
        found = parser.expression()
    parser.finish()
    return found
