"""`t CROSS JOIN UNNEST(t.items) [WITH ORDINALITY] AS u (item, n)`."""

from __future__ import annotations

from dataclasses import replace

from flowsql.errors import SqlError
from flowsql.expr import Column, Literal
from flowsql.logical.expressions import ExpressionBinder
from flowsql.logical.plan import JoinKind, LogicalPlan, Project
from flowsql.logical.plan_rows import Unnest, column, elements
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import Relation, Scope, unused
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import ArrayType, MultisetType, RowType, VariantType

__all__ = ["bind_unnest"]


def bind_unnest(
    node: d.UnnestRelation,
    left: LogicalPlan,
    scope: Scope,
    kind: JoinKind,
    join: d.JoinRelation | None = None,
) -> tuple[LogicalPlan, Scope]:
    """The left plan's rows, each once for every element of the collection.

    Args:
        node: the relation.
        left: what stands in front of it.
        scope: its columns.
        kind: INNER or LEFT.
        join: the join that it is the right side of, for ON.

    Raises:
        SqlError: it is no collection, or the join is one that Flink has not either.
    """
    span = span_of(node)
    if kind not in {JoinKind.INNER, JoinKind.LEFT}:
        raise not_supported(f"{kind.value.upper()} JOIN UNNEST", span)
    if join is not None and (join.args.get("using") or join.args.get("natural")):
        raise not_supported("USING or NATURAL with UNNEST", span)
    if len(node.args["expressions"]) != 1:
        raise not_supported("UNNEST of several collections", span)
    bound = ExpressionBinder(scope, "UNNEST").value(node.args["expressions"][0])
    shown = elements(bound.type)
    if not shown:
        raise SqlError(
            f"UNNEST takes an ARRAY, a MAP or a MULTISET, not {bound.type.with_nullable(True)}",
            span=bound.span or span,
            hint="Write JSON_QUERY(…, '$' RETURNING ARRAY<STRING>) for the elements of a VARIANT."
            if isinstance(bound.type, VariantType)
            else None,
        )
    width = len(left.schema.fields)
    hidden = set(scope.hidden)
    if isinstance(bound, Column):
        at = bound.index
    else:
        at = width
        own = [column(left, i) for i in range(width)]
        left = Project(
            left, (*own, bound), (*left.schema.names, unused("items", left.schema.names))
        )
        hidden.add(width)
        width += 1
    ordinality = bool(node.args.get("ordinality"))
    names = _names(node, bound.type, [n for n, _ in shown], ordinality=ordinality)
    plan = Unnest(left, at, names, ordinality, kind is JoinKind.LEFT, span=span)
    alias = node.args.get("alias")
    relation = Relation((alias.this,) if alias is not None else (), width, len(names))
    scope = replace(
        scope,
        row=plan.schema,
        relations=(*scope.relations, relation),
        hidden=frozenset(hidden),
    )
    on = None if join is None else join.args.get("on")
    if on is None:
        return plan, scope
    condition = ExpressionBinder(scope, "ON").condition(on)
    if isinstance(condition, Literal) and condition.value is True:
        return plan, scope
    return replace(plan, condition=condition), scope


def _names(
    node: d.UnnestRelation, kind: object, found: list[str], *, ordinality: bool
) -> tuple[str, ...]:
    columns = node.args.get("columns")
    width = len(found) + ordinality
    if columns:
        if len(columns) != width:
            raise SqlError(
                f"{len(columns)} column names are given for {width} columns",
                span=span_of(columns[0]).to(span_of(columns[-1])),
            )
        return tuple(c.this for c in columns)
    alias = node.args.get("alias")
    plain = isinstance(kind, ArrayType | MultisetType) and not isinstance(kind.element, RowType)
    if plain:
        # As in Flink, an alias alone names the element too.
        found = [alias.this] if alias is not None and not ordinality else ["EXPR$0"]
    return (*found, "ORDINALITY") if ordinality else tuple(found)
