"""What has a name: catalogs, databases, tables and views, as they were declared."""

from __future__ import annotations

from flowsql.catalog.alter import altered, changed_options, named_columns
from flowsql.catalog.catalog import Catalog, OpenedCatalog
from flowsql.catalog.declare import declare_table, declare_view, given_options
from flowsql.catalog.derive import declare_as, declare_like, restated_view
from flowsql.catalog.functions import UserFunctions
from flowsql.catalog.objects import (
    CatalogColumn,
    CatalogTable,
    CatalogView,
    ColumnKind,
    Database,
    ObjectPath,
    UserFunction,
    WatermarkClause,
)
from flowsql.catalog.show import (
    show_create_catalog,
    show_create_database,
    show_create_function,
    show_create_table,
    show_create_view,
)
from flowsql.catalog.store import CatalogObject, MemoryStore, ShadowStore, Store
from flowsql.catalog.typed import shown_as_typed

__all__ = [
    "Catalog",
    "CatalogColumn",
    "CatalogObject",
    "CatalogTable",
    "CatalogView",
    "ColumnKind",
    "Database",
    "MemoryStore",
    "ObjectPath",
    "OpenedCatalog",
    "ShadowStore",
    "Store",
    "UserFunction",
    "UserFunctions",
    "WatermarkClause",
    "altered",
    "changed_options",
    "declare_as",
    "declare_like",
    "declare_table",
    "declare_view",
    "given_options",
    "named_columns",
    "restated_view",
    "show_create_catalog",
    "show_create_database",
    "show_create_function",
    "show_create_table",
    "show_create_view",
    "shown_as_typed",
]
