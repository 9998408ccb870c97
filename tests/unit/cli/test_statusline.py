"""A job in one line."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from flowsql.cli import statusline
from flowsql.cli.console import Console
from flowsql.cli.statusline import (
    StatusReporter,
    line_of,
    operator_table,
    source_table,
    status_line,
)
from flowsql.library.quantities import bytes_text, count_text

SALES: dict[str, Any] = {
    "job": "sales",
    "state": "running",
    "rows_in": 1_234_567,
    "rows_in_per_second": 20_000.0,
    "rows_out": 900,
    "rows_out_per_second": 12.4,
    "watermark": 1_767_261_600_000,
    "watermark_lag_ms": 4200,
    "state_bytes": 5 << 20,
    "checkpoint": {"number": 7, "age_ms": 65_000, "failed": 0},
    "late_rows": 0,
    "bad_records": 0,
    "pending_rows": 0,
    "error": None,
}
TROUBLED = SALES | {"late_rows": 3, "pending_rows": 12_000}


def test_a_job_in_one_line() -> None:
    """Rates, time, state, checkpoint; counts of mishaps where there are any."""
    failed = {"number": 7, "age_ms": 65_000, "failed": 2, "last_error": "disk full"}
    assert status_line(TROUBLED | {"checkpoint": failed}) == (
        "sales: running  in 1.2 M (20.0 k/s)  out 900 (12/s)  watermark 2026-01-01 10:00:00  "
        "lag 4.2 s  state 5.0 MB  checkpoint 7 (1 min 5 s ago)  3 late  12.0 k pending  "
        "last checkpoint failed: disk full"
    )


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            140,
            (
                "sales: running  in 1.2 M (20.0 k/s)  out 900 (12/s)  watermark 2026-01-01 10:00:00  "
                "lag 4.2 s  state 5.0 MB  checkpoint 7 (1 min 5 s ago)"
            ),
        ),
        (
            100,
            (
                "sales: running  in 1.2M 20.0k/s  out 900 12/s  wm 10:00:00  lag 4s  state 5.0MB  "
                "chk 7 1min"
            ),
        ),
        (80, "sales: running  in 20.0k/s  out 12/s  lag 4s  state 5.0MB  chk 7 1min"),
        (60, "sales: running  20.0k/s > 12/s  lag 4s  5.0MB  chk 7 1min"),
        (50, "sales: running  20.0k/s > 12/s  lag 4s  5.0MB"),
        (20, "sales: running"),
        (10, "sales: ..."),
    ],
)
def test_a_narrow_line_says_what_matters(width: int, line: str) -> None:
    """Words become shorter first; then what matters least is left out."""
    assert status_line(SALES, width) == line
    assert len(line) <= width


def test_what_is_wrong_stays_in_a_narrow_line() -> None:
    """Mishaps before state, the error before everything."""
    assert status_line(TROUBLED, 60) == "sales: running  20.0k/s > 12/s  3 late  12.0k pending"
    failed = TROUBLED | {"state": "restarting", "error": "could not reach the server: it is away"}
    assert status_line(failed, 60) == "sales: restarting  could not reach the server: it is away"
    assert status_line(failed, 30) == "sales: restarting  could no..."


def test_a_table_of_operators() -> None:
    """Names without the default database; watermarks where any operator has one."""
    scan = {
        "title": "Scan default_catalog.default_database.t",
        "rows_in": 5,
        "rows_out": 5,
        "watermark": 1_767_261_600_000,
        "ms": {"p50": 0.1, "p99": 1.25},
    }
    join = scan | {"title": "Join", "watermark": None, "ms": {}, "state": {"a": {"bytes": 2048}}}
    assert operator_table({"operators": [scan, join]}) == [
        "operator  rows in  rows out            watermark   state  p50 ms  p99 ms",
        "Scan t          5         5  2026-01-01 10:00:00            0.10    1.25",
        "Join            5         5                       2.0 kB                ",
    ]
    over = scan | {"watermark": (1 << 63) - 1}
    assert "watermark" not in operator_table({"operators": [join, over]})[0]
    assert operator_table({}) == []


def test_a_job_that_failed_or_has_not_begun() -> None:
    """The first line of the error; and nothing that is not known."""
    assert status_line({"job": "x", "state": "failed", "error": "disk full\nmore"}) == (
        "x: failed  in 0  out 0  disk full"
    )
    assert "watermark end" in status_line(
        {"job": "x", "state": "stopping", "watermark": (1 << 63) - 1}
    )


def test_a_job_that_is_over() -> None:
    """What it did; how fast it was in its last seconds nobody needs. A log line ends with its place."""
    over = TROUBLED | {"state": "finished", "step": 9}
    assert (
        status_line(over)
        == "sales: finished  in 1.2 M  out 900  checkpoint 7  3 late  12.0 k pending"
    )
    text = line_of(over).as_text().partition(" ")[2]
    assert text == (
        "sales: finished  in 1.2 M  out 900  3 late  12.0 k pending [step 9, checkpoint 7]"
    )


@pytest.mark.parametrize(
    ("number", "rows", "size"),
    [
        (0, "0", "0 B"),
        (999, "999", "999 B"),
        (1023, "1023", "1.0 kB"),
        (9999, "9999", "9.8 kB"),
        (10_000, "10.0 k", "9.8 kB"),
        (1_043_251, "1.0 M", "1.0 MB"),
        (2_500_000, "2.5 M", "2.4 MB"),
        (3_000_000_000, "3.0 G", "2.8 GB"),
    ],
)
def test_numbers_are_short(number: int, rows: str, size: str) -> None:
    """Rows by thousands, bytes by 1024."""
    assert (rows, size) == (count_text(number), bytes_text(number))


def test_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be redrawn, a line every ten seconds."""
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    now = [0.0]
    monkeypatch.setattr(statusline.time, "monotonic", lambda: now[0])
    reporter = StatusReporter([lambda: {"job": "x", "state": "running"}], Console())
    for now[0] in (1.0, 9.0, 10.0, 11.0, 19.0, 20.0):
        reporter.update()
    assert err.getvalue().count("x: running") == 2


SNAPSHOT: dict[str, Any] = {
    "connector": "fake-database",
    "tables": ["default_catalog.default_database.checking", "c.d.saving"],
    "phase": "snapshot",
    "rows": 400_000,
    "splits": 7,
    "position": None,
    "slot": "flowsql",
    "lag_bytes": None,
    "lag_ms": None,
    "snapshot": {
        "rows": 400_000,
        "total": 1_000_000,
        "rows_per_second": 20_000.0,
        "left_ms": 30_000,
    },
}
STREAM = SNAPSHOT | {
    "phase": "stream",
    "position": "16/B374D848",
    "lag_bytes": 5 << 20,
    "lag_ms": 1200,
    "snapshot": {"rows": 1_000_000, "total": 1_000_000, "rows_per_second": 0.0, "left_ms": 0},
}
LOST = {"attempt": 3, "next_ms": 4000, "error": "connection refused"}


def test_a_snapshot_in_one_line() -> None:
    """How far all snapshots are together, and when they are over; nothing where they are."""
    status = SALES | {"sources": [SNAPSHOT]}
    assert "  snapshot 40 % of 1.0 M (20.0k/s, 30.0 s left)  watermark" in status_line(status)
    assert "  snapshot 40% 30s left  " in status_line(status, 100)
    unknown = SNAPSHOT | {"snapshot": SNAPSHOT["snapshot"] | {"total": None, "left_ms": None}}
    assert "snapshot 400.0 k rows (20.0k/s)" in status_line(SALES | {"sources": [unknown]})
    both = SALES | {"sources": [SNAPSHOT, unknown, STREAM]}
    assert "snapshot 800.0 k rows (40.0k/s)" in status_line(both)
    more = SNAPSHOT["snapshot"] | {"rows": 1_200_000, "total": 1_200_000, "left_ms": None}
    assert "snapshot 99 % of 1.2 M (20.0k/s)" in status_line(
        SALES | {"sources": [SNAPSHOT | {"snapshot": more}]}
    )
    assert "snapshot" not in status_line(SALES | {"sources": [STREAM]})


def test_a_bar_where_a_terminal_has_room() -> None:
    """It is the first part that is given up, and full only when all is read."""
    status = SALES | {"sources": [SNAPSHOT]}
    assert "(20.0k/s, 30.0 s left)  [########------------]  watermark" in status_line(status, 240)
    assert "  snapshot 40% 30s left  [####------]  " in status_line(status, 110)
    assert "[" not in status_line(status, 60)
    assert "[" not in status_line(status)
    end = SNAPSHOT["snapshot"] | {"rows": 1_200_000, "total": 1_200_000, "left_ms": None}
    late = SALES | {"sources": [SNAPSHOT | {"snapshot": end}]}
    assert "[###################-]" in status_line(late, 240)


def test_how_far_sources_that_end_are() -> None:
    """All together; not where one of them never ends."""
    done = {"phase": "done", "done": True}
    half = {"rows": 500, "total": 1000, "rows_per_second": 100.0, "left_ms": 5000}
    file = {"phase": "stream", "done": False, "progress": half}
    status = SALES | {"sources": [file, file, done]}
    assert "  reading 50 % of 2000 (200/s, 5.0 s left)  " in status_line(status)
    assert "  reading 50% 5s left  [#####-----]  " in status_line(status, 110)
    batch = status | {"watermark": None, "checkpoint": None}
    assert status_line(batch, 79) == (
        "sales: running  in 20.0k/s  out 12/s  reading 50% 5s left  [#####-----]"
    )
    assert status_line(batch, 70) == "sales: running  in 20.0k/s  out 12/s  reading 50% 5s left"
    endless = {"phase": "stream", "done": False}
    assert "reading" not in status_line(SALES | {"sources": [file, endless]}, 200)


def test_a_lost_connection_in_one_line() -> None:
    """It stays however narrow the line is."""
    status = SALES | {"sources": [STREAM | {"reconnecting": LOST}]}
    assert "  reconnecting (attempt 3, next in 4.0 s)  " in status_line(status)
    assert "reconnecting (attempt 3" in status_line(status, 60)
    now = STREAM | {"reconnecting": LOST | {"next_ms": None}}
    assert "reconnecting (attempt 3)" in status_line(SALES | {"sources": [now]})


def test_a_log_that_is_kept_for_too_long() -> None:
    """In one line only where it is more than is allowed, in a table always."""
    kept = STREAM | {"kept_bytes": 3 << 30, "over_budget": False, "tables": ["t"]}
    assert "budget" not in status_line(SALES | {"sources": [kept]})
    over = kept | {"over_budget": True}
    assert "  log 3.0 GB over budget  " in status_line(SALES | {"sources": [STREAM, over]})
    lines = source_table({"sources": [kept, over]})
    assert lines[0].endswith("  slot     kept log")
    assert [line.partition("flowsql  ")[2] for line in lines[1:]] == [
        "3.0 GB",
        "3.0 GB, over budget",
    ]


def test_sources_below_each_other() -> None:
    """What nobody knows takes no room."""
    lost = STREAM | {"reconnecting": LOST, "tables": ["t"]}
    assert source_table({"sources": [SNAPSHOT, lost]}) == [
        (
            "tables                connector      phase                                    splits"
            "     rows  snapshot                              position     lag bytes    lag  slot"
        ),
        (
            "checking, c.d.saving  fake-database  snapshot                                      7"
            "  400.0 k  40 % of 1.0 M (20.0k/s, 30.0 s left)                                 flowsql"
        ),
        (
            "t                     fake-database  reconnecting (attempt 3, next in 4.0 s)       7"
            "  400.0 k  1.0 M rows                            16/B374D848     5.0 MB  1.2 s  flowsql"
        ),
    ]
    bare = {**dict.fromkeys(SNAPSHOT), "tables": ["t"], "connector": "x", "phase": "stream"}
    assert source_table({"sources": [bare | {"rows": 1, "splits": 1, "snapshot": None}]}) == [
        "tables  connector  phase   splits  rows",
        "t       x          stream       1     1",
    ]
    assert source_table({}) == []
