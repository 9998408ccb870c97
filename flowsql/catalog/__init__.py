"""What has a name: catalogs, databases, tables and views, as they were declared."""

from __future__ import annotations

from flowsql.catalog.catalog import Catalog
from flowsql.catalog.declare import declare_table, declare_view
from flowsql.catalog.objects import (
    CatalogColumn,
    CatalogTable,
    CatalogView,
    ColumnKind,
    ObjectPath,
    WatermarkClause,
)
from flowsql.catalog.show import show_create_table, show_create_view

__all__ = [
    "Catalog",
    "CatalogColumn",
    "CatalogTable",
    "CatalogView",
    "ColumnKind",
    "ObjectPath",
    "WatermarkClause",
    "declare_table",
    "declare_view",
    "show_create_table",
    "show_create_view",
]
