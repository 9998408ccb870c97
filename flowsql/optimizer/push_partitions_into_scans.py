"""A source is told which partitions are wanted, and reads no others.

    Filter(dt = 'x' AND a > 1)  over  Scan(t)
    →  Filter(a > 1)  over  Scan(t, partitions=[dt = 'x'])

These are the conditions that read only columns of PARTITIONED BY.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.logical import LogicalPlan, PlanSettings, Scan
from flowsql.optimizer.scan_filters import offer

__all__ = ["push_partitions_into_scans"]


def push_partitions_into_scans(
    plans: Sequence[LogicalPlan], settings: PlanSettings
) -> list[LogicalPlan]:
    """The statements of a job, their scans told of partitions."""
    return offer(plans, settings, _partitions_only, partitions=True)


def _partitions_only(scan: Scan, columns: frozenset[str]) -> bool:
    return columns <= set(scan.table.partition_keys)
