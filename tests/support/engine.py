"""Runs SQL over feeds: the one place where the runners touch the library."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flowsql
from flowsql.changelog import kind_names
from flowsql.checkpoint import load
from flowsql.errors import StateError
from flowsql.optimizer import RULES, optimize
from flowsql.physical.specs import Collect
from flowsql.sql import QueryStatement, parse_script
from flowsql.types import RowType
from tests.support.connectors import (
    COLLECTED,
    STEPPED,
    Advance,
    Collection,
    Event,
    Feed,
    FeedClock,
)
from tests.support.ddl import metadata_columns
from tests.support.rows import rows_of

__all__ = ["Answer", "Change", "Engine", "Table", "collect", "collected", "scratch"]

Change = tuple[int, str, tuple[Any, ...]]

_serial = itertools.count()
_METADATA = re.compile(r"'metadata' = '([^']*)'")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a feed fills.

    Attributes:
        name: as in SQL, without quotes.
        ddl: columns and constraints, as between the parentheses of CREATE TABLE.
        mode: `I`, `I,UB,UA,D` or `I,UA,D`.
        splits: how many are read at once.
        metadata: what stands behind the columns in its rows, `key:TYPE, …`.
        parallelism: `scan.parallelism`, where it is given.
    """

    name: str
    ddl: tuple[str, ...]
    mode: str = "I"
    splits: int = 1
    metadata: str = ""
    parallelism: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query or a sink gave.

    Attributes:
        schema: of its rows.
        changes: (step, kind, row) in order.
    """

    schema: RowType
    changes: tuple[Change, ...]

    def until(self, steps: int) -> tuple[Change, ...]:
        """The changes of the first `steps` steps."""
        return tuple(c for c in self.changes if c[0] < steps)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a job's checkpoints, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@dataclass
class Engine:
    """One set of tables, views and settings, over which jobs are run again and again.

    Attributes:
        tables: filled by the feed.
        setup: statements behind the tables' DDL (views, mostly).
        config: settings of every session.
        clock: the step clock of every session; None for the real one, or the feed's where it has
            an `Advance`.
    """

    tables: Sequence[Table] = ()
    setup: Sequence[str] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    clock: Any = None
    _kept: dict[bool, tuple[flowsql.Session, str]] | None = field(default=None, init=False)
    _closing: ExitStack = field(default_factory=ExitStack, init=False)

    @contextmanager
    def kept(self) -> Iterator[Engine]:
        """Within, the runs share a session: tables and views are declared once, for many runs.

        Not for feeds with an `Advance`, whose clock is the session's.
        """
        with self._closing:
            self._kept = {}
            try:
                yield self
            finally:
                self._kept = None

    @contextmanager
    def session(
        self, steps: Sequence[Sequence[Event]], folder: Path, *, ends: bool = True, done: int = 0
    ) -> Iterator[tuple[flowsql.Session, Feed]]:
        """A session that has the tables, and their feed, of which `done` steps are over."""
        feed = Feed(steps, ends=ends)
        config = {
            "execution.checkpointing.dir": str(folder),
            "execution.checkpointing.interval": "1 h",
            "restart-strategy.type": "none",
            **self.config,
        }
        clock = self.clock
        if clock is None and any(isinstance(e, Advance) for step in steps for e in step):
            clock = FeedClock(steps, done)
        _declare(STEPPED, [table.metadata for table in self.tables])
        if self._kept is None:
            with self._opened(feed, config, clock, ends=ends) as (session, _):
                yield session, feed
            return
        if ends not in self._kept:
            opened = self._opened(feed, config, clock, ends=ends)
            self._kept[ends] = self._closing.enter_context(opened)
        session, name = self._kept[ends]
        Feed.known[name] = feed
        session.config.clear()
        session.config.update(config)
        yield session, feed

    @contextmanager
    def _opened(
        self, feed: Feed, config: Mapping[str, str], clock: Any, *, ends: bool
    ) -> Iterator[tuple[flowsql.Session, str]]:
        """A session that has the tables, and the name that their feed is found by."""
        name = f"feed{next(_serial)}"
        Feed.known[name] = feed
        try:
            with flowsql.connect(config=config, clock=clock) as session:
                for table in self.tables:
                    session.execute(_create(table, name, ends=ends))
                for statement in self.setup:
                    session.execute(statement)
                yield session, name
        finally:
            del Feed.known[name]

    def select(self, query: str, steps: Sequence[Sequence[Event]]) -> Answer:
        """The changes of a query over the whole feed, which ends."""
        with scratch() as folder, self.session(steps, folder) as (session, _):
            return collect(session.execute(query))

    def schema(self, query: str) -> RowType:
        """The row type of a query; nothing is read."""
        with scratch() as folder, self.session((), folder) as (session, _):
            result = session.execute(query)
            try:
                return result.schema
            finally:
                result.close()

    def schema_and_mode(self, query: str) -> tuple[RowType, str]:
        """The row type of a query, and the changelog mode of its result (`append` …)."""
        (statement,) = parse_script(query)
        assert isinstance(statement, QueryStatement)
        with scratch() as folder, self.session((), folder) as (session, _):
            planned = session._plan(statement, session._binder())
        (mode,) = {n.mode for n in planned.plan.nodes if isinstance(n.spec, Collect)}
        return planned.statements[0].schema, mode.name.lower()

    def explain(self, query: str, which: str | None = None) -> list[str]:
        """EXPLAIN's text, line by line; `which` names one of its parts."""
        details = "CHANGELOG_MODE " if which in (None, "physical") else ""
        with scratch() as folder, self.session((), folder, ends=False) as (session, _):
            ((text,),) = session.execute(f"EXPLAIN {details}{query}").fetchall()
        parts = _parts(text)
        wanted = {None: -1, "physical": -1, "logical": 0}[which]
        return list(parts.values())[wanted]

    def rules(self, query: str) -> list[str]:
        """The plan as it was bound, and after each rule of the optimizer that changed it."""
        (statement,) = parse_script(query)
        assert isinstance(statement, QueryStatement)
        with scratch() as folder, self.session((), folder, ends=False) as (session, _):
            binder = session._binder()
            first = plan = binder.query(statement.query)
            shown = ["bound:", *plan.tree().splitlines()]
            for rule in RULES:
                changed = rule(plan, binder.settings)
                if changed.tree() != plan.tree():
                    shown += [f"{rule.__name__}:", *changed.tree().splitlines()]
                plan = changed
            (last,) = optimize([first], binder.settings)
            if last.tree() != plan.tree():
                shown += ["share_scans:", *last.tree().splitlines()]
        return [line.replace("default_catalog.default_database.", "") for line in shown]

    def state(self, query: str, steps: Sequence[Sequence[Event]], until: int) -> list[str]:
        """`operator / table: entries` of a query's state after the first `until` steps."""
        with scratch() as folder, self.session(steps, folder, ends=False) as (session, feed):
            feed.gate = until
            collection, name = Collection(), f"collection{next(_serial)}"
            Collection.known[name] = collection
            schema = session.execute(query).schema
            session.execute(collected("look", schema).format(collection=name))
            job = session.execute(f"INSERT INTO look {query}")
            _await(job, [collection], until, 60.0)
            job.stop()
            _over(job, 60.0)
            return [
                f"{operator['title']} / {table}: {stats['rows']}"
                for operator in job.status()["operators"]
                for table, stats in operator.get("state", {}).items()
            ]

    def execute(self, statements: str, steps: Sequence[Sequence[Event]]) -> None:
        """Runs a script of statements to its end; raises what went wrong."""
        with scratch() as folder, self.session(steps, folder) as (session, _):
            result = session.execute(statements)
            if hasattr(result, "wait"):
                _over(result, 60.0)
            else:
                result.to_arrow()

    def insert(
        self,
        statement: str,
        sinks: Mapping[str, str],
        steps: Sequence[Sequence[Event]],
        *,
        restarts: Sequence[tuple[int, int]] = (),
        ends: bool = True,
        timeout: float = 60.0,
    ) -> dict[str, tuple[Change, ...]]:
        """Runs an INSERT or a statement set to its end.

        Args:
            statement: the job.
            sinks: name of each sink → its CREATE TABLE, in which `{collection}` stands for the
                name of what it collects.
            steps: the feed.
            restarts: (step before which a checkpoint is taken, step before which the job is
                stopped and another started from the checkpoint), rising.
            ends: the tables end behind the last step; else the job is stopped there.
            timeout: seconds for each run.

        Returns:
            name → changes.
        """
        collections = {name: Collection() for name in sinks}
        names = {name: f"collection{next(_serial)}" for name in sinks}
        Collection.known.update({names[n]: c for n, c in collections.items()})
        _declare(COLLECTED, _METADATA.findall(" ".join(sinks.values())))
        recover: str | None = None
        done = 0
        try:
            with scratch() as folder:
                for save, stop in [*restarts, (None, None if ends else len(steps))]:
                    with self.session(steps, folder, ends=ends, done=done) as (session, feed):
                        for name, create in sinks.items():
                            if self._kept is not None:
                                session.execute(f"DROP TABLE IF EXISTS `{name}`")
                            session.execute(create.format(collection=names[name]))
                        feed.gate = stop if save is None else save
                        session.execute("SET 'pipeline.name' = 'job'")
                        if recover is not None:
                            session.execute(f"SET 'execution.state-recovery.path' = '{recover}'")
                        job = session.execute(statement)
                        if stop is None:
                            _over(job, timeout)
                            continue
                        if save is not None:
                            _await(job, collections.values(), save, timeout)
                            try:
                                taken = job.checkpoint(timeout)
                            except StateError:
                                _over(job, timeout)  # it reads nothing, so that it ended at once
                                continue
                            if load(taken).manifest.finished:
                                _over(job, timeout)  # it ended while it was asked
                                continue
                            recover = str(shutil.copytree(taken, folder / f"at-{save}"))
                            feed.gate, done = stop, save
                        _await(job, collections.values(), stop, timeout)
                        job.stop()
                        _over(job, timeout)
        finally:
            for name in names.values():
                del Collection.known[name]
        return {name: c.by_step(len(steps) + ends) for name, c in collections.items()}


def collect(result: flowsql.Result) -> Answer:
    """All changes of a running query."""
    changes: list[Change] = []
    for part in result.changes():
        rows = rows_of(part.batch, result.schema)
        step = getattr(part, "step", 0) or 0
        changes += [(step, k, r) for k, r in zip(kind_names(part), rows, strict=True)]
    return Answer(result.schema, tuple(changes))


def collected(name: str, schema: RowType, mode: str = "I,UB,UA,D", key: str = "") -> str:
    """CREATE TABLE of a sink that collects; `{collection}` stands for the collection's name."""
    columns = ", ".join([*map(str, schema.fields), *([key] if key else [])])
    columns = columns.replace("{", "{{").replace("}", "}}").replace(" *ROWTIME*", "")
    return (
        f"CREATE TABLE `{name}` ({columns}) WITH ('connector' = 'collected', "
        f"'collection' = '{{collection}}', 'changelog-mode' = '{mode}')"
    )


def _parts(text: str) -> dict[str, list[str]]:
    """`== Title ==` → lines."""
    parts: dict[str, list[str]] = {}
    lines = parts.setdefault("", [])
    for line in text.splitlines():
        if line.startswith("== "):
            lines = parts.setdefault(line.strip("= "), [])
        elif line.strip():
            lines.append(line)
    if not parts[""]:
        del parts[""]
    return parts


def _create(table: Table, feed: str, *, ends: bool) -> str:
    name = table.name.replace("`", "``")
    parallelism = ""
    if table.parallelism is not None:
        parallelism = f", 'scan.parallelism' = '{table.parallelism}'"
    return (
        f"CREATE TABLE `{name}` (\n  {', '.join(table.ddl)}\n) WITH ('connector' = 'stepped', "
        f"'feed' = '{feed}', 'changelog-mode' = '{table.mode}', 'bounded' = '{str(ends).lower()}', "
        f"'splits' = '{table.splits}', 'metadata' = '{table.metadata}'{parallelism})"
    )


def _declare(connector: Any, metadata: Sequence[str]) -> None:
    """What the connector is asked for by its tables, it has."""
    fields = [field for text in metadata for field in metadata_columns(text).fields]
    type(connector).metadata = {field.name: field.type for field in fields}


def _over(job: Any, timeout: float) -> None:
    """Until the job has ended; raises what it failed with."""
    if not job.wait(timeout):
        raise TimeoutError(f"the job did not end within {timeout} s")


def _await(job: Any, collections: Any, steps: int, timeout: float) -> None:
    """Until every sink has seen the end of so many steps; raises what ended the job."""
    deadline = time.monotonic() + timeout
    for collection in collections:
        while not collection.wait_for(steps, 0.02):
            if not job.running:
                _over(job, 0)
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"step {steps} did not end within {timeout} s")
