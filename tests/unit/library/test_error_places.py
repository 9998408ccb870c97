"""Where errors of statements stand, and what they call things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowsql


@pytest.fixture
def session() -> Iterator[flowsql.Session]:
    """One with a table."""
    with flowsql.connect() as made:
        made.execute("CREATE TABLE nowhere (k BIGINT, v BIGINT) WITH ('connector' = 'blackhole')")
        yield made


def message(session: flowsql.Session, sql: str) -> str:
    """What the user reads of a wrong statement."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql)
    return str(caught.value)


def test_errors_stand_where_the_mistake_is(session: flowsql.Session) -> None:
    """At the column, at the key of the hint; a view is called a view, and what is left out counted."""
    session.execute("CREATE TABLE d (a INT) WITH ('connector' = 'datagen')")
    assert message(
        session, "CREATE TABLE m (a INT, b STRING METADATA) WITH ('connector' = 'datagen')"
    ) == (
        'ConfigError at 1:24: table "m" (connector "datagen") has no metadata "b"\n'
        "  CREATE TABLE m (a INT, b STRING METADATA) WITH ('connector' = 'datagen')\n"
        "                         ^"
    )
    assert message(session, "SELECT a FROM d /*+ OPTIONS('numbr-of-rows' = '3') */") == (
        'ConfigError at 1:29: table "d" (connector "datagen") has no option "numbr-of-rows"\n'
        "  SELECT a FROM d /*+ OPTIONS('numbr-of-rows' = '3') */\n"
        "                              ^^^^^^^^^^^^^^^^^^^^^\n"
        'Hint: Did you mean "number-of-rows"?'
    )
    assert "at 1:33: " in message(
        session, "INSERT INTO nowhere /*+ OPTIONS('no' = '3') */ SELECT 1, 2"
    )
    for sql in ("ALTER VIEW nope AS SELECT 1", "SHOW CREATE VIEW nope"):
        assert 'view "nope" does not exist' in message(session, sql)
    calls = ", ".join(f"nope{i}(1)" for i in range(24))
    told = message(session, f"SELECT {calls}")
    assert told.count("does not exist") == 5
    assert told.endswith("\nand 19 more")


def test_a_table_that_is_there_is_left_as_it_is(session: flowsql.Session) -> None:
    """IF NOT EXISTS looks at nothing else."""
    assert session.execute("CREATE TABLE IF NOT EXISTS nowhere (a INT)").fetchall() == [("OK",)]
    assert "has no connector" in message(session, "CREATE TABLE IF NOT EXISTS other (a INT)")
    assert "has no connector" in message(
        session, "CREATE TEMPORARY TABLE IF NOT EXISTS nowhere (a INT)"
    )
