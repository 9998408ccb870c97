"""What stands behind FROM."""

from __future__ import annotations

from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.json_syntax import JsonParser
from flowsql.sql.keywords import RESERVED
from flowsql.sql.tokens import Kind

__all__ = ["RelationParser"]

_QUERY_WORDS = frozenset({"SELECT", "WITH", "VALUES"})
_SET_WORDS = frozenset(
    {"UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"}
)
_JOINS = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"})
_REFUSED = {
    "MATCH_RECOGNIZE": "MATCH_RECOGNIZE",
    "TABLESAMPLE": "TABLESAMPLE",
    "PIVOT": "PIVOT",
    "UNPIVOT": "UNPIVOT",
}
_INSTEAD = {
    "TABLESAMPLE": "WHERE RAND() < 0.1 takes about a tenth of rows that are only added.",
    "PIVOT": "SUM(x) FILTER (WHERE k = 'a') AS a is a column of it.",
    "UNPIVOT": "CROSS JOIN UNNEST(MAP['a', a, 'b', b]) AS u (k, v) has a row for each column.",
}


class RelationParser(JsonParser):
    """Tables, table functions, sub-queries and joins."""

    def query_rest(self, left: exp.Expr, start: int) -> n.Query:
        """The query that goes on behind its first, bracketed part."""
        raise NotImplementedError

    def relation(self) -> exp.Expr:
        """`a, b JOIN c ON … , d`: from the left, the comma no looser than JOIN, as in Flink."""
        start = self.token.start
        left = self._joined(self._primary_relation(), start)
        while self.take(","):
            right = self._primary_relation()
            left = self.mark(n.JoinRelation(left=left, right=right, kind="COMMA"), start)
            left = self._joined(left, start)
        return left

    def _joined(self, left: exp.Expr, start: int) -> exp.Expr:
        while self.token.key in _JOINS:
            left = self.mark(self._join(left), start)
        return left

    def _join(self, left: exp.Expr) -> exp.Expr:
        start = self.token.start
        natural = self.take("NATURAL")
        kind = self.take_any(("INNER", "LEFT", "RIGHT", "FULL", "CROSS")) or "INNER"
        if kind in {"LEFT", "RIGHT", "FULL"}:
            self.take("OUTER")
        self.expect("JOIN")
        words = self.since(start)
        node = n.JoinRelation(left=left, right=self._primary_relation(), kind=kind)
        if kind == "CROSS":
            if self.token.key in {"ON", "USING"}:
                raise SqlError(
                    "a CROSS JOIN has no condition", span=self.token.span, hint="Write JOIN … ON."
                )
            return node
        if natural:
            node.set("natural", True)
        elif self.take("ON"):
            node.set("on", self.expression())
        elif self.take("USING"):
            node.set("using", self.wrapped(lambda: self.identifier("a column name")))
        else:
            raise SqlError(
                f"{kind} join requires a condition",
                span=words,
                hint="Add ON … or USING (…), or write CROSS JOIN.",
            )
        return node

    def _primary_relation(self) -> exp.Expr:
        start = self.token.start
        lateral = self.take("LATERAL")
        node: exp.Expr
        if self.take("UNNEST"):
            node = n.UnnestRelation(expressions=self.wrapped(self.expression))
            node.set("ordinality", self.take("WITH", "ORDINALITY"))
        elif self.take("TABLE"):
            self.expect("(")
            node = n.TableFunction(this=self.call(), lateral=lateral)
            self.expect(")")
        elif self.token.key == "(":
            node = self._bracketed_relation(lateral=lateral)
            if isinstance(node, n.JoinRelation):
                return node
        elif self.token.key in _QUERY_WORDS:
            raise SqlError(
                "a sub-query must stand in brackets", span=self.token.span, hint="Write (SELECT …)."
            )
        elif self.token.kind is Kind.STRING and not lateral:
            span = self.token.span
            wrong = self.unexpected("a table name")
            wrong.hint = (
                "A file is read through a table: CREATE TABLE t (…) WITH ('connector' = 'filesystem', "
                f"'path' = {self.text[span.start : span.end]}, 'format' = '…')."
            )
            raise wrong
        elif lateral:
            raise self.unexpected("TABLE", "(", "UNNEST")
        elif self._table_function_follows():
            node = n.TableFunction(this=self.call(), lateral=False)
        else:
            node = n.TableReference(expressions=self.path("a table name"))
        if self.token.kind is Kind.HINT:
            if isinstance(node, n.UnnestRelation):
                raise self.refuse("a hint behind UNNEST")
            node.set("hints", self.hints())
        if isinstance(node, n.TableReference) and self.take("FOR"):
            self.expect("SYSTEM_TIME", "AS", "OF")
            node.set("period", self.operand())
        self._alias(node)
        return self.mark(node, start)

    def _table_function_follows(self) -> bool:
        ahead = 0
        while self.peek(ahead).kind in {Kind.WORD, Kind.QUOTED} and self.peek(ahead + 1).key == ".":
            ahead += 2
        token = self.peek(ahead)
        return (
            token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.key not in RESERVED)
        ) and self.peek(ahead + 1).key == "("

    def _bracketed_relation(self, *, lateral: bool) -> exp.Expr:
        start = self.token.start
        if self.query_follows(1):
            self.expect("(")
            node: exp.Expr = n.DerivedTable(this=self.query(), lateral=lateral)
            self.expect(")")
            return node
        self.expect("(")
        inner = self._joined(self._primary_relation(), self.token.start)
        bare = isinstance(inner, n.DerivedTable) and inner.args.get("alias") is None
        if bare and self.token.key in _SET_WORDS:
            # `((SELECT …) UNION …)`: what looked like a table in brackets was half a query.
            inner = n.DerivedTable(this=self.query_rest(inner.this, n.span_of(inner).start))
            inner.set("lateral", lateral)
        elif not bare and not isinstance(inner, n.JoinRelation):
            raise self.unexpected("JOIN")
        self.expect(")")
        return self.mark(inner, start)

    def _alias(self, node: exp.Expr) -> None:
        refused = _REFUSED.get(self.token.key)
        if refused and self.peek().key in {"(", "BERNOULLI", "SYSTEM", "INCLUDE", "EXCLUDE"}:
            raise self.refuse(refused, hint=_INSTEAD.get(refused))
        alias = self.alias("an alias")
        if alias is None:
            return
        node.set("alias", alias)
        if self.token.key == "(":
            node.set("columns", self.wrapped(lambda: self.identifier("a column name")))
        if _REFUSED.get(self.token.key) and self.peek().key == "(":
            refused = _REFUSED[self.token.key]
            raise self.refuse(refused, hint=_INSTEAD.get(refused))

    def alias(self, what: str) -> exp.Identifier | None:
        """`[AS] name`, if it comes."""
        if self.take("AS"):
            return self.identifier(what)
        token = self.token
        if token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.key not in RESERVED):
            if token.kind is Kind.WORD:
                self.loose = token
            return self.identifier(what)
        return None

    def hints(self) -> list[exp.Expr]:
        """`/*+ NAME('k' = 'v'), NAME(a, b) */`."""
        self.advance()
        found = self.listed(self._hint)
        self.expect("*/")
        return found

    def _hint(self) -> exp.Expr:
        start = self.token.start
        if self.token.kind is not Kind.WORD:
            raise self.unexpected("the name of a hint")
        hint = n.Hint(this=self.word(), options=[], values=[])
        places = hint.meta.setdefault("places", [])
        if self.take("("):
            while self.token.key != ")":
                if hint.args["options"] or hint.args["values"]:
                    self.expect(",")
                if self.token.kind not in {Kind.STRING, Kind.WORD, Kind.QUOTED, Kind.NUMBER}:
                    raise self.unexpected("an option")
                key = self.token
                text = self.advance().value
                while self.take("."):
                    text += "." + self.word().this
                if self.take("="):
                    value = self.token
                    pair = (text, self.string("the option's value in single quotes"))
                    hint.args["options"].append(pair)
                    places.append(key.span.to(value.span))
                else:
                    hint.args["values"].append(text)
            self.expect(")")
        return self.mark(hint, start)
