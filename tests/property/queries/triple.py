"""One job over one set of data, run in many ways that must agree.

The finest run gives every event a step of its own and is the measure of the others:

* a run cut anywhere, restarted from checkpoints between any two steps, has at the end of each of
  its steps exactly the table that the finest run has after the same events, in every kind of sink;
* so has a run whose batches hold only a few rows, so that everything is cut that ever is;
* the run in one step, and the run in batch mode over the final tables, end with the same table;
* DuckDB, over the final tables and over those on the way, gives the same rows, but for its known
  differences.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from flowsql import FlowSQLError
from flowsql.types import RowType
from tests.property.queries.data import SCHEMAS, cut, final_tables, make_events, restarts_of
from tests.property.queries.grammar import SPLITS, TABLES, Query, make_batch_query, make_job
from tests.property.queries.targets import PLAIN, Target, make_target
from tests.support.cells import line_of, rows_text
from tests.support.connectors import Event, Rows
from tests.support.duck import duck_rows
from tests.support.engine import Change, Engine, Table
from tests.support.fold import FoldError, fold
from tests.support.rows import unordered

__all__ = ["Difference", "Triple", "check", "check_batch", "make_triple"]

SHRINK_S = 10.0  # how long a difference is made smaller

#: what bounds a batch, and what is worth another way for many rows: name → a few rows
_LIMITS = {"MAX_ROWS": 4, "_EMIT": 3, "_ROWS": 5, "_MANY": 2, "_FEW": 2}


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run.

    Attributes:
        ends: events given at the end of each step.
        restarts: (checkpoint before, stop before) step numbers.
        small: batches hold a few rows.
    """

    ends: tuple[int, ...]
    restarts: tuple[tuple[int, int], ...] = ()
    small: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """A query, its row type, and the sink it is written to."""

    query: Query
    schema: RowType
    target: Target

    @property
    def rows(self) -> RowType:
        """The type of the sink's rows."""
        return self.target.schema(self.schema)


@dataclass(frozen=True, slots=True)
class Engines:
    """The tables and views that all runs of a job have, in each mode."""

    stream: Engine
    batch: Engine


@dataclass(frozen=True, slots=True)
class Triple:
    """A job of one or two queries, and its data."""

    outputs: tuple[Output, ...]
    events: tuple[Event, ...]
    late: bool
    engines: Engines

    @property
    def query(self) -> Query:
        """The first query; tables and views are those of all."""
        return self.outputs[0].query


class Difference(AssertionError):  # noqa: N818 (a finding, as FoldError is)
    """Two runs that had to agree did not."""


def make_triple(seed: int, kept: ExitStack | None = None) -> Triple:
    """The job and the data of this seed; its tables are declared once until `kept` is closed."""
    queries = make_job(seed)
    query = queries[0]
    late = query.windows and seed % 2 == 0
    chance = random.Random(seed + 1)
    engines = Engines(_engine(query, batch=False), _engine(query, batch=True))
    if kept is not None:
        kept.enter_context(engines.stream.kept())
        kept.enter_context(engines.batch.kept())
    outputs = tuple(_output(chance, q, engines.stream) for q in queries)
    if not all(o.target.conflict for o in outputs):
        engines.stream.config = {"table.exec.sink.require-on-conflict": "false"}
    events = make_events(seed, sorted(query.tables), late=late, odd=not query.ordering)
    return Triple(outputs, tuple(events), late, engines)


def _output(chance: random.Random, query: Query, engine: Engine) -> Output:
    schema, mode = engine.schema_and_mode(query.flink)
    return Output(query, schema, make_target(chance, schema, appends=mode == "append"))


@contextmanager
def _small_batches() -> Iterator[None]:
    """Everything that is cut by rows is cut after a few."""
    modules = [m for n, m in list(sys.modules.items()) if n.startswith("flowsql.")]
    changed = [
        (m, name, vars(m)[name])
        for m in modules
        for name in _LIMITS
        if isinstance(vars(m).get(name), int)
    ]
    for module, name, _ in changed:
        setattr(module, name, _LIMITS[name])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


def _engine(query: Query, *, batch: bool) -> Engine:
    tables = [
        Table(name, TABLES[name][0], "I" if batch else TABLES[name][1], SPLITS.get(name, 1))
        for name in sorted(query.tables)
    ]
    setup = [f"CREATE VIEW {name} AS {flink}" for name, flink, _ in query.views]
    config = {"execution.runtime-mode": "batch"} if batch else {}
    return Engine(tables, setup, config)


def _stream(
    engine: Engine, outputs: Sequence[Output], events: Sequence[Event], run: Run
) -> list[Sequence[Change]]:
    """What each output's sink is given."""
    steps = [list(events[a:b]) for a, b in pairwise([0, *run.ends])]
    sinks = {f"answer{i}": o.target.create(f"answer{i}", o.schema) for i, o in enumerate(outputs)}
    inserts = [o.target.insert(f"answer{i}", o.query) for i, o in enumerate(outputs)]
    job = inserts[0]
    if len(inserts) > 1:
        job = f"EXECUTE STATEMENT SET BEGIN {' '.join(f'{i};' for i in inserts)} END"
    if not run.small:
        given = engine.insert(job, sinks, steps, restarts=run.restarts)
    else:
        with _small_batches():
            given = engine.insert(job, sinks, steps, restarts=run.restarts)
    return [
        [(step, kind, unordered(row, o.rows)) for step, kind, row in given[name]]
        for name, o in zip(sinks, outputs, strict=True)
    ]


def _tables_after(target: Target, changes: Sequence[Change], steps: int) -> list[Counter[Any]]:
    """The folded table at the end of each step, and behind the end of the input."""
    tables, at, table = [], 0, Counter[Any]()
    for step in range(steps):
        begin = at
        while at < len(changes) and changes[at][0] <= step:
            at += 1
        table = target.folded(table, changes[begin:at])
        tables.append(table)
    tables.append(target.folded(table, changes[at:]))
    return tables


def _agree(what: str, schema: RowType, expected: Counter[Any], actual: Counter[Any]) -> None:
    if expected != actual:
        missing = rows_text(expected - actual, schema)[:10]
        extra = rows_text(actual - expected, schema)[:10]
        raise Difference(f"{what}\n  missing: {missing}\n  extra:   {extra}")


def check(seed: int, *, cuts: int = 3) -> int:
    """Runs one job over one set of data in all ways: in one step, and cut at random.

    Args:
        seed: of the job, its data, and its cuts.
        cuts: how many runs; of one, every third is in one step, which batch mode is as well.

    Returns:
        how many (query, data, cut, restart) triples were compared.

    Raises:
        Difference: with the ways that differ, rows, and a script that shows it.
    """
    with ExitStack() as kept:
        return _check(make_triple(seed, kept), seed, cuts)


def _check(triple: Triple, seed: int, cuts: int) -> int:
    chance = random.Random(~seed)
    whole = Run((len(triple.events),) if triple.events else (), small=seed % 3 == 1)
    runs = [whole] if cuts > 1 or seed % 3 == 0 else []
    for number in range(cuts - len(runs)):
        ends = cut(chance, triple.events)
        small = (seed + number) % 4 == 0
        runs.append(Run(tuple(ends), tuple(restarts_of(chance, len(ends))), small))
    run = whole
    try:
        measures = [_measure(output, triple) for output in triple.outputs]
        for run in runs:
            _check_run(triple, run, measures)
        _check_bounded(triple, measures)
    except (Difference, FoldError) as error:
        triple, run = shrunk(triple, run)
        raise Difference(f"seed {seed}: {error}\n\n{reproducer(triple, run)}") from None
    return cuts


def _measure(output: Output, triple: Triple) -> list[Counter[Any]]:
    """The query's table after each event, and behind the end of the input."""
    plain = replace(
        output, query=replace(output.query, flink=output.target.wrapped(output.query)),
        schema=output.rows, target=PLAIN,
    )  # fmt: skip
    finest = Run(tuple(range(1, len(triple.events) + 1)))
    (changes,) = _stream(triple.engines.stream, [plain], triple.events, finest)
    return _tables_after(PLAIN, changes, len(triple.events))


def _check_run(triple: Triple, run: Run, measures: Sequence[Sequence[Counter[Any]]]) -> None:
    given = _stream(triple.engines.stream, triple.outputs, triple.events, run)
    for output, changes, measure in zip(triple.outputs, given, measures, strict=True):
        target = output.target
        tables = _tables_after(target, changes, len(run.ends))
        befores = [measure[end - 1] if end else Counter[Any]() for end in run.ends]
        for end, table, before in zip(
            [*run.ends, "all"], tables, [*befores, measure[-1]], strict=True
        ):
            if end == 0 and (output.query.own_rows or output.query.keyless):
                continue  # rows that no table gives come before the first event, or with it
            _agree(f"after {end} events of {run}", output.rows, target.agrees(table, before), table)


def _check_bounded(triple: Triple, measures: Sequence[Sequence[Counter[Any]]]) -> None:
    """Batch mode and DuckDB."""
    for output, measure in zip(triple.outputs, measures, strict=True):
        if not triple.late:
            _check_batch(triple.engines.batch, output, triple.events, measure[-1])
        _check_midway(output, triple.events, measure)


def _check_midway(output: Output, events: Sequence[Event], measure: Sequence[Counter[Any]]) -> None:
    """DuckDB over what the tables hold on the way, where no window is still open."""
    end = len(events) * 2 // 3
    query = output.query
    if not end or query.windows or query.duck is None:
        return
    finals = final_tables(events[:end], sorted(query.tables))
    if not query.keyless or _all_rows_arrive(query, finals):
        _ask_duckdb(f"after {end} events", output, finals, _bare(output, measure[end - 1]))


def check_batch(seed: int) -> bool:
    """Batch mode against DuckDB, for a query that streams do not answer.

    Returns:
        Whether DuckDB could judge it.

    Raises:
        Difference: with rows, and the query.
    """
    query = make_batch_query(seed)
    events = make_events(seed, sorted(query.tables), late=False, odd=not query.ordering)
    if query.arrival or query.duck is None:
        return False
    engine = _engine(query, batch=True)
    schema = engine.schema(query.flink)
    try:
        _check_batch(engine, Output(query, schema, PLAIN), events, None)
    except Difference as error:
        raise Difference(f"seed {seed}: {error}\n\n{query.flink}") from None
    return True


def shrunk(triple: Triple, run: Run) -> tuple[Triple, Run]:
    """Fewer events that still differ, found by leaving out one after the other for a while."""
    deadline = time.monotonic() + SHRINK_S
    for output in triple.outputs if len(triple.outputs) > 1 else ():
        alone = replace(triple, outputs=(output,))
        if _differs(alone, run):
            triple = alone
            break
    at = 0
    while at < len(triple.events) and time.monotonic() < deadline:
        fewer = replace(triple, events=(*triple.events[:at], *triple.events[at + 1 :]))
        ends = tuple(end - (end > at) for end in run.ends)
        smaller = replace(run, ends=ends)
        if _differs(fewer, smaller):
            triple, run = fewer, smaller
        else:
            at += 1
    return triple, run


def _differs(triple: Triple, run: Run) -> bool:
    try:
        final_tables(triple.events, sorted(triple.query.tables))
    except FoldError:
        return False  # no table can have had these changes
    try:
        measures = [_measure(output, triple) for output in triple.outputs]
        _check_run(triple, run, measures)
        _check_bounded(triple, measures)
    except (Difference, FoldError):
        return True
    except FlowSQLError:
        return False
    return False


def _check_batch(
    engine: Engine, output: Output, events: Sequence[Event], streamed: Counter[Any] | None
) -> None:
    query, schema = output.query, output.schema
    finals = final_tables(events, sorted(query.tables))
    whole = [
        Rows(name, tuple(("+I", row) for row in rows)) for name, rows in finals.items() if rows
    ]
    bare = _bare(output, streamed or Counter())
    told = streamed is not None and (not query.keyless or _all_rows_arrive(query, finals))
    if query.arrival:
        if not told:
            return
        batch = bare
    else:
        answer = engine.select(query.flink, [whole] if whole else [])
        batch = fold((kind, unordered(row, schema)) for _, kind, row in answer.changes)
    if told:
        _agree("in batch mode", schema, bare, batch)
    if query.duck is not None:
        _ask_duckdb("in DuckDB", output, finals, batch)


def _bare(output: Output, table: Counter[Any]) -> Counter[Any]:
    """The query's rows out of those with the sink's key in front."""
    bare = Counter[Any]()
    for row, count in table.items():
        bare[row[len(output.target.keys) :]] += count
    return bare


def _ask_duckdb(
    what: str, output: Output, finals: Mapping[str, Sequence[Any]], ours: Counter[Any]
) -> None:
    query, schema = output.query, output.schema
    views = {name: duck or "" for name, _, duck in query.views}
    tables = {name: (SCHEMAS[name], rows) for name, rows in finals.items()}
    theirs = Counter[Any]()
    for row, count in duck_rows(query.duck or "", views, tables, schema).items():
        theirs[unordered(row, schema)] += count
    _agree(what, schema, theirs, ours)


#: what may leave no row of some
_DROPPING = (
    *(" WHERE ", " JOIN ", " HAVING ", "INTERSECT", "EXCEPT", "OFFSET", "UNNEST", " , "),
    *("GROUPING SETS", "ROLLUP", "CUBE"),
)


def _all_rows_arrive(query: Query, finals: Mapping[str, Sequence[Any]]) -> bool:
    """No aggregate of the query can be over no rows."""
    texts = " ".join([query.flink, *(flink for _, flink, _ in query.views)])
    dropping = any(word in texts for word in _DROPPING)
    return not dropping and all(finals.values())


def reproducer(triple: Triple, run: Run) -> str:
    """The case as a script for `tests/scripts`; what is written, as comments."""
    query = triple.query
    lines = []
    for number, output in enumerate(triple.outputs):
        name = f"answer{number}"
        lines.append(f"# {output.target.create(name, output.schema)}")
        lines.append(f"# {output.target.insert(name, output.query)}")
    lines.append("sql")
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
        for event in triple.events[at:end]:
            assert isinstance(event, Rows)
            lines.append(f"push {event.table}")
            lines += [line_of(row, SCHEMAS[event.table], kind) for kind, row in event.rows]
            lines += ["----", ""]
        at = end
    return "\n".join([*lines, "rows answer", "----", ""])
