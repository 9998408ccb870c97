"""COMPILE PLAN and EXECUTE PLAN: a job's plan in a file.

The file is JSON: `format`, `flowsql` (the version that wrote it), `statement` (its SQL), `catalog`
and `database` (where its names are looked up), and `plan`, as a checkpoint's manifest holds it.
When it is executed the statement is bound again, to find its tables; the plan that runs is the
file's, so that another version or another rule never changes how a job computes. Tables that have
changed since make another statement of it, which is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowsql.connector import durable
from flowsql.errors import ConfigError, Span, StateError
from flowsql.physical import PhysicalPlan, PlannedJob, codec, difference
from flowsql.sql import Insert, StatementSet
from flowsql.version import __version__

__all__ = ["CompiledPlan", "plan_file", "read_plan", "statement_text", "write_plan"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """What a file holds.

    Attributes:
        statement: an INSERT or a statement set, as SQL.
        home: catalog and database of its names.
        plan: what runs.
    """

    statement: str
    home: tuple[str, str]
    plan: PhysicalPlan

    def of(self, planned: PlannedJob, path: str, span: Span) -> PlannedJob:
        """The job as planned now, with the plan of the file at `path`.

        Raises:
            StateError: it is no longer the same statement.
        """
        if planned.plan.fingerprint != self.plan.fingerprint:
            raise StateError(
                f'the plan in "{path}" belongs to other tables or settings',
                detail=difference(self.plan, planned.plan),
                hint="Make them as they were, or compile the statement again.",
                span=span,
            )
        plan = self.plan.placed(planned.plan)
        return replace(planned, plan=plan)


def statement_text(statement: Insert | StatementSet, script: str) -> str:
    """The statement as SQL that stands by itself."""

    def cut(insert: Insert) -> str:
        return script[insert.span.start : insert.span.end]

    if isinstance(statement, Insert):
        return cut(statement)
    body = "".join(f"{cut(i)};\n" for i in statement.inserts)
    return f"EXECUTE STATEMENT SET BEGIN\n{body}END"


def plan_file(text: str, span: Span) -> Path:
    """The file that a statement names: a path, or `file:` and a path.

    Raises:
        ConfigError: it is kept elsewhere.
    """
    scheme, found, rest = text.partition(":")
    if not found or len(scheme) < 2 or not scheme.isalnum():
        return Path(text)
    if scheme.lower() != "file":
        raise ConfigError(
            f'plan "{text}" is not in a local file: "{scheme}" is not supported',
            hint="Give a path, or file: and a path.",
            span=span,
        )
    return Path(rest.removeprefix("//"))


def write_plan(path: Path, compiled: CompiledPlan, span: Span) -> None:
    """Write the file, with its folders; raises ConfigError if that is not possible."""
    catalog, database = compiled.home
    content = {
        "format": _FORMAT,
        "flowsql": __version__,
        "statement": compiled.statement,
        "catalog": catalog,
        "database": database,
        "plan": codec.encode(compiled.plan),
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    new = path.with_name(f".{path.name}.new")
    try:
        durable.make_dirs(path.parent)
        durable.write_file(new, f"{text}\n".encode())
        durable.replace(new, path)
        durable.fsync_dir(path.parent)
    except OSError as error:
        raise ConfigError(
            f'cannot write the plan to "{path}": {error.strerror or error}', span=span
        ) from error


def read_plan(path: Path, span: Span) -> CompiledPlan:
    """The file's content.

    Raises:
        ConfigError: there is no such file.
        StateError: it holds no plan, or one of a newer version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f'cannot read the plan "{path}": {reason}',
            hint="COMPILE PLAN 'file' FOR INSERT … makes one.",
            span=span,
        ) from None
    try:
        content: Any = json.loads(text)
        known = content["format"] == _FORMAT
        statement, home = content["statement"], (content["catalog"], content["database"])
        stored = content["plan"]
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise StateError(
            f'"{path}" holds no plan that this version of flowsql knows',
            hint="COMPILE PLAN writes it again.",
            span=span,
        )
    return CompiledPlan(statement, home, codec.decode(stored))
