"""Catalogs, connected, and tables in them.

The client library is loaded by the first function that is called. A catalog is opened once a
process and settings; a table is loaded anew whenever it is asked for.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Final

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.address import CatalogAddress, catalog_address, table_identifier
from flowsql_connectors.iceberg.telling import missing, telling

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["load_table", "open_catalog"]

# Local files are durable when they are closed.
_FILE_IO: Final = "flowsql_connectors.iceberg.storage.DurableFileIO"
_SILENT: Final = logging.NullHandler()


def open_catalog(address: CatalogAddress, *, make: bool = False) -> Catalog:
    """The catalog, connected.

    Args:
        address: where it is.
        make: an SQLite file that is not there is made, with its folder.

    Raises:
        ConnectorError: it cannot be reached, or a package is missing.
    """
    key = (address.name, address.kind, tuple(sorted(address.properties.items())))
    if address.file is not None and not address.file.exists():
        with _lock:
            gone = _opened.pop(key, None)
        if gone is not None:
            gone.close()
        if not make:
            raise ConnectorError(
                f'catalog "{address.name}" does not exist: there is no file "{address.file}"',
                hint="The first CREATE TABLE in it, or INSERT into a table of it, makes the file.",
            )
        with telling(address):
            address.file.parent.mkdir(parents=True, exist_ok=True)
    with _lock:
        known = _opened.get(key)
    if known is not None:
        return known
    with telling(address):
        opened = _connect(address)
    with _lock:
        return _opened.setdefault(key, opened)


_opened: dict[tuple[object, ...], Catalog] = {}
_lock = threading.Lock()


@atexit.register
def _close() -> None:
    """Let go of all connections."""
    for catalog in _opened.values():
        with contextlib.suppress(Exception):
            catalog.close()


def load_table(table: ConnectorTable, *, make: bool = False) -> Table:
    """The table as it is now.

    Args:
        table: declared by its options.
        make: as in `open_catalog`.

    Raises:
        ConnectorError: the catalog cannot be reached, or has no such table; the hint has the
            nearest name.
    """
    address = catalog_address(table.options)
    catalog = open_catalog(address, make=make)
    with telling(address, catalog, table_identifier(table)):
        return catalog.load_table(table_identifier(table))


def _connect(address: CatalogAddress) -> Catalog:
    from pyiceberg.exceptions import NotInstalledError  # noqa: PLC0415 - the client

    from flowsql_connectors.iceberg.clients import opened  # noqa: PLC0415 - the client

    # Its tries are the job's to tell, in the job's lines; a program that listens hears it all the same.
    logging.getLogger("pyiceberg").addHandler(_SILENT)
    try:
        return opened(address.name, address.kind, {**address.properties, "py-io-impl": _FILE_IO})
    except NotInstalledError as error:
        raise missing(address, error) from None
