"""Lowering of TO_CHANGELOG and FROM_CHANGELOG."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from flowsql.changelog import ChangelogMode
from flowsql.errors import SqlError
from flowsql.logical import FromChangelog, ToChangelog
from flowsql.physical import specs as p
from flowsql.physical.builder import Lowered
from flowsql.physical.plan import PhysicalNode

if TYPE_CHECKING:
    from flowsql.physical.lower import Lowering

__all__ = ["from_changelog", "lower_from_changelog", "lower_to_changelog"]


def lower_to_changelog(lowering: Lowering, plan: ToChangelog) -> Lowered:
    """TO_CHANGELOG: every column of the input counts, whatever is read of the result.

    Raises:
        SqlError: an argument asks for what the input cannot give.
    """
    schema = plan.input.schema
    node = lowering.materialised(
        lowering.lower(plan.input, frozenset(range(len(schema.fields)))), schema
    )
    if plan.full_deletes and node.mode is ChangelogMode.APPEND:
        raise SqlError(
            'argument "produces_full_deletes" is TRUE, but the input only gives INSERT',
            hint="Leave it out.",
            span=plan.span,
        )
    key = node.upsert_keys[0] if node.upsert_keys else None
    if plan.full_deletes is False and not plan.partition and key is None:
        raise SqlError(
            'argument "produces_full_deletes" is FALSE, but the input has no unique key',
            detail="The rows of deletions would hold no column that says which row goes.",
            hint="Leave it out, or add PARTITION BY with the columns that such rows keep.",
            span=plan.span,
        )
    columns = plan.columns
    at = len(plan.partition)
    nulled: tuple[int, ...] = ()
    if plan.full_deletes is False:
        kept = {*plan.partition, *(key or ())}
        nulled = tuple(i + (i >= at) for i, c in enumerate(columns) if c not in kept)
    kinds = _kinds(lowering, node)
    net = kinds is not _Kinds.SAID
    by = key if kinds is _Kinds.KEYED else None
    made = lowering.builder.add(
        p.ToChangelog(plan.codes, columns, at, nulled, net, by),
        (node,),
        plan.schema,
        ChangelogMode.APPEND,
        span=plan.span,
    )
    return Lowered(made, tuple(range(len(plan.schema.fields))))


class _Kinds(Enum):
    """What the kinds of a node's changes say.

    SAID: what happened, by their source or in pairs by key. KEYED: what comes and goes; a row that
    goes with one that comes by the same key is an update, as in Flink. BARE: what comes and goes;
    Flink says no more either.
    """

    SAID = 0
    KEYED = 1
    BARE = 2


def _kinds(lowering: Lowering, node: PhysicalNode) -> _Kinds:
    if node.mode is ChangelogMode.APPEND:
        return _Kinds.SAID
    match node.spec:
        case p.Scan() | p.FromChangelog() | p.Normalize() | p.GroupAggregate() | p.Deduplicate():
            return _Kinds.SAID
        case p.Filter() | p.Project() | p.Expand() | p.Unnest() | p.TumbleAssign() | p.Union():
            nodes = {n.id: n for n in lowering.builder.nodes}
            below = [_kinds(lowering, nodes[i]) for i in node.inputs]
            return max(below, key=lambda k: k.value)
        case p.Join(kind=p.JoinKind.INNER) | p.SemiJoin(anti=False):
            return _Kinds.KEYED
        case p.Rank(rank_column=True):
            return _Kinds.KEYED
        case p.Rank(input_mode=ChangelogMode.APPEND, start=1, end=1):
            return _Kinds.KEYED
        case _:
            return _Kinds.BARE


def lower_from_changelog(
    lowering: Lowering, plan: FromChangelog, needed: frozenset[int]
) -> Lowered:
    """FROM_CHANGELOG; updates that replace the row of their partition are normalised.

    Raises:
        SqlError: the input gives updates.
    """
    chosen = sorted(needed | (set(range(len(plan.partition))) if plan.upsert else set())) or [0]
    node = from_changelog(lowering, plan, chosen)
    if plan.upsert:
        node = lowering.builder.add(
            p.Normalize(node.upsert_keys[0], lowering.settings.ttl),
            (node,),
            node.output,
            ChangelogMode.RETRACT,
            node.upsert_keys,
            span=plan.span,
        )
    places = [-1] * len(plan.schema.fields)
    for i, c in enumerate(chosen):
        places[c] = i
    return Lowered(node, tuple(places))


def from_changelog(
    lowering: Lowering, plan: FromChangelog, chosen: list[int] | None = None
) -> PhysicalNode:
    """The node that gives the chosen columns of `plan`, or all, as they come: maybe as upserts.

    Raises:
        SqlError: the input gives updates.
    """
    if chosen is None:
        chosen = list(range(len(plan.columns)))
    columns = [plan.columns[c] for c in chosen]
    below = lowering.lower(plan.input, frozenset({plan.op, *columns}))
    if below.node.mode is not ChangelogMode.APPEND:
        raise SqlError(
            "FROM_CHANGELOG takes rows that are only added, but its table gives updates",
            hint="Its table is the changelog itself, a row for each change.",
            span=plan.span,
        )
    spec = p.FromChangelog(
        below.at(plan.op), plan.codes, tuple(below.at(c) for c in columns), plan.skip
    )
    return lowering.builder.add(
        spec,
        (below.node,),
        plan.schema.select(chosen),
        ChangelogMode.UPSERT if plan.upsert else ChangelogMode.RETRACT,
        (tuple(range(len(plan.partition))),) if plan.upsert else (),
        span=plan.span,
    )
