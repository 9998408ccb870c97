"""Which chunk a row of the log is in, where only the server can compare its key."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from flowsql.errors import InternalError
from flowsql_connectors.postgres_cdc.server.connections import Server
from flowsql_connectors.postgres_cdc.snapshot.chunks import ChunkKey, places_of

__all__ = ["KeyJudge"]


class KeyJudge:
    """Places keys among bounds as the server orders them.

    Args:
        server: asked for keys that cannot be compared here; its statements reconnect as others do.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def places(
        self, key: ChunkKey, text: pa.StringArray, lows: Sequence[str]
    ) -> npt.NDArray[np.intp]:
        """Which chunk each row is in; see `places_of`. Raises ConnectorError."""
        if not key.by_server:
            return places_of(key, text, lows)
        keys = text.dictionary_encode()
        found = self._asked(key, keys.dictionary.to_pylist(), list(lows))
        return found[keys.indices.to_numpy()]

    def _asked(self, key: ChunkKey, texts: list[str], lows: list[str]) -> npt.NDArray[np.intp]:
        kind = sql.SQL(key.column.declared)
        collation = key.column.collation
        query = sql.SQL(
            "SELECT width_bucket(k::{kind}{collate}, %s::text[]::{kind}[])"
            " FROM unnest(%s::text[]) WITH ORDINALITY u(k, n) ORDER BY n"
        ).format(
            kind=kind,
            collate=sql.SQL("" if collation is None else f" COLLATE {collation}"),
        )
        with contextlib.closing(self._server.connect()) as connection:
            rows = self._server.rows(connection, query, lows, texts)
        if len(rows) != len(texts):
            raise InternalError("the server did not place all keys among the bounds of chunks")
        return np.fromiter((place for (place,) in rows), np.intp, len(rows))
