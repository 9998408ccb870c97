"""Whether what reaches a sink is net by its key already.

A `GroupAggregate` gives each key once a step, its `-U` right before its `+U` in one batch, as what
keeps the best or the last row by key does, and projections keep rows in place. A sink by the same key need not
net and label them again, which for many groups costs as much as the aggregate itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowsql.expr import Column
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import (
    Deduplicate,
    GroupAggregate,
    Normalize,
    OnConflict,
    Project,
    Rank,
    Scan,
    SinkMaterialize,
)
from flowsql.physical.state_specs import keeps_best_row

__all__ = ["compared_columns"]


def compared_columns(
    node: PhysicalNode, upsert_key: tuple[int, ...], physical: Mapping[str, PhysicalNode]
) -> tuple[int, ...] | None:
    """How a sink that reads `node` can rely on pairs.

    Args:
        node: what the sink reads.
        upsert_key: of the sink, columns of `node`.
        physical: all nodes by id.

    Returns:
        None where it cannot. Else the columns in which a pair's rows may all be equal, so that
        the pair is no change: a projection may have dropped the one that did; empty where some
        column is sure to differ.
    """
    columns: tuple[int | None, ...] = tuple(range(len(node.output.fields)))
    at = node
    while isinstance(at.spec, Project):
        expressions = at.spec.expressions
        columns = tuple(_source(None if c is None else expressions[c]) for c in columns)
        at = physical[at.inputs[0]]
    keys = _net_by(at, physical)
    if not upsert_key or {columns[k] for k in upsert_key} != keys:
        return None
    if set(range(len(at.output.fields))) <= set(columns):
        return ()
    return tuple(i for i in range(len(columns)) if i not in upsert_key)


def _net_by(node: PhysicalNode, physical: Mapping[str, PhysicalNode]) -> set[int] | None:
    """The key by which an operator gives pairs."""
    match node.spec:
        case GroupAggregate(keys=keys):
            return set(range(len(keys)))
        case Normalize(keys=keys):
            # Rows that carry their time are changed one by one, several times in a step.
            return None if _is_timed(node, physical) else set(keys)
        case SinkMaterialize(keys=keys) | OnConflict(keys=keys):
            return set(keys)
        case Deduplicate(keys=keys):
            return set(keys)
        case Rank() as spec if keeps_best_row(spec, physical[node.inputs[0]].output):
            return set(spec.partition)
        case _:
            return None


def _is_timed(node: PhysicalNode, physical: Mapping[str, PhysicalNode]) -> bool:
    """Whether a table that a node reads, however far below, has event time."""
    if isinstance(node.spec, Scan):
        return node.spec.watermark is not None
    return any(_is_timed(physical[i], physical) for i in node.inputs)


def _source(expression: object) -> int | None:
    return expression.index if isinstance(expression, Column) else None
