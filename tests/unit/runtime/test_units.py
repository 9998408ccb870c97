"""Units: whole transactions, in memory or on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from flowsql.changelog import Changes, kind_names
from flowsql.connector import BadRecord, Emptied, Piece, Poll
from flowsql.runtime.units import Finished, Occurrence, UnitBuilder, Vouched


def piece(table: str, start: int, rows: int, *, kinds: bool = False, toast: bool = False) -> Piece:
    """Rows with everything that can be beside them."""
    batch = pa.record_batch({"a": np.arange(start, start + rows), "s": ["x" * 20] * rows})
    codes = (np.arange(rows) % 4).astype(np.int8) if kinds else None
    unchanged = {"s": np.arange(rows) % 2 == 0} if toast else None
    return Piece(table, "split", Changes(batch, codes, unchanged))


def plain(items: list[Occurrence]) -> list[object]:
    """Comparable."""
    found: list[object] = []
    for item in items:
        if isinstance(item, Piece):
            changes = item.changes
            masks = {n: m.tolist() for n, m in (changes.unchanged or {}).items()}
            found.append(
                (item.table, item.split, changes.batch.to_pylist(), kind_names(changes), masks)
            )
        else:
            found.append(item)
    return found


def polls() -> list[Poll]:
    """One transaction over two tables in five polls."""
    bad = BadRecord("t", "file:3", b"\xff", "no number")
    return [
        Poll((piece("t", 0, 50), piece("u", 0, 3, kinds=True)), boundary=False),
        Poll((Emptied("u", "split"), piece("t", 50, 50, kinds=True)), boundary=False),
        Poll((piece("t", 100, 50, kinds=True, toast=True),), (bad,), boundary=False),
        Poll((piece("u", 3, 3), piece("t", 150, 1)), boundary=False),
        Poll((), (), watermarks={"t": 7}, finished={"split": {"end": 1}}, lag_ms=5),
    ]


def test_a_large_transaction_waits_on_disk(tmp_path: Path) -> None:
    """What comes back is what was read, in order; nothing is left on disk."""
    given = polls()
    small, large = UnitBuilder(tmp_path, "m", 1 << 30), UnitBuilder(tmp_path, "d", 3000)
    for poll in given:
        small.add(poll)
        large.add(poll)
    in_memory, on_disk = small.finish({"split": {"at": 1}}), large.finish({"split": {"at": 1}})
    assert on_disk.spool is not None
    assert in_memory.spool is None
    assert on_disk.bytes < in_memory.bytes
    assert list(tmp_path.iterdir())
    assert (on_disk.rows, on_disk.lag_ms, on_disk.positions) == (157, 5, {"split": {"at": 1}})
    expected = plain(list(in_memory.occurrences()))
    assert plain(list(on_disk.occurrences())) == expected
    assert expected[-2:] == [Vouched("t", 7), Finished("split", {"end": 1})]
    assert list(tmp_path.iterdir()) == []


def test_the_next_transaction_starts_anew(tmp_path: Path) -> None:
    """A small one after a large one stays in memory."""
    builder = UnitBuilder(tmp_path, "d", 3000)
    for poll in polls():
        builder.add(poll)
    builder.finish({})
    assert builder.empty
    builder.add(Poll((piece("t", 0, 1),)))
    unit = builder.finish({})
    assert unit.spool is None
    assert unit.rows == 1
