"""The table that takes the bad records of another."""

from __future__ import annotations

from flowsql.catalog import Catalog, CatalogTable, CatalogView
from flowsql.connector import Role
from flowsql.errors import ConfigError, Span, SqlError
from flowsql.logical.table import BoundTable
from flowsql.logical.tables import Tables

__all__ = ["DEAD_LETTER_COLUMNS", "dead_letter_table"]

DEAD_LETTER_COLUMNS = {
    "table_name": "VARCHAR",
    "place": "VARCHAR",
    "record": "VARBINARY",
    "reason": "VARCHAR",
}


def dead_letter_table(
    bound: BoundTable, table: CatalogTable, catalog: Catalog, tables: Tables, span: Span | None
) -> BoundTable:
    """The table that option `scan.dead-letter.table` of a scanned table names.

    Args:
        bound: the scanned table.
        table: its declaration; its catalog and database are those of an unqualified name.
        catalog: knows the tables.
        tables: binds them.
        span: where the statement names the scanned table.

    Raises:
        ConfigError: there is no such table, or it cannot take bad records.
    """
    name = str(bound.settings.options["scan.dead-letter.table"])

    def wrong(message: str, *, detail: str | None = None, cure: str = "") -> ConfigError:
        error = ConfigError(
            f'dead-letter table "{name}" {message}',
            detail=detail,
            hint=f"{cure}It needs the columns table_name STRING, place STRING, record BYTES, "
            "reason STRING, in this order.",
            span=span,
            option="scan.dead-letter.table",
        )
        return bound.settings.places.mark(error)

    try:
        target = catalog.find(name.split("."), span, (table.path.catalog, table.path.database))
    except SqlError as error:
        raise wrong("does not exist", cure=f"{error.hint} " if error.hint else "") from None
    if isinstance(target, CatalogView):
        raise wrong("is a view")
    letters = tables.bind(target, role=Role.SINK, span=span)
    shape = {letters.columns[i].name: letters.columns[i].type.root for i in letters.sink_columns}
    if list(shape.items()) != list(DEAD_LETTER_COLUMNS.items()):
        has = ", ".join(f"{c.name} {c.type.with_nullable(nullable=True)}" for c in letters.columns)
        raise wrong("has other columns than bad records have", detail=f"It has {has}.")
    return letters
