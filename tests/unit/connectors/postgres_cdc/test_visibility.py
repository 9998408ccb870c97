"""Which rows of the log are new to the chunks of a table."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import cast

import numpy as np
import pyarrow as pa
from flowsql_connectors.postgres_cdc.server.catalog import ServerColumn
from flowsql_connectors.postgres_cdc.server.connections import Server
from flowsql_connectors.postgres_cdc.snapshot.chunks import ChunkKey
from flowsql_connectors.postgres_cdc.snapshot.judging import KeyJudge
from flowsql_connectors.postgres_cdc.snapshot.visibility import ChunkedTable, Snapshot

_KEY = ChunkKey(cast("ServerColumn", None), 20, indexed=True)
_JUDGE = KeyJudge(cast("Server", None))


def test_neighbours_of_one_snapshot_are_one_chunk() -> None:
    """A row is new as its own chunk has it, however the chunks of a table were read."""
    drawn = random.Random(7)
    seen = [
        None,
        Snapshot(100, frozenset({90, 95}), 1000),
        Snapshot(120, frozenset({90, 110, 119}), 2000),
    ]
    for _ in range(50):
        lows = sorted(drawn.sample(range(1000), drawn.randint(0, 12)))
        snapshots = [drawn.choice(seen) for _ in range(len(lows) + 1)]
        keys = [drawn.randrange(-5, 1005) for _ in range(60)]
        xids = [drawn.randrange(80, 130) for _ in keys]
        table = ChunkedTable(_KEY, _JUDGE, [str(low) for low in lows], snapshots)
        assert len(table.snapshots) <= len(snapshots)
        assert all(a != b for a, b in zip(table.snapshots, table.snapshots[1:], strict=False))
        places = table.places(pa.array([str(k) for k in keys]), len(keys))
        new = table.new(places, np.array(xids, np.uint32))
        of = [snapshots[bisect_right(lows, k)] for k in keys]
        wanted = [s is None or not s.sees(x) for s, x in zip(of, xids, strict=True)]
        assert new.tolist() == wanted
