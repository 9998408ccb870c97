"""What the calls of table functions share: `f(TABLE t PARTITION BY k, DESCRIPTOR(c), name => value)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError, nearest
from flowsql.logical.plan import LogicalPlan
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import RowType

__all__ = [
    "InputTable",
    "TableBinder",
    "column_named",
    "input_table",
    "named_arguments",
    "one_column",
]

TableBinder = Callable[[exp.Expr], LogicalPlan]
"""Binds a table reference or a query that is an argument."""


def named_arguments(
    call: d.FunctionCall, names: Sequence[str], usage: str, *, exact: bool = False
) -> dict[str, exp.Expr]:
    """The arguments that are given, by name.

    Args:
        call: the call; arguments stand by position, in the order of `names`, or by name.
        names: of all arguments.
        usage: how to call the function, a hint.
        exact: names must be written as they are, upper case and lower case differ.

    Raises:
        SqlError: an argument is unknown or given twice, or there are too many.
    """
    given: dict[str, exp.Expr] = {}
    known = {n if exact else n.upper(): n for n in names}
    for i, argument in enumerate(call.arguments):
        if isinstance(argument, d.NamedArgument):
            word, value = argument.args["this"], argument.args["expression"]
            name = word.this if exact else word.this.upper()
            if name not in known:
                near = nearest(name, names)
                raise SqlError(
                    f'{call.function} has no argument "{name}"',
                    hint=f'Did you mean "{near}"?' if near else f"It has {', '.join(names)}.",
                    span=span_of(argument),
                )
            name = known[name]
        else:
            if i >= len(names):
                raise SqlError(
                    f"{call.function} takes at most {len(names)} arguments",
                    hint=usage,
                    span=span_of(argument),
                )
            name, value = names[i], argument
        if name in given:
            raise SqlError(f'argument "{name}" is given twice', span=span_of(argument))
        given[name] = value
    return {n: v for n, v in given.items() if not isinstance(v, d.DefaultArgument)}


@dataclass(frozen=True, slots=True)
class InputTable:
    """A table argument.

    Attributes:
        plan: the table.
        partition: its columns behind PARTITION BY.
        order: the items behind ORDER BY, not bound.
        span: where it is written.
    """

    plan: LogicalPlan
    partition: tuple[int, ...]
    order: tuple[d.SortItem, ...]
    span: Span


def input_table(
    node: exp.Expr, function: str, name: str, table: TableBinder, usage: str
) -> InputTable:
    """The table of an argument: `TABLE t [PARTITION BY …] [ORDER BY …]` or a query in brackets.

    Raises:
        SqlError: it is no table, or PARTITION BY names what is no column of it.
    """
    span = span_of(node)
    if isinstance(node, exp.Subquery):
        return InputTable(table(node.args["this"]), (), (), span)
    if not isinstance(node, d.TableArgument):
        raise SqlError(f'argument "{name}" of {function} must be a table', hint=usage, span=span)
    plan = table(node.args["this"])
    partition: list[int] = []
    for item in node.args.get("partition") or ():
        if not isinstance(item, d.ColumnReference) or len(item.parts) != 1:
            raise SqlError(
                f"PARTITION BY of {function} takes columns of its table",
                hint="Compute it in a sub-query: (SELECT …) PARTITION BY k.",
                span=span_of(item),
            )
        column = column_named(item.parts[0], plan.schema, function, span_of(item))
        if column not in partition:
            partition.append(column)
    return InputTable(plan, tuple(partition), tuple(node.args.get("order") or ()), span)


def column_named(name: str, row: RowType, function: str, span: Span) -> int:
    """The position of a column of a function's table.

    Raises:
        SqlError: there is none of that name.
    """
    if name not in row.names:
        near = nearest(name, row.names)
        columns = ", ".join(f'"{n}"' for n in row.names)
        raise SqlError(
            f'column "{name}" does not exist',
            hint=f'Did you mean "{near}"?' if near else f"The table of {function} has {columns}.",
            span=span,
        )
    return row.index(name)


def one_column(node: exp.Expr, what: str, usage: str) -> exp.Identifier:
    """The name in a DESCRIPTOR of one column; `what` says what the argument is.

    Raises:
        SqlError: it is something else.
    """
    if isinstance(node, d.Descriptor) and len(node.args["expressions"]) == 1:
        name: exp.Identifier = node.args["expressions"][0]
        return name
    raise SqlError(f"{what} must be a DESCRIPTOR of one column", hint=usage, span=span_of(node))
