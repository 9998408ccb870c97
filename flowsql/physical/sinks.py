"""Lowering of INSERT: the form in which a sink gets its changes, or why it cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from flowsql.changelog import ChangelogMode
from flowsql.errors import Span, SqlError
from flowsql.expr import Cast, Column, Expression, columns_read, is_deterministic
from flowsql.logical import (
    BoundTable,
    Filter,
    FromChangelog,
    Insert,
    LogicalPlan,
    Project,
    Scan,
    Union,
)
from flowsql.physical import specs as p
from flowsql.physical.builder import Lowered
from flowsql.physical.changelogs import from_changelog
from flowsql.physical.explain import describe
from flowsql.physical.plan import PhysicalNode
from flowsql.types import Field, RowType, VarBinaryType, VarCharType

if TYPE_CHECKING:
    from flowsql.physical.lower import Lowering

__all__ = ["lower_dead_letters", "lower_insert"]

_JUDGED = ("ERROR", "NOTHING")

_BAD_RECORD = RowType(
    (
        Field("table_name", VarCharType(nullable=False)),
        Field("place", VarCharType(nullable=False)),
        Field("record", VarBinaryType(nullable=False)),
        Field("reason", VarCharType(nullable=False)),
    ),
    nullable=False,
)


def lower_insert(lowering: Lowering, plan: Insert) -> PhysicalNode:
    """The sink of an INSERT over its lowered query.

    Raises:
        SqlError: the query gives updates that the sink cannot take.
    """
    target = plan.target
    key = tuple(target.sink_columns.index(c) for c in target.primary_key)
    straight = _straight(lowering, plan, key)
    if straight is not None:
        return _sink(lowering, plan, straight, ChangelogMode.UPSERT, key)
    node = lowering.root(plan.input)
    modes = target.sink_modes
    if plan.conflict == "DEDUPLICATE" and _is_appended(node, modes):
        raise SqlError(
            f'ON CONFLICT is only allowed for upsert sinks, and sink "{target.name}" is none here',
            detail="The query only adds rows, and the sink takes them as they come.",
            hint="Leave ON CONFLICT out. To keep one row of each key, number them: ROW_NUMBER() "
            "OVER (PARTITION BY <key> ORDER BY <time> DESC) = 1.",
            span=plan.span,
        )
    wanted = lowering.settings.upsert_materialize
    if plan.conflict in _JUDGED:
        _check_watermarks(lowering, plan)
        if wanted == "force" or (wanted == "auto" and not _inside(node, key)):
            node, wanted = _judged(lowering, plan, node, key), "auto"
    force = wanted == "force"
    takes_upserts = ChangelogMode.UPSERT in modes and bool(key)
    if node.mode is ChangelogMode.APPEND and not (force and takes_upserts):
        if takes_upserts and ChangelogMode.RETRACT not in modes:
            # A row whose key came before replaces the old one.
            mode = ChangelogMode.UPSERT
        elif ChangelogMode.APPEND in modes:
            mode = ChangelogMode.APPEND
        elif ChangelogMode.RETRACT in modes:
            mode = ChangelogMode.RETRACT
        else:
            mode = ChangelogMode.UPSERT
        if mode is ChangelogMode.UPSERT and key:
            _check_conflict(lowering, plan, node, key)
        return _sink(lowering, plan, node, mode, key if mode is ChangelogMode.UPSERT else ())
    retracts = ChangelogMode.RETRACT in modes
    if retracts and not key:
        return _sink(lowering, plan, node, ChangelogMode.RETRACT, _label_key(node))
    if not retracts and ChangelogMode.UPSERT not in modes:
        raise _cannot_update(lowering, plan, node)
    if not key:
        _, why, span = _updating(lowering, node)
        raise SqlError(
            f'sink "{target.name}" needs a PRIMARY KEY to take updates',
            detail=why,
            hint="Declare PRIMARY KEY (…) NOT ENFORCED in its CREATE TABLE.",
            span=span or plan.span,
        )
    _check_conflict(lowering, plan, node, key)
    inside = _inside(node, key)
    if (wanted == "force" and not retracts) or (wanted != "none" and not inside):
        node = lowering.builder.add(
            p.SinkMaterialize(key, lowering.settings.ttl),
            (node,),
            node.output,
            lowering.settled(ChangelogMode.RETRACT),
            (tuple(sorted(key)),),
            span=plan.span,
        )
    # Labelled by the sink's own key: by another, rows that swap theirs would be retracted after
    # they were replaced.
    if retracts:
        return _sink(lowering, plan, node, ChangelogMode.RETRACT, key)
    return _sink(lowering, plan, node, ChangelogMode.UPSERT, key)


def _check_watermarks(lowering: Lowering, plan: Insert) -> None:
    """Conflicts are judged as event time goes on: all of the input must have it."""
    found = _timeless(plan.input) if lowering.settings.streaming else None
    if found is not None:
        raise SqlError(
            f"ON CONFLICT DO {plan.conflict} requires all source tables to define watermarks, "
            f'and table "{found.table.name}" does not',
            hint="Declare WATERMARK FOR … in its CREATE TABLE, or write ON CONFLICT DO DEDUPLICATE.",
            span=found.span or plan.span,
        )


def _timeless(plan: LogicalPlan) -> Scan | None:
    """The first table without a watermark."""
    if isinstance(plan, Scan):
        return plan if plan.table.watermark is None else None
    return next((s for i in plan.inputs if (s := _timeless(i)) is not None), None)


def _judged(
    lowering: Lowering, plan: Insert, node: PhysicalNode, key: tuple[int, ...]
) -> PhysicalNode:
    """One row a key of the sink."""
    fails = plan.conflict == "ERROR"
    spec = p.OnConflict(key, plan.target.name, fails, node.mode, lowering.settings.ttl)
    append = node.mode is ChangelogMode.APPEND
    mode = ChangelogMode.APPEND if append else lowering.settled(ChangelogMode.RETRACT)
    key = tuple(sorted(key))
    return lowering.builder.add(spec, (node,), node.output, mode, (key,), span=plan.span)


def lower_dead_letters(lowering: Lowering) -> None:
    """The bad records of all scans, one sink for each table that takes them.

    Raises:
        SqlError: such a table cannot be appended to.
    """
    targets: dict[str, tuple[BoundTable, Span | None]] = {}
    letters: dict[str, list[PhysicalNode]] = {}
    for scan, target, span in lowering.dead_letters.values():
        targets.setdefault(target.name, (target, span))
        letters.setdefault(target.name, []).append(
            lowering.builder.add(
                p.DeadLetters(), (scan,), _BAD_RECORD, ChangelogMode.APPEND, span=span
            )
        )
    for name, (target, span) in targets.items():
        if not target.sink_modes & {ChangelogMode.APPEND, ChangelogMode.RETRACT}:
            raise SqlError(f'dead-letter table "{name}" cannot be appended to', span=span)
        records = letters[name][0]
        if len(letters[name]) > 1:
            records = lowering.builder.add(
                p.Union(), letters[name], _BAD_RECORD, ChangelogMode.APPEND, span=span
            )
        lowering.builder.add(
            p.Sink(name, ChangelogMode.APPEND, identity=target.identity),
            (records,),
            _BAD_RECORD,
            ChangelogMode.APPEND,
            span=span,
        )


def _sink(
    lowering: Lowering,
    plan: Insert,
    node: PhysicalNode,
    mode: ChangelogMode,
    key: Sequence[int],
) -> PhysicalNode:
    return lowering.builder.add(
        p.Sink(
            table=plan.target.name,
            mode=mode,
            upsert_key=tuple(key),
            not_null=plan.not_null,
            identity=plan.target.identity,
        ),
        (node,),
        node.output,
        node.mode,
        node.upsert_keys,
        span=plan.span,
    )


def _label_key(node: PhysicalNode) -> tuple[int, ...]:
    """The key by which a retraction and the row that follows are one update."""
    return node.upsert_keys[0] if node.upsert_keys else ()


def _straight(lowering: Lowering, plan: Insert, key: tuple[int, ...]) -> PhysicalNode | None:
    """Upserts that reach the sink as they were read, or None.

    Only projections that keep the key, and filters on nothing but the key, let them pass: whether
    a row left a filter on other columns, or on the clock, cannot be told without the row it replaces.
    A delete may hold only its key, and an update leave columns out: nothing is computed from other
    columns.
    """
    if ChangelogMode.UPSERT not in plan.target.sink_modes or not key:
        return None
    if lowering.settings.upsert_materialize == "force":
        return None
    chain: list[Project | Filter] = []
    at: LogicalPlan = plan.input
    while isinstance(at, Project | Filter):
        chain.append(at)
        at = at.input
    match at:
        case Scan() if at.table.scan_mode is ChangelogMode.UPSERT:
            scan_key = at.table.primary_key
            if not scan_key or not set(scan_key) <= set(at.columns):
                return None
            tracked = {at.columns.index(c) for c in scan_key}
        case FromChangelog(upsert=True):
            tracked = set(range(len(at.partition)))
        case _:
            return None
    for step in reversed(chain):
        if isinstance(step, Filter):
            same = is_deterministic(step.condition)
            if not (same and columns_read(step.condition) <= tracked):
                return None
            continue
        moved = {
            e.index: i
            for i, e in reversed(list(enumerate(step.expressions)))
            if isinstance(e, Column) and e.index in tracked
        }
        if set(moved) != tracked or not all(_bare(e, tracked) for e in step.expressions):
            return None
        tracked = set(moved.values())
    if tracked != set(key):
        return None
    given = lowering.scan(at) if isinstance(at, Scan) else from_changelog(lowering, at)
    below = Lowered(given, tuple(range(len(given.output.fields))))
    for step in reversed(chain):
        if isinstance(step, Filter):
            below = Lowered(lowering.filtered(step, below), below.columns)
        else:
            every = frozenset(range(len(step.expressions)))
            below = lowering.projected(step, every, below)
    return lowering.materialised(below, plan.input.schema)


def _is_appended(node: PhysicalNode, modes: Collection[ChangelogMode]) -> bool:
    """Whether a sink that takes changes of every kind gets rows that are only added."""
    return node.mode is ChangelogMode.APPEND and {*modes} >= {
        ChangelogMode.APPEND,
        ChangelogMode.RETRACT,
    }


def _bare(expression: Expression, key: set[int]) -> bool:
    """Whether a value is there to be given even where only the key is: a column, cast or not."""
    while isinstance(expression, Cast):
        expression = expression.arg
    return isinstance(expression, Column) or columns_read(expression) <= key


def _inside(node: PhysicalNode, key: tuple[int, ...]) -> bool:
    return any(set(k) <= set(key) for k in node.upsert_keys)


def _check_conflict(
    lowering: Lowering, plan: Insert, node: PhysicalNode, key: tuple[int, ...]
) -> None:
    """Rows of several keys of the query may meet in one row of the sink: that must be wanted."""
    settings = lowering.settings
    if not settings.require_on_conflict or settings.upsert_materialize != "auto":
        return
    if plan.conflict == "DEDUPLICATE" or _inside(node, key):
        return
    names = node.output.names
    found = " or ".join(f"[{', '.join(names[c] for c in k)}]" for k in node.upsert_keys)
    more = ""
    if not lowering.settings.streaming or _timeless(plan.input) is None:
        more = ", DO NOTHING for the first one, or DO ERROR to fail where there are two"
    raise SqlError(
        "the query has an upsert key that differs from the primary key of the sink table "
        f'"{plan.target.name}"',
        detail=f"Primary key: [{', '.join(names[c] for c in key)}]. Upsert key: {found or 'none'}."
        + (" A union has none." if isinstance(plan.input, Union) else ""),
        hint=f"Write INSERT INTO … ON CONFLICT DO DEDUPLICATE for the last row of each key to count{more}.",
        span=plan.span,
    )


def _updating(lowering: Lowering, node: PhysicalNode) -> tuple[PhysicalNode, str, Span | None]:
    """The lowest operator that turns appended rows into updates, why, and where the SQL says so."""
    nodes = {n.id: n for n in lowering.builder.nodes}

    def search(at: PhysicalNode) -> PhysicalNode:
        for i in at.inputs:
            if nodes[i].mode is not ChangelogMode.APPEND:
                return search(nodes[i])
        return at

    found = search(node)
    match found.spec:
        case p.Join(kind=kind):
            why = (
                f"The {kind.value.upper()} JOIN gives updates: a row without a match is given with "
                "NULLs, and taken back when its match comes."
            )
        case p.Scan(table=table):
            why = f'Table "{table}" gives updates.'
        case _:
            why = f"{describe(found, [nodes[i] for i in found.inputs])} gives updates."
    return found, why, lowering.builder.spans[found.id]


def _cannot_update(lowering: Lowering, plan: Insert, node: PhysicalNode) -> SqlError:
    found, why, span = _updating(lowering, node)
    cure = _cure(found.spec)
    return SqlError(
        f'sink "{plan.target.name}" cannot take updates',
        detail=why,
        hint="Write to a table whose connector takes updates" + (f", or {cure}." if cure else "."),
        span=span or plan.span,
    )


def _cure(spec: p.Spec) -> str:
    """What else ends the updates of an operator."""
    match spec:
        case p.Join():
            return "write INNER JOIN where rows without a match may be left out"
        case p.GroupAggregate(aggregates=()):
            return "leave DISTINCT or GROUP BY out (UNION ALL instead of UNION)"
        case p.GroupAggregate():
            return (
                "aggregate by window: GROUP BY window_start, window_end of TUMBLE gives each "
                "result once"
            )
        case _:
            return ""
