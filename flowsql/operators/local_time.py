"""Windows in local time: between instants and the wall clock of a zone.

As in Flink, the bounds of windows over TIMESTAMP_LTZ are wall-clock times of the session's zone,
while watermarks and the window's time attribute are instants. A wall-clock time that a change of
the clock skips is moved on by the gap, and one that occurs twice means its first time; a window
that ends there fires only when its second is over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.expr.zones import arrow_zone, local_from_utc, utc_from_local
from flowsql.operators.vectors import from_numpy, to_numpy

__all__ = ["firing_times", "instants", "is_utc", "wall_clock"]

Ints = npt.NDArray[np.int64]

_HOUR = 3_600_000


def is_utc(zone: str) -> bool:
    """Whether wall clock and instant are the same number."""
    return arrow_zone(zone) is None


def wall_clock(array: pa.Array, zone: str) -> pa.Array:
    """The wall clock of `zone` at instants, as timestamps without a zone."""
    return local_from_utc(array, zone)


def instants(local: Ints, zone: str) -> Ints:
    """The instants of wall-clock times; milliseconds."""
    distinct, where = np.unique(local, return_inverse=True)
    return _instants(distinct, zone).take(where)


def firing_times(local: Ints, zone: str) -> Ints:
    """The watermarks at which windows fire whose last wall-clock millisecond is given."""
    distinct, where = np.unique(local, return_inverse=True)
    here, later = _instants(distinct, zone), _instants(distinct + _HOUR, zone)
    times = np.where(later - here > _HOUR, here + _HOUR, here)
    times = np.where(later == here, here - here % _HOUR, times)
    return times.take(where)


def _instants(local: Ints, zone: str) -> Ints:
    clock = from_numpy(local, None, pa.timestamp("ms"))
    return to_numpy(utc_from_local(clock, zone))
