"""A session: the road of a statement, from text to rows, on one screen.

text ─ sql.parse_script ─ logical.Binder ─ optimizer.optimize ─ physical.plan_job ─ runtime.Job
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import pyarrow as pa

from flowsql.catalog import Catalog
from flowsql.changelog import ChangelogMode
from flowsql.config import (
    ENGINE_OPTIONS,
    EngineSettings,
    OptionValues,
    is_ignored,
    parse_setting,
)
from flowsql.connector import Connector
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, FlowSQLError, Span, SqlError
from flowsql.formats import find_format
from flowsql.library.commands import Commands, Notice
from flowsql.library.compiled import (
    CompiledPlan,
    plan_file,
    read_plan,
    statement_text,
    write_plan,
)
from flowsql.library.declare import changes_given, declare_embedded, rows_given
from flowsql.library.embedded import EmbeddedConnector, EmbeddedInput, Item
from flowsql.library.functions import add_function, look_in
from flowsql.library.jobs import JobList, program_name
from flowsql.library.masking import (
    attach_text,
    program_words,
    short_names,
    short_text,
    starred,
)
from flowsql.library.preflight import check_table, preflight
from flowsql.library.prepared import Prepared
from flowsql.library.resolve import exactly_once, job_plan
from flowsql.library.result import Result, ResultStream, text_result
from flowsql.library.told import Told
from flowsql.logical import Binder, PlanSettings, functions_of
from flowsql.physical import PlannedJob, explain, plan_job, plan_select, tables_of
from flowsql.physical.specs import Collect, Scan
from flowsql.runtime.clock import Clock
from flowsql.runtime.graph import JobPlan
from flowsql.runtime.job import Job
from flowsql.runtime.log import Line
from flowsql.runtime.preflight import Report
from flowsql.sql import (
    CheckTable,
    CompilePlan,
    CreateTable,
    DescribeJob,
    ExecutePlan,
    Explain,
    QueryStatement,
    Show,
    Statement,
    StatementSet,
    StopJob,
    parse_script,
    parse_statement,
)
from flowsql.sql import Insert as InsertStatement
from flowsql.types import RowType

__all__ = ["Prepared", "Session", "connect"]

Planned: TypeAlias = QueryStatement | InsertStatement | StatementSet


class Session:
    """Tables, settings and running jobs of one user; a context manager.

    Any thread may use a session, but only one at a time. Its jobs answer every thread at any time;
    a result belongs to the one that reads it.

    Args:
        config: settings, as SET takes them.
        clock: read once a step instead of the machine's clock.
        name: what jobs are called that `pipeline.name` does not name; a number follows.
        events: told what a user wants to read in a log, a line each. Without it Python's logger
            `flowsql` is: as a warning, what jobs say (a new run, a restart); else as information.
        fresh: jobs begin anew even where there is a checkpoint to resume from.
        start: path of a checkpoint that jobs start from, whatever SET says; or `latest`: jobs
            that would begin a first or a new run are refused.
        dry: nothing is to be kept: what is declared in a catalog that lasts is forgotten with the
            session, and compiled plans are not written.
        held: what is declared in a catalog that lasts is written by `keep`, not before.
        program: a program has opened it: what its errors advise is done in one.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        name: str = "flowsql",
        events: Callable[[Line], None] | None = None,
        fresh: bool = False,
        start: str | None = None,
        dry: bool = False,
        held: bool = False,
        program: bool = False,
    ) -> None:
        self.config: dict[str, str] = {}
        self.jobs: list[Job] = []
        self._job_list = JobList()
        self._catalog = Catalog(lasting=not (dry or held))
        self._dry = dry
        self._program = program
        self._embedded = EmbeddedConnector()
        self._told = Told(events, program=program)
        self._notice = Notice(self._told.info)
        self._commands = Commands(self._catalog, self.config, self._notice, dict(config or {}))
        self._clock = clock
        self._name = name
        self._fresh = fresh
        self._start = start
        self._started = 0
        self._closed = False
        self._queries: list[tuple[Job, ResultStream]] = []
        for key, value in (config or {}).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ConfigError(
                    f"setting {key!r}: {value!r} is not text",
                    hint="Give both as strings, as SET takes them: {'parallelism.default': '1'}.",
                )
            parse_setting(key, value)
            if is_ignored(key):
                self._notice(key)
            self.config[key] = value

    def __repr__(self) -> str:
        tables = len(self._catalog.names())
        running = ", ".join(repr(j.id) for j in self._all() if j.running) or "nothing"
        return f"<Session: {tables} table{'s' * (tables != 1)}, {running} running>"

    # The road of a statement

    def execute(self, sql: str) -> Result | Job:
        """Run every statement of the text; the answer is the last one's.

        A query answers with its `Result`, an INSERT or statement set with its running `Job`. No
        job is started before all statements are planned.

        Raises:
            FlowSQLError: a statement is wrong; the declarations and settings before it stand.
        """
        answer: Result | Job = text_result("result", ["OK"])
        for prepared in self.prepare(sql):
            answer = self.start(prepared)
        return answer

    def prepare(self, sql: str) -> tuple[Prepared, ...]:
        """Plan every statement of the text; declarations and settings take effect at once.

        Raises:
            FlowSQLError: as `execute`.
        """
        if self._closed:
            raise ConfigError("the session is closed", hint="Open one: flowsql.connect().")
        if not isinstance(sql, str):
            raise SqlError(f"statements are text, not {type(sql).__name__}")
        prepared: list[Prepared] = []
        with self.reading(sql):
            for statement in parse_script(sql):
                made = self.prepare_one(statement, sql)
                self._check_name(made, prepared, statement)
                prepared.append(made)
        return tuple(prepared)

    def prepare_one(self, statement: Statement, sql: str) -> Prepared:
        """As `prepare`, of one parsed statement of the text `sql`."""
        with functions_of(self._catalog):
            return self._prepare(statement, sql)

    def run(self, statement: Statement, sql: str) -> Result | Job:
        """Run one parsed statement of the text `sql`; raises as `execute`."""
        return self.start(self.prepare_one(statement, sql))

    @contextlib.contextmanager
    def reading(self, sql: str) -> Iterator[None]:
        """Errors that come out of the block show their place in the text."""
        try:
            yield
        except FlowSQLError as error:
            whole = self._commands.looked_through(error, sql, self._binder)
            raise self._presenting(sql)(whole) from error.__cause__

    def _presenting(self, sql: str) -> Callable[[FlowSQLError], FlowSQLError]:
        """Gives errors their place in the text, and short names to tables of the present database."""
        home = self._home

        def present(error: FlowSQLError) -> FlowSQLError:
            shown = short_names(attach_text(error, sql), home)
            return program_words(shown) if self._program else shown

        return present

    def _prepare(self, statement: Statement, sql: str) -> Prepared:
        binder = self._binder()
        match statement:
            case QueryStatement():
                planned = self._plan(statement, binder)
                plan = job_plan(planned, binder.tables)
                return Prepared(self._select(planned, plan, sql), plan=plan)
            case InsertStatement() | StatementSet():
                return self._job(self._plan(statement, binder), binder, sql)
            case CreateTable(query=query) if query is not None:
                return self._create_as(statement, binder, sql)
            case Explain():
                return Prepared(self._explain(statement, binder, sql))
            case CompilePlan():
                return self._compile(statement, binder, sql)
            case ExecutePlan(path=path, path_span=span):
                return self._execute_plan(path, span)
            case Show(kind="JOBS" | "SOURCES") | DescribeJob() | StopJob():
                return Prepared(self._job_list.run(statement, self._home))
            case CheckTable():
                return Prepared(check_table(statement, self._catalog, binder, self.settings))
            case _:
                return Prepared(self._commands.run(statement, sql, binder))

    def keep(self) -> None:
        """Write what a session that is `held` has declared in catalogs that last."""
        self._catalog.keep()

    def start(self, prepared: Prepared) -> Result | Job:
        """Begin what was prepared: a job runs, a query does when its rows are asked for."""
        answer = prepared.answer
        if isinstance(answer, Job):
            self.jobs.append(answer.start())
            self._job_list.add(answer)
            if prepared.wait:
                answer.wait()
        return answer

    def _binder(self) -> Binder:
        values = self._values()
        look_in((values["python.files"] or "").split(","))
        settings = PlanSettings(
            streaming=values["execution.runtime-mode"] == "streaming",
            local_time_zone=values["table.local-time-zone"],
            upsert_materialize=values["table.exec.sink.upsert-materialize"],
            idle_timeout=values["table.exec.source.idle-timeout"] or None,
            state_ttl=values["table.exec.state.ttl"],
            require_on_conflict=values["table.exec.sink.require-on-conflict"],
            ignore_nondeterminism=values["table.optimizer.non-deterministic-update.strategy"]
            == "ignore",
            sort_at_end=values["__table.exec.sort.non-temporal.enabled__"],
            duplicate_changes=values["table.exec.source.cdc-events-duplicate"],
        )
        return Binder(self._catalog, self._connector, lambda f: find_format(f).options, settings)

    def _plan(self, statement: Planned, binder: Binder) -> PlannedJob:
        match statement:
            case QueryStatement(query=query):
                planned = plan_select(binder.query(query), binder.settings)
            case StatementSet(inserts=inserts):
                planned = plan_job(binder.inserts(inserts), binder.settings)
            case InsertStatement():
                planned = plan_job([binder.insert(statement)], binder.settings)
        for notice in planned.notices:
            self._told.warn(notice)
        return planned

    def _select(self, planned: PlannedJob, plan: JobPlan, sql: str) -> Result:
        stream = ResultStream()
        nodes, tables = planned.plan.nodes, tables_of(planned.statements)
        job = Job(
            f"{self._name}-select",
            plan,
            self.settings,
            clock=self._clock,
            collect=stream.put,
            persistent=False,
            events=self._told.of_query,
            present=self._presenting(starred(sql)),
        )

        def run() -> None:
            job.run()
            stream.finish(job.error)

        def begin() -> None:
            stream.on_close = job.stop
            self._queries = [q for q in self._queries if q[0].running]
            self._queries.append((job, stream))
            threading.Thread(target=run, name=f"job {job.id}", daemon=True).start()

        collected = [(n, n.spec) for n in nodes if isinstance(n.spec, Collect)]
        return Result(
            planned.statements[0].schema,
            stream=stream,
            bounded=all(tables[n.spec.table].bounded for n in nodes if isinstance(n.spec, Scan)),
            append=all(n.mode is ChangelogMode.APPEND and not c.order for n, c in collected),
            order=tuple(k for _, c in collected for k in c.order),
            status=job.status,
            start=begin,
        )

    def _job(self, planned: PlannedJob, binder: Binder, sql: str) -> Prepared:
        settings = self.settings
        self._started += 1
        name = settings.job_name or f"{self._name}-{self._started}"
        plan = job_plan(planned, binder.tables)
        job = Job(
            name,
            plan,
            settings,
            clock=self._clock,
            fresh=self._fresh,
            resume=self._start == "latest",
            events=self._told.of_jobs(self._home),
            present=self._presenting(starred(sql)),
        )
        return Prepared(
            job, wait=self._values()["table.dml-sync"], at_commit=exactly_once(plan), plan=plan
        )

    def _check_name(
        self, made: Prepared, prepared: Sequence[Prepared], statement: Statement
    ) -> None:
        """Two jobs of one name would be one job."""
        if not isinstance(made.answer, Job):
            return
        beside = [p.answer for p in prepared if isinstance(p.answer, Job) and not p.wait]
        if made.answer.id in {j.id for j in [*beside, *self.jobs] if j.running}:
            raise ConfigError(
                f'job "{made.answer.id}" is running already',
                hint="Give each INSERT its own name with SET 'pipeline.name', or make one job of "
                "them with EXECUTE STATEMENT SET.",
                span=statement.span,
            )

    @property
    def _home(self) -> tuple[str, str]:
        """Catalog and database in which a bare name is looked up."""
        return (self._catalog.current_catalog, self._catalog.current_database)

    def _create_as(self, statement: CreateTable, binder: Binder, sql: str) -> Prepared:
        made = self._commands.create_as(
            statement, sql, binder, lambda i: self._job(self._plan(i, binder), binder, sql)
        )
        return made or Prepared(text_result("result", ["OK"]))

    def _compile(self, statement: CompilePlan, binder: Binder, sql: str) -> Prepared:
        span = statement.path_span
        path = plan_file(statement.path, span)
        ok = Prepared(text_result("result", ["OK"]))
        if self._dry and not path.exists():
            return self._job(self._plan(statement.statement, binder), binder, sql)
        if path.exists() and statement.execute:
            return self._execute_plan(statement.path, span)
        if path.exists():
            if statement.if_not_exists:
                return ok
            raise ConfigError(
                f'plan "{path}" exists already',
                hint="Remove it to compile it anew; IF NOT EXISTS keeps it.",
                span=span,
            )
        planned = self._plan(statement.statement, binder)
        text = statement_text(statement.statement, sql)
        write_plan(path, CompiledPlan(text, self._home, planned.plan), span)
        return self._job(planned, binder, sql) if statement.execute else ok

    def _execute_plan(self, path: str, span: Span) -> Prepared:
        compiled = read_plan(plan_file(path, span), span)
        statement = parse_statement(compiled.statement)
        assert isinstance(statement, InsertStatement | StatementSet)
        binder = self._binder()
        with self._catalog.at(*compiled.home), self.reading(compiled.statement):
            planned = self._plan(statement, binder)
        return self._job(compiled.of(planned, path, span), binder, compiled.statement)

    def _explain(self, statement: Explain, binder: Binder, sql: str) -> Result:
        explained = statement.statement
        if isinstance(explained, CreateTable):
            planned = self._commands.explain_as(
                explained, sql, binder, lambda i: self._plan(i, binder)
            )
        else:
            planned = self._plan(explained, binder)
        text = explain(
            planned.statements, planned.optimized, planned.plan, details=statement.details
        )
        return text_result("result", [short_text(text, self._home)])

    # Checks before a start

    def check(self, sql: str) -> Report:
        """What stands in the way of the text's queries and jobs, all at once; nothing is started.

        Every statement is planned, and every connector that the plans name is asked. Declarations
        and settings take effect, as in `prepare`.

        Raises:
            FlowSQLError: a statement is wrong.
        """
        report = Report()
        for prepared in self.prepare(sql):
            report.add(self.preflight(prepared))
        return report

    def preflight(self, prepared: Prepared, *, quick: bool = False) -> Report:
        """What stands in the way of what was prepared.

        Args:
            prepared: a query or job; of anything else there is nothing to be found.
            quick: only what costs a few milliseconds, for a start that follows at once.
        """
        if prepared.plan is None:
            return Report()
        job = prepared.answer if isinstance(prepared.answer, Job) else None
        report = preflight(prepared.plan, self.settings, job, quick=quick)
        for found in report.found:
            self._presenting("")(found.error)
        return report

    # Settings and tables

    @property
    def settings(self) -> EngineSettings:
        """The engine's settings as they are now."""
        if self._start in {None, "latest"}:
            return EngineSettings.of(self.config)
        assert self._start is not None
        return EngineSettings.of({**self.config, "execution.state-recovery.path": self._start})

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
            data: its rows; a reader, or another library's frame that exports itself as an Arrow
                stream, is read to its end here.
            primary_key: columns of which every value occurs once.
            watermark: such as `ts - INTERVAL '5' SECOND`; it begins with the rowtime column.
        """
        self._declare(name, *rows_given(name, data), primary_key, watermark)

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
            mode: `append`, `retract` or `upsert`; unset: append where `steps` is a sequence without
                row kinds, else retract.
        """
        row, given = changes_given(name, schema, steps, mode, keyed=bool(primary_key))
        self._declare(name, row, given, primary_key, watermark)

    def create_temporary_function(self, name: str, function: Callable[..., Any]) -> None:
        """Make a Python function known to SQL until the session ends.

        Args:
            name: what SQL calls it; case does not matter.
            function: declared with `flowsql.udf`, or annotated.

        Raises:
            FlowSQLError: the name is taken, or the function does not say its types.
        """
        add_function(name, function, self._catalog)

    def _declare(
        self,
        name: str,
        row: RowType,
        given: EmbeddedInput,
        primary_key: Sequence[str],
        watermark: str | None,
    ) -> None:
        table = declare_embedded(name, row, primary_key, watermark, self._catalog)
        self._binder().table(table)
        self._catalog.create(table)
        self._embedded.inputs[str(table.path)] = given

    # Its end

    @property
    def running(self) -> bool:
        """Whether a query or a job runs."""
        return any(job.running for job in self._all())

    def stop(self) -> None:
        """Ask all that runs to end, jobs with a last checkpoint; returns at once."""
        for job in self._all():
            if job.running:
                # One that ends without a last checkpoint says so in `Job.wait`.
                with contextlib.suppress(FlowSQLError):
                    job.stop()

    def close(self) -> None:
        """Stop what still runs, jobs with a last checkpoint, and wait until it is over."""
        self._closed = True
        self.stop()
        for _, stream in self._queries:
            stream.close()
        for job in self._all():
            with contextlib.suppress(FlowSQLError):
                job.wait()
            job.forget()

    def _all(self) -> list[Job]:
        return [*(job for job, _ in self._queries), *self.jobs]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    config: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    fresh: bool = False,
    tune_process: bool = False,
) -> Session:
    """A new session.

    Jobs without a `pipeline.name` are called by the program's file and a number: those of
    `orders.py` are `orders-1`, `orders-2`, …

    Args:
        config: settings, as SET takes them.
        clock: an object whose `now()` gives microseconds since 1970, read once a step.
        fresh: jobs begin anew even where there is a checkpoint to resume from.
        tune_process: shorten the interpreter's thread switch interval, which the host process's
            other threads feel, and have the garbage collector pass over what is loaded by now, as
            the command line does.

    Raises:
        ConfigError: a setting is unknown, or its text is no value.
    """
    if tune_process:
        sys.setswitchinterval(0.001)
        # A look at all that imports have made takes as long as three steps.
        gc.freeze()
    return Session(config, clock=clock, fresh=fresh, name=program_name(), program=True)
