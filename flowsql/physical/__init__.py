"""Physical plans: specs, their ids, their text, their JSON; lowering from logical plans."""

from __future__ import annotations

from flowsql.physical.plan import PhysicalNode, PhysicalPlan

__all__ = ["PhysicalNode", "PhysicalPlan"]
