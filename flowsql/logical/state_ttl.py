"""The hint STATE_TTL: how long the joins and aggregates of a query block keep their state.

    SELECT /*+ STATE_TTL('o' = '3 d', 'c' = '30 d') */ … FROM orders AS o JOIN customers AS c ON …
    SELECT /*+ STATE_TTL('orders' = '1 d') */ k, COUNT(*) FROM orders GROUP BY k

As in Flink it names the inputs of its own block: a table or view by its name, or by its alias alone
where it has one; a derived table by its alias. A side that is itself a join has no name, so its rows
are kept as `table.exec.state.ttl` says. Of two values for a name within a hint the last counts, of
two hints the first. A block without a join or an aggregate does not look at the hint at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import expressions as exp

from flowsql.config import parse_duration
from flowsql.errors import Span, SqlError, nearest
from flowsql.logical.plan import Aggregate, Filter, Join, LogicalPlan, Project
from flowsql.logical.plan_rows import Expand, SemiJoin
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of

__all__ = ["HINT", "Relations", "keep_state"]

HINT = "STATE_TTL"

# What gives the rows of one input, some of them or others in their place.
_THROUGH = (Filter, Project, Expand)


class Relations:
    """What stood in FROM, and the names by which a hint knows it."""

    def __init__(self) -> None:
        # Plans are compared as objects: equal ones may stand under two names.
        self._known: dict[int, tuple[LogicalPlan, tuple[str, ...]]] = {}

    def add(self, plan: LogicalPlan, path: tuple[str, ...], node: exp.Expr) -> None:
        """A relation that was bound.

        Args:
            plan: its plan.
            path: catalog, database and name of a table or view, the name of a CTE, or nothing.
            node: as it stands in FROM.
        """
        alias = node.args.get("alias")
        names = tuple(".".join(path[i:]) for i in range(len(path)))
        self._known[id(plan)] = (plan, names if alias is None else (alias.this,))

    def names(self, plan: LogicalPlan) -> tuple[str, ...]:
        """The names of what gives the rows of a join's side, or of an aggregate; none for a join."""
        while True:
            found = self._known.get(id(plan))
            if found is not None and found[1]:
                return found[1]
            if not isinstance(plan, _THROUGH):
                return ()
            plan = plan.inputs[0]

    def __contains__(self, plan: LogicalPlan) -> bool:
        return id(plan) in self._known


def keep_state(plan: LogicalPlan, hints: Sequence[d.Hint], relations: Relations) -> LogicalPlan:
    """The plan of a query block whose joins and aggregates keep their state as its hints say.

    Raises:
        SqlError: a hint is wrong, or names what is no input of a join or an aggregate.
    """
    wanted: dict[str, int] = {}
    spans: dict[str, Span] = {}
    for hint in hints:
        if hint.args["this"].this.upper() == HINT:
            for name, ttl in _values(hint).items():
                wanted.setdefault(name, ttl)
                spans.setdefault(name, span_of(hint))
    if not wanted:
        return plan
    block = _Block(wanted, relations)
    plan = block.apply(plan)
    unknown = next((n for n in wanted if n not in block.used), None)
    if unknown is None or not block.hinted:
        return plan
    near = nearest(unknown, block.seen)
    raise SqlError(
        f'hint "{HINT}" names "{unknown}", which is no input of a join or an aggregate here',
        hint=f'Did you mean "{near}"?' if near else f"It may name {_listed(block.seen)}.",
        span=spans[unknown],
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{n}"' for n in names) or "nothing here: put the query into a view first"


def _values(hint: d.Hint) -> dict[str, int]:
    options = hint.args.get("options") or ()
    if hint.args.get("values") or not options:
        raise SqlError(
            f'hint "{HINT}" needs pairs of a table and a time',
            hint=f"Write {HINT}('orders' = '1 d').",
            span=span_of(hint),
        )
    values = {}
    for name, text in options:
        try:
            values[name] = parse_duration(text)
        except ValueError as error:
            raise SqlError(
                f'hint "{HINT}" cannot keep the state of "{name}" for "{text}": {error}',
                span=span_of(hint),
            ) from None
    return values


@dataclass(slots=True)
class _Block:
    """One query block.

    Attributes:
        used: names that were found.
        seen: names by which inputs may be called, each in its shortest form.
        hinted: there is a join or an aggregate.
    """

    wanted: Mapping[str, int]
    relations: Relations
    used: set[str]
    seen: list[str]
    hinted: bool

    def __init__(self, wanted: Mapping[str, int], relations: Relations) -> None:
        self.wanted = wanted
        self.relations = relations
        self.used = set()
        self.seen = []
        self.hinted = False

    def apply(self, plan: LogicalPlan) -> LogicalPlan:
        """The plan with what is wanted; what stands in FROM is left as it is."""
        if plan in self.relations:
            return plan
        ttls = tuple(self._ttl(i) for i in plan.inputs) if _keeps(plan) else ()
        inputs = tuple(self.apply(i) for i in plan.inputs)
        if any(a is not b for a, b in zip(inputs, plan.inputs, strict=True)):
            plan = plan.with_inputs(inputs)
        match plan:
            case Join() | SemiJoin() if ttls != (None, None):
                return replace(plan, ttls=(ttls[0], ttls[1]))
            case Aggregate() if ttls != (None,) and not plan.window:
                return replace(plan, ttl=ttls[0])
        return plan

    def _ttl(self, side: LogicalPlan) -> int | None:
        self.hinted = True
        names = self.relations.names(side)
        if names and names[-1] not in self.seen:
            self.seen.append(names[-1])
        for name in names:
            if name in self.wanted:
                self.used.add(name)
                return self.wanted[name]
        return None


def _keeps(plan: LogicalPlan) -> bool:
    return isinstance(plan, Join | SemiJoin | Aggregate)
