"""Names that mean nothing, or nothing that may be read, found before or without binding.

A wrong GROUP BY leaves SELECT, HAVING and ORDER BY without groups; what they name that is nowhere
is wrong all the same, and told with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress

from sqlglot import expressions as exp

from flowsql.errors import FlowSQLError, Refusals, SqlError
from flowsql.expr import columns_read
from flowsql.logical.expressions import ExpressionBinder, aggregates_in, looks_beside
from flowsql.logical.scope import Scope
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of

__all__ = ["look_for_missing", "refuse_computed"]


def look_for_missing(
    nodes: Iterable[exp.Expr], binder: ExpressionBinder, refusals: Refusals
) -> None:
    """Add what the nodes name that does not exist; anything else in them is passed over.

    Args:
        nodes: of clauses; what reads a sub-query or a window is left alone.
        binder: of the columns that the clauses may read.
        refusals: where it is told.
    """
    for node in nodes:
        inner = node.args["this"] if isinstance(node, exp.Alias) else node
        if looks_beside(inner) or isinstance(inner, exp.Star | d.StarOf):
            continue
        calls = aggregates_in(inner)
        plain = (a for c in calls for a in c.arguments) if calls else (inner,)
        for part in plain:
            if isinstance(part, exp.Star | d.StarOf | d.NamedArgument):
                continue
            try:
                binder.bind(part)
            except SqlError as error:
                errors: tuple[FlowSQLError, ...] = (error, *error.more)
                error.more = ()
                for each in errors:
                    if each.message.endswith(" does not exist"):
                        refusals.add(each)


def refuse_computed(
    name: str, expression: exp.Expr, scope: Scope, computed: Collection[int]
) -> None:
    """Refuse to compute a column of a table from another computed one, as Flink does.

    It is looked for among the names as they are written: binding leaves out what is always NULL,
    which columns without a type are.

    Args:
        name: of the column.
        expression: as it is declared.
        scope: of the table's columns.
        computed: positions of those that are computed.

    Raises:
        SqlError: it reads one of them.
    """
    refusals = Refusals()
    for node in expression.find_all(d.ColumnReference):
        read = _column_of(node, scope)
        if read not in computed:
            continue
        other = scope.row.names[read]
        error = SqlError(
            f'computed column "{name}" cannot read computed column "{other}"',
            hint=f'Repeat the expression of "{other}".',
            span=span_of(node),
        )
        if other == name:
            error = SqlError(
                f'computed column "{name}" cannot read itself',
                hint="Give it another name than that of the column it reads.",
                span=span_of(node),
            )
        refusals.add(error)
    refusals.check()


def _column_of(node: d.ColumnReference, scope: Scope) -> int:
    """The column whose value or member the name means; -1 where it means none."""
    for cut in range(len(node.parts), 0, -1):
        with suppress(SqlError):
            return min(columns_read(scope.resolve(node.parts[:cut], None)), default=-1)
    return -1
