"""What evaluation depends on besides the row."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EvalSettings", "StepClock"]


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """What of the session's configuration changes a result.

    Attributes:
        local_time_zone: `table.local-time-zone`, an IANA name or an offset such as `GMT+08:00`.
    """

    local_time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class StepClock:
    """The step's one reading of the clock.

    Attributes:
        now: microseconds since the epoch.
    """

    now: int
