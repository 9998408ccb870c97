"""Ids of operators: what makes an operator the same one in the next version of a query (DESIGN 8).

The canonical form of a node holds its kind, its expressions and the ids of the nodes that decide
which rows reach it. Columns are named by lineage: `<scan's id>.<column>`, or the operator that made
the value, never by position, so that another column read beside does not change an id. Projections
make no rows: they are seen only through the lineage of what they compute. The stored columns of a
join, the other aggregates of a group, watermarks and policies are no part of an id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowsql.expr import AggregateCall, Column, Expression
from flowsql.expr.nodes import Call, Case, Cast, FieldAccess, Literal
from flowsql.logical import canonical
from flowsql.physical.plan import PhysicalNode, PhysicalPlan
from flowsql.physical.specs import (
    Collect,
    DeadLetters,
    Deduplicate,
    EndSort,
    Expand,
    Filter,
    FromChangelog,
    GroupAggregate,
    Join,
    JoinSide,
    Limit,
    Normalize,
    OnConflict,
    Project,
    Rank,
    Scan,
    SemiJoin,
    SetOperation,
    Sink,
    SinkMaterialize,
    Sort,
    SortKey,
    Spec,
    TimeSort,
    ToChangelog,
    TumbleAssign,
    Union,
    Unnest,
    Values,
    WindowAggregate,
)
from flowsql.types.predicates import Taken, predicate_json

__all__ = ["STATE_VERSION", "Lineage", "canonical_forms", "identify"]

# Raised when the meaning of an operator's state tables changes.
STATE_VERSION = 1

# Lineage of deeply nested expressions is kept short by a digest.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known of a node for those that read it.

    Attributes:
        rows: id of the node that decides which rows there are.
        columns: a name for each output column.
        form: the canonical form.
        digest: the first 16 hex digits of its SHA-256.
    """

    rows: str
    columns: tuple[str, ...]
    form: Any
    digest: str


def identify(
    spec: Spec, inputs: Sequence[Lineage], output_width: int, names: Sequence[str]
) -> Lineage:
    """The canonical form of a node over its inputs; `names` are those of its output."""
    names_in = [i.columns for i in inputs]
    rows = [i.rows for i in inputs]
    form: dict[str, Any] = {"kind": type(spec).__name__, "version": STATE_VERSION, "inputs": rows}
    first = names_in[0] if names_in else ()
    match spec:
        case Scan():
            form |= {"source": [list(p) for p in spec.identity], "table": spec.table}
            if spec.identity:
                # The same data under another name in the catalog is the same source.
                del form["table"]
            exact = [predicate_json(f.predicate) for f in spec.filters if f.taken is Taken.EXACT]
            if exact:
                form["filters"] = exact
        case Values():
            form["rows"] = canonical(spec.rows)
        case Filter():
            form["condition"] = _expression(spec.condition, first)
        case Project():
            form["columns"] = [_expression(e, first) for e in spec.expressions]
        case Expand():
            form["sets"] = [[_expression(e, first) for e in v] for v in spec.projections]
        case Union() | DeadLetters():
            pass
        case TumbleAssign():
            form |= {"time": first[spec.time], "size": spec.size, "offset": spec.offset}
        case GroupAggregate():
            form |= {
                "keys": [first[k] for k in spec.keys],
                "retract": spec.input_mode.value != "append",
            }
        case WindowAggregate():
            form |= {
                "keys": [first[k] for k in spec.keys],
                "window": [first[spec.window_start], first[spec.window_end]],
                "retract": spec.input_mode.value != "append",
            }
        case Join():
            form |= {
                "join": spec.kind.value,
                "null_safe": list(spec.null_safe),
                "sides": [_side(spec.left, names_in[0]), _side(spec.right, names_in[1])],
                "condition": None
                if spec.condition is None
                else _expression(spec.condition, _sided(spec, names_in)),
            }
        case SemiJoin():
            form |= {
                "anti": spec.anti,
                "null_safe": list(spec.null_safe),
                "null_aware": spec.null_aware,
                "sides": [_side(spec.left, names_in[0]), _side(spec.right, names_in[1])],
                "condition": None
                if spec.condition is None
                else _expression(spec.condition, _sided(spec, names_in)),
            }
        case SetOperation():
            form |= {"set": spec.kind.value, "all": spec.all}
        case Rank():
            form |= {
                "partition": [first[c] for c in spec.partition],
                "order": _order(spec.order, first),
                "rank": [spec.function.value, spec.start, spec.end],
                "end": None if spec.end_column is None else first[spec.end_column],
                "given": spec.rank_column,
                "retract": spec.input_mode.value != "append",
            }
            if spec.window_end is not None:
                form["window"] = [first[spec.window_end], spec.last]
        case Deduplicate():
            form |= {
                "keys": [first[k] for k in spec.keys],
                "time": None if spec.time is None else first[spec.time],
                "last": spec.keep_last,
            }
        case Sort() | TimeSort() | EndSort():
            form["order"] = _order(spec.order, first)
        case Unnest():
            form |= {
                "collection": first[spec.collection],
                "ordinality": spec.ordinality,
                "outer": spec.outer,
                "condition": None if spec.condition is None else canonical(spec.condition),
            }
        case ToChangelog():
            form |= {
                "codes": list(spec.codes),
                "columns": [first[c] for c in spec.columns],
                "at": spec.at,
                "nulled": list(spec.nulled),
                "key": None if spec.key is None else [first[c] for c in spec.key],
            }
        case FromChangelog():
            form |= {"op": first[spec.op], "codes": canonical(spec.codes), "skip": spec.skip}
        case Normalize() | SinkMaterialize():
            form["keys"] = [first[k] for k in spec.keys]
        case OnConflict():
            form |= {
                "keys": [first[k] for k in spec.keys],
                "fails": spec.fails,
                "retract": spec.input_mode.value != "append",
            }
        case Sink():
            form |= {"target": [list(p) for p in spec.identity], "table": spec.table}
        case Collect():
            form["result"] = list(names)
        case _:
            form["spec"] = canonical(spec)
    digest = _digest(form)
    return Lineage(
        rows=rows[0] if isinstance(spec, Project) else digest,
        columns=_lineage(spec, digest, names_in, output_width, names),
        form=form,
        digest=digest,
    )


def _side(side: JoinSide, names: Sequence[str]) -> Any:
    return {
        "keys": [names[k] for k in side.keys],
        "layout": side.layout.name,
        "unique": [names[k] for k in side.unique_key],
        "retract": side.mode.value != "append",
    }


def _order(order: Sequence[SortKey], names: Sequence[str]) -> Any:
    return [[names[k.column], k.descending, k.nulls_first] for k in order]


def _sided(spec: Join | SemiJoin, names: Sequence[Sequence[str]]) -> list[str]:
    """Both sides' columns; a table joined with itself has the same lineage on either."""
    return [f"0:{names[0][c]}" for c in spec.left.columns] + [
        f"1:{names[1][c]}" for c in spec.right.columns
    ]


def _lineage(
    spec: Spec,
    digest: str,
    inputs: Sequence[Sequence[str]],
    width: int,
    names: Sequence[str],
) -> tuple[str, ...]:
    match spec:
        case Project():
            return tuple(_short(_expression(e, inputs[0])) for e in spec.expressions)
        case (
            Filter()
            | Normalize()
            | SinkMaterialize()
            | OnConflict()
            | Deduplicate()
            | EndSort()
            | Limit()
            | Sort()
            | TimeSort()
        ):
            return tuple(inputs[0])
        case Rank():
            return (*inputs[0], f"{digest}.rank") if spec.rank_column else tuple(inputs[0])
        case FromChangelog():
            return tuple(inputs[0][c] for c in spec.columns)
        case SemiJoin():
            return tuple(inputs[0][c] for c in spec.left.columns)
        case Unnest():
            kept = tuple(inputs[0][c] for c in spec.columns)
            return kept + tuple(f"{digest}.{i}" for i in range(width - len(kept)))
        case TumbleAssign():
            made = tuple(f"{digest}.{w}" for w in spec.window_columns)
            return (*inputs[0], *made)
        case GroupAggregate():
            keys = tuple(inputs[0][k] for k in spec.keys)
            return keys + tuple(_aggregate(a, inputs[0], digest) for a in spec.aggregates)
        case WindowAggregate():
            keys = tuple(inputs[0][k] for k in spec.keys)
            made = tuple(_aggregate(a, inputs[0], digest) for a in spec.aggregates)
            return keys + made + tuple(f"{digest}.{w}" for w in spec.window_columns)
        case Join():
            return tuple(f"{digest}/{c}" for c in _sided(spec, inputs))
        case Scan():
            return tuple(f"{digest}.{n}" for n in names)
        case _:
            return tuple(f"{digest}.{i}" for i in range(width))


def _aggregate(call: AggregateCall, names: Sequence[str], digest: str) -> str:
    form = [
        call.function,
        [names[a.index] for a in call.args],
        call.distinct,
        None if call.filter is None else names[call.filter.index],
        *([canonical(call.constants)] if call.constants else []),
    ]
    return _short([digest, *form])


def _expression(expression: Expression, names: Sequence[str]) -> Any:
    match expression:
        case Column(index=index):
            return names[index]
        case Literal():
            return canonical(expression)
        case Call(function=function, args=args):
            return [function, *(_expression(a, names) for a in args)]
        case Cast(arg=arg, type=kind, safe=safe):
            name = "TRY_CAST" if safe else "CAST"
            return [name, _expression(arg, names), str(kind.with_nullable(True))]
        case Case(conditions=conditions, results=results):
            return [
                "CASE",
                [_expression(c, names) for c in conditions],
                [_expression(r, names) for r in results],
            ]
        case FieldAccess(arg=arg, index=index):
            return ["MEMBER", _expression(arg, names), index]
        case _:
            return canonical(expression)


def _short(form: Any) -> str:
    text = form if isinstance(form, str) else _text(form)
    return text if len(text) <= _LONGEST else _digest(form)


def _text(form: Any) -> str:
    return json.dumps(form, sort_keys=True, separators=(",", ":"))


def _digest(form: Any) -> str:
    return hashlib.sha256(_text(form).encode()).hexdigest()[:16]


def canonical_forms(plan: PhysicalPlan) -> Mapping[str, Any]:
    """Node id → canonical form, of a plan that may come from a manifest."""
    known: dict[str, Lineage] = {}
    for node in plan.nodes:
        lineage = _of(node, known)
        if lineage.rows == lineage.digest:
            lineage = replace(lineage, rows=node.id)
        known[node.id] = lineage
    return {node_id: lineage.form for node_id, lineage in known.items()}


def _of(node: PhysicalNode, known: Mapping[str, Lineage]) -> Lineage:
    inputs = [known[i] for i in node.inputs]
    return identify(node.spec, inputs, len(node.output.fields), node.output.names)
