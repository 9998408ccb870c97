"""`*` written out: a view has the columns that were there when it was created, as in Flink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowsql.errors import Span
from flowsql.expr import Column, Expression
from flowsql.expr.nodes import FieldAccess
from flowsql.logical.scope import Relation, Scope
from flowsql.types import RowType, quote_identifier

__all__ = ["Stars", "replaced", "written"]

# Where a star stands in the text of a query → what it stands for.
Stars = dict[Span, str]


def written(
    scope: Scope, qualifier: Sequence[str], columns: Sequence[Expression], labels: Sequence[str]
) -> str:
    """The columns of a star as they can be named instead.

    Args:
        scope: what the names mean.
        qualifier: what stands in front of the star.
        columns: that it stands for.
        labels: the names they are given.
    """
    merged = list(scope.merged.values()) if not qualifier else []
    items = []
    for at, (column, label) in enumerate(zip(columns, labels, strict=True)):
        if at < len(merged):
            name = list(scope.merged)[at]
            path: Sequence[str] = ()
        else:
            name = _name(column)
            path = qualifier or _path(scope, column)
        text = ".".join(map(quote_identifier, (*path, name)))
        items.append(text if label == name else f"{text} AS {quote_identifier(label)}")
    return ", ".join(items)


def replaced(text: str, start: int, stars: Mapping[Span, str]) -> str:
    """The text of a query, which begins at `start` of its script, with its stars written out."""
    for span in sorted(stars, key=lambda s: -s.start):
        text = text[: span.start - start] + stars[span] + text[span.end - start :]
    return text


def _name(column: Expression) -> str:
    if isinstance(column, FieldAccess) and isinstance(column.arg.type, RowType):
        return column.arg.type.names[column.index]
    assert isinstance(column, Column)
    return column.name


def _path(scope: Scope, column: Expression) -> Sequence[str]:
    """What a column is qualified by: as little as tells its relation from the others."""
    assert isinstance(column, Column)
    owner = next(r for r in scope.relations if r.start <= column.index < r.start + r.width)
    for length in range(1, len(owner.path) + 1):
        if _sole(scope.relations, owner.path[-length:]):
            return owner.path[-length:]
    return owner.path


def _sole(relations: Sequence[Relation], path: Sequence[str]) -> bool:
    return sum(r.answers_to(path) for r in relations) == 1
