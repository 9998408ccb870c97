"""Lines that are shown at the end of the run, whatever is captured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_lines: list[str] = []


@pytest.fixture
def record_cases_line() -> Callable[[str], None]:
    """Takes a line for the summary."""
    return _lines.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The lines, behind everything else."""
    if _lines:
        terminalreporter.section("cases recorded from Apache Flink")
        for line in _lines:
            terminalreporter.line(line)
