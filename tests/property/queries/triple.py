"""One query over one set of data, run in many ways that must agree.

The finest run gives every event a step of its own and is the measure of the others:

* a run cut anywhere, restarted from checkpoints between any two steps, has at the end of each of
  its steps exactly the table that the finest run has after the same events;
* the run in one step, and the run in batch mode over the final tables, end with the same table;
* DuckDB, over the final tables, gives the same rows, but for its known differences.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from flowsql import FlowSQLError
from flowsql.types import RowType
from tests.property.queries.data import SCHEMAS, cut, final_tables, make_events, restarts_of
from tests.property.queries.grammar import TABLES, Query, make_query
from tests.support.cells import line_of, rows_text
from tests.support.connectors import Event, Rows
from tests.support.duck import duck_rows, zeros_merged
from tests.support.engine import Change, Engine, Table, collected
from tests.support.fold import FoldError, fold

__all__ = ["Difference", "check", "reproducer"]

SHRINK_S = 10.0  # how long a difference is made smaller


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run: events given at the end of each step, and restarts."""

    ends: tuple[int, ...]
    restarts: tuple[tuple[int, int], ...] = ()


class Difference(AssertionError):  # noqa: N818 (a finding, as FoldError is)
    """Two runs that had to agree did not."""


def _engine(query: Query, *, batch: bool) -> Engine:
    tables = [
        Table(name, TABLES[name][0], "I" if batch else TABLES[name][1])
        for name in sorted(query.tables)
    ]
    setup = [f"CREATE VIEW {name} AS {flink}" for name, flink, _ in query.views]
    config = {"execution.runtime-mode": "batch"} if batch else {}
    return Engine(tables, setup, config)


def _stream(query: Query, schema: RowType, events: Sequence[Event], run: Run) -> Sequence[Change]:
    steps = [list(events[a:b]) for a, b in pairwise([0, *run.ends])]
    return _engine(query, batch=False).insert(
        f"INSERT INTO answer {query.flink}",
        {"answer": collected("answer", schema)},
        steps,
        restarts=run.restarts,
    )["answer"]


def _tables_after(changes: Sequence[Change], steps: int) -> list[Counter[Any]]:
    """The folded table at the end of each step, and behind the end of the input."""
    tables, at, table = [], 0, Counter[Any]()
    for step in range(steps):
        begin = at
        while at < len(changes) and changes[at][0] <= step:
            at += 1
        part = ((kind, row) for _, kind, row in changes[begin:at])
        table = _plus(table, part)
        tables.append(table)
    tables.append(_plus(table, ((kind, row) for _, kind, row in changes[at:])))
    return tables


def _plus(table: Counter[Any], changes: Any) -> Counter[Any]:
    before = [("+I", row) for row in table.elements()]
    return fold([*before, *changes])


def _agree(what: str, schema: RowType, expected: Counter[Any], actual: Counter[Any]) -> None:
    # Which zero a sum shows depends on the order in which its rows came, in Flink as well.
    expected, actual = zeros_merged(expected), zeros_merged(actual)
    if expected != actual:
        missing = rows_text(expected - actual, schema)[:10]
        extra = rows_text(actual - expected, schema)[:10]
        raise Difference(f"{what}\n  missing: {missing}\n  extra:   {extra}")


def check(seed: int, *, cuts: int = 3) -> int:
    """Runs one query over one set of data in all ways.

    Returns:
        how many (query, data, cut, restart) triples were compared.

    Raises:
        Difference: with the ways that differ, rows, and a script that shows it.
    """
    query = make_query(seed)
    late = query.windows and seed % 2 == 0
    events = make_events(seed, sorted(query.tables), late=late, odd=not query.ordering)
    schema = _engine(query, batch=False).schema(query.flink)
    chance = random.Random(~seed)
    whole = Run((len(events),) if events else ())
    runs = [whole]
    for _ in range(cuts - 1):
        ends = cut(chance, events)
        runs.append(Run(tuple(ends), tuple(restarts_of(chance, len(ends)))))
    run = whole
    try:
        measure = _measure(query, schema, events)
        for run in runs:
            _check_run(query, schema, events, run, measure)
        if not late:
            _check_batch(query, schema, events, measure[-1])
    except (Difference, FoldError) as error:
        events, run = shrunk(query, schema, events, run)
        raise Difference(f"seed {seed}: {error}\n\n{reproducer(query, events, run)}") from None
    return cuts


def _measure(query: Query, schema: RowType, events: Sequence[Event]) -> list[Counter[Any]]:
    """The table after each event, and behind the end of the input."""
    finest = Run(tuple(range(1, len(events) + 1)))
    return _tables_after(_stream(query, schema, events, finest), len(events))


def _check_run(
    query: Query,
    schema: RowType,
    events: Sequence[Event],
    run: Run,
    measure: Sequence[Counter[Any]],
) -> None:
    tables = _tables_after(_stream(query, schema, events, run), len(run.ends))
    for end, table in zip(run.ends, tables, strict=False):
        before = measure[end - 1] if end else Counter[Any]()
        _agree(f"after {end} events of {run}", schema, before, table)
    _agree(f"at the end of {run}", schema, measure[-1], tables[-1])


def shrunk(
    query: Query, schema: RowType, events: Sequence[Event], run: Run
) -> tuple[Sequence[Event], Run]:
    """Fewer events that still differ, found by leaving out one after the other for a while."""
    deadline = time.monotonic() + SHRINK_S
    at = 0
    while at < len(events) and time.monotonic() < deadline:
        fewer = [*events[:at], *events[at + 1 :]]
        ends = tuple(end - (end > at) for end in run.ends)
        smaller = Run(ends, run.restarts)
        if _differs(query, schema, fewer, smaller):
            events, run = fewer, smaller
        else:
            at += 1
    return events, run


def _differs(query: Query, schema: RowType, events: Sequence[Event], run: Run) -> bool:
    try:
        final_tables(events, sorted(query.tables))
    except FoldError:
        return False  # no table can have had these changes
    try:
        measure = _measure(query, schema, events)
        _check_run(query, schema, events, run, measure)
        _check_batch(query, schema, events, measure[-1])
    except (Difference, FoldError):
        return True
    except FlowSQLError:
        return False
    return False


def _check_batch(
    query: Query, schema: RowType, events: Sequence[Event], streamed: Counter[Any]
) -> None:
    finals = final_tables(events, sorted(query.tables))
    whole = [
        Rows(name, tuple(("+I", row) for row in rows.elements()))
        for name, rows in finals.items()
        if rows
    ]
    answer = _engine(query, batch=True).select(query.flink, [whole] if whole else [])
    batch = fold((kind, row) for _, kind, row in answer.changes)
    if not query.keyless or _all_rows_arrive(query, finals):
        _agree("in batch mode", schema, streamed, batch)
    if query.duck is not None:
        views = {name: duck or "" for name, _, duck in query.views}
        tables = {name: (SCHEMAS[name], rows) for name, rows in finals.items()}
        theirs = duck_rows(query.duck, views, tables, schema)
        _agree("in DuckDB", schema, theirs, batch)


def _all_rows_arrive(query: Query, finals: Mapping[str, Counter[Any]]) -> bool:
    """No aggregate of the query can be over no rows."""
    texts = " ".join([query.flink, *(flink for _, flink, _ in query.views)])
    dropping = any(word in texts for word in (" WHERE ", " JOIN ", " HAVING "))
    return not dropping and all(finals.values())


def reproducer(query: Query, events: Sequence[Event], run: Run) -> str:
    """The case as a script for `tests/scripts`."""
    lines = ["sql"]
    for name in sorted(query.tables):
        ddl, mode = TABLES[name]
        lines.append(f"CREATE TABLE {name} ({', '.join(ddl)}) WITH ('changelog-mode' = '{mode}');")
    lines += [f"CREATE VIEW {name} AS {flink};" for name, flink, _ in query.views]
    lines += [f"CREATE VIEW answer AS {query.flink};", "----", "ok", ""]
    at = 0
    for step, end in enumerate(run.ends):
        for save, stop in run.restarts:
            lines += ["checkpoint", "----", ""] if save == step else []
            lines += ["restart", "----", ""] if stop == step else []
        for event in events[at:end]:
            assert isinstance(event, Rows)
            lines.append(f"push {event.table}")
            lines += [line_of(row, SCHEMAS[event.table], kind) for kind, row in event.rows]
            lines += ["----", ""]
        at = end
    return "\n".join([*lines, "rows answer", "----", ""])
