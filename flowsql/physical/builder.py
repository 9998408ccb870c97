"""The nodes of a plan under construction: equal nodes are one, every id is derived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowsql.changelog import ChangelogMode
from flowsql.errors import Span
from flowsql.expr import Column, Expression, transform
from flowsql.optimizer.unique_keys import Keys
from flowsql.physical.identity import Lineage, identify
from flowsql.physical.plan import PhysicalNode
from flowsql.physical.specs import Collect, Sink, Spec
from flowsql.physical.state_specs import declare_state
from flowsql.types import RowType

__all__ = ["Lowered", "PlanBuilder", "relocated"]


@dataclass(frozen=True, slots=True)
class Lowered:
    """A logical node, lowered.

    Attributes:
        node: the physical node that gives its rows.
        columns: for each logical column its position there, −1 for one that is not needed.
    """

    node: PhysicalNode
    columns: tuple[int, ...]

    def at(self, column: int) -> int:
        """The position of a logical column that is needed."""
        found = self.columns[column]
        assert found >= 0
        return found


def relocated(expression: Expression, below: Lowered) -> Expression:
    """The expression over the columns of the physical node."""
    names = below.node.output.names

    def move(e: Expression) -> Expression:
        if not isinstance(e, Column):
            return e
        at = below.at(e.index)
        return replace(e, index=at, name=names[at])

    return transform(expression, move)


class PlanBuilder:
    """Collects nodes in topological order."""

    def __init__(self) -> None:
        self.nodes: list[PhysicalNode] = []
        self.spans: dict[str, Span | None] = {}
        self._lineage: dict[str, Lineage] = {}
        self._known: dict[tuple[Spec, tuple[str, ...], RowType], PhysicalNode] = {}
        self._digests: dict[str, int] = {}

    def add(
        self,
        spec: Spec,
        inputs: Sequence[PhysicalNode],
        output: RowType,
        mode: ChangelogMode,
        upsert_keys: Keys = (),
        *,
        span: Span | None = None,
    ) -> PhysicalNode:
        """The node of this spec over these inputs: a new one, or the equal one there is.

        What leaves the plan is never shared: two INSERTs of one query write its rows twice.
        """
        ids = tuple(n.id for n in inputs)
        shared = (spec, ids, output)
        leaves = isinstance(spec, Sink | Collect)
        if not leaves and shared in self._known:
            return self._known[shared]
        lineage = identify(spec, [self._lineage[i] for i in ids], len(output.fields), output.names)
        count = self._digests.get(lineage.digest, 0) + 1
        self._digests[lineage.digest] = count
        node_id = lineage.digest if count == 1 else f"{lineage.digest}#{count}"
        if lineage.rows == lineage.digest:
            lineage = replace(lineage, rows=node_id)
        node = PhysicalNode(
            id=node_id,
            spec=spec,
            inputs=ids,
            output=output,
            mode=mode,
            upsert_keys=upsert_keys,
            state=declare_state(spec, tuple(n.output for n in inputs), output),
            span=span,
        )
        self.nodes.append(node)
        self.spans[node_id] = span
        self._lineage[node_id] = lineage
        self._known[shared] = node
        return node
