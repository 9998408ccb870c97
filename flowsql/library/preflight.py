"""CHECK TABLE, and what a check found as rows and as text."""

from __future__ import annotations

from collections.abc import Mapping

from flowsql.catalog import Catalog, CatalogView, ColumnKind
from flowsql.changelog import ChangelogMode
from flowsql.config import EngineSettings
from flowsql.connector import JSON, Needs, PreflightContext, Role, Severity
from flowsql.errors import ConfigError, FlowSQLError, PreflightError, SqlError, StateError
from flowsql.library.masking import short_text
from flowsql.library.result import Result, rows_result
from flowsql.logical import Binder, BoundTable, connector_table
from flowsql.runtime.control import request
from flowsql.runtime.folder import JobFolder
from flowsql.runtime.graph import JobPlan
from flowsql.runtime.job import Job
from flowsql.runtime.preflight import (
    Found,
    Report,
    check_folder,
    check_plan,
    check_tables,
    found_error,
)
from flowsql.sql import CheckTable

__all__ = ["check_table", "found_text", "preflight"]

_COLUMNS = ("use", "severity", "finding", "cure")
_USES = {Role.SCAN: "read", Role.SINK: "write", Role.LOOKUP: "look up"}


def preflight(plan: JobPlan, settings: EngineSettings, job: Job | None, *, quick: bool) -> Report:
    """What stands in the way of a plan.

    Args:
        plan: of a query or job.
        settings: of the engine.
        job: that has a folder and takes checkpoints; None: a query.
        quick: only what costs a few milliseconds.
    """
    report = Report()
    positions: Mapping[str, JSON] = {}
    held: Mapping[str, str] = {}
    if job is not None and not quick:
        report.add(check_folder(settings))
        folder = JobFolder(settings.checkpoint_dir, job.id)
        running = _running(folder)
        if running is None:
            started, positions = _check_start(job, folder)
        else:
            started, held = running
        report.add(started)
    context = PreflightContext(
        quick=quick,
        checkpoints=job is not None,
        streaming=plan.plan.streaming,
        parallelism=settings.parallelism,
    )
    report.add(check_plan(plan, context, positions, held))
    return report


def _running(folder: JobFolder) -> tuple[Report, Mapping[str, str]] | None:
    """Of a job that runs now: that it does, and the slots that it reads, by source groups."""
    try:
        status = request(folder.socket, "status")
    except FlowSQLError:
        return None
    note = PreflightError(
        f'job "{folder.job}" is running, so what its next start goes on from is not known yet'
    )
    held = {
        ",".join(sorted(source["tables"])): source["slot"]
        for source in status.get("sources") or ()
        if source.get("slot") and not source.get("reconnecting")
    }
    return Report([], [Found(Severity.NOTE, "", None, note)]), held


def _check_start(job: Job, folder: JobFolder) -> tuple[Report, Mapping[str, JSON]]:
    """Whether the folder of a job that nobody runs, and its targets, let it start; looks only.

    Returns:
        What was found, and the stored positions that a start would go on from, by the names of
        source groups; none where it would begin at the beginning.
    """
    try:
        found = job.origin(folder).checkpoint
    except StateError as error:
        return Report([], [found_error(error)]), {}
    except (FlowSQLError, OSError):
        # Of a target, or of the folder: said where these are looked at.
        return Report(), {}
    if found is None:
        return Report(), {}
    note = PreflightError(
        f'a start of job "{job.id}" goes on from checkpoint {found.manifest.checkpoint} at'
        f' "{found.folder}"'
    )
    positions = {name: stored["position"] for name, stored in found.manifest.sources.items()}
    return Report([], [Found(Severity.NOTE, "", None, note)]), positions


def check_table(
    statement: CheckTable, catalog: Catalog, binder: Binder, settings: EngineSettings
) -> Result:
    """What stands in the way of reading and of writing a table, in every way that it can be used.

    Raises:
        SqlError: there is no such table.
        ConfigError: an environment variable is not set.
    """
    name = statement.name
    found = catalog.find(name.parts, name.span)
    if isinstance(found, CatalogView):
        raise SqlError(
            f'"{name}" is a view, not a table',
            hint="CHECK TABLE is for the tables that it reads.",
            span=name.span,
        )
    bound = binder.tables.bind(found, span=name.span)
    context = PreflightContext(
        streaming=binder.settings.streaming, parallelism=settings.parallelism
    )
    report = Report()
    for role in (Role.SCAN, Role.SINK):
        if role in bound.connector.roles:
            report.add(_checked(bound, binder, role, context))
    return _rows(report, (catalog.current_catalog, catalog.current_database))


def _checked(bound: BoundTable, binder: Binder, role: Role, context: PreflightContext) -> Report:
    columns = None
    if role is Role.SCAN:
        columns = [c.name for c in bound.columns if c.kind is not ColumnKind.COMPUTED]
    table = connector_table(bound, binder.tables, columns=columns)
    try:
        bound.connector.check(table, role)
    except ConfigError:
        # Declared for the other use.
        return Report()
    upserts = role is Role.SCAN and bound.scan_mode is ChangelogMode.UPSERT
    needs = Needs(
        role,
        table.primary_key,
        before_images=role is Role.SCAN and bound.scan_mode is ChangelogMode.RETRACT,
        holds_rows=upserts,
    )
    return check_tables(bound.connector, [table], {table.name: needs}, context)


def _rows(report: Report, home: tuple[str, str]) -> Result:
    """A row for each finding, and one for each use that nothing stands in the way of."""
    rows: list[list[str | bool | None]] = [
        [
            None if f.role is None else _USES[f.role],
            f.severity.value,
            short_text(f.error.message, home),
            f.error.hint and short_text(f.error.hint, home),
        ]
        for f in report.found
    ]
    wrong = {f.role for f in report.found}
    rows += [
        [_USES[role], "ok", "nothing stands in the way", None]
        for _, role in report.checked
        if role not in wrong
    ]
    return rows_result(_COLUMNS, rows)


def found_text(found: Found, width: int | None = None) -> str:
    """A finding for people: severity and place in front of the fact, then detail and cure."""
    text = found.error.alone(width)
    return found.severity.value.capitalize() + text.removeprefix(type(found.error).__name__)
