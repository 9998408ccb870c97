"""The JSON functions of the SQL standard, whose arguments go on with clauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import expressions as exp

from flowsql.sql.dialect import nodes as n
from flowsql.sql.dialect.syntax import SyntaxParser

__all__ = ["JsonParser"]


class JsonParser(SyntaxParser):
    """JSON_EXISTS, JSON_VALUE, JSON_QUERY, JSON_OBJECT, JSON_ARRAY and their aggregates."""

    def _json_path(self) -> exp.Expr:
        """`JSON_…(input, path clause …)`."""
        start = self.token.start
        name = self.begin()
        arguments = [self.expression()]
        self.expect(",")
        arguments.append(self.expression())
        clauses: list[exp.Expr] = []
        while self.token.key != ")":
            clauses.append(self._path_clause(name.this.upper()))
        return self._call_with(name, arguments, clauses, start)

    def _path_clause(self, function: str) -> exp.Expr:
        start = self.token.start
        if function != "JSON_EXISTS" and self.take("RETURNING"):
            return self.mark(
                n.JsonClause(kind="RETURNING", this=self.data_type(nullability=False)), start
            )
        if function == "JSON_QUERY" and self.token.key in {"WITH", "WITHOUT"}:
            text = "WITHOUT" if self.advance().key == "WITHOUT" else "UNCONDITIONAL"
            if text != "WITHOUT":
                text = self.take_any(("CONDITIONAL", "UNCONDITIONAL")) or text
            self.take("ARRAY")
            self.expect("WRAPPER")
            return self.mark(n.JsonClause(kind="WRAPPER", this=text), start)
        this: str | exp.Expr
        words = _ON[function]
        word = self.take_any(words)
        if word is None:
            raise self.unexpected(")", *words)
        if word == "DEFAULT":
            this = self.expression()
        elif word == "EMPTY":
            what = self.take_any(("ARRAY", "OBJECT"))
            if what is None:
                raise self.unexpected("ARRAY", "OBJECT")
            this = f"EMPTY {what}"
        else:
            this = word
        self.expect("ON")
        when = self.take_any(("ERROR",) if function == "JSON_EXISTS" else ("EMPTY", "ERROR"))
        if when is None:
            raise self.unexpected("EMPTY", "ERROR")
        return self.mark(n.JsonClause(kind=f"ON {when}", this=this), start)

    def _json_object(self) -> exp.Expr:
        """`JSON_OBJECT([KEY] k VALUE v, … clause)`."""
        start = self.token.start
        name = self.begin()
        arguments: list[exp.Expr] = []
        if self.token.key != ")" and not self._on_null_comes():
            self._pair(arguments)
            while self.take(","):
                self._pair(arguments)
        return self._call_with(name, arguments, self._on_null(), start)

    def _pair(self, arguments: list[exp.Expr]) -> None:
        if self.token.key == "KEY" and self.peek().key not in {"VALUE", ":", ",", ")", "."}:
            self.advance()
        arguments.append(self.expression())
        if self.take_any(("VALUE", ":")) is None:
            raise self.unexpected("VALUE")
        arguments.append(self.expression())

    def _json_array(self) -> exp.Expr:
        """`JSON_ARRAY(v, … clause)`, `JSON_ARRAYAGG(v ORDER BY o clause)`."""
        start = self.token.start
        name = self.begin()
        arguments: list[exp.Expr] = []
        order: list[exp.Expr] = []
        if self.token.key != ")" and not self._on_null_comes():
            arguments = self.listed(self.expression)
            if self.take("ORDER", "BY"):
                order = self.listed(self.sort_item)
        node = self._call_with(name, arguments, self._on_null(), start)
        if order:
            node.set("order", order)
        return node

    def _on_null_comes(self) -> bool:
        return self.goes_on("NULL", "ON") or self.goes_on("ABSENT", "ON")

    def _on_null(self) -> list[exp.Expr]:
        start = self.token.start
        if not self._on_null_comes():
            return []
        text = self.advance().key
        self.expect("ON", "NULL")
        return [self.mark(n.JsonClause(kind="ON NULL", this=text), start)]

    def _call_with(
        self, name: exp.Expr, arguments: list[exp.Expr], clauses: list[exp.Expr], start: int
    ) -> exp.Expr:
        self.expect(")")
        call = n.FunctionCall(this=name, expressions=arguments, clauses=clauses)
        return self.behind(call, start)

    readers: ClassVar[dict[str, tuple[str | None, Callable[..., exp.Expr]]]] = {
        **SyntaxParser.readers,
        "JSON_ARRAY": ("(", _json_array),
        "JSON_ARRAYAGG": ("(", _json_array),
        "JSON_EXISTS": ("(", _json_path),
        "JSON_OBJECT": ("(", _json_object),
        "JSON_OBJECTAGG": ("(", _json_object),
        "JSON_QUERY": ("(", _json_path),
        "JSON_VALUE": ("(", _json_path),
    }


_ON = {
    "JSON_EXISTS": ("TRUE", "FALSE", "UNKNOWN", "ERROR"),
    "JSON_QUERY": ("NULL", "ERROR", "EMPTY"),
    "JSON_VALUE": ("NULL", "ERROR", "DEFAULT"),
}
