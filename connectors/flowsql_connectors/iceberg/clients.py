"""The client's catalogs, made fit for jobs that run for weeks; imports the client.

| catalog | what is added |
| --- | --- |
| REST | a server that does not answer is given up at last; what was never sent is sent again |
| Hive | see `hive` |
| SQL | a connection that the server has closed is noticed before it is used |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pyiceberg.catalog import AVAILABLE_CATALOGS, Catalog, CatalogType, MetastoreCatalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NotInstalledError
from pyiceberg.typedef import Identifier
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

__all__ = ["opened", "purge"]

# Seconds: to be connected, and to be answered (a commit to a table of many snapshots takes long).
_CONNECTED: Final = 10.0
_ANSWERED: Final = 120.0
_READING: Final = frozenset({"GET", "HEAD"})
_BUSY: Final = (429, 503)


def opened(name: str, kind: str, properties: Mapping[str, str]) -> Catalog:
    """The catalog, connected.

    Args:
        name: its name.
        kind: `sql`, `rest`, `hive` or `glue`.
        properties: for the client.

    Raises:
        NotInstalledError: a package that the kind needs is missing.
        Exception: whatever the client raises where the server cannot be used.
    """
    given = dict(properties)
    if kind == "rest":
        return _RestCatalog(name, **given)
    if kind == "sql":
        given.setdefault("pool_pre_ping", "true")
    if kind == "hive":
        try:
            from flowsql_connectors.iceberg.hive import Metastore  # noqa: PLC0415 - needs thrift
        except ImportError as error:
            raise NotInstalledError(error.msg) from None
        return Metastore(name, **given)
    # Not by `load_catalog`: it would mix in what stands in files and variables of the user's.
    return AVAILABLE_CATALOGS[CatalogType(kind)](name, given)


def purge(catalog: Catalog, identifier: Identifier) -> None:
    """Drop a table with its files, as far as its snapshots name them."""
    if isinstance(catalog, MetastoreCatalog):
        # What all of them inherit; that of Hive says that it is not implemented.
        MetastoreCatalog.purge_table(catalog, identifier)
    else:
        catalog.purge_table(identifier)


class _Patient(HTTPAdapter):
    """Waits for an answer, but not for ever."""

    def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
        if more.get("timeout") is None:
            more["timeout"] = (_CONNECTED, _ANSWERED)
        return super().send(request, *args, **more)


class _RestCatalog(RestCatalog):
    """REST."""

    def _create_session(self) -> Session:
        made = super()._create_session()
        # A request that was not sent may be sent again; one that was sent, if it only reads.
        again = Retry(
            total=4,
            backoff_factor=0.2,
            allowed_methods=_READING,
            status_forcelist=_BUSY,
            raise_on_status=False,
        )
        for prefix in ("https://", "http://"):
            made.mount(prefix, _Patient(max_retries=again))
        return made
