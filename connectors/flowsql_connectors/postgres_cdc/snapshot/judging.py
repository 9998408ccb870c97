"""Which chunk a row of the log is in, where only the server can compare its key."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from flowsql.errors import InternalError
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.snapshot.chunks import ChunkKey, places_of

__all__ = ["KeyJudge"]

# A value has 1 GB at most in the server, and its statement's copies of it are held here too.
_ASKED_BYTES: Final = 16 << 20


class KeyJudge:
    """Places keys among bounds as the server orders them.

    Args:
        server: asked for keys that cannot be compared here, by a connection that is opened for the
            first of them, and again where it was lost.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Connection | None = None

    def places(
        self, key: ChunkKey, text: pa.StringArray, lows: Sequence[str]
    ) -> npt.NDArray[np.intp]:
        """Which chunk each row is in; see `places_of`. Raises ConnectorError."""
        if not key.by_server:
            return places_of(key, text, lows)
        # Both rows of an update, first of all, have the same key.
        runs = pc.run_end_encode(text)
        keys = runs.values.dictionary_encode()
        distinct = keys.dictionary
        # Rows of a batch are cut by what they weigh together, so that one may still be larger.
        pieces = max(1, min(-(-distinct.nbytes // _ASKED_BYTES), len(distinct)))
        edges = np.linspace(0, len(distinct), pieces + 1).astype(np.intp).tolist()
        found = [
            self._asked(key, distinct.slice(begin, end - begin), lows)
            for begin, end in pairwise(edges)
        ]
        placed = np.concatenate(found)[keys.indices.to_numpy()]
        return np.repeat(placed, np.diff(runs.run_ends.to_numpy(), prepend=0))

    def close(self) -> None:
        """Let go of the connection; it may be asked again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(
        self, key: ChunkKey, texts: pa.StringArray, lows: Sequence[str]
    ) -> npt.NDArray[np.intp]:
        kind = sql.SQL(key.column.declared)
        collation = key.column.collation
        # One text each way: a value by itself costs more than its comparison.
        query = sql.SQL(
            "SELECT string_agg("
            "width_bucket(k::{kind}{collate}, %s::text[]::{kind}[])::text, ',' ORDER BY n)"
            " FROM unnest(%s::text[]) WITH ORDINALITY u(k, n)"
        ).format(
            kind=kind,
            collate=sql.SQL("" if collation is None else f" COLLATE {collation}"),
        )
        ((places,),) = self._rows(query, list(lows), _array_literal(texts))
        found = np.array([], np.intp)
        if places is not None:
            found = np.fromstring(places, np.intp, sep=",")
        if len(found) != len(texts):
            raise InternalError("the server did not place all keys among the bounds of chunks")
        return found

    def _rows(self, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        if self._connection is not None:
            try:
                return self._connection.execute(query, values).fetchall()
            except psycopg.Error:
                # The server may be back; what it refuses it refuses again.
                self.close()
        self._connection = self._server.connect()
        return self._server.rows(self._connection, query, *values)


def _array_literal(texts: pa.StringArray) -> str:
    """As the server reads an array of texts; none is NULL."""
    escaped = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    offsets = pa.array([0, len(escaped)], pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, escaped), '","')[0].as_py()
    return '{"' + joined + '"}' if len(texts) else "{}"
