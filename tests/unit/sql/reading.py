"""What the tests of sql/ share: an AST in one line, and an error as a user reads it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.sql import parse_expression, parse_query, parse_script


def show(node: Any) -> str:
    """A node as `Class(argument, key=argument)`, names and literals as written."""
    if isinstance(node, list | tuple):
        return "[" + ", ".join(map(show, node)) + "]"
    if isinstance(node, exp.Identifier):
        return f"`{node.this}`" if node.args["quoted"] else node.this
    if isinstance(node, exp.Literal):
        return repr(node.this) if node.args["is_string"] else node.this
    if not isinstance(node, exp.Expr):
        return str(node)
    name = type(node).__name__
    if name == "ColumnReference":
        return ".".join(map(show, node.expressions))
    if name == "Star":
        return "*"
    if name == "StarOf":
        return ".".join(map(show, node.expressions)) + ".*"
    if name == "Symbol":
        return node.this
    if name == "FunctionCall":
        rest = {k: v for k, v in node.args.items() if k not in {"this", "expressions"}}
        return f"{node.this.this}({_arguments([*node.expressions], rest)})"
    if name == "TableReference":
        rest = {k: v for k, v in node.args.items() if k != "expressions"}
        more = _arguments([], rest)
        return ".".join(map(show, node.expressions)) + (f"[{more}]" if more else "")
    rest = {k: v for k, v in node.args.items() if k not in {"this", "expression", "expressions"}}
    plain = [node.args[k] for k in ("this", "expression") if node.args.get(k) is not None]
    plain += node.args.get("expressions") or []
    return f"{name}({_arguments(plain, rest)})"


def _arguments(plain: list[Any], rest: dict[str, Any]) -> str:
    given = {
        k: v
        for k, v in rest.items()
        if v is not None and v is not False and v != [] and not k.endswith("_text")
    }
    named = [f"{k}={show(v)}" for k, v in given.items()]
    return ", ".join([*map(show, plain), *named])


def expression(text: str) -> str:
    """The expression `text` in one line."""
    return show(parse_expression(text))


def query(text: str) -> str:
    """The query `text` in one line."""
    return show(parse_query(text))


def error(text: str) -> str:
    """What the user reads when a script is refused."""
    with pytest.raises(SqlError) as caught:
        parse_script(text)
    assert caught.value.span is not None
    return str(caught.value.with_sql(text))
