"""Aggregates: how each is kept by group and read."""

from __future__ import annotations

from flowsql.operators.aggregates.accumulators import Accumulators, Snapshot
from flowsql.operators.aggregates.results import Result, combine, differs, pick
from flowsql.operators.aggregates.selection import Batch, Selection

__all__ = ["Accumulators", "Batch", "Result", "Selection", "Snapshot", "combine", "differs", "pick"]
