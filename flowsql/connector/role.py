"""What a table of a connector can be used as."""

from __future__ import annotations

from enum import Enum

__all__ = ["Role"]


class Role(Enum):
    """What a table of a connector can be used as."""

    SCAN = "scan"
    SINK = "sink"
    LOOKUP = "lookup"
