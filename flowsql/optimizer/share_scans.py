"""A table is read once a job: every scan of it gets the union of their columns (DESIGN 9).

    Scan(t, [a]) … Scan(t, [b])  →  Project(a)(Scan(t, [a, b])) … Project(b)(Scan(t, [a, b]))

Equal nodes are one node of the physical plan, so these scans are one scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowsql.logical import LogicalPlan, Scan
from flowsql.optimizer.prune_columns import scan_columns
from flowsql.optimizer.rewrite import bottom_up, select

__all__ = ["share_scans"]


def share_scans(plans: Sequence[LogicalPlan]) -> list[LogicalPlan]:
    """The statements of a job with equal scans."""
    columns: dict[str, set[int]] = {}

    def collect(plan: LogicalPlan) -> None:
        if isinstance(plan, Scan):
            columns.setdefault(plan.table.name, set()).update(plan.columns)
        for below in plan.inputs:
            collect(below)

    for plan in plans:
        collect(plan)

    def widen(node: LogicalPlan) -> LogicalPlan:
        if not isinstance(node, Scan):
            return node
        wide = replace(node, columns=tuple(sorted(columns[node.table.name])))
        # What one scan reads of time, all read: the watermark is the table's.
        wide = replace(wide, columns=scan_columns(wide, frozenset(range(len(wide.columns)))))
        if wide.columns == node.columns:
            return node
        return select(wide, [wide.columns.index(c) for c in node.columns])

    return [bottom_up(plan, widen) for plan in plans]
