"""What a checkpoint holds of a running attempt, copied between two steps."""

from __future__ import annotations

from typing import Any

from flowsql.runtime.execution import Execution

__all__ = ["snapshot_of"]


def snapshot_of(execution: Execution) -> dict[str, Any]:
    """The parts of `Content` that are the execution's; safe to be written while steps go on."""
    graph = execution.graph
    operators: dict[str, dict[str, Any]] = {
        node.id: {"watermark": node.watermark} for node in graph.nodes
    }
    segments = {}
    for operator in graph.operators:
        operators[operator.id]["reached"] = operator.reached
        operators[operator.id]["counters"] = operator.context.counters.as_dict()
        if operator.store.tables:
            segments[operator.id] = operator.store.segments()
    # The job's own counts stand under no operator's id.
    operators[""] = {"bad_records": execution.bad_records}
    for sink, store in execution.writer_stores.items():
        if store.tables:
            segments[f"{sink}/writer"] = store.segments()
    linked = {}
    for outlet in graph.outlets:
        if outlet.pending is not None and outlet.pending.rows:
            linked[f"{outlet.id}/pending"] = outlet.pending.entries()
    return {
        "sources": {g.key: g.snapshot() for g in execution.groups},
        "watermarks": {s.id: s.assigner.snapshot() for s in graph.scans.values()},
        "operators": operators,
        "segments": segments,
        "linked": linked,
    }
