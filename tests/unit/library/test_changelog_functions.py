"""TO_CHANGELOG and FROM_CHANGELOG from statement to result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import flowsql

LOG = {
    "id": [1, 2, 1, 1, 2, 7],
    "op": ["INSERT", "INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE", "DELETE"],
    "name": ["ann", "bob", "ann", "eve", "bob", "zoe"],
}


@pytest.fixture
def session() -> Iterator[flowsql.Session]:
    """A session with the changelog `log`; its last row takes back what is not there."""
    with flowsql.connect() as made:
        made.from_arrow("log", pa.table(LOG))
        yield made


def test_what_was_never_there_leaves_no_row(session: flowsql.Session) -> None:
    """Neither in a result nor in a group of its own."""
    table = "FROM_CHANGELOG(input => TABLE log)"
    assert session.execute(f"SELECT * FROM {table}").fetchall() == [(1, "eve")]
    result = session.execute(f"SELECT name, COUNT(*) FROM {table} GROUP BY name")
    assert result.fetchall() == [("eve", 1)]


def test_an_unmapped_code_names_itself_and_the_cure(session: flowsql.Session) -> None:
    """And how to leave such rows out."""
    call = "FROM_CHANGELOG(TABLE log, DEFAULT, MAP['INSERT', 'INSERT', 'DELETE', 'DELETE'])"
    with pytest.raises(flowsql.DataError) as caught:
        session.execute(f"SELECT * FROM {call}").fetchall()
    assert 'received op code "UPDATE_BEFORE", which is not mapped' in str(caught.value)
    call = call.replace("])", "], 'SKIP')")
    assert session.execute(f"SELECT * FROM {call}").fetchall() == [(1, "ann")]


def test_updates_are_appended_to_a_file(session: flowsql.Session, tmp_path: Path) -> None:
    """What takes rows only takes the changes of an aggregate."""
    session.execute(
        "CREATE TABLE told (op STRING, name STRING, n BIGINT) WITH "
        f"('connector' = 'filesystem', 'path' = '{tmp_path}/told', 'format' = 'csv')"
    )
    session.execute("CREATE VIEW counts AS SELECT name, COUNT(*) AS n FROM log GROUP BY name")
    session.execute("INSERT INTO told SELECT * FROM TO_CHANGELOG(input => TABLE counts)").wait()
    read = session.execute("SELECT op, name, n FROM told").fetchall()
    table: dict[str, int] = {}
    for op, name, n in read:
        if op in {"INSERT", "UPDATE_AFTER"}:
            table[name] = n
        else:
            assert table.pop(name) == n
    assert table == {"ann": 2, "bob": 2, "eve": 1, "zoe": 1}


def test_both_are_listed_and_described(session: flowsql.Session) -> None:
    """As functions of the system."""
    shown = session.execute("SHOW FUNCTIONS LIKE '%CHANGELOG'").fetchall()
    assert shown == [("FROM_CHANGELOG",), ("TO_CHANGELOG",)]
    told = dict(session.execute("DESCRIBE FUNCTION EXTENDED to_changelog").fetchall())
    assert told["kind"] == "TABLE"
    assert told["signature"].startswith("TO_CHANGELOG(input => TABLE t [PARTITION BY k]")
    assert (
        told["description"] == "Every change of a table is a row with an op code that says which."
    )
    with pytest.raises(flowsql.SqlError, match='function "TO_CHANGELOG" is built in'):
        session.execute("CREATE FUNCTION TO_CHANGELOG AS 'math.sqrt' LANGUAGE PYTHON")
