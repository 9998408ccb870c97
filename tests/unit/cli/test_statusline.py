"""A job in one line."""

from __future__ import annotations

import io
import sys

import pytest

from flowsql.cli import statusline
from flowsql.cli.console import Console
from flowsql.cli.statusline import StatusReporter, bytes_text, count_text, status_line


def test_a_job_in_one_line() -> None:
    """Rates, time, state, checkpoint; counts of mishaps where there are any."""
    status = {
        "job": "sales",
        "state": "running",
        "rows_in": 1_234_567,
        "rows_in_per_second": 20_000.0,
        "rows_out": 900,
        "rows_out_per_second": 12.4,
        "watermark": 1_767_261_600_000,
        "watermark_lag_ms": 4200,
        "state_bytes": 5 << 20,
        "checkpoint": {"number": 7, "age_ms": 65_000},
        "late_rows": 3,
        "bad_records": 0,
        "pending_rows": 12_000,
        "error": None,
    }
    assert status_line(status) == (
        "sales: running  in 1.2 M (20.0 k/s)  out 900 (12/s)  watermark 2026-01-01 10:00:00  "
        "lag 4.2 s  state 5.0 MB  checkpoint 7 (1 min 5 s ago)  3 late  12.0 k pending"
    )


def test_a_job_that_failed_or_has_not_begun() -> None:
    """The first line of the error; and nothing that is not known."""
    assert status_line({"job": "x", "state": "failed", "error": "disk full\nmore"}) == (
        "x: failed  in 0 (0/s)  out 0 (0/s)  state 0 B  disk full"
    )
    assert "watermark end" in status_line(
        {"job": "x", "state": "finished", "watermark": (1 << 63) - 1}
    )


@pytest.mark.parametrize(
    ("number", "rows", "size"),
    [
        (0, "0", "0 B"),
        (1023, "1023", "1023 B"),
        (9999, "9999", "9.8 kB"),
        (10_000, "10.0 k", "9.8 kB"),
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
