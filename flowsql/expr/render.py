"""Bound expressions as SQL text, for errors and EXPLAIN."""

from __future__ import annotations

from flowsql.expr.nodes import Call, Case, Cast, Column, Expression, FieldAccess, Literal
from flowsql.expr.python_functions import PREFIX, label_of
from flowsql.types import RowType
from flowsql.types.common import is_character

__all__ = ["render"]

_INFIX = frozenset(
    ("+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=", "||", "AND", "OR", "LIKE",
     "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "SIMILAR TO")
)  # fmt: skip
_POSTFIX = frozenset(
    ("IS NULL", "IS NOT NULL", "IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE",
     "IS UNKNOWN", "IS NOT UNKNOWN")
)  # fmt: skip


def render(node: Expression) -> str:
    """One line of SQL; implicit casts are shown as casts."""
    match node:
        case Column(name=name):
            return name
        case Literal(value=value, type=data_type):
            if value is None:
                return "NULL"
            if is_character(data_type):
                return "'" + str(value).replace("'", "''") + "'"
            return str(value).upper() if isinstance(value, bool) else str(value)
        case Cast(arg=arg, type=data_type, safe=safe):
            text = str(data_type.with_nullable(True))
            return f"{'TRY_CAST' if safe else 'CAST'}({render(arg)} AS {text})"
        case Case(conditions=conditions, results=results):
            branches = "".join(
                f" WHEN {render(c)} THEN {render(r)}"
                for c, r in zip(conditions, results[:-1], strict=True)
            )
            return f"CASE{branches} ELSE {render(results[-1])} END"
        case FieldAccess(arg=arg, index=index):
            row = arg.type
            assert isinstance(row, RowType)
            return f"{_operand(arg)}.{row.fields[index].name}"
        case Call(function=name, args=args):
            if name in _INFIX and len(args) > 1:
                return f" {name} ".join(_operand(a) for a in args)
            if name in _POSTFIX:
                return f"{_operand(args[0])} {name}"
            if name == "UNARY -":
                return f"-{_operand(args[0])}"
            if name == "NOT":
                return f"NOT {_operand(args[0])}"
            if name == "IN":
                return f"{_operand(args[0])} IN ({', '.join(map(render, args[1:]))})"
            shown = label_of(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else name
            return f"{shown}({', '.join(map(render, args))})"
        case _:
            return type(node).__name__


def _operand(node: Expression) -> str:
    text = render(node)
    compound = isinstance(node, Case) or (
        isinstance(node, Call) and (node.function in _INFIX or node.function in _POSTFIX)
    )
    return f"({text})" if compound else text
