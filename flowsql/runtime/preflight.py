"""Checks before the start: asks the connectors of a plan what stands in its way (DESIGN 9)."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flowsql.changelog import ChangelogMode
from flowsql.config import EngineSettings
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorTable,
    Finding,
    Needs,
    PreflightContext,
    Role,
    Severity,
)
from flowsql.errors import FlowSQLError, PreflightError
from flowsql.physical import PhysicalNode, PhysicalPlan
from flowsql.physical.specs import Normalize, Scan, Sink
from flowsql.runtime.graph import JobPlan
from flowsql.runtime.groups import group_name
from flowsql.runtime.redact import Redactor

__all__ = [
    "Found",
    "Report",
    "check_folder",
    "check_plan",
    "check_tables",
    "found_error",
    "needs_of",
    "unwritable",
]


@dataclass(frozen=True, slots=True)
class Found:
    """One finding, ready to be shown.

    Attributes:
        severity: of the finding.
        table: full name, or empty where it is about no table.
        role: how the table is used; None where it is about no table.
        error: fact, detail, cure (the hint) and place.
    """

    severity: Severity
    table: str
    role: Role | None
    error: FlowSQLError

    @property
    def key(self) -> tuple[str, Role | None, str]:
        """Equal for what need not be said twice."""
        return (self.table, self.role, self.error.message)


@dataclass(slots=True)
class Report:
    """What was checked, and what was found.

    Attributes:
        checked: tables with their use, in order.
        found: in order of the plan.
    """

    checked: list[tuple[str, Role]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """What is new in another report."""
        known = {f.key for f in self.found}
        self.found += [f for f in other.found if f.key not in known]
        self.checked += [c for c in other.checked if c not in self.checked]

    def errors(self) -> list[FlowSQLError]:
        """Those for which a start would fail."""
        return [f.error for f in self.found if f.severity is Severity.ERROR]

    def check(self) -> None:
        """Raises PreflightError where there is an error, with the others as its `more`."""
        errors = self.errors()
        if errors:
            errors[0].more = tuple(errors[1:])
            raise errors[0]


def needs_of(plan: PhysicalPlan, node: PhysicalNode, table: ConnectorTable) -> Needs:
    """What the plan needs of the table of a scan or sink.

    Args:
        plan: the whole.
        node: of the `Scan` or `Sink`.
        table: its table.
    """
    spec = node.spec
    if isinstance(spec, Sink):
        return Needs(Role.SINK, table.primary_key)
    assert isinstance(spec, Scan)
    upserts = spec.mode is ChangelogMode.UPSERT
    readers = plan.readers(node.id)
    kept = upserts and bool(readers) and all(isinstance(r.spec, Normalize) for r in readers)
    return Needs(
        Role.SCAN,
        table.primary_key,
        before_images=spec.mode is ChangelogMode.RETRACT,
        whole_rows=upserts and not kept,
        holds_rows=kept,
    )


def check_plan(
    job: JobPlan,
    context: PreflightContext,
    positions: Mapping[str, JSON] | None = None,
    held: Mapping[str, str] | None = None,
) -> Report:
    """Asks every connector of a plan; changes nothing.

    Tables of one source group are asked about together, each sink by itself.

    Args:
        job: the plan.
        context: how thoroughly, and for what.
        positions: to go on from, by the names of source groups.
        held: slots through which the job reads now, by these names.
    """
    report = Report()
    groups: dict[tuple[str, Hashable], list[tuple[ConnectorTable, Needs]]] = {}
    connectors: dict[str, Connector] = {}
    sinks = []
    for node in job.plan.nodes:
        spec = node.spec
        if isinstance(spec, Scan):
            connector, table = job.tables[spec.table].connector, job.scan_table(spec)
            connectors[connector.name] = connector
            needs = needs_of(job.plan, node, table)
            groups.setdefault((connector.name, connector.group(table)), []).append((table, needs))
        elif isinstance(spec, Sink):
            resolved = job.sink_table(spec.table)
            sinks.append(
                (resolved.connector, resolved.table, needs_of(job.plan, node, resolved.table))
            )
    for (name, _), members in groups.items():
        needed = {t.name: n for t, n in members}
        tables = [t for t, _ in members]
        group = group_name(tables)
        at = replace(context, position=(positions or {}).get(group), held=(held or {}).get(group))
        report.add(check_tables(connectors[name], tables, needed, at))
    for connector, table, needs in sinks:
        report.add(check_tables(connector, [table], {table.name: needs}, context))
    return report


def check_tables(
    connector: Connector,
    tables: Sequence[ConnectorTable],
    needs: Mapping[str, Needs],
    context: PreflightContext,
) -> Report:
    """Asks one connector about tables that it is to read, or about one that it is to write."""
    report = Report([(t.name, needs[t.name].role) for t in tables])
    by_name = {t.name: t for t in tables}
    redactor = Redactor((connector, t) for t in tables)
    role = needs[tables[0].name].role
    try:
        findings = connector.preflight(tables, needs, context)
    except Exception as raised:  # noqa: BLE001 - one more finding, in the user's words
        error = redactor.error(raised)
        for part in (error, *error.more):
            table = tables[0] if len(tables) == 1 else None
            name = "" if table is None else table.name
            shown = redactor.error(_shown(part, table))
            report.found.append(Found(Severity.ERROR, name, role, shown))
        error.more = ()
        return report
    if findings is None:
        if not context.quick:
            names = ", ".join(f'"{t.name}"' for t in tables)
            note = f'connector "{connector.name}" checks nothing before the start: {names}'
            report.found.append(Found(Severity.NOTE, tables[0].name, role, PreflightError(note)))
        return report
    for finding in findings:
        table = by_name.get(finding.table or "") or (tables[0] if len(tables) == 1 else None)
        shown = redactor.error(_shown(_error_of(finding), table))
        name = "" if table is None else table.name
        report.found.append(Found(finding.severity, name, role, shown))
    return report


def check_folder(settings: EngineSettings) -> Report:
    """Whether jobs can have their folders where the settings say."""
    folder = settings.checkpoint_dir
    why = unwritable(folder)
    if why is None:
        return Report()
    finding = Finding(
        Severity.ERROR,
        f'jobs cannot have their folders in "{folder}": {why}',
        "Give the right to write there, or choose another folder: "
        "SET 'execution.checkpointing.dir' = '…'.",
    )
    return Report([], [Found(finding.severity, "", None, _error_of(finding))])


def unwritable(folder: Path, access: Callable[[Path, int], bool] = os.access) -> str | None:
    """Why no file could be made in a folder that may have to be made first; None where one could."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if not path.exists():
            continue
        if not path.is_dir():
            return f'"{path}" is not a folder'
        if not access(path, os.W_OK | os.X_OK):
            return f'there is no right to write in "{path}"'
        return None
    return None


def found_error(error: FlowSQLError) -> Found:
    """An error about no table that a start would end with, as what a check found."""
    return Found(Severity.ERROR, "", None, _shown(error, None))


def _error_of(finding: Finding) -> FlowSQLError:
    return PreflightError(
        finding.fact, detail=finding.detail, hint=finding.cure, option=finding.option
    )


def _shown(error: FlowSQLError, table: ConnectorTable | None) -> FlowSQLError:
    """The error as one of a check, at its option where that is known."""
    made = error
    if not isinstance(error, PreflightError):
        made = PreflightError(
            error.message,
            detail=error.detail,
            hint=error.hint,
            span=None if error.sql is None else error.span,
            sql=error.sql,
            option=error.option,
        )
    if table is not None:
        table.places.mark(made)
    return made
