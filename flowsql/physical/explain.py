"""EXPLAIN: the three plans of a statement as text."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import assert_never

from flowsql.changelog import ChangelogMode
from flowsql.config import show_duration
from flowsql.expr import AggregateCall, Literal, render
from flowsql.logical import Insert, LogicalPlan, call_text, codes_text, tree
from flowsql.physical import specs as p
from flowsql.physical.plan import PhysicalNode, PhysicalPlan
from flowsql.physical.state_specs import stored_columns
from flowsql.types import RowType
from flowsql.types.predicates import filter_texts

__all__ = ["describe", "explain", "explain_json", "explain_plan"]


def explain(
    statements: Sequence[LogicalPlan],
    optimized: Sequence[LogicalPlan],
    plan: PhysicalPlan,
    *,
    details: Container[str] = (),
) -> str:
    """EXPLAIN of a job.

    Args:
        statements: bound, unoptimised.
        optimized: after all rules.
        plan: the physical plan.
        details: words of EXPLAIN. CHANGELOG_MODE shows modes, keys and state, JSON_EXECUTION_PLAN
            the plan as JSON; ESTIMATED_COST and PLAN_ADVICE say that there is none.
    """
    parts = [
        "== Abstract Syntax Tree ==",
        *(s.tree() for s in statements),
        "",
        "== Optimized Plan ==",
        *(s.tree() for s in optimized),
        "",
        "== Execution Plan ==",
        explain_plan(plan, changelog="CHANGELOG_MODE" in details, keeps=_kept(optimized, plan)),
    ]
    if "ESTIMATED_COST" in details:
        parts += ["", "== Estimated Cost ==", "not estimated: plans do not depend on statistics"]
    if "PLAN_ADVICE" in details:
        parts += ["", "== Plan Advice ==", "no available advice"]
    if "JSON_EXECUTION_PLAN" in details:
        parts += ["", "== Physical Execution Plan ==", explain_json(plan)]
    return "\n".join(parts)


def _kept(statements: Sequence[LogicalPlan], plan: PhysicalPlan) -> dict[str, str]:
    """What writers keep in state, by their node."""
    targets = {s.target.name: s.target for s in statements if isinstance(s, Insert)}
    found = {}
    for node in plan.nodes:
        target = targets.get(node.spec.table) if isinstance(node.spec, p.Sink) else None
        if target is not None and isinstance(node.spec, p.Sink):
            text = target.connector.sink_keeps(target.settings, node.spec.mode)
            if text is not None:
                found[node.id] = text
    return found


def explain_json(plan: PhysicalPlan) -> str:
    """JSON_EXECUTION_PLAN: the nodes in Flink's shape."""
    numbers = {node.id: i for i, node in enumerate(plan.nodes, start=1)}
    nodes = {node.id: node for node in plan.nodes}
    pacts = {p.Scan: "Data Source", p.Values: "Data Source", p.Sink: "Data Sink"}
    shown = []
    for node in plan.nodes:
        text = describe(node, [nodes[i] for i in node.inputs])
        entry: dict[str, object] = {
            "id": numbers[node.id],
            "type": f"{type(node.spec).__name__}[{numbers[node.id]}]",
            "pact": pacts.get(type(node.spec), "Operator"),
            "contents": text,
            "parallelism": 1,
        }
        if node.inputs:
            entry["predecessors"] = [
                {"id": numbers[i], "ship_strategy": "FORWARD", "side": "second"}
                for i in node.inputs
            ]
        shown.append(entry)
    return json.dumps({"nodes": shown}, ensure_ascii=False, indent=2)


def explain_plan(
    plan: PhysicalPlan, *, changelog: bool = True, keeps: Mapping[str, str] | None = None
) -> str:
    """The trees of a physical plan, one a sink; a node that is shared says so below its first.

    Args:
        plan: the plan.
        changelog: with what its nodes carry and keep.
        keeps: what writers keep, by the ids of their nodes.
    """
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
        if keeps and node.id in keeps:
            text = f"{text}  keeps=[{keeps[node.id]}]"
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
            parts += filter_texts(spec.filters)
            if spec.projection is not None:
                parts.append(f"select=[{', '.join(map(render, spec.projection))}]")
            if spec.watermark is not None:
                mark = spec.watermark
                by_source = isinstance(mark.expression, Literal)
                shown = "SOURCE_WATERMARK()" if by_source else render(mark.expression)
                parts.append(f"watermark={shown} {mark.strategy.value}")
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
        case p.Expand():
            shown = "; ".join(", ".join(map(render, values)) for values in spec.projections)
            return f"Expand({shown})"
        case p.Union():
            return "Union()"
        case p.TumbleAssign():
            offset = f", offset={show_duration(spec.offset)}" if spec.offset else ""
            return f"TumbleAssign({row.names[spec.time]}, size={show_duration(spec.size)}{offset})"
        case p.GroupAggregate():
            calls = _calls(spec.aggregates)
            return f"GroupAggregate(keys=[{_names(row, spec.keys)}]{calls}{_ttl(spec.ttl)})"
        case p.WindowAggregate():
            windows = _names(row, (spec.window_start, spec.window_end))
            calls = _calls(spec.aggregates)
            return f"WindowAggregate(window=[{windows}], keys=[{_names(row, spec.keys)}]{calls})"
        case p.Join():
            return _join(spec, inputs)
        case p.SemiJoin():
            return _semi_join(spec, inputs)
        case p.SetOperation():
            return f"SetOperation({spec.kind.value}{' all' if spec.all else ''}{_ttl(spec.ttl)})"
        case p.Rank():
            return _rank(spec, row)
        case p.Deduplicate():
            by = "arrival" if spec.time is None else row.names[spec.time]
            keep = "last" if spec.keep_last else "first"
            kept = f"keeps the {keep} by {by}{_ttl(spec.ttl)}"
            return f"Deduplicate(keys=[{_names(row, spec.keys)}], {kept})"
        case p.Limit():
            return f"Limit(offset={spec.offset}, fetch={spec.fetch})"
        case p.Sort() | p.TimeSort() | p.EndSort():
            return f"{type(spec).__name__}({_order(spec.order, row)})"
        case p.Unnest():
            kind = "left" if spec.outer else "inner"
            ordinal = ", with ordinality" if spec.ordinality else ""
            on = "" if spec.condition is None else f", on={render(spec.condition)}"
            return f"Unnest({kind}, {row.names[spec.collection]}{ordinal}{on})"
        case p.ToChangelog():
            return f"ToChangelog({_to_changelog(spec, row)})"
        case p.FromChangelog():
            skip = ", skips other codes" if spec.skip else ""
            return f"FromChangelog({row.names[spec.op]}=[{codes_text(spec.codes)}]{skip})"
        case p.Normalize():
            return f"Normalize(keys=[{_names(row, spec.keys)}]{_ttl(spec.ttl)})"
        case p.SinkMaterialize():
            return f"SinkMaterialize(keys=[{_names(row, spec.keys)}]{_ttl(spec.ttl)})"
        case p.OnConflict():
            action = "error" if spec.fails else "nothing"
            return f"OnConflict(keys=[{_names(row, spec.keys)}], do {action}{_ttl(spec.ttl)})"
        case p.Sink():
            key = f", key=[{_names(row, spec.upsert_key)}]" if spec.upsert_key else ""
            return f"Sink({spec.table}, takes={spec.mode.value}{key})"
        case p.Collect():
            order = f"order=[{_order(spec.order, row)}]" if spec.order else ""
            return f"Collect({order})"
        case _:
            assert_never(spec)  # type: ignore[arg-type]


def _ttl(ttl: int) -> str:
    """How long state is kept, where that is not for ever."""
    return f", ttl={show_duration(ttl)}" if ttl else ""


def _names(row: RowType, columns: Sequence[int]) -> str:
    return ", ".join(row.names[c] for c in columns)


def _calls(calls: Sequence[AggregateCall]) -> str:
    shown = ", ".join(call_text(c) for c in calls)
    return f", calls=[{shown}]" if calls else ""


def _order(order: Sequence[p.SortKey], row: RowType) -> str:
    parts = []
    for key in order:
        text = f"{row.names[key.column]} {'DESC' if key.descending else 'ASC'}"
        if key.nulls_first is key.descending:
            text += f" NULLS {'FIRST' if key.nulls_first else 'LAST'}"
        parts.append(text)
    return ", ".join(parts)


def _to_changelog(spec: p.ToChangelog, row: RowType) -> str:
    shown = codes_text((c, i) for i, c in enumerate(spec.codes))
    parts = [f"codes=[{shown}]"]
    if spec.net:
        parts.append("net" if spec.key is None else f"net, updates by [{_names(row, spec.key)}]")
    if spec.nulled:
        columns = list(spec.columns)
        columns.insert(spec.at, -1)
        parts.append(f"deletes without [{_names(row, [columns[i] for i in spec.nulled])}]")
    return ", ".join(parts)


def _rank(spec: p.Rank, row: RowType) -> str:
    parts = [spec.function.value]
    if spec.partition:
        parts.append(f"partition=[{_names(row, spec.partition)}]")
    if spec.order:
        parts.append(f"order=[{_order(spec.order, row)}]")
    end = "" if spec.end is None else str(spec.end)
    if spec.end_column is not None:
        end = row.names[spec.end_column]
    parts.append(f"ranks={spec.start}..{end}")
    if spec.rank_column:
        parts.append("gives the rank")
    if spec.window_end is not None:
        parts.append(f"given when {row.names[spec.window_end]} is reached")
    elif spec.input_mode is ChangelogMode.APPEND:
        parts.append("keeps only what is given")
    return f"Rank({', '.join(parts)}{_ttl(spec.ttl)})"


def _semi_join(spec: p.SemiJoin, inputs: Sequence[PhysicalNode]) -> str:
    left, right = (i.output for i in inputs)
    parts = _on(spec.left, spec.right, spec.null_safe, inputs)
    if spec.condition is not None:
        parts.append(render(spec.condition))
    shown = " AND ".join(parts) or "TRUE"
    stored = _names(left, stored_columns(spec.left, left))
    stores = [f"left: {spec.left.layout.value}, stores [{stored}]{_ttl(spec.left.ttl)}"]
    if spec.keeps_right:
        stored = _names(right, stored_columns(spec.right, right))
        ttl = _ttl(spec.right.ttl)
        stores.append(f"right: {spec.right.layout.value}, stores [{stored}]{ttl}")
    else:
        stores.append("right: counts by key")
    name = "AntiJoin" if spec.anti else "SemiJoin"
    aware = ", NOT IN" if spec.null_aware else ""
    return f"{name}({shown}{aware}, {'; '.join(stores)})"


def _on(
    left: p.JoinSide,
    right: p.JoinSide,
    null_safe: Sequence[bool],
    inputs: Sequence[PhysicalNode],
) -> list[str]:
    first, second = (i.output for i in inputs)
    return [
        f"{first.names[a]} {'IS NOT DISTINCT FROM' if safe else '='} {second.names[b]}"
        for a, b, safe in zip(left.keys, right.keys, null_safe, strict=True)
    ]


def _join(spec: p.Join, inputs: Sequence[PhysicalNode]) -> str:
    left, right = (i.output for i in inputs)
    on = _on(spec.left, spec.right, spec.null_safe, inputs)
    if spec.condition is not None:
        on.append(render(spec.condition))
    sides = [
        f"{name}: {side.layout.value}"
        f"{f' [{_names(row, side.unique_key)}]' if side.unique_key else ''}"
        f", stores [{_names(row, stored_columns(side, row))}]{_ttl(side.ttl)}"
        for name, side, row in (("left", spec.left, left), ("right", spec.right, right))
    ]
    return f"Join({spec.kind.value}, {' AND '.join(on)}, {'; '.join(sides)})"
