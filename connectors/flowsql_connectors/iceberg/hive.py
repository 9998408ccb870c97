"""Hive's metastore: several threads may use it, and none waits for ever; imports the client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlparse

from pyiceberg.catalog.hive import HiveCatalog, _HiveClient
from pyiceberg.utils.properties import property_as_bool
from thrift.transport import TSocket, TTransport

__all__ = ["Metastore"]

# Milliseconds to be connected, or answered.
_PATIENCE: Final = 120_000


class Metastore(HiveCatalog):
    """The client's catalog, with a connection for each thread."""

    def __init__(self, name: str, **properties: str) -> None:
        self._local = threading.local()
        super().__init__(name, **properties)

    @property
    def _client(self) -> Any:
        found = getattr(self._local, "client", None)
        if found is None:
            found = self._local.client = self._create_hive_client(self.properties)
        return found

    @_client.setter
    def _client(self, client: Any) -> None:
        self._local.client = client

    @staticmethod
    def _create_hive_client(properties: dict[str, str]) -> Any:
        return _Connection(properties)


class _Connection(_HiveClient):
    """A connection, of one thread; of several servers the first that answers is used."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._uris = [uri.strip() for uri in properties["uri"].split(",")]
        super().__init__(
            self._uris[0],
            properties.get("ugi"),
            property_as_bool(dict(properties), "hive.kerberos-authentication", default=False),
            properties.get("hive.kerberos-service-name", "hive"),
        )

    def __enter__(self) -> Any:
        for uri in self._uris[:-1]:
            self._turn(uri)
            try:
                return super().__enter__()
            except TTransport.TTransportException:
                continue
        self._turn(self._uris[-1])
        return super().__enter__()

    def _turn(self, uri: str) -> None:
        """To another server, if it is one."""
        if uri != self._uri:
            self._uri = uri
            # A new connection is made only where there was one.
            self._was_opened = True

    def _init_thrift_transport(self) -> Any:
        if self._kerberos_auth:
            return super()._init_thrift_transport()
        where = urlparse(self._uri)
        plain = TSocket.TSocket(where.hostname, where.port)
        plain.setTimeout(_PATIENCE)
        return TTransport.TBufferedTransport(plain)
