"""Bound expressions as SQL text, for errors and EXPLAIN."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.expr.nodes import Call, Case, Cast, Column, Expression, FieldAccess, Literal
from flowsql.expr.python_functions import PREFIX, label_of
from flowsql.expr.variant_binary import to_json
from flowsql.types import BitmapType, RowType, VarCharType, VariantType, moment_text
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
            if isinstance(value, int) and (moment := moment_text(data_type, value)) is not None:
                return moment
            if isinstance(data_type, VariantType) and isinstance(value, bytes):
                text = to_json(value).replace("'", "''")
                return f"PARSE_JSON('{text}')"
            if isinstance(value, bytes):
                text = f"X'{value.hex()}'"
                return f"BITMAP_FROM_BYTES({text})" if isinstance(data_type, BitmapType) else text
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
            if name == "ITEM":
                return f"{_operand(args[0])}[{render(args[1])}]"
            if name == "UNARY -":
                return f"-{_operand(args[0])}"
            if name == "NOT":
                return f"NOT {_operand(args[0])}"
            if name == "IN":
                return f"{_operand(args[0])} IN ({', '.join(map(render, args[1:]))})"
            if name in ("JSON_VALUE", "JSON_QUERY", "JSON_EXISTS"):
                return f"{name}({', '.join(map(render, args[:2]))}{_json_clauses(name, args)})"
            shown = label_of(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else name
            return f"{shown}({', '.join(map(render, args))})"
        case _:
            return type(node).__name__


def _json_clauses(name: str, args: Sequence[Expression]) -> str:
    """What stands behind the path, with words for arguments."""
    words = [str(a.value) if isinstance(a, Literal) else "" for a in args]
    match name, len(args):
        case "JSON_EXISTS", 3:
            return f" {words[2]} ON ERROR"
        case "JSON_QUERY", 6:
            kind = _json_type(args[2])
            return f"{kind} {words[3]} WRAPPER {words[4]} ON EMPTY {words[5]} ON ERROR"
        case "JSON_VALUE", 7:
            empty, error = (
                f"DEFAULT {render(args[i + 1])}" if words[i] == "DEFAULT" else words[i]
                for i in (3, 5)
            )
            return f"{_json_type(args[2])} {empty} ON EMPTY {error} ON ERROR"
        case _:
            return "".join(f", {render(a)}" for a in args[2:])


def _json_type(nothing: Expression) -> str:
    returned = nothing.type.with_nullable(True)
    return "" if returned == VarCharType() else f" RETURNING {returned}"


def _operand(node: Expression) -> str:
    text = render(node)
    compound = isinstance(node, Case) or (
        isinstance(node, Call) and (node.function in _INFIX or node.function in _POSTFIX)
    )
    return f"({text})" if compound else text
