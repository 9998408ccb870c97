"""ORDER BY: which columns a result is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import expressions as exp

from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import Expression
from flowsql.logical.plan_rows import SortKey
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import ArrayType, DataType, MapType, MultisetType
from flowsql.types.common import is_unordered

__all__ = ["Ordering", "check_order", "sort_key"]


class Ordering:
    """Finds the sort columns among those of a SELECT, or adds them behind.

    Attributes:
        columns: those of SELECT, then those that only ORDER BY reads.
        labels: their names.
    """

    def __init__(
        self,
        columns: Sequence[Expression],
        labels: Sequence[str],
        bind: Callable[[exp.Expr], Expression] | None,
        *,
        distinct: bool = False,
    ) -> None:
        self.columns = list(columns)
        self.labels = list(labels)
        self._shown = len(columns)
        self._bind = bind
        self._distinct = distinct

    def keys(self, items: Sequence[d.SortItem]) -> tuple[SortKey, ...]:
        """The sort keys; NULLs come first ascending and last descending, as in Flink.

        Raises:
            SqlError: there is no such column, or its type has no order.
        """
        keys: list[SortKey] = []
        refusals = Refusals()
        for item in items:
            with refusals.part():
                key = self._key(item)
                if all(k.column != key.column for k in keys):
                    keys.append(key)
        refusals.check()
        return tuple(keys)

    def _key(self, item: d.SortItem) -> SortKey:
        key = sort_key(item, self._column(item.args["this"]))
        kind = self.columns[key.column].type
        check_order(kind, span_of(item))
        return key

    def _column(self, node: exp.Expr) -> int:
        span = span_of(node)
        if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit():
            at = int(node.this)
            if not 1 <= at <= self._shown:
                raise SqlError(
                    f"ORDER BY {at} names no column of SELECT, which has {self._shown}", span=span
                )
            return at - 1
        if isinstance(node, d.ColumnReference) and len(node.parts) == 1:
            name = node.parts[0]
            found = [i for i, label in enumerate(self.labels[: self._shown]) if label == name]
            if len(found) > 1 and len({self.columns[i] for i in found}) > 1:
                raise SqlError(f'column "{name}" is ambiguous', span=span)
            if found:
                return found[0]
        if self._bind is None:
            raise SqlError(
                "ORDER BY behind UNION, INTERSECT, EXCEPT or VALUES can only name columns of the result",
                hint=f"It has: {', '.join(self.labels)}.",
                span=span,
            )
        bound = self._bind(node)
        if bound in self.columns:
            return self.columns.index(bound)
        if self._distinct:
            raise SqlError(
                "ORDER BY of a SELECT DISTINCT can only name its columns",
                hint="Add the expression to SELECT.",
                span=span,
            )
        self.columns.append(bound)
        self.labels.append(f"sort{len(self.columns)}")
        return len(self.columns) - 1


def check_order(kind: DataType, span: Span | None) -> None:
    """Refuses to sort by values that have no order."""
    if isinstance(kind, ArrayType | MapType | MultisetType) or is_unordered(kind):
        raise SqlError(f"values of type {kind.with_nullable(True)} have no order", span=span)


def sort_key(item: exp.Expr, column: int) -> SortKey:
    """The key that an item of ORDER BY is, over that column."""
    descending = bool(item.args.get("desc"))
    nulls_first = item.args.get("nulls_first")
    return SortKey(column, descending, not descending if nulls_first is None else nulls_first)
