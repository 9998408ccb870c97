"""One query over one set of data, run in many ways that must agree.

The finest run gives every event a step of its own and is the measure of the others:

* a run cut anywhere, restarted from checkpoints between any two steps, has at the end of each of
  its steps exactly the table that the finest run has after the same events;
* the run in one step, and the run in batch mode over the final tables, end with the same table;
* DuckDB, over the final tables, gives the same rows, but for its known differences.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowsql.types import RowType
from tests.property.queries.data import SCHEMAS, cut, final_tables, make_events, restarts_of
from tests.property.queries.grammar import TABLES, Query, make_query
from tests.support.cells import line_of, rows_text
from tests.support.connectors import Event, Rows
from tests.support.duck import duck_rows, zeros_merged
from tests.support.engine import Change, Engine, Table, collected
from tests.support.fold import FoldError, fold

__all__ = ["Difference", "check", "reproducer"]


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
    begins = [0, *run.ends[:-1]]
    steps = [list(events[a:b]) for a, b in zip(begins, run.ends, strict=True)]
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
    run = finest = Run(tuple(range(1, len(events) + 1)))
    try:
        measure = _tables_after(_stream(query, schema, events, finest), len(finest.ends))
        for number in range(cuts):
            ends = cut(chance, events) if number else [len(events)] * bool(events)
            run = Run(tuple(ends), tuple(restarts_of(chance, len(ends))) if number else ())
            tables = _tables_after(_stream(query, schema, events, run), len(ends))
            for end, table in zip(ends, tables, strict=False):
                _agree(f"after {end} events of {run}", schema, measure[end - 1], table)
            _agree(f"at the end of {run}", schema, measure[-1], tables[-1])
        if not late:
            _check_batch(query, schema, events, measure[-1])
    except (Difference, FoldError) as error:
        shown = reproducer(query, events, run)
        raise Difference(f"seed {seed}: {error}\n\n{shown}") from None
    return cuts


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
    if batch or streamed or not _one_row_of_nothing(query):
        _agree("in batch mode", schema, streamed, batch)
    if query.duck is not None:
        views = {name: duck or "" for name, _, duck in query.views}
        tables = {name: (SCHEMAS[name], rows) for name, rows in finals.items()}
        theirs = duck_rows(query.duck, views, tables, schema)
        _agree("in DuckDB", schema, theirs, batch)


def _one_row_of_nothing(query: Query) -> bool:
    """A global aggregate over nothing has a row in batch mode and none in streaming, as in Flink."""
    return "GROUP BY" not in query.flink and "COUNT(" in query.flink


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
