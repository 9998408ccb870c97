"""`flowsql check`: what stands in the way of a file's queries and jobs."""

from __future__ import annotations

from collections.abc import Mapping

from flowsql.cli.console import Console
from flowsql.cli.repl.commands import Part, scripts
from flowsql.cli.run import name_of, read_text, tune
from flowsql.connector import Role, Severity
from flowsql.errors import FlowSQLError, PreflightError
from flowsql.library.preflight import found_text
from flowsql.runtime.preflight import Report
from flowsql.session import Session
from flowsql.sql import Insert, QueryStatement, StatementSet, parse_script

__all__ = ["check_file"]


def check_file(file: str, settings: Mapping[str, str]) -> int:
    """Plan every statement of a file, connect to all that the plans name, and print what is wrong.

    Nothing is changed, not even a catalog that lasts. A wrong query or INSERT does not hide what is
    wrong with others; a wrong declaration does, as what follows may depend on it.

    Returns:
        The exit code: 2 where a statement is wrong, else 3 where something stands in the way, else
        0.
    """
    tune()
    text = read_text(file)
    session = Session(settings, name=name_of(file, text), dry=True)
    console = Console()
    with session:
        with session.reading(text):
            parts = list(scripts(text))
        report, wrong = Report(), list[FlowSQLError]()
        for part in parts:
            if not _check_part(session, part, report, wrong):
                break
    for error in wrong:
        console.fail(error)
    for found in report.found:
        print(found_text(found, console.width if console.interactive else None), end="\n\n")
    print(_summary(report, wrong))
    if wrong:
        return max(error.exit_code for error in wrong)
    return PreflightError.exit_code if report.errors() else 0


def _check_part(session: Session, text: Part, report: Report, wrong: list[FlowSQLError]) -> bool:
    """Whether to go on with what follows the text."""
    with text.naming(), session.reading(text):
        statements = parse_script(text)
    for statement in statements:
        try:
            with text.naming(), session.reading(text):
                prepared = session.prepare_one(statement, text)
        except FlowSQLError as error:
            wrong.append(error)
            if not isinstance(statement, QueryStatement | Insert | StatementSet):
                return False
            continue
        report.add(session.preflight(prepared))
    return True


def _summary(report: Report, wrong: list[FlowSQLError]) -> str:
    tables = {"read": 0, "written": 0}
    for _, role in report.checked:
        tables["read" if role is Role.SCAN else "written"] += 1
    checked = ", ".join(f"{n} table{'s' * (n != 1)} {word}" for word, n in tables.items() if n)
    counts = {s: sum(f.severity is s for f in report.found) for s in Severity}
    counts[Severity.ERROR] += len(wrong)
    said = ", ".join(f"{n} {severity.value}{'s' * (n != 1)}" for severity, n in counts.items() if n)
    return f"{said or 'nothing stands in the way'} ({checked or 'no table was looked at'})"
