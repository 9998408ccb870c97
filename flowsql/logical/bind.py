"""The binder's face: what a session asks of `logical/`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlglot import expressions as exp

from flowsql.catalog import Catalog, CatalogTable, CatalogView
from flowsql.config import Option
from flowsql.connector import Connector
from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import Expression
from flowsql.logical.expressions import CURRENT_DATABASE, ExpressionBinder
from flowsql.logical.inserts import bind_insert
from flowsql.logical.plan import Insert, LogicalPlan
from flowsql.logical.queries import QueryBinder, rename, unique_names
from flowsql.logical.scope import Relation, Scope
from flowsql.logical.settings import PlanSettings
from flowsql.logical.stars import Stars, replaced
from flowsql.logical.table import BoundTable
from flowsql.logical.tables import Tables
from flowsql.sql import dialect as d
from flowsql.sql import statements as s
from flowsql.types import RowType

__all__ = ["Binder"]

# A chain of a thousand operators is as many levels deep, each of them of a few frames.
_DEEPEST = 6000


@contextmanager
def _binding(catalog: Catalog, span: Span | None = None) -> Iterator[None]:
    """What goes for a whole statement: the current database, and how deep it may be nested."""
    before = CURRENT_DATABASE.set(catalog.current_database)
    # Never lowered again: what was bound is as deep, and is walked wherever it runs.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEPEST))
    try:
        yield
    except RecursionError:
        raise SqlError(
            "the statement is nested too deeply",
            hint="Split it with views or sub-queries.",
            span=span,
        ) from None
    finally:
        CURRENT_DATABASE.reset(before)


class Binder:
    """Binds statements against a catalog.

    Args:
        catalog: names.
        find_connector: the connector of a name; raises ConfigError naming the nearest.
        format_options: the options of the format of a name; raises ConfigError.
        settings: what of the session's settings matters.
    """

    def __init__(
        self,
        catalog: Catalog,
        find_connector: Callable[[str], Connector],
        format_options: Callable[[str], Sequence[Option]],
        settings: PlanSettings | None = None,
    ) -> None:
        self.catalog = catalog
        self.settings = settings or PlanSettings()
        self.tables = Tables(find_connector, format_options, self.settings)
        self._queries = QueryBinder(catalog, self.tables)

    def query(self, query: d.Query) -> LogicalPlan:
        """The plan of a query; column names that repeat get digits behind, as in Flink.

        Raises:
            SqlError: the query is wrong, or says something that is not supported yet.
            ConfigError: a table of it has a wrong option.
        """
        with _binding(self.catalog, d.span_of(query)):
            plan = self._queries.query(query, outermost=True)
            return rename(plan, unique_names(plan.schema.names))

    def insert(self, statement: s.Insert) -> Insert:
        """The plan of an INSERT; raises as `query`."""
        with _binding(self.catalog, d.span_of(statement.query)):
            return bind_insert(statement, self._queries)

    def inserts(self, statements: Sequence[s.Insert]) -> list[Insert]:
        """The plans of the INSERTs of a statement set; raises as `query`, of all of them."""
        refusals = Refusals()
        plans: list[Insert] = []
        for statement in statements:
            with refusals.part():
                plans.append(self.insert(statement))
        refusals.check()
        return plans

    def expression(self, node: exp.Expr, row: RowType, name: str = "") -> Expression:
        """An expression over the columns of `row`, which `name` may qualify."""
        path = (name,) if name else ()
        scope = Scope(row, (Relation(path, 0, len(row.fields)),))
        return ExpressionBinder(scope, "an expression").bind(node)

    def table(self, table: CatalogTable) -> BoundTable:
        """A declared table, checked as far as it can be without a use: for CREATE TABLE."""
        return self.tables.bind(table)

    def view(self, view: CatalogView) -> RowType:
        """The schema of a view, its query checked: for DESCRIBE."""
        return self._queries.view(view).schema

    def written_out(self, view: CatalogView) -> str:
        """The text of a view's query with columns for every `*`, its query checked."""
        stars: Stars = {}
        self._queries.view(view, stars)
        return replaced(view.text, d.span_of(view.query).start, stars)
