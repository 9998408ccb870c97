"""Who holds how much memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from flowsql.connector import JSON

__all__ = ["memory_by_owner"]


def memory_by_owner(*, state: int, queues: int, output: int, readers: Sequence[int]) -> JSON:
    """Bytes by owner, see `metrics.NAMES`.

    Args:
        state: bytes of state tables.
        queues: of rows read ahead.
        output: of the running step's output.
        readers: ids of the processes that read.
    """
    return {
        "state": state,
        "queues": queues,
        "output": output,
        "readers": sum(_resident(pid) or 0 for pid in readers),
        "arrow": pa.total_allocated_bytes(),
        "process": _resident(os.getpid()),
    }


def _resident(pid: int) -> int | None:
    """Bytes of memory that a process has; None where the system does not say, or it is over."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
