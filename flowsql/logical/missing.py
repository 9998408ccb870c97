"""Names that do not exist, in clauses that cannot be bound for another reason.

A wrong GROUP BY leaves SELECT, HAVING and ORDER BY without groups; what they name that is nowhere
is wrong all the same, and told with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import expressions as exp

from flowsql.errors import FlowSQLError, Refusals, SqlError
from flowsql.logical.expressions import ExpressionBinder, aggregates_in, looks_beside
from flowsql.sql import dialect as d

__all__ = ["look_for_missing"]


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
