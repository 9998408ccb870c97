"""Physical plans: specs, their ids, their text, their JSON; lowering from logical plans."""

from __future__ import annotations

from flowsql.physical.codec import decode, encode
from flowsql.physical.difference import difference
from flowsql.physical.explain import describe, explain, explain_plan
from flowsql.physical.identity import canonical_forms
from flowsql.physical.plan import PhysicalNode, PhysicalPlan
from flowsql.physical.plans import PlannedJob, plan_job, plan_select, tables_of

__all__ = [
    "PhysicalNode",
    "PhysicalPlan",
    "PlannedJob",
    "canonical_forms",
    "decode",
    "describe",
    "difference",
    "encode",
    "explain",
    "explain_plan",
    "plan_job",
    "plan_select",
    "tables_of",
]
