"""A physical plan: nodes in topological order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flowsql.changelog import ChangelogMode
from flowsql.errors import Span
from flowsql.physical.specs import Spec
from flowsql.state.spec import StateSpec
from flowsql.types import RowType

__all__ = ["PhysicalNode", "PhysicalPlan"]


@dataclass(frozen=True, slots=True)
class PhysicalNode:
    """One operator of a plan.

    Attributes:
        id: 16 hex digits over the node's canonical form, `#2` … for duplicates (DESIGN 8).
        spec: what it computes.
        inputs: ids of the nodes it reads, one a port.
        output: its rows' schema.
        mode: what it emits.
        upsert_keys: each a set of output columns of which every value has at most one live row.
        state: the tables it needs.
        span: where the SQL asks for it; no part of equality, and not known of a stored plan.
    """

    id: str
    spec: Spec
    inputs: tuple[str, ...]
    output: RowType
    mode: ChangelogMode
    upsert_keys: tuple[tuple[int, ...], ...] = ()
    state: tuple[StateSpec, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PhysicalPlan:
    """One job's operators; every input stands before its readers.

    Attributes:
        nodes: in topological order.
        fingerprint: SHA-256 over the bound, unoptimised statement; a restart whose statement has
            the same one runs the stored plan.
        streaming: False for `execution.runtime-mode = batch`: bounded input, read in one step.
        statement: the bound, unoptimised statement as text, to explain a difference.
    """

    nodes: tuple[PhysicalNode, ...]
    fingerprint: str
    streaming: bool = True
    statement: str = ""

    def node(self, node_id: str) -> PhysicalNode:
        """The node with this id; raises KeyError."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def placed(self, planned: PhysicalPlan) -> PhysicalPlan:
        """This plan with the places in the SQL that the `planned` one knows of equal nodes."""
        known = {n.id: n for n in planned.nodes}
        nodes = tuple(known[n.id] if known.get(n.id) == n else n for n in self.nodes)
        return replace(self, nodes=nodes)

    def readers(self, node_id: str) -> tuple[PhysicalNode, ...]:
        """The nodes that read this one."""
        return tuple(n for n in self.nodes if node_id in n.inputs)
