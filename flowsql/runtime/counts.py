"""Counts that go on where a job restarts within its process.

Each attempt counts what it reads from 0; late, bad and orphan rows from what its checkpoint says.
A counter that falls would be taken by Prometheus for a new process, and everything below it for
growth. So the counts of earlier attempts are added; of rows that a checkpoint counts, as they are
found again, the highest number stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["KEPT", "Counts", "counts_of", "go_on", "since"]

JSON = dict[str, Any]
# Place of a number in a status → the number.
Counts = dict[tuple[str, ...], float]

# What checkpoints hold.
KEPT: Final = ("late_rows", "bad_records", "orphan_retractions")
_SUMS: Final = ("rows_in", "rows_out", "bytes_in", "bytes_out")


def go_on(status: JSON, before: Mapping[tuple[str, ...], float]) -> None:
    """Raise the counts of an attempt's status by those of earlier ones of this process."""
    for path, holder, key in _sums(status):
        holder[key] += before.get(path, 0)
    for key in KEPT:
        status[key] = max(status[key], before.get((key,), 0))


def counts_of(status: JSON, before: Counts) -> Counts:
    """What the next attempt goes on from.

    Args:
        status: of an attempt that is over, after `go_on`.
        before: what it went on from itself: it may have failed before it had all its operators.
    """
    kept = {(key,): status[key] for key in KEPT}
    return before | kept | {path: holder[key] for path, holder, key in _sums(status)}


def since(status: JSON, restored: Mapping[str, int]) -> JSON:
    """How many of `KEPT` this process found itself.

    Args:
        status: after `go_on`.
        restored: those that it began with.
    """
    return {key: status[key] - restored.get(key, 0) for key in KEPT}


def _sums(status: JSON) -> Iterator[tuple[tuple[str, ...], JSON, str]]:
    """Everything that each attempt counts from 0: its place, and the dict and key that hold it."""
    for key in _SUMS:
        yield (key,), status, key
    yield from _histogram(("step_seconds",), status["step_seconds"])
    for source in status["sources"]:
        for key in ("rows", "bytes"):
            yield ("source", source["connector"], *source["tables"], key), source, key
    for operator in status["operators"]:
        for key in ("rows_in", "rows_out"):
            yield ("operator", operator["id"], key), operator, key
        yield from _histogram(("operator", operator["id"]), operator["seconds"])
    for part in ("sinks", "sink_bytes"):
        for name in status[part]:
            yield (part, name), status[part], name


def _histogram(path: tuple[str, ...], shown: JSON) -> Iterator[tuple[tuple[str, ...], JSON, str]]:
    yield (*path, "count"), shown, "count"
    yield (*path, "sum"), shown, "sum"
    for bucket in shown["buckets"]:
        yield (*path, "le", bucket), shown["buckets"], bucket
