"""How `pytest -n` hands the tests to its workers: what shares something goes to one of them.

Tests of one file share its fixtures, those under `tests/services` their servers. What takes longest
is handed out first, so that the workers end at about the same time.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # pytest without workers
    LoadScopeScheduling = object

__all__ = ["Scheduling", "how_many", "longest_first"]

# Tests that need no fixture of their file and are each a worker's work for a while.
_ALONE = "test_every_way_to_run_a_query_agrees"

# Folders whose tests share more than their file does.
_TOGETHER = ("tests/services/", "tests/lake/")

# Where the long tests stand, the longest group first.
_LONG = (
    "tests/services/",
    "tests/property/queries/",
    "tests/cases/",
    "tests/recovery/",
    "tests/lake/",
    "tests/scripts/",
    "tests/property/",
)


def how_many() -> int:
    """Workers of `-n logical`: tests wait for servers and processes, so one more than processors."""
    return len(os.sched_getaffinity(0)) + 1


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Groups of tests in the order of their collection."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        # Else the groups of the most tests come first, however short these are.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test."""
        if _ALONE in nodeid:
            return nodeid
        return next((f for f in _TOGETHER if nodeid.startswith(f)), nodeid.partition("::")[0])


def longest_first(items: list[pytest.Item]) -> None:
    """Sort what was collected, in place."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    found = (i for i, folder in enumerate(_LONG) if item.nodeid.startswith(folder))
    return next(found, len(_LONG))
