"""What a source and its readers say of themselves while they run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SourceStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """What only the connector knows; each part may be unknown.

    Attributes:
        slot: what the server keeps its log for.
        position: the place in the log that was read up to, as the server writes it.
        lag_bytes: of the server's log, not read yet.
        read_to, log_end: the same from two who know one of them each: the place read up to, and
            where the log ends, in bytes.
        kept_bytes: of its log, kept by the server for this source.
        over_budget: that is more than the user allows.
        lag_ms: how far the reader is behind the source.
        snapshot_rows: about how many rows the whole snapshot has, those that were read included.
        read_bytes, total_bytes: of a source that ends, how much is read, and how much there is.
        attempt: the connection is lost: number of the attempt to come, from 1; else 0.
        next_attempt_ms: until then.
        trouble: why the connection was lost, a fact.
    """

    slot: str | None = None
    position: str | None = None
    lag_bytes: int | None = None
    read_to: int | None = None
    log_end: int | None = None
    kept_bytes: int | None = None
    over_budget: bool = False
    lag_ms: int | None = None
    snapshot_rows: int | None = None
    read_bytes: int | None = None
    total_bytes: int | None = None
    attempt: int = 0
    next_attempt_ms: int | None = None
    trouble: str | None = None
