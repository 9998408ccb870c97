"""What a sink with a primary key is given, by rows that a real one holds in the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes

SCHEMA = pa.schema([("id", pa.int32()), ("v", pa.int64()), ("t", pa.string())])
KINDS = ("+I", "-U", "+U", "-D")
Row = tuple[str, int, int | None, str | None]


def step(*rows: Row) -> Changes:
    """One step of `(kind, id, v, t)`."""
    columns = [pa.array([r[i + 1] for r in rows], f.type) for i, f in enumerate(SCHEMA)]
    kinds = np.array([KINDS.index(r[0]) for r in rows], np.int8)
    return Changes(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), kinds)


def held(
    folder: Path, mode: str, ddl: str, query: str, steps: Sequence[Changes], **settings: str
) -> list[tuple[object, ...]]:
    """The rows of table `o` after the job."""
    config = {"execution.checkpointing.dir": str(folder / "jobs"), "restart-strategy.type": "none"}
    with flowsql.connect(config) as session:
        for key, value in settings.items():
            session.execute(f"SET '{key.replace('__', '.').replace('_', '-')}' = '{value}'")
        session.from_changes("u", SCHEMA, list(steps), primary_key=["id"], mode=mode)
        session.execute(
            f"CREATE TABLE o ({ddl}) WITH ('connector' = 'changelog-sqlite', "
            f"'path' = '{folder}/o.db', 'table-name' = 'o')"
        )
        job = session.execute(f"INSERT INTO o {query}")
        assert job.wait(60)
    with sqlite3.connect(folder / "o.db") as database:
        return sorted(database.execute("SELECT * FROM o").fetchall())


TWO = step(("+I", 1, 10, "a"), ("+I", 2, 20, "b"))
KEYED = "id INT NOT NULL, v BIGINT{}, PRIMARY KEY (id) NOT ENFORCED"


def test_a_delete_with_nothing_but_its_key_passes_the_not_null_enforcer(tmp_path: Path) -> None:
    """Its other columns are NULL, but it is no row that is written."""
    got = held(
        tmp_path,
        "upsert",
        KEYED.format(" NOT NULL"),
        "SELECT id, v FROM u",
        [TWO, step(("-D", 1, None, None))],
        table__exec__sink__not_null_enforcer="drop",
    )
    assert got == [(2, 20)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("100 / COALESCE(v, 0)", 5), ("CAST(COALESCE(CAST(v AS STRING), 'none') AS BIGINT)", 20)],
)
def test_nothing_is_computed_from_what_a_delete_does_not_hold(
    tmp_path: Path, expression: str, expected: int
) -> None:
    """The expression would fail on the NULL that stands for a value that was not sent."""
    query = f"SELECT id, {expression} FROM u"
    steps = [TWO, step(("-D", 1, None, None))]
    assert held(tmp_path, "upsert", KEYED.format(""), query, steps) == [(2, expected)]


def test_a_sink_is_retracted_by_its_own_key(tmp_path: Path) -> None:
    """Rows of another key that change, or swap, what is the key here."""
    ddl = "t STRING NOT NULL, id INT, PRIMARY KEY (t) NOT ENFORCED"
    steps = [
        TWO,
        step(("-U", 2, 20, "b"), ("+U", 2, 20, "q")),
        step(("-U", 1, 10, "a"), ("+U", 1, 10, "q"), ("-U", 2, 20, "q"), ("+U", 2, 20, "a")),
    ]
    assert held(tmp_path, "retract", ddl, "SELECT t, id FROM u", steps) == [("a", 2), ("q", 1)]


def test_rows_that_share_the_sinks_key_come_back(tmp_path: Path) -> None:
    """The last one wins; when it is taken back, the one before shows again."""
    ddl = "t STRING NOT NULL, id INT, PRIMARY KEY (t) NOT ENFORCED"
    steps = [step(("+I", 1, 1, "a")), step(("+I", 2, 2, "a")), step(("-D", 2, 2, "a"))]
    assert held(tmp_path, "retract", ddl, "SELECT t, id FROM u", steps[:2]) == [("a", 2)]
    other = tmp_path / "other"
    other.mkdir()
    assert held(other, "retract", ddl, "SELECT t, id FROM u", steps) == [("a", 1)]
