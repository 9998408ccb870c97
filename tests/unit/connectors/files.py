"""Files, and a source that reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flowsql.connector import Attempt, ConnectorContext, Reader, Source
from flowsql.connector.plugins import find_connector
from flowsql.testing import connector_table

FILESYSTEM = find_connector("filesystem")
CONTEXT = ConnectorContext(Attempt("job", "r1", 1), Path("spool"))


def files_table(path: Path, columns: str = "a INT, b STRING", fmt: str = "csv", **more: Any) -> Any:
    """A table of connector filesystem; `more` as `connector_table` takes it."""
    options = {"connector": "filesystem", "path": str(path), "format": fmt}
    return connector_table(columns, {**options, **more.pop("options", {})}, **more)


def open_source(table: Any, position: dict | None = None) -> tuple[Source, Reader]:
    """Its source at a position, and a reader of all its files from the beginning."""
    source = FILESYSTEM.open_source([table], position, CONTEXT)
    return source, source.open([(s, None) for s in source.discover()])


def read_rows(table: Any) -> tuple[list[dict], list]:
    """All rows, and all bad records."""
    _, reader = open_source(table)
    rows, bad = [], []
    while (poll := reader.poll(1000, 0)) is not None:
        rows += [r for p in poll.pieces for r in p.changes.batch.to_pylist()]
        bad += poll.bad
    reader.close()
    return rows, bad


def write_file(path: Path, text: str | bytes, mtime: int | None = None) -> Path:
    """A file, with its folders; `mtime` in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path
