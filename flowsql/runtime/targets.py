"""What a job's targets hold of it, and whether a start would lose or double rows there (DESIGN 8)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from flowsql.checkpoint import Manifest
from flowsql.connector import Committed
from flowsql.errors import FlowSQLError
from flowsql.physical.specs import Sink
from flowsql.runtime.graph import JobPlan

__all__ = [
    "Holding",
    "accepts",
    "emptying",
    "held_by",
    "holdings",
    "known_holdings",
    "lost",
    "named",
]


@dataclass(frozen=True, slots=True)
class Holding:
    """What a target table holds of a job, by its own marker."""

    table: str
    found: Committed


def holdings(job: str, plan: JobPlan) -> list[Holding]:
    """The target tables that know the job; raises what a connector does."""
    found = []
    for node in plan.plan.nodes:
        if isinstance(node.spec, Sink):
            resolved = plan.sink_table(node.spec.table)
            marker = resolved.connector.sink(resolved.table).committed(job)
            if marker is not None:
                found.append(Holding(node.spec.table, marker))
    return found


def accepts(holding: Holding, manifest: Manifest) -> bool:
    """Whether a job may go on from a checkpoint: the target holds nothing beyond it."""
    found = holding.found
    return found.run == manifest.run and found.checkpoint <= manifest.checkpoint


def lost(plan: JobPlan, manifest: Manifest) -> dict[str, int]:
    """Target tables without what was committed to them → the checkpoint that was committed.

    Such a target has no marker any more, or one from before: it was removed, or an old copy stands
    in its place. Going on from the manifest would leave out all rows from before.

    Args:
        plan: of the job.
        manifest: that it would go on from, taken by itself.
    """
    found = {}
    for node in plan.plan.nodes:
        number = manifest.committed.get(node.id)
        if not isinstance(node.spec, Sink) or number is None:
            continue
        resolved = plan.sink_table(node.spec.table)
        sink = resolved.connector.sink(resolved.table)
        marker = sink.committed(manifest.job)
        if marker is None or (marker.run == manifest.run and marker.checkpoint < number):
            found[node.spec.table] = number
    return found


def emptying(held: Sequence[Holding], bare: Sequence[str] = ()) -> str:
    """What must be done before a job may begin anew, as the beginning of a sentence; may be empty.

    Args:
        held: targets with a marker.
        bare: tables that may hold rows though they have none.
    """
    parts = list(dict.fromkeys(h.found.instead for h in held if h.found.instead is not None))
    held = [h for h in held if h.found.instead is None]
    places = [f'"{h.found.place}"' for h in held if h.found.place is not None]
    if held or bare:
        parts.append(f"empty {named([*(h.table for h in held), *bare])}")
    if held and len(places) == len(held):
        parts.append(f"remove {_listed(places)}")
    elif held:
        parts[-1] += " together with what it knows of the job"
    return ", ".join(parts)


def known_holdings(job: str, plan: JobPlan) -> list[Holding]:
    """As `holdings`, for the text of an error: a target that does not answer is left out."""
    try:
        return holdings(job, plan)
    except FlowSQLError:
        return []


def held_by(plan: JobPlan) -> dict[str, tuple[str, ...]]:
    """Target tables to which a job adds its rows → the jobs whose rows they hold by now.

    What is written anew or kept by key is left out, as is a target that does not answer.
    """
    found: dict[str, tuple[str, ...]] = {}
    for node in plan.plan.nodes:
        if not isinstance(node.spec, Sink):
            continue
        resolved = plan.sink_table(node.spec.table)
        kept = resolved.connector.sink_keeps(resolved.table, node.spec.mode)
        if resolved.table.overwrite or kept is not None:
            continue
        with contextlib.suppress(FlowSQLError):
            jobs = tuple(resolved.connector.sink(resolved.table).holders())
            if jobs:
                found[node.spec.table] = jobs
    return found


def named(tables: Sequence[str]) -> str:
    """Names of tables for people."""
    return _listed([f'"{t}"' for t in dict.fromkeys(tables)])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
