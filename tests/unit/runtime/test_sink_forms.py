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


FREE = {"table__exec__sink__require_on_conflict": "false"}


def test_a_sink_is_retracted_by_its_own_key(tmp_path: Path) -> None:
    """Rows of another key that change, or swap, what is the key here."""
    ddl = "t STRING NOT NULL, id INT, PRIMARY KEY (t) NOT ENFORCED"
    steps = [
        TWO,
        step(("-U", 2, 20, "b"), ("+U", 2, 20, "q")),
        step(("-U", 1, 10, "a"), ("+U", 1, 10, "q"), ("-U", 2, 20, "q"), ("+U", 2, 20, "a")),
    ]
    assert held(tmp_path, "retract", ddl, "SELECT t, id FROM u", steps, **FREE) == [
        ("a", 2),
        ("q", 1),
    ]


def test_rows_that_share_the_sinks_key_come_back(tmp_path: Path) -> None:
    """The last one wins; when it is taken back, the one before shows again."""
    ddl = "t STRING NOT NULL, id INT, PRIMARY KEY (t) NOT ENFORCED"
    steps = [step(("+I", 1, 1, "a")), step(("+I", 2, 2, "a")), step(("-D", 2, 2, "a"))]
    assert held(tmp_path, "retract", ddl, "SELECT t, id FROM u", steps[:2], **FREE) == [("a", 2)]
    other = tmp_path / "other"
    other.mkdir()
    assert held(other, "retract", ddl, "SELECT t, id FROM u", steps, **FREE) == [("a", 1)]


TIMED = pa.schema([("id", pa.int32()), ("k", pa.int32()), ("ts", pa.timestamp("ms"))])


def timed(*rows: tuple[str, int, int, int]) -> Changes:
    """One step of `(kind, id, k, milliseconds)`."""
    columns = [pa.array([r[i + 1] for r in rows], f.type) for i, f in enumerate(TIMED)]
    kinds = np.array([KINDS.index(r[0]) for r in rows], np.int8)
    return Changes(pa.RecordBatch.from_arrays(columns, schema=TIMED), kinds)


def after_conflict(
    folder: Path, query: str, steps: Sequence[Changes], mode: str = "retract", **settings: str
) -> list[tuple[object, ...]]:
    """The rows of table `o (k, id)`, by key `k`, after a job over `u (id, k, ts)`."""
    config = {"execution.checkpointing.dir": str(folder / "jobs"), "restart-strategy.type": "none"}
    with flowsql.connect(config) as session:
        for key, value in settings.items():
            session.execute(f"SET '{key.replace('__', '.').replace('_', '-')}' = '{value}'")
        session.from_changes("u", TIMED, list(steps), mode=mode, watermark="ts")
        session.execute(
            "CREATE TABLE o (k INT, id BIGINT NOT NULL, PRIMARY KEY (k) NOT ENFORCED) WITH ("
            f"'connector' = 'changelog-sqlite', 'path' = '{folder}/o.db', 'table-name' = 'o')"
        )
        job = session.execute(f"INSERT INTO o {query}")
        assert job.wait(60)
        if job.error is not None:
            raise job.error
    with sqlite3.connect(folder / "o.db") as database:
        return sorted(database.execute("SELECT * FROM o").fetchall())


BOTH = [timed(("+I", 1, 10, 1)), timed(("+I", 2, 10, 2)), timed(("+I", 3, 30, 3))]


def test_the_first_row_of_a_key_stays(tmp_path: Path) -> None:
    """It is the only one that was ever written: when it goes, none comes back."""
    nothing = "SELECT k, id FROM u ON CONFLICT DO NOTHING"
    assert after_conflict(tmp_path / "a", nothing, BOTH) == [(10, 1), (30, 3)]
    assert after_conflict(tmp_path / "b", nothing, BOTH, "append") == [(10, 1), (30, 3)]
    gone = [*BOTH, timed(("-D", 1, 10, 4))]
    assert after_conflict(tmp_path / "c", nothing, gone) == [(30, 3)]


def test_a_second_row_of_a_key_fails(tmp_path: Path) -> None:
    """Unless the first is gone before time goes on."""
    error = "SELECT k, id FROM u ON CONFLICT DO ERROR"
    for name, mode in (("a", "retract"), ("b", "append")):
        with pytest.raises(flowsql.DataError, match='table "o" would have two rows with k = 10'):
            after_conflict(tmp_path / name, error, BOTH, mode)
    moved = [timed(("+I", 1, 10, 1)), timed(("+I", 2, 10, 1)), timed(("-D", 1, 10, 1))]
    assert after_conflict(tmp_path / "c", error, moved) == [(10, 2)]


def test_what_a_sink_leaves_out_hides_nothing(tmp_path: Path) -> None:
    """A row with a NULL is out before rows meet: what it would hide is seen, and is first."""
    query = "SELECT k, NULLIF(id, 2) FROM u ON CONFLICT DO "
    drop = {"table__exec__sink__not_null_enforcer": "DROP"}
    late = [BOTH[1], BOTH[0], timed(("+I", 2, 10, 3))]
    assert after_conflict(tmp_path / "a", f"{query}DEDUPLICATE", late, **drop) == [(10, 1)]
    assert after_conflict(tmp_path / "b", f"{query}NOTHING", late, **drop) == [(10, 1)]
    assert after_conflict(tmp_path / "c", f"{query}ERROR", late, "append", **drop) == [(10, 1)]


@pytest.mark.parametrize("connector", ["print", "blackhole"])
def test_sinks_of_all_changes_are_asked_for_conflicts_as_well(connector: str) -> None:
    """As in Flink: updates whose key is another need ON CONFLICT, added rows cannot have it."""
    with flowsql.connect() as session:
        session.from_changes("u", SCHEMA, [TWO], primary_key=["id"], mode="retract")
        session.execute(
            "CREATE TABLE p (t STRING, id INT, PRIMARY KEY (t) NOT ENFORCED) "
            f"WITH ('connector' = '{connector}')"
        )
        session.execute("CREATE TABLE g (id INT) WITH ('connector' = 'datagen')")
        with pytest.raises(flowsql.SqlError, match="an upsert key that differs") as found:
            session.execute("EXPLAIN INSERT INTO p SELECT t, id FROM u")
        assert "Primary key: [t]. Upsert key: [id]." in str(found.value)
        session.execute("EXPLAIN INSERT INTO p SELECT t, id FROM u ON CONFLICT DO DEDUPLICATE")
        session.execute("EXPLAIN INSERT INTO p SELECT 'a', id FROM g")
        with pytest.raises(flowsql.SqlError, match='sink "p" is none here') as found:
            session.execute(
                "EXPLAIN INSERT INTO p SELECT 'a', id FROM g ON CONFLICT DO DEDUPLICATE"
            )
        assert "ROW_NUMBER()" in (found.value.hint or "")
