"""Which changes of the log a chunk's snapshot has seen already.

A chunk that was read under a snapshot of its own holds what every transaction visible there had
done, wherever in the log those were committed: log positions do not tell (a transaction may be in
the log and not yet be visible, as long as a standby does not answer). So each row of the log is
judged by its transaction's number, until the log has passed the snapshot's bound, behind which no
transaction is that the snapshot saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.connector import JSON
from flowsql_connectors.postgres_cdc.snapshot.chunks import ChunkKey
from flowsql_connectors.postgres_cdc.snapshot.judging import KeyJudge

__all__ = ["ChunkedTable", "Snapshot"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `pg_current_snapshot()` said: `xmin:xmax:xip,xip`.

    Attributes:
        highest: the first transaction that had not begun.
        running: those before it that were running.
        bound: a log position behind the commit of every transaction that is visible.
    """

    highest: int
    running: frozenset[int]
    bound: int

    @classmethod
    def read(cls, text: str, bound: int) -> Snapshot:
        """From the server's text."""
        _, highest, running = text.split(":")
        return cls(int(highest), frozenset(int(x) for x in running.split(",") if x), bound)

    @classmethod
    def stored(cls, stored: JSON) -> Snapshot:
        """From `described`."""
        return cls(stored["highest"], frozenset(stored["running"]), stored["bound"])

    def described(self) -> JSON:
        """For a checkpoint."""
        return {"highest": self.highest, "running": sorted(self.running), "bound": self.bound}

    def sees(self, xid: int) -> bool:
        """Whether it saw a transaction, by its number with epoch."""
        return xid < self.highest and xid not in self.running

    def visible(self, xid: npt.NDArray[np.uint32]) -> Mask:
        """Whether the snapshot saw the transactions; their numbers have no epoch."""
        behind = (xid - np.uint32(self.highest & 0xFFFFFFFF)).view(np.int32) >= 0
        seen: Mask = ~behind
        if self.running:
            running = np.array([x & 0xFFFFFFFF for x in self.running], np.uint32)
            seen &= ~np.isin(xid, running)
        return seen


@dataclass(slots=True)
class ChunkedTable:
    """The chunks of one table and the snapshots they were read under.

    Neighbours that were read under one snapshot are one chunk to it: there are few of them.

    Attributes:
        key: what the chunks are ranges of.
        judge: places keys among them.
        lows: the lower bounds of all chunks but the first, rising.
        snapshots: of each chunk; None for one under which nothing of the log was visible.
    """

    key: ChunkKey | None
    judge: KeyJudge
    lows: Sequence[str]
    snapshots: Sequence[Snapshot | None]
    _distinct: Mapping[Snapshot, Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = [i for i, s in enumerate(self.snapshots) if i == 0 or s != self.snapshots[i - 1]]
        self.lows = [self.lows[i - 1] for i in first[1:]]
        self.snapshots = [self.snapshots[i] for i in first]
        self._distinct = {
            one: np.array([s == one for s in self.snapshots])
            for one in {s for s in self.snapshots if s is not None}
        }

    def places(self, text: pa.StringArray | None, rows: int) -> npt.NDArray[np.intp]:
        """Which chunk each row is in."""
        if self.key is None or text is None or not self.lows:
            return np.zeros(rows, np.intp)
        return self.judge.places(self.key, text, self.lows)

    def new(self, places: npt.NDArray[np.intp], xid: npt.NDArray[np.uint32]) -> Mask:
        """Whether a row's chunk does not hold what its transaction did."""
        new: Mask = np.ones(len(places), np.bool_)
        for snapshot, of_chunk in self._distinct.items():
            new &= ~(of_chunk[places] & snapshot.visible(xid))
        return new
