"""A session: the road of a statement, from text to rows, on one screen.

text ─ sql.parse_script ─ logical.Binder ─ optimizer.optimize ─ physical.plan_job ─ runtime.Job
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import pyarrow as pa

from flowsql.catalog import Catalog
from flowsql.changelog import ChangelogMode
from flowsql.config import ENGINE_OPTIONS, EngineSettings, OptionValues, parse_setting
from flowsql.connector import Connector
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, FlowSQLError
from flowsql.formats import find_format
from flowsql.library.commands import Commands, Notice, text_result
from flowsql.library.declare import declare_embedded
from flowsql.library.embedded import Batches, EmbeddedConnector, EmbeddedInput, Item
from flowsql.library.resolve import job_plan
from flowsql.library.result import Result, ResultStream
from flowsql.logical import Binder, PlanSettings
from flowsql.physical import PlannedJob, explain, plan_job, plan_select, tables_of
from flowsql.runtime.clock import Clock
from flowsql.runtime.job import Job
from flowsql.sql import (
    Explain,
    QueryStatement,
    Statement,
    StatementSet,
    parse_script,
)
from flowsql.sql import Insert as InsertStatement
from flowsql.types import RowType, row_type_of

__all__ = ["Session", "connect"]

Planned: TypeAlias = QueryStatement | InsertStatement | StatementSet


class Session:
    """Tables, settings and running jobs of one user; a context manager.

    Args:
        config: settings, as SET takes them.
        clock: read once a step instead of the machine's clock.
        name: what jobs are called that `pipeline.name` does not name; a number follows.
        events: told what a user wants to read in a log, a line each.
        fresh: jobs begin anew even where there is a checkpoint to resume from.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        name: str = "flowsql",
        events: Callable[[str], None] | None = None,
        fresh: bool = False,
    ) -> None:
        self.config: dict[str, str] = {}
        self.jobs: list[Job] = []
        self._catalog = Catalog()
        self._embedded = EmbeddedConnector()
        self._notice = Notice(events or (lambda _: None))
        self._commands = Commands(self._catalog, self.config, self._notice)
        self._clock = clock
        self._name = name
        self._events = events
        self._fresh = fresh
        self._started = 0
        self._queries: list[Job] = []
        for key, value in (config or {}).items():
            parse_setting(key, value)
            self.config[key] = value

    # The road of a statement

    def execute(self, sql: str) -> Result | Job:
        """Run every statement of the text; the answer is the last one's.

        A query answers with its `Result`, an INSERT or statement set with its running `Job`.

        Raises:
            FlowSQLError: a statement is wrong; those before it have been run.
        """
        answer: Result | Job = text_result("result", ["OK"])
        try:
            for statement in parse_script(sql):
                answer = self.run(statement, sql)
        except FlowSQLError as error:
            raise error.with_sql(sql) from error.__cause__
        return answer

    def run(self, statement: Statement, sql: str) -> Result | Job:
        """Run one parsed statement of the text `sql`."""
        binder = self._binder()
        match statement:
            case QueryStatement(query=query):
                return self._select(plan_select(binder.query(query), binder.settings), binder)
            case InsertStatement() | StatementSet():
                return self._submit(self._plan(statement, binder), binder)
            case Explain():
                return self._explain(statement, binder)
            case _:
                return self._commands.run(statement, sql, binder)

    def _binder(self) -> Binder:
        values = self._values()
        settings = PlanSettings(
            streaming=values["execution.runtime-mode"] == "streaming",
            local_time_zone=values["table.local-time-zone"],
            upsert_materialize=values["table.exec.sink.upsert-materialize"],
            idle_timeout=values["table.exec.source.idle-timeout"] or None,
            require_on_conflict=values["table.exec.sink.require-on-conflict"],
        )
        return Binder(self._catalog, self._connector, lambda f: find_format(f).options, settings)

    def _plan(self, statement: Planned, binder: Binder) -> PlannedJob:
        match statement:
            case QueryStatement(query=query):
                return plan_select(binder.query(query), binder.settings)
            case StatementSet(inserts=inserts):
                return plan_job([binder.insert(i) for i in inserts], binder.settings)
            case InsertStatement():
                return plan_job([binder.insert(statement)], binder.settings)

    def _select(self, planned: PlannedJob, binder: Binder) -> Result:
        stream = ResultStream()
        job = Job(
            f"{self._name}-select",
            job_plan(planned, binder.tables),
            self.settings,
            clock=self._clock,
            collect=stream.put,
            persistent=False,
            events=self._events,
        )
        return Result(
            planned.statements[0].schema,
            stream=stream,
            bounded=all(t.bounded for t in tables_of(planned.statements).values()),
            start=lambda: self._start(job, stream),
        )

    def _start(self, job: Job, stream: ResultStream) -> None:
        def run() -> None:
            job.run()
            stream.finish(job.error)

        stream.on_close = job.stop
        self._queries.append(job)
        threading.Thread(target=run, name=f"job {job.id}", daemon=True).start()

    def _submit(self, planned: PlannedJob, binder: Binder) -> Job:
        settings = self.settings
        self._started += 1
        job = Job(
            settings.job_name or f"{self._name}-{self._started}",
            job_plan(planned, binder.tables),
            settings,
            clock=self._clock,
            fresh=self._fresh,
            events=self._events,
        )
        self.jobs.append(job.start())
        if self._values()["table.dml-sync"]:
            job.wait()
        return job

    def _explain(self, statement: Explain, binder: Binder) -> Result:
        planned = self._plan(statement.statement, binder)
        changelog = "CHANGELOG_MODE" in statement.details
        text = explain(planned.statements, planned.optimized, planned.plan, changelog=changelog)
        return text_result("result", [text])

    # Settings and tables

    @property
    def settings(self) -> EngineSettings:
        """The engine's settings as they are now."""
        return EngineSettings.of(self.config)

    def _values(self) -> OptionValues:
        return OptionValues(
            ENGINE_OPTIONS,
            {k: v for k, text in self.config.items() if (v := parse_setting(k, text)) is not None},
        )

    def _connector(self, name: str) -> Connector:
        return self._embedded if name == self._embedded.name else find_connector(name)

    def from_arrow(
        self,
        name: str,
        data: pa.Table | pa.RecordBatch | pa.RecordBatchReader,
        *,
        primary_key: Sequence[str] = (),
        watermark: str | None = None,
    ) -> None:
        """A bounded, append-only table over Arrow data.

        Args:
            name: of the table.
            data: its rows; a reader is read to its end here.
            primary_key: columns of which every value occurs once.
            watermark: such as `ts - INTERVAL '5' SECOND`; it begins with the rowtime column.
        """
        if isinstance(data, pa.RecordBatch):
            data = pa.Table.from_batches([data])
        elif isinstance(data, pa.RecordBatchReader):
            data = data.read_all()
        given = EmbeddedInput(Batches(data), ChangelogMode.APPEND, stepwise=False)
        self._declare(name, row_type_of(data.schema), given, primary_key, watermark)

    def from_changes(
        self,
        name: str,
        schema: pa.Schema | RowType,
        steps: Iterable[Item],
        *,
        primary_key: Sequence[str] = (),
        watermark: str | None = None,
        mode: ChangelogMode | str | None = None,
    ) -> None:
        """A table whose every item is one step.

        Items of equal ordinal, over all such tables, form one step.

        Args:
            name: of the table.
            schema: its columns.
            steps: `Changes`, a RecordBatch, a `Watermark`, or None for nothing.
            primary_key: columns of which every value has at most one live row.
            watermark: as for `from_arrow`.
            mode: `append`, `retract` or `upsert`; unset: append where a primary key is not given
                and every item that can be looked at is a batch, else retract.
        """
        row = schema if isinstance(schema, RowType) else row_type_of(schema)
        given = EmbeddedInput(steps, _mode(steps, mode), stepwise=True)
        self._declare(name, row, given, primary_key, watermark)

    def _declare(
        self,
        name: str,
        row: RowType,
        given: EmbeddedInput,
        primary_key: Sequence[str],
        watermark: str | None,
    ) -> None:
        table = declare_embedded(name, row, primary_key, watermark, self._catalog)
        self._embedded.inputs[str(table.path)] = given
        self._binder().table(table)
        self._catalog.create(table)

    # Its end

    def close(self) -> None:
        """Stop what still runs: queries at once, jobs with a last checkpoint."""
        running = [j for j in [*self._queries, *self.jobs] if j.running]
        for job in running:
            job.stop()
        for job in running:
            with contextlib.suppress(FlowSQLError):
                job.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _mode(steps: Iterable[Any], mode: ChangelogMode | str | None) -> ChangelogMode:
    if mode is None:
        plain = isinstance(steps, Sequence) and all(
            getattr(item, "codes", None) is None for item in steps
        )
        return ChangelogMode.APPEND if plain else ChangelogMode.RETRACT
    try:
        return ChangelogMode(mode)
    except ValueError:
        raise ConfigError(
            f'mode cannot be "{mode}"', hint="It is append, retract or upsert."
        ) from None


def connect(
    config: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    tune_process: bool = False,
) -> Session:
    """A new session.

    Args:
        config: settings, as SET takes them.
        clock: an object whose `now()` gives microseconds since 1970, read once a step.
        tune_process: shorten the interpreter's thread switch interval, as the command line does;
            the host process's other threads feel it.

    Raises:
        ConfigError: a setting is unknown, or its text is no value.
    """
    if tune_process:
        sys.setswitchinterval(0.001)
    return Session(config, clock=clock)
