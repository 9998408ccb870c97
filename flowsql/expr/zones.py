"""Instants and local times, by `table.local-time-zone`.

As in Java, a local time that a clock change skips is moved on by the length of the gap, and one
that it repeats is the earlier of the two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import ConfigError
from flowsql.expr.vector import build, null_mask, numbers

__all__ = ["arrow_zone", "check_zone", "local_from_utc", "utc_from_local"]

_OFFSET = re.compile(r"(?:GMT|UTC|UT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_UTC = frozenset(("UTC", "Z", "GMT", "UT", "ETC/UTC", "ETC/GMT", "UNIVERSAL", "ZULU"))


@lru_cache(maxsize=256)
def arrow_zone(zone: str) -> str | None:
    """The zone as Arrow names it, None for UTC; raises ConfigError for an unknown one."""
    if zone.upper() in _UTC:
        return None
    found = _OFFSET.fullmatch(zone)
    if found is not None:
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours > 18 or minutes > 59:
            raise _unknown(zone)
        return None if hours == minutes == 0 else f"{found[1]}{hours:02d}:{minutes:02d}"
    try:
        pc.assume_timezone(pa.array([0], pa.timestamp("us")), zone)
    except (pa.ArrowException, OSError) as e:
        raise _unknown(zone) from e
    return zone


def _unknown(zone: str) -> ConfigError:
    return ConfigError(
        f'time zone "{zone}" does not exist',
        hint='Use an IANA name such as "Europe/Berlin" or an offset such as "GMT+08:00".',
    )


def check_zone(zone: str) -> None:
    """Raises ConfigError unless `zone` is a time zone."""
    arrow_zone(zone)


def local_from_utc(array: Any, zone: str) -> Any:
    """Instants (timestamp with tz=UTC) as local times (without tz) of the same unit."""
    plain = pa.timestamp(array.type.unit)
    name = arrow_zone(zone)
    if name is None:
        return array.view(plain)
    return pc.local_timestamp(array.cast(pa.timestamp(array.type.unit, tz=name)))


def utc_from_local(array: Any, zone: str, *, later: bool = False) -> Any:
    """Local times (timestamp without tz) as instants (tz=UTC) of the same unit.

    A time that comes twice is the first, or with `later` the second, as Java's older classes
    have it.
    """
    utc = pa.timestamp(array.type.unit, tz="UTC")
    name = arrow_zone(zone)
    if name is None:
        return array.view(utc)
    ambiguous = "latest" if later else "earliest"
    before = pc.assume_timezone(array, name, ambiguous=ambiguous, nonexistent="earliest")
    offset = numbers(pc.local_timestamp(before)) - numbers(before)
    nulls = null_mask(array) if array.null_count else None
    return build((numbers(array) - offset).astype(np.int64), utc, nulls)
