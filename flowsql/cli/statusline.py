"""A running job in one line: redrawn in a terminal, now and then a log line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flowsql.cli.console import Console
from flowsql.library.quantities import bytes_text, count_text, duration_text
from flowsql.library.sources import (
    SOURCE_COLUMNS,
    progress_text,
    reconnecting_text,
    source_row,
)
from flowsql.runtime.log import Line

__all__ = [
    "StatusReporter",
    "columns_text",
    "line_of",
    "mishaps",
    "operator_table",
    "source_table",
    "status_line",
]

JSON = dict[str, Any]

_LOG_INTERVAL = 10.0
_DEFAULT_DATABASE = "default_catalog.default_database."
_MISHAPS = (
    ("late_rows", "late"),
    ("bad_records", "bad"),
    ("orphan_retractions", "orphans"),
    ("pending_rows", "pending"),
)
# Parts in the order in which they are given up where a line is too narrow even for short words.
_LEAST = ("bar", "watermark", "checkpoint", "state", "lag", "rates", "snapshot", "mishaps")
_SHORTEST = 3
_OVER = frozenset({"finished", "stopped", "failed"})


def status_line(status: JSON, width: int | None = None) -> str:
    """`sales: running  in 1.2 M (20.0 k/s)  out …` from what `Job.status()` tells.

    Args:
        status: of a job.
        width: characters there are; words become shorter, then parts are left out, until the line
            fits. None for any.
    """
    if width is None:
        # In a log a bar says nothing that the number does not.
        return _join({name: part for name, part in _parts(status, 0).items() if name != "bar"})
    parts = next((p for p in _shorter(status) if len(_join(p)) <= width), _parts(status, _SHORTEST))
    for name in _LEAST:
        if len(_join(parts)) > width:
            parts.pop(name, None)
    line = _join(parts)
    return line if len(line) <= width else f"{line[: max(0, width - 3)]}..."


def _shorter(status: JSON) -> Iterator[dict[str, str]]:
    """The parts of a line, shorter and shorter."""
    for level in range(_SHORTEST):
        parts = _parts(status, level)
        yield parts
    # How far it is says more than rates without words.
    for name in ("state", "bar") if "bar" in parts else ():
        parts.pop(name, None)
        yield parts


def line_of(status: JSON) -> Line:
    """The status line for the log."""
    number = (status.get("checkpoint") or {}).get("number")
    parts = _parts(status, 0)
    # In a log a bar says nothing that the number does not; at the end the place has the checkpoint.
    left_out = {"bar", "checkpoint"} if status["state"] in _OVER else {"bar"}
    line = _join({name: part for name, part in parts.items() if name not in left_out})
    return Line(line, job=status["job"], step=status.get("step"), checkpoint=number, named=True)


def _join(parts: dict[str, str]) -> str:
    return "  ".join(parts.values())


def _parts(status: JSON, level: int) -> dict[str, str]:
    """The parts of a line in order; level 0 has the longest words, `_SHORTEST` the shortest."""
    tight = level > 0

    def count(key: str) -> str:
        return count_text(status.get(key, 0), tight=tight)

    parts = {"job": f"{status['job']}: {status['state']}"}
    over = status["state"] in _OVER
    rates = [f"{count('rows_in_per_second')}/s", f"{count('rows_out_per_second')}/s"]
    if over:
        parts["rates"] = f"in {count('rows_in')}  out {count('rows_out')}"
    elif level == 0:
        parts["rates"] = f"in {count('rows_in')} ({rates[0]})  out {count('rows_out')} ({rates[1]})"
    elif level == 1:
        parts["rates"] = f"in {count('rows_in')} {rates[0]}  out {count('rows_out')} {rates[1]}"
    elif level < _SHORTEST:
        parts["rates"] = f"in {rates[0]}  out {rates[1]}"
    else:
        parts["rates"] = f"{rates[0]} > {rates[1]}"
    if not over:
        parts |= _snapshot(status, level)
        parts |= _time(status, level)
        size = bytes_text(status.get("state_bytes", 0), tight=tight)
        parts["state"] = size if level == _SHORTEST else f"state {size}"
    parts |= _checkpoint(status.get("checkpoint") or {}, level, over=over)
    if found := mishaps(status, tight=tight):
        parts["mishaps"] = "  ".join(found)
    wrong = _wrong(status)
    if wrong is not None:
        parts["error"] = wrong.splitlines()[0]
    return parts


def mishaps(status: JSON, *, tight: bool = False) -> list[str]:
    """Counts of what a user should look at, such as `3 late` and `1 bad`."""
    return [
        f"{count_text(status[key], tight=tight)} {label}"
        for key, label in _MISHAPS
        if status.get(key)
    ]


def _wrong(status: JSON) -> str | None:
    """What is wrong now: why the job does not run, or has no newer checkpoint."""
    if status.get("error"):
        return str(status["error"])
    failed = (status.get("checkpoint") or {}).get("last_error")
    return None if failed is None else f"last checkpoint failed: {failed}"


def _checkpoint(checkpoint: JSON, level: int, *, over: bool) -> Iterator[tuple[str, str]]:
    number = checkpoint.get("number")
    if number is not None and over:
        yield "checkpoint", f"checkpoint {number}"
    elif number is not None:
        age = duration_text(checkpoint.get("age_ms") or 0, tight=level > 0)
        if level == 0:
            yield "checkpoint", f"checkpoint {number} ({age} ago)"
        else:
            yield "checkpoint", f"chk {number} {age}"


def _time(status: JSON, level: int) -> Iterator[tuple[str, str]]:
    """Watermark and lag; where there is little room the lag says it all."""
    watermark, lag = status.get("watermark"), status.get("watermark_lag_ms")
    if watermark is None:
        return
    if level == 0 or lag is None:
        yield "watermark", f"watermark {_instant(watermark)}"
    elif level == 1:
        yield "watermark", f"wm {_instant(watermark)[-8:]}"
    if lag is not None:
        yield "lag", f"lag {duration_text(lag, tight=level > 0)}"


def _snapshot(status: JSON, level: int) -> Iterator[tuple[str, str]]:
    """How far snapshots are, all sources together, and the connection that is lost for longest."""
    sources = status.get("sources") or ()
    reading = [s["snapshot"] for s in sources if s.get("phase") == "snapshot"]
    if reading:
        yield "snapshot", f"snapshot {progress_text(reading, tight=level > 0)}"
        yield from _bar(reading, level)
    known = [s for s in sources if not s.get("done")]
    ending = [s["progress"] for s in known if s.get("progress")]
    if ending and len(ending) == len(known):
        yield "snapshot", f"reading {progress_text(ending, tight=level > 0)}"
        yield from _bar(ending, level)
    lost = [s["reconnecting"] for s in sources if s.get("reconnecting")]
    over = [s["kept_bytes"] for s in sources if s.get("over_budget")]
    if over:
        kept = bytes_text(max(over), tight=level > 0)
        yield "budget", f"log {kept} over budget" if level < _SHORTEST else f"log {kept}!"
    if lost:
        yield "lost", reconnecting_text(max(lost, key=lambda s: s["attempt"]))


def _bar(reading: Sequence[JSON], level: int) -> Iterator[tuple[str, str]]:
    """`[####----------------]`, where the end is known."""
    total = sum(s["total"] or 0 for s in reading)
    if total and all(s["total"] is not None for s in reading):
        width = 20 if level == 0 else 10
        # It is full when all is read, not before.
        done = min(width - 1, width * sum(s["rows"] for s in reading) // total)
        yield "bar", f"[{'#' * done}{'-' * (width - done)}]"


def source_table(status: JSON) -> list[str]:
    """What is read, a line each below a head; none where nothing is known."""
    sources = [s for s in status.get("sources") or () if "phase" in s]
    if not sources:
        return []
    rows = [SOURCE_COLUMNS, *(tuple(c or "" for c in source_row(s)) for s in sources)]
    known = [i for i in range(len(SOURCE_COLUMNS)) if any(row[i] for row in rows[1:])]
    shown = [[row[i].replace(_DEFAULT_DATABASE, "") for i in known] for row in rows]
    numbers = {"splits", "rows", "lag bytes", "lag"}
    left = {at for at, name in enumerate(shown[0]) if name not in numbers}
    return [line.rstrip() for line in columns_text(shown, left)]


def operator_table(status: JSON) -> list[str]:
    """What each operator of a job did, a line each below a head; none where nothing is known."""
    operators = status.get("operators") or ()
    if not operators:
        return []
    rows: list[tuple[str, ...]] = [
        ("operator", "rows in", "rows out", "watermark", "state", "p50 ms", "p99 ms")
    ]
    for operator in operators:
        state = sum(table["bytes"] for table in operator.get("state", {}).values())
        mark, ms = operator.get("watermark"), operator["ms"]
        rows.append(
            (
                operator["title"].replace(_DEFAULT_DATABASE, ""),
                count_text(operator["rows_in"]),
                count_text(operator["rows_out"]),
                "" if mark is None else _instant(mark),
                bytes_text(state) if operator.get("state") else "",
                f"{ms['p50']:.2f}" if ms else "",
                f"{ms['p99']:.2f}" if ms else "",
            )
        )
    if all(row[3] in {"", "end"} for row in rows[1:]):
        rows = [(*row[:3], *row[4:]) for row in rows]
    return columns_text(rows, {0})


def columns_text(rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """Lines of columns, those of `left` flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


class StatusReporter:
    """Shows the state of jobs while they run.

    Args:
        jobs: what `Job.status()` tells, one call a job.
        console: where to.
    """

    INTERVAL = 0.5  # seconds between two calls of `update` that make sense

    def __init__(self, jobs: Sequence[Callable[[], JSON]], console: Console) -> None:
        self._jobs = jobs
        self._console = console
        self._last = time.monotonic()

    def update(self) -> None:
        """Show the present state, if it is time to."""
        if self._console.interactive:
            width = self._console.width
            self._console.show([status_line(status(), width) for status in self._jobs])
        elif time.monotonic() - self._last >= _LOG_INTERVAL:
            self._last = time.monotonic()
            for status in self._jobs:
                self._console.log(line_of(status()))


def _instant(milliseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "end" if milliseconds > 0 else "none"
    return at.strftime("%Y-%m-%d %H:%M:%S")
