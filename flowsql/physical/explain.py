"""EXPLAIN: the three plans of a statement as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from flowsql.expr import AggregateCall, render
from flowsql.logical import LogicalPlan, call_text, tree
from flowsql.physical import specs as p
from flowsql.physical.plan import PhysicalNode, PhysicalPlan
from flowsql.physical.state_specs import stored_columns
from flowsql.types import RowType

__all__ = ["describe", "explain", "explain_plan"]


def explain(
    statements: Sequence[LogicalPlan],
    optimized: Sequence[LogicalPlan],
    plan: PhysicalPlan,
    *,
    changelog: bool = False,
) -> str:
    """EXPLAIN of a job.

    Args:
        statements: bound, unoptimised.
        optimized: after all rules.
        plan: the physical plan.
        changelog: CHANGELOG_MODE was asked for: modes, keys and state are shown.
    """
    parts = [
        "== Abstract Syntax Tree ==",
        *(s.tree() for s in statements),
        "",
        "== Optimized Plan ==",
        *(s.tree() for s in optimized),
        "",
        "== Execution Plan ==",
        explain_plan(plan, changelog=changelog),
    ]
    return "\n".join(parts)


def explain_plan(plan: PhysicalPlan, *, changelog: bool = True) -> str:
    """The trees of a physical plan, one a sink; a node that is shared says so below its first."""
    nodes = {n.id: n for n in plan.nodes}
    read = {i for n in plan.nodes for i in n.inputs}
    roots = [n for n in plan.nodes if n.id not in read]
    uses: dict[str, int] = {}
    for n in plan.nodes:
        for i in n.inputs:
            uses[i] = uses.get(i, 0) + 1
    marks = {i: f"#{k}" for k, i in enumerate((i for i in nodes if uses.get(i, 0) > 1), start=1)}
    shown: set[str] = set()

    def label(node: PhysicalNode) -> str:
        mark = marks.get(node.id)
        text = describe(node, [nodes[i] for i in node.inputs])
        if mark is not None and node.id in shown:
            return f"Reused {mark}: {type(node.spec).__name__}"
        if mark is not None:
            text = f"{mark} {text}"
        return f"{text}  {_properties(node)}".rstrip() if changelog else text

    def children(node: PhysicalNode) -> list[PhysicalNode]:
        if node.id in shown:
            return []
        if node.id in marks:
            shown.add(node.id)
        return [nodes[i] for i in node.inputs]

    return "\n".join(tree(root, label, children) for root in roots)


def _properties(node: PhysicalNode) -> str:
    parts = [f"changelogMode={node.mode.value}"]
    names = node.output.names
    if node.upsert_keys:
        keys = " ".join(f"[{', '.join(names[c] for c in k)}]" for k in node.upsert_keys)
        parts.append(f"keys={keys}")
    if node.state:
        parts.append(f"state=[{', '.join(s.name for s in node.state)}]")
    return "  ".join(parts)


def describe(node: PhysicalNode, inputs: Sequence[PhysicalNode]) -> str:
    """One line: the operator and what it does."""
    spec = node.spec
    row = inputs[0].output if inputs else node.output
    match spec:
        case p.Scan():
            parts = [spec.table, f"columns=[{', '.join(spec.columns)}]"]
            if spec.projection is not None:
                parts.append(f"select=[{', '.join(map(render, spec.projection))}]")
            if spec.watermark is not None:
                mark = spec.watermark
                parts.append(f"watermark={render(mark.expression)} {mark.strategy.value}")
            if spec.bad_records is not p.BadRecordPolicy.FAIL:
                parts.append(f"bad records={spec.bad_records.value}")
            return f"Scan({', '.join(parts)})"
        case p.DeadLetters():
            return "DeadLetters()"
        case p.Values():
            return f"Values(rows={len(spec.rows)})"
        case p.Filter():
            return f"Filter({render(spec.condition)})"
        case p.Project():
            return f"Project({', '.join(map(render, spec.expressions))})"
        case p.Union():
            return "Union()"
        case p.TumbleAssign():
            offset = f", offset={spec.offset} ms" if spec.offset else ""
            return f"TumbleAssign({row.names[spec.time]}, size={spec.size} ms{offset})"
        case p.GroupAggregate():
            calls = _calls(spec.aggregates)
            return f"GroupAggregate(keys=[{_names(row, spec.keys)}]{calls})"
        case p.WindowAggregate():
            windows = _names(row, (spec.window_start, spec.window_end))
            calls = _calls(spec.aggregates)
            return f"WindowAggregate(window=[{windows}], keys=[{_names(row, spec.keys)}]{calls})"
        case p.Join():
            return _join(spec, inputs)
        case p.Normalize():
            return f"Normalize(keys=[{_names(row, spec.keys)}])"
        case p.SinkMaterialize():
            return f"SinkMaterialize(keys=[{_names(row, spec.keys)}])"
        case p.Sink():
            key = f", key=[{_names(row, spec.upsert_key)}]" if spec.upsert_key else ""
            return f"Sink({spec.table}, takes={spec.mode.value}{key})"
        case p.Collect():
            return "Collect()"
        case _:
            assert_never(spec)  # type: ignore[arg-type]


def _names(row: RowType, columns: Sequence[int]) -> str:
    return ", ".join(row.names[c] for c in columns)


def _calls(calls: Sequence[AggregateCall]) -> str:
    shown = ", ".join(call_text(c) for c in calls)
    return f", calls=[{shown}]" if calls else ""


def _join(spec: p.Join, inputs: Sequence[PhysicalNode]) -> str:
    left, right = (i.output for i in inputs)
    on = [
        f"{left.names[a]} {'IS NOT DISTINCT FROM' if safe else '='} {right.names[b]}"
        for a, b, safe in zip(spec.left.keys, spec.right.keys, spec.null_safe, strict=True)
    ]
    if spec.condition is not None:
        on.append(render(spec.condition))
    sides = [
        f"{name}: {side.layout.value}"
        f"{f' [{_names(row, side.unique_key)}]' if side.unique_key else ''}"
        f", stores [{_names(row, stored_columns(side))}]"
        for name, side, row in (("left", spec.left, left), ("right", spec.right, right))
    ]
    return f"Join({spec.kind.value}, {' AND '.join(on)}, {'; '.join(sides)})"
