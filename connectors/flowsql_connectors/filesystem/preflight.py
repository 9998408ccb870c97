"""What stands in the way of reading or writing the files of a table; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flowsql.connector import ConnectorTable, Finding, PreflightContext, Severity
from flowsql.errors import FlowSQLError
from flowsql_connectors.filesystem.paths import local_path, readable
from flowsql_connectors.filesystem.source import FilesystemSource

__all__ = ["reading", "writing"]

_SAMPLE = 1000
_OTHER_PATH = "or correct option 'path'"


def reading(table: ConnectorTable, context: PreflightContext) -> Iterator[Finding]:
    """Findings about a table that is read; a look into its first file unless it must be quick."""
    root = local_path(table.options["path"])
    if not root.exists():
        yield _wrong(
            f'"{root}" does not exist (table "{table.name}")', f"Create the folder, {_OTHER_PATH}."
        )
        return
    if not root.is_dir() and not root.is_file():
        yield _wrong(
            f'"{root}" is neither a folder nor a file (table "{table.name}")',
            "A pipe or a device cannot be read again after a restart.",
        )
        return
    if not os.access(root, os.R_OK | (os.X_OK if root.is_dir() else 0)):
        yield _wrong(
            f'there is no right to read "{root}" (table "{table.name}")',
            "Give it to the user who runs the job, as in: chmod a+rX.",
        )
        return
    if not context.quick:
        yield from _sampled(table)


def _sampled(table: ConnectorTable) -> Iterator[Finding]:
    """Findings about the first rows of the first file, in the order in which files are read."""
    doubts: list[str] = []
    source = FilesystemSource(table, None, doubts.append)
    try:
        found = source.discover()[:1]
        if not found:
            yield _empty(table, bounded=source.bounded)
            return
        reader = source.open([(found[0], None)])
        try:
            poll = reader.poll(_SAMPLE, 0.0)
        finally:
            reader.close()
    except FlowSQLError as error:
        option = error.option or ("format" if error.sql is None else None)
        yield Finding(
            Severity.ERROR, error.message, error.hint, table.name, option, detail=error.detail
        )
        return
    yield from (Finding(Severity.WARNING, d, table=table.name) for d in doubts)
    if poll is not None and poll.bad:
        bad = poll.bad[0]
        fails = table.options.get("scan.bad-record", "fail") == "fail"
        yield Finding(
            Severity.ERROR if fails else Severity.WARNING,
            f'a record of table "{table.name}" cannot be decoded: {bad.reason}',
            "Mend the columns or the options of the format"
            + (", or leave such records out with 'scan.bad-record' = 'skip'." if fails else "."),
            table.name,
            "format",
            detail=f"At {bad.place}: {bad.raw[:200].decode('utf-8', 'backslashreplace')}",
        )


def _empty(table: ConnectorTable, *, bounded: bool) -> Finding:
    root = readable(str(local_path(table.options["path"])))
    pattern = table.options["source.path.regex-pattern"]
    which = "no file" if pattern is None else f'no file that "{pattern}" matches'
    if bounded:
        return Finding(
            Severity.WARNING,
            f'"{root}" holds {which}: table "{table.name}" is empty',
            'Names that begin with "." or "_" are left out.',
            table.name,
            "path" if pattern is None else "source.path.regex-pattern",
        )
    return Finding(
        Severity.NOTE, f'"{root}" holds {which} yet (table "{table.name}")', table=table.name
    )


def writing(table: ConnectorTable) -> Iterator[Finding]:
    """Findings about a table that is written; folders that are missing will be made."""
    root = local_path(table.options["path"])
    for path in (root, *root.parents):
        if not os.path.lexists(path):
            continue
        if not path.is_dir():
            yield _wrong(
                f'"{path}" is a file (table "{table.name}")',
                "A sink writes many files: 'path' must be a folder, which is made if it is not "
                "there.",
            )
        elif not os.access(path, os.W_OK | os.X_OK):
            yield _wrong(
                f'there is no right to write in "{path}" (table "{table.name}")',
                f"Give it to the user who runs the job, {_OTHER_PATH}.",
            )
        return


def _wrong(fact: str, cure: str) -> Finding:
    return Finding(Severity.ERROR, fact, cure, option="path")
