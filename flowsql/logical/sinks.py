"""What a job writes: one sink a table, and no table that it reads as well.

    INSERT INTO t <a>; INSERT INTO t <b>  →  INSERT INTO t (<a> UNION ALL <b>)

What a sink prepares and where it marks its commits is named after the job and the table, so that two
sinks of one table would take each other's. A union keeps no unique key: rows of one primary key
that come from two INSERTs meet, and the statement must say which of them counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flowsql.errors import Span, SqlError
from flowsql.logical.plan import Insert, LogicalPlan, Scan, Union
from flowsql.logical.table import BoundTable

__all__ = ["one_sink_a_table"]


def one_sink_a_table(statements: Sequence[LogicalPlan]) -> list[LogicalPlan]:
    """The statements of a job, the INSERTs of a table as one, where its first stands.

    Raises:
        SqlError: a table is read and written, takes bad records and rows, or is written with
            different options.
    """
    merged: dict[str, list[Insert]] = {}
    for plan in statements:
        if isinstance(plan, Insert):
            merged.setdefault(plan.target.name, []).append(plan)
    targets = [group[0] for group in merged.values()]
    _check_targets(targets)
    _check_sources(targets, [s for plan in statements for s in _scans(plan)])
    done: set[str] = set()
    result: list[LogicalPlan] = []
    for plan in statements:
        if not isinstance(plan, Insert):
            result.append(plan)
        elif plan.target.name not in done:
            done.add(plan.target.name)
            result.append(_union(merged[plan.target.name]))
    return result


def _union(inserts: Sequence[Insert]) -> Insert:
    first = inserts[0]
    if len(inserts) == 1:
        return first
    if first.target.settings.overwrite:
        raise SqlError(
            f'table "{first.target.declared}" is overwritten twice by one job',
            hint="Write one INSERT OVERWRITE with UNION ALL.",
            span=inserts[1].span,
        )
    inputs = tuple(i.input for i in inserts)
    return replace(
        first,
        input=Union(inputs, span=first.span),
        not_null=tuple(sorted({c for i in inserts for c in i.not_null})),
        conflict=first.conflict if len({i.conflict for i in inserts}) == 1 else None,
    )


def _check_targets(targets: Sequence[Insert]) -> None:
    """Two sinks of one table in one place must be one; hints may send them to different places."""
    for i, plan in enumerate(targets):
        for other in targets[:i]:
            same = plan.target.declared == other.target.declared
            if same and _same_place(plan.target, other.target):
                raise SqlError(
                    f'table "{plan.target.declared}" is written with different options by one job',
                    hint="Give every INSERT into it the same OPTIONS.",
                    span=plan.span,
                )


def _check_sources(targets: Sequence[Insert], scans: Sequence[Scan]) -> None:
    written = [(plan.target, plan.span) for plan in targets]
    bad = [(s.table.dead_letters, s.span) for s in scans if s.table.dead_letters is not None]
    for scan in scans:
        letters = scan.table.dead_letters
        for target, span in written:
            if letters is not None and target.declared == letters.declared:
                raise SqlError(
                    f'table "{target.declared}" takes the bad records of table '
                    f'"{scan.table.declared}" and cannot be written by the same job',
                    hint="Set 'scan.dead-letter.table' to another table.",
                    span=span,
                )
    for target, span in (*written, *bad):
        for scan in scans:
            if _is_same(target, scan.table):
                raise _reads_itself(target, scan, span)


def _is_same(target: BoundTable, source: BoundTable) -> bool:
    return target.name == source.name or _same_place(target, source)


def _reads_itself(target: BoundTable, scan: Scan, span: Span | None) -> SqlError:
    same = target.declared == scan.table.declared
    other = "" if same else f' as "{scan.table.declared}"'
    return SqlError(
        f'table "{target.declared}" is read{other} and written by one job',
        detail="What the job writes would be its input again.",
        hint="Write to another table.",
        span=span,
    )


def _same_place(a: BoundTable, b: BoundTable) -> bool:
    """Whether both are the same data: of the same connector with the same identifying options."""
    return len(a.identity) > 1 and a.identity == b.identity


def _scans(plan: LogicalPlan) -> Iterator[Scan]:
    if isinstance(plan, Scan):
        yield plan
    for below in plan.inputs:
        yield from _scans(below)
