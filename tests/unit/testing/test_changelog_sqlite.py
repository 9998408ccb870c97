"""The folded table in SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import ChangelogMode, Changes
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConnectorError
from flowsql.testing import attempt_context, connector_table

SQLITE = find_connector("changelog-sqlite")


def _table(
    path: Path, key: tuple[str, ...], columns: str = "k STRING, v STRING", **more: str
) -> Any:
    options = {"connector": "changelog-sqlite", "path": str(path / "t.sqlite"), **more}
    return connector_table(columns, options, primary_key=key)


def _changes(*rows: tuple) -> Changes:
    codes = [["+I", "-U", "+U", "-D"].index(r[0]) for r in rows]
    batch = pa.RecordBatch.from_arrays(
        [pa.array([r[1] for r in rows], pa.string()), pa.array([r[2] for r in rows], pa.string())],
        names=["k", "v"],
    )
    return Changes(batch, np.array(codes, np.int8))


def _run(table: Any, tmp_path: Path, *steps: Changes) -> list[tuple]:
    writer = SQLITE.sink(table).open(attempt_context(tmp_path / "job"), [])
    for n, changes in enumerate(steps, 1):
        writer.write(changes)
        writer.commit(writer.prepare(n))
    with sqlite3.connect(table.options["path"]) as connection:
        return connection.execute("SELECT * FROM t ORDER BY k, v").fetchall()


def test_the_last_change_of_a_key_wins(tmp_path: Path) -> None:
    """In any order within a commit; keys that look alike in text are two."""
    table = _table(tmp_path, ("k", "v"))
    rows = _run(
        table,
        tmp_path,
        _changes(("+I", "a, b", "c"), ("+I", "a", "b, c"), ("+I", "x", "y")),
        _changes(("-D", "x", "y"), ("+I", "x", "y"), ("-D", "a", "b, c")),
    )
    assert rows == [("a, b", "c"), ("x", "y")]


def test_the_file_knows_whose_rows_it_holds(tmp_path: Path) -> None:
    """By its markers; none before the first commit."""
    table = _table(tmp_path, ("k",))
    sink = SQLITE.sink(table)
    assert tuple(sink.holders()) == ()
    _run(table, tmp_path, _changes(("+I", "a", "1")))
    job = attempt_context(tmp_path / "job").attempt.job
    assert list(sink.holders()) == [job]
    assert sink.committed(job) is not None


def test_updates_need_no_before_image(tmp_path: Path) -> None:
    """A retract changelog and an upsert changelog give one table."""
    for name, first in (("r", [("-U", "a", "1")]), ("u", [])):
        path = tmp_path / name
        path.mkdir()
        steps = [_changes(("+I", "a", "1")), _changes(*first, ("+U", "a", "2"))]
        assert _run(_table(path, ("k",)), path, *steps) == [("a", "2")]


def test_without_a_key_rows_are_counted(tmp_path: Path) -> None:
    """NULL is not the text null."""
    rows = _run(
        _table(tmp_path, ()),
        tmp_path,
        _changes(("+I", "a", None), ("+I", "a", "null"), ("+I", "a", None), ("+I", "b", "x")),
        _changes(("-D", "b", "x"), ("-U", "a", None)),
    )
    assert [r[:3] for r in rows] == [("a", None, 1), ("a", "null", 1)]


def test_a_row_that_is_not_there_cannot_go(tmp_path: Path) -> None:
    """A wrong retraction is loud, and its commit leaves nothing."""
    table = _table(tmp_path, ())
    with pytest.raises(ConnectorError, match="does not hold it"):
        _run(
            table,
            tmp_path,
            _changes(("+I", "a", "1")),
            _changes(("+I", "b", "2"), ("-D", "a", "2")),
        )
    assert SQLITE.sink(table).committed("job").checkpoint == 1


def test_the_log_keeps_every_change(tmp_path: Path) -> None:
    """In order, with its checkpoint."""
    table = _table(tmp_path, ("k",), **{"changelog-log": "true"})
    _run(table, tmp_path, _changes(("+I", "a", "1")), _changes(("-U", "a", "1"), ("+U", "a", "2")))
    with sqlite3.connect(table.options["path"]) as connection:
        assert connection.execute('SELECT * FROM "t$log"').fetchall() == [
            (1, "+I", "a", "1"),
            (2, "-U", "a", "1"),
            (2, "+U", "a", "2"),
        ]


def test_modes(tmp_path: Path) -> None:
    """Upsert needs a key; the option narrows."""
    modes = SQLITE.sink_modes(_table(tmp_path, ()))
    assert {ChangelogMode.APPEND, ChangelogMode.RETRACT} == modes
    assert ChangelogMode.UPSERT in SQLITE.sink_modes(_table(tmp_path, ("k",)))
    narrow = _table(tmp_path, ("k",), **{"sink.modes": "append"})
    assert {ChangelogMode.APPEND} == SQLITE.sink_modes(narrow)
