"""Names of tables and views."""

from __future__ import annotations

import pytest

from flowsql.catalog import (
    Catalog,
    CatalogTable,
    CatalogView,
    declare_table,
    declare_view,
    show_create_table,
    show_create_view,
)
from flowsql.errors import SqlError
from flowsql.sql import statements as s
from flowsql.sql.grammar import parse_script


def declared(catalog: Catalog, sql: str) -> CatalogTable | CatalogView:
    """The object that a CREATE statement declares."""
    statement = parse_script(sql)[0]
    if isinstance(statement, s.CreateView):
        return declare_view(statement, catalog, sql)
    assert isinstance(statement, s.CreateTable)
    return declare_table(statement, catalog, sql)


def with_table(sql: str = "CREATE TABLE bid (a INT)") -> Catalog:
    """A catalog of one object."""
    catalog = Catalog()
    catalog.create(declared(catalog, sql))
    return catalog


def failing(call: object, sql: str = "") -> str:
    """The text of the error that the call raises."""
    with pytest.raises(SqlError) as caught:
        call()  # type: ignore[operator]
    return str(caught.value.with_sql(sql) if sql else caught.value)


def test_names_are_found_by_one_two_or_three_parts() -> None:
    """Unqualified names belong to the current database."""
    catalog = with_table()
    for parts in (
        ["bid"],
        ["default_database", "bid"],
        ["default_catalog", "default_database", "bid"],
    ):
        assert str(catalog.find(parts).path) == "default_catalog.default_database.bid"


def test_an_unknown_name_has_its_nearest() -> None:
    """The hint mends a slip of the pen, and lists what there is otherwise."""
    catalog = with_table()
    assert failing(lambda: catalog.find(["bit"])) == (
        'SqlError: table "bit" does not exist\nHint: Did you mean "bid"?'
    )
    assert failing(lambda: catalog.find(["person"])).endswith("Hint: Known here: bid.")
    assert 'database "db" does not exist' in failing(lambda: catalog.find(["db", "bid"]))
    assert 'catalog "c" does not exist' in failing(lambda: catalog.find(["c", "db", "bid"]))
    assert "has too many parts" in failing(lambda: catalog.find(["a", "b", "c", "d"]))
    empty = Catalog()
    assert failing(lambda: empty.find(["x"])).endswith("has no tables; CREATE TABLE makes one.")


def test_a_name_is_taken_once() -> None:
    """IF NOT EXISTS keeps the old one."""
    catalog = with_table()
    again = declared(catalog, "CREATE TABLE bid (b INT)")
    assert failing(lambda: catalog.create(again)) == (
        'SqlError: table "default_catalog.default_database.bid" exists already\n'
        "Hint: DROP TABLE bid removes it; IF NOT EXISTS keeps it."
    )
    assert catalog.create(again, if_not_exists=True) is False


def test_a_temporary_table_hides_a_permanent_one() -> None:
    """It must be dropped first."""
    catalog = with_table()
    catalog.create(declared(catalog, "CREATE TEMPORARY TABLE bid (b INT)"))
    found = catalog.find(["bid"])
    assert found.temporary
    assert "DROP TEMPORARY TABLE" in failing(lambda: catalog.drop(["bid"], view=False))
    assert catalog.drop(["bid"], view=False, temporary=True)
    assert not catalog.find(["bid"]).temporary


def test_drop_knows_kinds() -> None:
    """A view is no table; IF EXISTS forgives what is not there."""
    catalog = with_table("CREATE VIEW v AS SELECT 1")
    assert failing(lambda: catalog.drop(["v"], view=False)) == (
        'SqlError: "v" is a view, not a table\nHint: Use DROP VIEW.'
    )
    assert catalog.drop(["v"], view=True)
    assert not catalog.drop(["v"], view=True, if_exists=True)
    assert 'view "v" does not exist' in failing(lambda: catalog.drop(["v"], view=True))


def test_use_changes_what_a_name_means() -> None:
    """Only what exists can be used."""
    catalog = with_table()
    catalog.use_catalog("default_catalog")
    catalog.use_database(["default_catalog", "default_database"])
    assert list(catalog.names()) == ["bid"]
    assert list(catalog.names(["default_database"])) == ["bid"]
    for call in (
        lambda: catalog.use_catalog("x"),
        lambda: catalog.use_database(["x"]),
        lambda: catalog.use_database(["x", "y"]),
        lambda: catalog.names(["x"]),
    ):
        assert "does not exist" in failing(call)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE t (a INT, a INT)", 'column "a" is declared twice'),
        ("CREATE VIEW v (a, a) AS SELECT 1, 2", 'column "a" is declared twice'),
        ("CREATE TABLE t (a INT) PARTITIONED BY (b)", 'PARTITIONED BY names column "b"'),
        ("CREATE TABLE t (a INT, WATERMARK FOR b AS b)", 'WATERMARK names column "b"'),
        ("CREATE TABLE t (a INT) WITH ('x' = '1', 'x' = '2')", 'option "x" is given twice'),
    ],
)
def test_a_wrong_declaration_points_to_its_word(sql: str, message: str) -> None:
    """Each error has a caret."""
    shown = failing(lambda: declared(Catalog(), sql), sql)
    assert message in shown
    assert "^" in shown


ROUND = """CREATE TABLE `default_catalog`.`default_database`.`t` (
  `a` INT NOT NULL COMMENT 'it''s a key',
  `b` AS a + 1,
  `m` BIGINT METADATA FROM 'offset' VIRTUAL,
  `ts` TIMESTAMP(3),
  WATERMARK FOR `ts` AS ts - INTERVAL '1' SECOND,
  PRIMARY KEY (`a`) NOT ENFORCED
)
COMMENT 'all of it'
PARTITIONED BY (`a`)
WITH (
  'connector' = 'x',
  'password' = '******',
  'token' = '${TOKEN}'
)"""


def test_show_create_declares_again() -> None:
    """The text is a fixed point; secrets are hidden, references are not."""
    catalog = Catalog()
    table = declared(catalog, ROUND.replace("******", "hunter2"))
    assert isinstance(table, CatalogTable)
    shown = show_create_table(table, lambda key: key in {"password", "token"})
    assert shown == ROUND
    again = declared(catalog, shown)
    assert isinstance(again, CatalogTable)
    assert show_create_table(again, lambda _: False) == ROUND


def test_a_reference_beside_a_literal_is_hidden() -> None:
    """Only a whole reference is safe to show."""
    table = declared(Catalog(), "CREATE TABLE t (a INT) WITH ('p' = '${A}hunter2${B}')")
    assert isinstance(table, CatalogTable)
    assert "hunter2" not in show_create_table(table, lambda _: True)


def test_show_create_view() -> None:
    """The query as written."""
    view = declared(Catalog(), "CREATE TEMPORARY VIEW v (x) AS SELECT  1 + 1")
    assert isinstance(view, CatalogView)
    assert show_create_view(view) == (
        "CREATE TEMPORARY VIEW `default_catalog`.`default_database`.`v` (\n  `x`\n)\nAS SELECT  1 + 1"
    )
