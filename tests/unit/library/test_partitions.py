"""SHOW PARTITIONS, and values given for partitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsql


@pytest.fixture
def session(tmp_path: Path) -> Iterator[flowsql.Session]:
    """A table of three partitions, one of them NULL."""
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.runtime-mode": "batch",
        "table.dml-sync": "true",
    }
    with flowsql.connect(config) as made:
        made.execute(
            "CREATE TABLE p (id INT, dt STRING, n INT, d DATE) PARTITIONED BY (dt, n, d) WITH "
            f"('connector' = 'filesystem', 'path' = '{tmp_path / 'p'}', 'format' = 'csv')"
        )
        assert _shown(made) == []
        made.execute(
            "INSERT INTO p VALUES (1, 'x', 1, DATE '2020-01-05'), (2, 'a/b', NULL, "
            "DATE '2020-01-05'), (3, NULL, 2, NULL)"
        )
        (tmp_path / "p" / "other").mkdir()
        yield made


NULL = "dt=__DEFAULT_PARTITION__/n=2/d=__DEFAULT_PARTITION__"
ODD = "dt=a%2Fb/n=__DEFAULT_PARTITION__/d=2020-01-05"
X = "dt=x/n=1/d=2020-01-05"


def _shown(session: flowsql.Session, partition: str = "") -> list[str]:
    result = session.execute(f"SHOW PARTITIONS p {partition}")
    assert result.to_arrow().column_names == ["partition name"]
    return [name for (name,) in result.fetchall()]


@pytest.mark.parametrize(
    ("partition", "names"),
    [
        ("", [NULL, ODD, X]),
        ("PARTITION (dt = 'x')", [X]),
        ("PARTITION (n = 1, dt = 'x')", [X]),
        ("PARTITION (n = '1')", [X]),
        ("PARTITION (dt = 'a/b')", [ODD]),
        ("PARTITION (d = '2020-01-05')", [ODD, X]),
        ("PARTITION (d = DATE '2020-01-05', n = NULL)", [ODD]),
        ("PARTITION (dt = NULL)", [NULL]),
        ("PARTITION (dt = 'y')", []),
    ],
)
def test_partitions_are_the_folders_that_are_there(
    session: flowsql.Session, partition: str, names: list[str]
) -> None:
    """As they stand in paths; values are compared as the columns' types."""
    assert _shown(session, partition) == names


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SHOW PARTITIONS v", '"v" is not partitioned'),
        ("SHOW PARTITIONS whole", '"whole" is not partitioned'),
        ("SHOW PARTITIONS nowhere", 'table "nowhere" does not exist'),
        ("SHOW PARTITIONS gen", 'connector "datagen" cannot tell the partitions of "gen"'),
        ("SHOW PARTITIONS p PARTITION (m = 1)", '"m" is no partition column of table "p"'),
        ("SHOW PARTITIONS p PARTITION (n = 1, n = 2)", 'column "n" is given twice'),
        (
            "SHOW PARTITIONS p PARTITION (n = 'a')",
            'the value of partition column "n" cannot be read as INT',
        ),
        (
            "INSERT INTO p PARTITION (d = '30.2.2020') SELECT 1, 'x', 1",
            "Hint: Give a constant, such as '2020-01-31' for a DATE.",
        ),
    ],
)
def test_refused(session: flowsql.Session, sql: str, message: str) -> None:
    """By name, with its place."""
    session.execute(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE whole (a INT) WITH ('connector' = 'print'); "
        "CREATE TABLE gen (a INT, b INT) PARTITIONED BY (b) WITH ('connector' = 'datagen')"
    )
    with pytest.raises(flowsql.FlowSQLError) as error:
        session.execute(sql)
    assert message in str(error.value)
    assert error.value.span is not None


def test_values_of_a_partition_are_read_as_its_types(session: flowsql.Session) -> None:
    """As in Flink text will do for all of them, and a number for text."""
    session.execute("INSERT INTO p PARTITION (dt = 5, n = '7', d = '2021-01-01') SELECT 5")
    session.execute("INSERT INTO p PARTITION (n = 8) SELECT 6, 'dyn', DATE '2021-01-01'")
    found = session.execute("SELECT * FROM p WHERE d > DATE '2020-12-31' ORDER BY id").fetchall()
    assert found == [(5, "5", 7, dt.date(2021, 1, 1)), (6, "dyn", 8, dt.date(2021, 1, 1))]
