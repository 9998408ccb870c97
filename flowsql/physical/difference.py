"""What changed between the statement of a checkpoint and the one that is to resume it."""

from __future__ import annotations

import difflib
import re
from collections import Counter

from flowsql.physical.explain import describe
from flowsql.physical.plan import PhysicalPlan

__all__ = ["difference"]

# What stands in the statement for a node of the bound plan.
_CLAUSES = {
    "Scan": "FROM ",
    "Filter": "WHERE ",
    "Project": "SELECT ",
    "Insert": "INSERT INTO ",
    "Join": "JOIN ",
    "Tumble": "TUMBLE ",
    "ToChangelog": "TO_CHANGELOG ",
    "FromChangelog": "FROM_CHANGELOG ",
    "Union": "UNION ",
    "Values": "VALUES ",
}
_NODE = re.compile(r"([A-Z]\w*)\((.*)\)")
_AGGREGATE = re.compile(
    r"keys=\[(.*?)\](?:, calls=\[((?:(?!\], ttl=).)*)\])?(, windowed)?(?:, ttl=\[(.*)\])?"
)
# A node that only moved down the tree did not change.
_DRAWING = " │├└─"


def difference(old: PhysicalPlan, new: PhysicalPlan) -> str:
    """The difference for people: lines with `-` are the old statement's, with `+` the new one's.

    Empty where the fingerprints agree. Where the statements read alike, the difference lies in
    what they stand on: a table's columns or options, or a setting; the operators show it.
    """
    if old.fingerprint == new.fingerprint:
        return ""
    lines = _lines(old.statement.split("\n"), new.statement.split("\n"))
    if not lines:
        lines = _changed(_operators(old), _operators(new))
    if not lines and old.streaming is not new.streaming:
        modes = {True: "streaming", False: "batch"}
        lines = [
            f"- execution.runtime-mode = {modes[old.streaming]}",
            f"+ execution.runtime-mode = {modes[new.streaming]}",
        ]
    if not lines:
        lines = ["~ a table's definition or a setting such as table.local-time-zone"]
    return "\n".join(lines)


def _lines(old: list[str], new: list[str]) -> list[str]:
    before = [_clause(line.lstrip(_DRAWING)) for line in old]
    found = difflib.ndiff(before, [_clause(line.lstrip(_DRAWING)) for line in new])
    return [line.rstrip() for line in found if line.startswith(("- ", "+ "))]


def _clause(line: str) -> str:
    """A line of the bound plan in the words of SQL."""
    node = _NODE.fullmatch(line)
    if node is None:
        return line
    name, inside = node.groups()
    if name in _CLAUSES:
        return f"{_CLAUSES[name]}{inside}"
    aggregate = _AGGREGATE.fullmatch(inside) if name == "Aggregate" else None
    if aggregate is None:
        return line
    keys, calls, _, ttl = aggregate.groups()
    grouped = f"GROUP BY {keys}" if keys else "without GROUP BY"
    grouped += f", state kept for {ttl}" if ttl else ""
    return f"{calls} {grouped}" if calls else grouped


def _operators(plan: PhysicalPlan) -> list[str]:
    nodes = {n.id: n for n in plan.nodes}
    shown = []
    for node in plan.nodes:
        text = describe(node, [nodes[i] for i in node.inputs])
        identity = getattr(node.spec, "identity", ())
        options = ", ".join(f"'{k}' = '{v}'" for k, v in identity)
        shown.append(f"{text} WITH ({options})" if options else text)
        shown[-1] += f" giving {node.output}"
    return shown


def _changed(old: list[str], new: list[str]) -> list[str]:
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    return [f"- {line}" for line in gone.elements()] + [f"+ {line}" for line in come.elements()]
