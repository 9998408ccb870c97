"""ALTER TABLE in an Iceberg catalog: what no row that is there allows is refused, at its place."""

from __future__ import annotations

from decimal import Decimal

import pytest
from flowsql_connectors.iceberg.evolution import refusals

from flowsql.connector import ExternalColumn, ExternalTable
from flowsql.errors import FlowSQLError, SqlError
from flowsql.session import Session
from flowsql.types import TimestampType

from .lake import Lake

_TYPES = (
    "Detail: Rows that are there are not written anew. INT may become BIGINT, FLOAT DOUBLE, and a "
    "DECIMAL may get more digits in front of the point.\n"
)
_ROWS = "Detail: Rows that are there are not written anew.\n"
_ANEW = "Hint: Make another table so, and fill it: CREATE TABLE … AS SELECT."


@pytest.fixture
def tables(lake: Lake, session: Session) -> Session:
    """A session with a table divided by days, and one divided by a column."""
    del lake
    session.execute(
        "CREATE TABLE t (id BIGINT, n INT, f FLOAT, d DECIMAL(10, 2), s STRING, ts TIMESTAMP(6), "
        "r ROW<a INT>, PRIMARY KEY (id) NOT ENFORCED) WITH ('partitioning' = 'day(ts)')"
    )
    session.execute("CREATE TABLE p (id BIGINT, k STRING) PARTITIONED BY (k)")
    return session


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "ALTER TABLE t MODIFY d DECIMAL(12, 3)",
            'SqlError at 1:22: column "d" of type DECIMAL(10, 2) cannot become DECIMAL(12, 3)\n'
            "  ALTER TABLE t MODIFY d DECIMAL(12, 3)\n"
            "                       ^\n"
            + _TYPES
            + "Hint: ADD another column, or CAST(d AS DECIMAL(12, 3)) in the query.",
        ),
        (
            "ALTER TABLE t MODIFY r ROW<a BIGINT>",
            'SqlError at 1:22: column "r" of type ROW<`a` INT> cannot become ROW<`a` BIGINT>\n'
            "  ALTER TABLE t MODIFY r ROW<a BIGINT>\n"
            "                       ^\n"
            + _TYPES
            + "Hint: ADD another column, or CAST(r AS ROW<`a` BIGINT>) in the query.",
        ),
        (
            "ALTER TABLE t ADD x INT NOT NULL",
            (
                'SqlError at 1:19: new column "x" cannot be NOT NULL\n'
                "  ALTER TABLE t ADD x INT NOT NULL\n"
                "                    ^\n"
                "Detail: The rows that are there have no value for it.\n"
                "Hint: Leave NOT NULL out."
            ),
        ),
        (
            "ALTER TABLE t DROP ts",
            (
                'SqlError at 1:20: column "ts" divides the files of the table and cannot be dropped\n'
                "  ALTER TABLE t DROP ts\n"
                "                     ^^"
            ),
        ),
        (
            "ALTER TABLE t MODIFY s STRING NOT NULL",
            'SqlError at 1:22: column "s" may hold NULL and cannot become NOT NULL\n'
            "  ALTER TABLE t MODIFY s STRING NOT NULL\n"
            "                       ^\n" + _ROWS + _ANEW,
        ),
        (
            "ALTER TABLE p ADD PRIMARY KEY (id) NOT ENFORCED",
            'SqlError at 1:32: column "id" may hold NULL and cannot be in the PRIMARY KEY\n'
            "  ALTER TABLE p ADD PRIMARY KEY (id) NOT ENFORCED\n"
            "                                 ^^\n" + _ROWS + _ANEW,
        ),
        (
            "ALTER TABLE t SET ('partitioning' = 'hour(ts)')",
            "SqlError at 1:20: how the files of an Iceberg table are divided cannot be altered\n"
            "  ALTER TABLE t SET ('partitioning' = 'hour(ts)')\n"
            "                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^\n" + _ROWS + _ANEW,
        ),
        (
            "ALTER TABLE t RESET ('partitioning')",
            "SqlError at 1:13: how the files of an Iceberg table are divided cannot be altered\n"
            "  ALTER TABLE t RESET ('partitioning')\n"
            "              ^\n" + _ROWS + _ANEW,
        ),
        (
            "ALTER TABLE p SET ('format-version' = '3')",
            "SqlError at 1:20: the format version of an Iceberg table cannot be altered\n"
            "  ALTER TABLE p SET ('format-version' = '3')\n"
            "                     ^^^^^^^^^^^^^^^^^^^^^^\n" + _ROWS + _ANEW,
        ),
        (
            "ALTER TABLE p SET ('uri' = 'x')",
            (
                'SqlError at 1:20: option "uri" of a table of catalog "lake" is the catalog\'s\n'
                "  ALTER TABLE p SET ('uri' = 'x')\n"
                "                     ^^^^^^^^^^^\n"
                "Hint: Give it in CREATE CATALOG lake WITH (…)."
            ),
        ),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_what_rows_do_not_allow_is_refused(
    tables: Session, lake: Lake, sql: str, told: str, held: bool
) -> None:
    """With its place and a way, before anything of a program is done."""
    session = tables
    if held:
        session = Session(held=True)
        session.execute(f"CREATE CATALOG lake WITH ({lake.options})")
        session.execute("USE CATALOG lake")
        session.execute("USE `default`")
    with pytest.raises(FlowSQLError) as caught:
        session.execute(sql)
    assert str(caught.value) == told


def test_all_wrong_columns_are_told_at_once(tables: Session) -> None:
    """And those that are right are not."""
    with pytest.raises(SqlError) as caught:
        tables.execute("ALTER TABLE t MODIFY (n STRING, f DOUBLE, d DECIMAL(9, 2))")
    told = (caught.value, *caught.value.more)
    assert [e.message for e in told] == [
        'column "n" of type INT cannot become STRING',
        'column "d" of type DECIMAL(10, 2) cannot become DECIMAL(9, 2)',
    ]
    assert [e.position for e in told] == [(1, 23), (1, 43)]
    assert tables.execute("DESCRIBE t").fetchall()[2][1] == "FLOAT"


def test_a_computed_column_is_refused_at_its_name(tables: Session) -> None:
    """Though it is the declaration of the whole table that is looked at."""
    with pytest.raises(SqlError, match='column "q" cannot be kept by catalog "lake"') as caught:
        tables.execute("ALTER TABLE p ADD (a INT, q AS id + 1)")
    assert caught.value.position == (1, 27)


def test_what_iceberg_has_no_type_for_is_refused_by_its_column(tables: Session) -> None:
    """And not the column beside it."""
    with pytest.raises(SqlError) as caught:
        tables.execute("ALTER TABLE p ADD (a INT, z TIMESTAMP(9))")
    assert caught.value.message == (
        'column "z" cannot be kept: Iceberg has no type for TIMESTAMP(9)'
    )
    assert caught.value.position == (1, 27)


def test_a_column_of_a_type_that_is_only_read_stands_in_nobody_s_way() -> None:
    """Though it could not be declared."""
    column = ExternalColumn("z", TimestampType(9))
    old = ExternalTable((column,))
    new = ExternalTable((column, ExternalColumn("a", TimestampType(6))))
    assert list(refusals(old, new, {})) == []
    wrong = ExternalTable((ExternalColumn("z", TimestampType(8)),))
    assert [name for name, _ in refusals(old, wrong, {})] == ["z"]


def test_what_widens_a_type_keeps_the_rows(tables: Session, lake: Lake) -> None:
    """For other readers as well."""
    tables.execute("INSERT INTO t VALUES (1, 2, 0.5, 2.50, 'x', NULL, NULL)").wait()
    tables.execute("ALTER TABLE t MODIFY (n BIGINT, f DOUBLE, d DECIMAL(12, 2))")
    expected = (2, 0.5, Decimal("2.50"))
    assert tables.execute("SELECT n, f, d FROM t").fetchall() == [expected]
    (read,) = lake.catalog.load_table("default.t").scan().to_arrow().to_pylist()
    assert (read["n"], read["f"], read["d"]) == expected
