"""Catalogs, databases, ALTER, SHOW and DESCRIBE: what each statement arrives as."""

from __future__ import annotations

import pytest

from flowsql.sql import administration as a
from flowsql.sql import alterations as al
from flowsql.sql import parse_statement
from flowsql.sql import statements as s
from tests.unit.sql.reading import error, show


def _altered(text: str) -> al.Alteration:
    statement = parse_statement(f"ALTER TABLE t {text}")
    assert isinstance(statement, al.AlterTable)
    return statement.alteration


def test_create_table_like() -> None:
    """The source and what becomes of its parts; elements are optional."""
    plain = parse_statement("CREATE TABLE t LIKE db.u")
    assert isinstance(plain, s.CreateTable)
    assert plain.like is not None
    assert (plain.columns, plain.like.source.parts, plain.like.options) == ((), ("db", "u"), ())
    full = parse_statement(
        "CREATE TABLE t (a INT, WATERMARK FOR ts AS ts) WITH ('a'='b') "
        "LIKE u (INCLUDING ALL OVERWRITING OPTIONS EXCLUDING PARTITIONS)"
    )
    assert isinstance(full, s.CreateTable)
    assert full.like is not None
    assert [(o.strategy, o.what) for o in full.like.options] == [
        ("INCLUDING", "ALL"),
        ("OVERWRITING", "OPTIONS"),
        ("EXCLUDING", "PARTITIONS"),
    ]


@pytest.mark.parametrize(
    ("text", "replace"),
    [
        ("CREATE TABLE t (b, a) WITH () AS SELECT 1 AS a, 2 AS b", False),
        ("CREATE OR REPLACE TABLE t (b, a) WITH () AS SELECT 1 AS a, 2 AS b", True),
        ("REPLACE TABLE t (b, a) WITH () AS SELECT 1 AS a, 2 AS b", True),
    ],
)
def test_create_table_as(text: str, replace: bool) -> None:
    """Names alone put the query's columns in order."""
    table = parse_statement(text)
    assert isinstance(table, s.CreateTable)
    assert (table.columns, table.replace) == ((), replace)
    assert [n.parts for n in table.order] == [("b",), ("a",)]
    assert show(table.query).startswith("Query(Select(")


def test_distribution() -> None:
    """By columns, into buckets, or both."""
    for text, expected in (
        ("BY (a)", (None, 1, None)),
        ("BY HASH(a, b) INTO 4 BUCKETS", ("HASH", 2, 4)),
        ("BY RANGE(a)", ("RANGE", 1, None)),
        ("INTO 3 BUCKETS", (None, 0, 3)),
    ):
        table = parse_statement(f"CREATE TABLE t (a INT, b INT) DISTRIBUTED {text}")
        assert isinstance(table, s.CreateTable)
        found = table.distribution
        assert found is not None
        assert (found.kind, len(found.columns), found.buckets) == expected


def test_alter_table_adds_and_modifies() -> None:
    """One part, or several in brackets; columns have a place."""
    one = _altered("ADD x INT COMMENT 'c' FIRST")
    assert isinstance(one, al.AddParts)
    (placed,) = one.parts
    assert isinstance(placed, al.PlacedColumn)
    assert (str(placed.column.name), placed.first, placed.after) == ("x", True, None)
    many = _altered(
        "MODIFY (x AS a + 1 AFTER b, m INT METADATA VIRTUAL, WATERMARK FOR ts AS ts, "
        "PRIMARY KEY (a) NOT ENFORCED, DISTRIBUTION BY (a))"
    )
    assert isinstance(many, al.ModifyParts)
    placed = many.parts[0]
    assert isinstance(placed, al.PlacedColumn)
    assert placed.after is not None
    assert [type(p) for p in many.parts[1:]] == [
        al.PlacedColumn,
        s.Watermark,
        s.PrimaryKey,
        s.Distribution,
    ]


def test_alter_table_drops_and_renames() -> None:
    """Columns, and the parts that have no name."""
    columns = _altered("DROP (a, b)")
    assert isinstance(columns, al.DropColumns)
    assert [str(c) for c in columns.columns] == ["a", "b"]
    assert isinstance(_altered("DROP a"), al.DropColumns)
    for text, kind in (
        ("PRIMARY KEY", "KEY"),
        ("CONSTRAINT c", "CONSTRAINT"),
        ("WATERMARK", "WATERMARK"),
        ("DISTRIBUTION", "DISTRIBUTION"),
    ):
        part = _altered(f"DROP {text}")
        assert isinstance(part, al.DropPart)
        assert part.kind == kind
    column = _altered("RENAME a TO b")
    assert isinstance(column, al.RenameColumn)
    assert (str(column.old), str(column.new)) == ("a", "b")
    assert isinstance(_altered("RENAME TO u"), al.RenameTable)


def test_alter_options() -> None:
    """SET and RESET of tables, catalogs and databases."""
    change = _altered("SET ('a' = 'b', 'c' = 'd')")
    assert isinstance(change, a.OptionChange)
    assert [(o.key, o.value) for o in change.set] == [("a", "b"), ("c", "d")]
    reset = _altered("RESET ('a')")
    assert isinstance(reset, a.OptionChange)
    assert reset.reset == ("a",)
    database = parse_statement("ALTER DATABASE c.d SET ('a' = 'b')")
    assert isinstance(database, a.AlterDatabase)
    catalog = parse_statement("ALTER CATALOG c COMMENT 'x'")
    assert isinstance(catalog, a.AlterCatalog)
    assert (catalog.change, catalog.comment) == (None, "x")


def test_alter_view() -> None:
    """Another query, or another name."""
    query = parse_statement("ALTER VIEW IF EXISTS v AS SELECT 1")
    assert isinstance(query, al.AlterView)
    assert (query.if_exists, query.rename, show(query.query)) == (True, None, "Query(Select(1))")
    name = parse_statement("ALTER VIEW v RENAME TO w")
    assert isinstance(name, al.AlterView)
    assert name.rename is not None
    assert name.query is None


def test_catalogs_and_databases() -> None:
    """CREATE and DROP."""
    catalog = parse_statement("CREATE CATALOG IF NOT EXISTS c COMMENT 'x' WITH ('type'='file')")
    assert isinstance(catalog, a.CreateCatalog)
    assert (catalog.if_not_exists, catalog.comment, catalog.options[0].value) == (True, "x", "file")
    assert isinstance(parse_statement("DROP CATALOG IF EXISTS c"), a.DropCatalog)
    database = parse_statement("CREATE DATABASE c.d")
    assert isinstance(database, a.CreateDatabase)
    assert (database.name.parts, database.if_not_exists) == (("c", "d"), False)
    for text, cascade in (("", False), (" RESTRICT", False), (" CASCADE", True)):
        dropped = parse_statement(f"DROP DATABASE d{text}")
        assert isinstance(dropped, a.DropDatabase)
        assert dropped.cascade is cascade


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SHOW CATALOGS", ("CATALOGS", None, None)),
        ("SHOW DATABASES IN c NOT ILIKE 'D%'", ("DATABASES", "c", a.Like("D%", True, True))),
        ("SHOW VIEWS LIKE 'v%'", ("VIEWS", None, a.Like("v%"))),
        ("SHOW USER FUNCTIONS FROM c.d", ("USER FUNCTIONS", "c.d", None)),
        ("SHOW FUNCTIONS", ("FUNCTIONS", None, None)),
        ("SHOW COLUMNS FROM db.t LIKE 'a'", ("COLUMNS", "db.t", a.Like("a"))),
        ("SHOW CURRENT CATALOG", ("CURRENT CATALOG", None, None)),
        ("SHOW CURRENT DATABASE", ("CURRENT DATABASE", None, None)),
        ("SHOW FULL MODULES", ("FULL MODULES", None, None)),
        ("SHOW JOBS", ("JOBS", None, None)),
        ("SHOW JARS", ("JARS", None, None)),
    ],
)
def test_show(text: str, expected: tuple[str, str | None, a.Like | None]) -> None:
    """The words behind SHOW, where from, and which."""
    statement = parse_statement(text)
    assert isinstance(statement, a.Show)
    name = str(statement.name) if statement.name else None
    assert (statement.kind, name, statement.like) == expected


def test_describe() -> None:
    """Tables by default; a function's name may be a reserved word."""
    for text, kind, name in (
        ("DESCRIBE CATALOG EXTENDED c", "CATALOG", "c"),
        ("DESC DATABASE c.d", "DATABASE", "c.d"),
        ("DESCRIBE FUNCTION EXTENDED upper", "FUNCTION", "upper"),
    ):
        statement = parse_statement(text)
        assert isinstance(statement, a.DescribeObject)
        assert (statement.kind, str(statement.name)) == (kind, name)
        assert statement.extended is ("EXTENDED" in text)
    table = parse_statement("DESC catalog")
    assert isinstance(table, a.Describe)
    job = parse_statement("DESCRIBE JOB 'x'")
    assert isinstance(job, a.DescribeJob)
    assert job.job == "x"


@pytest.mark.parametrize(
    ("text", "savepoint", "drain"),
    [
        ("", False, False),
        (" WITH SAVEPOINT", True, False),
        (" WITH DRAIN", False, True),
        (" WITH SAVEPOINT WITH DRAIN", True, True),
    ],
)
def test_stop_job(text: str, savepoint: bool, drain: bool) -> None:
    """With a last savepoint, with the end of event time."""
    statement = parse_statement(f"STOP JOB 'x'{text}")
    assert isinstance(statement, a.StopJob)
    assert (statement.job, statement.savepoint, statement.drain) == ("x", savepoint, drain)


def test_modules() -> None:
    """There is one; the statements are understood."""
    assert isinstance(parse_statement("LOAD MODULE core WITH ('a'='b')"), a.LoadModule)
    assert isinstance(parse_statement("UNLOAD MODULE core"), a.UnloadModule)
    used = parse_statement("USE MODULES core, hive")
    assert isinstance(used, a.UseModules)
    assert [str(n) for n in used.names] == ["core", "hive"]


def test_mistakes_are_marked() -> None:
    """At the word that is wrong."""
    assert 'Did you mean "CATALOGS"?' in error("SHOW CATALOGUES")
    assert "found the end of the statement" in error("STOP JOB 'x' WITH")
