"""A source is told what is asked of its rows, and may leave others out.

    Filter(a > 1)  over  Scan(t)  →  Filter(a > 1)  over  Scan(t, filter=[a > 1])

The filter stays where the source leaves out only some of the rows that do not pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.logical import LogicalPlan, PlanSettings, Scan
from flowsql.optimizer.scan_filters import offer

__all__ = ["push_filters_into_scans"]


def push_filters_into_scans(
    plans: Sequence[LogicalPlan], settings: PlanSettings
) -> list[LogicalPlan]:
    """The statements of a job, their scans told of filters."""
    return offer(plans, settings, _beyond_partitions, partitions=False)


def _beyond_partitions(scan: Scan, columns: frozenset[str]) -> bool:
    return not columns <= set(scan.table.partition_keys)
