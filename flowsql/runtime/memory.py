"""Who holds how much memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from flowsql.connector import JSON
from flowsql.errors import StateError

__all__ = ["check_state", "memory_by_owner"]

# The rest is for queues, a step's output, and what Arrow and Python need beside them.
_STATE_SHARE = 0.6


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


def check_state(limit: int, used: int, largest: str) -> None:
    """State may hold its share of `memory.process`.

    Args:
        limit: that setting, bytes.
        used: bytes of all state tables.
        largest: which of them has most.

    Raises:
        StateError: it holds more.
    """
    share = int(limit * _STATE_SHARE)
    if used > share:
        raise StateError(
            f"state of {used >> 20} MB cannot be kept in memory",
            detail=f"Its share of 'memory.process' is {share >> 20} MB; the largest table is {largest}.",
            hint="Give the process more with SET 'memory.process', or let the statement keep less.",
        )


def _resident(pid: int) -> int | None:
    """Bytes of memory that a process has; None where the system does not say, or it is over."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
