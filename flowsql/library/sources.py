"""SHOW SOURCES: what the running jobs of a session read, how far they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowsql.library.masking import short_text
from flowsql.library.quantities import bytes_text, count_text, duration_text

__all__ = ["SOURCE_COLUMNS", "progress_text", "reconnecting_text", "source_row", "source_rows"]

JSON = dict[str, Any]

SOURCE_COLUMNS = (
    *("tables", "connector", "phase", "splits", "rows", "snapshot", "position", "lag bytes", "lag"),
    *("slot", "kept log"),
)


def source_rows(statuses: Iterable[JSON], home: tuple[str, str]) -> list[list[str | bool | None]]:
    """A row for each source group of each job, the job's id in front.

    Args:
        statuses: what `Job.status` tells.
        home: catalog and database of which tables have bare names.
    """
    rows: list[list[str | bool | None]] = []
    for status in statuses:
        for source in status.get("sources") or ():
            tables, *rest = source_row(source)
            rows.append([status["job"], short_text(tables or "", home), *rest])
    return rows


def source_row(source: JSON) -> list[str | None]:
    """One source group, a text for each of `SOURCE_COLUMNS`.

    Args:
        source: of the `sources` of `Job.status`.
    """
    snapshot, lost = source.get("snapshot"), source.get("reconnecting")
    return [
        ", ".join(source["tables"]),
        source["connector"],
        source["phase"] if lost is None else reconnecting_text(lost),
        str(source["splits"]),
        count_text(source["rows"]),
        None if snapshot is None else progress_text([snapshot]),
        source["position"],
        None if source["lag_bytes"] is None else bytes_text(source["lag_bytes"]),
        None if source["lag_ms"] is None else duration_text(source["lag_ms"]),
        source["slot"],
        _kept_text(source),
    ]


def _kept_text(source: JSON) -> str | None:
    """`1.2 GiB, over budget`: of its log, kept by the server."""
    kept = source.get("kept_bytes")
    if kept is None:
        return None
    return bytes_text(kept) + (", over budget" if source.get("over_budget") else "")


def progress_text(snapshots: Sequence[JSON], *, tight: bool = False) -> str:
    """`34 % of 1.2 M (20.0 k/s, 40.0 s left)`, of all snapshots together."""
    rows = sum(s["rows"] for s in snapshots)
    if all(s["left_ms"] == 0 for s in snapshots):
        return f"{count_text(rows, tight=tight)} rows"
    known = [s["total"] for s in snapshots if s["total"] is not None]
    rate = count_text(sum(s["rows_per_second"] for s in snapshots), tight=True)
    if len(known) < len(snapshots) or not sum(known):
        return f"{count_text(rows, tight=tight)} rows ({rate}/s)"
    total = sum(known)
    # What is not over is not shown as if it were: the total is an estimate.
    share = min(99, int(100 * rows / total))
    lefts = [s["left_ms"] for s in snapshots]
    left = None if None in lefts else duration_text(max(lefts), tight=tight)
    if tight:
        return f"{share}%" if left is None else f"{share}% {left} left"
    behind = f"{rate}/s" if left is None else f"{rate}/s, {left} left"
    return f"{share} % of {count_text(total)} ({behind})"


def reconnecting_text(lost: JSON) -> str:
    """`reconnecting (attempt 2, next in 3.0 s)`."""
    wait = lost["next_ms"]
    when = f", next in {duration_text(wait)}" if wait else ""
    return f"reconnecting (attempt {lost['attempt']}{when})"
