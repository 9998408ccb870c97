"""Catalogs and databases, in memory and in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsql

BIG = "WITH ('connector' = 'datagen', 'number-of-rows' = '2')"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flowsql.Session]:
    """A session in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with flowsql.connect() as made:
        yield made


def rows(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    answer = session.execute(sql)
    assert isinstance(answer, flowsql.Result)
    return answer.fetchall()


def names(session: flowsql.Session, sql: str) -> list[object]:
    """The first column of the rows."""
    return [row[0] for row in rows(session, sql)]


def failing(session: flowsql.Session, sql: str) -> str:
    """The error's text."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql)
    return str(caught.value)


def test_catalogs_of_a_session(session: flowsql.Session) -> None:
    """As Flink's SQL client shows them."""
    session.execute("CREATE CATALOG c1 WITH ('type' = 'generic_in_memory')")
    assert rows(session, "SHOW CATALOGS") == [("c1",), ("default_catalog",)]
    assert rows(session, "SHOW CURRENT CATALOG") == [("default_catalog",)]
    session.execute("USE CATALOG c1")
    assert rows(session, "SHOW CURRENT DATABASE") == [("default",)]
    assert "current one" in failing(session, "DROP CATALOG c1")
    session.execute(
        "CREATE CATALOG c2 COMMENT 'it''s' WITH ('type' = 'generic_in_memory', "
        "'default-database' = 'db')"
    )
    assert rows(session, "SHOW CREATE CATALOG c2") == [
        (
            (
                "CREATE CATALOG `c2`\nCOMMENT 'it''s'\nWITH (\n  'default-database' = 'db',\n"
                "  'type' = 'generic_in_memory'\n)"
            ),
        )
    ]
    assert rows(session, "DESCRIBE CATALOG EXTENDED c2") == [
        ("name", "c2"),
        ("type", "generic_in_memory"),
        ("comment", "it's"),
        ("option:default-database", "db"),
    ]
    session.execute("CREATE DATABASE c2.two; ALTER CATALOG c2 SET ('default-database' = 'two')")
    session.execute("ALTER CATALOG c2 COMMENT ''; USE CATALOG c2")
    assert rows(session, "SHOW CURRENT DATABASE") == [("two",)]
    assert rows(session, "DESC CATALOG c2")[2] == ("comment", None)
    session.execute("DROP CATALOG IF EXISTS c9; DROP CATALOG c1")
    assert names(session, "SHOW CATALOGS") == ["c2", "default_catalog"]


def test_databases(session: flowsql.Session) -> None:
    """A table is found by two names, or by one in the current database."""
    session.execute("CREATE DATABASE db1 COMMENT 'x' WITH ('k' = 'v')")
    session.execute(f"CREATE TABLE db1.t (a INT) {BIG}; CREATE DATABASE IF NOT EXISTS db1")
    assert rows(session, "SELECT COUNT(*) FROM db1.t") == [(2,)]
    assert names(session, "SHOW DATABASES") == ["db1", "default_database"]
    assert names(session, "SHOW DATABASES FROM default_catalog LIKE 'db%'") == ["db1"]
    assert names(session, "SHOW TABLES IN db1") == ["t"]
    session.execute("ALTER DATABASE db1 SET ('k' = 'w', 'l' = 'm'); USE db1")
    assert rows(session, "DESCRIBE DATABASE EXTENDED db1") == [
        ("catalog", "default_catalog"),
        ("name", "db1"),
        ("comment", "x"),
        ("option:k", "w"),
        ("option:l", "m"),
    ]
    assert "current one" in failing(session, "DROP DATABASE db1")
    session.execute("CREATE TEMPORARY VIEW v AS SELECT 1 AS a; USE default_database")
    assert "CASCADE drops its tables" in failing(session, "DROP DATABASE db1")
    session.execute("DROP DATABASE db1 CASCADE; DROP DATABASE IF EXISTS db1")
    assert 'database "db1" does not exist' in failing(session, "SHOW TABLES FROM db1")
    session.execute("CREATE DATABASE db1")
    assert names(session, "SHOW TABLES FROM db1") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE CATALOG c WITH ('type' = 'fle')", 'Did you mean "file"?'),
        ("CREATE CATALOG c", 'catalog "c" has no type'),
        ("CREATE CATALOG c WITH ('type' = 'file')", 'catalog "c" needs option "path"'),
        ("CREATE CATALOG c WITH ('type' = 'file', 'pth' = 'x')", 'Did you mean "path"?'),
        ("CREATE CATALOG default_catalog WITH ('type' = 'file')", "exists already"),
        ("CREATE DATABASE default_database", "exists already"),
        ("CREATE DATABASE my.db", 'catalog "my" does not exist'),
        ("USE defalt_database", 'Did you mean "default_database"?'),
        ("USE CATALOG default_catlog", 'Did you mean "default_catalog"?'),
        ("DROP CATALOG c", 'catalog "c" does not exist'),
        ("DROP DATABASE d", 'database "d" does not exist'),
        ("ALTER CATALOG default_catalog SET ('type' = 'file')", "cannot be changed"),
        ("ALTER CATALOG default_catalog SET ('default-database' = 'x')", 'no database "x"'),
    ],
)
def test_mistakes_are_marked(session: flowsql.Session, sql: str, message: str) -> None:
    """Each at its place."""
    text = failing(session, sql)
    assert message in text
    assert "^" in text


def test_a_file_catalog_lasts(session: flowsql.Session, tmp_path: Path) -> None:
    """What one session declares, the next one has, whatever it calls the catalog."""
    session.execute(
        "CREATE CATALOG f WITH ('type' = 'file', 'path' = 'cat'); "
        "CREATE DATABASE f.shop COMMENT 'x' WITH ('k' = 'v'); USE f.shop; "
        f"CREATE TABLE `o/x` (a INT, b AS a + 1 COMMENT 'c', ts TIMESTAMP(3), "
        f"WATERMARK FOR ts AS ts, PRIMARY KEY (a) NOT ENFORCED) {BIG}; "
        "CREATE VIEW vv (q) COMMENT 'view' AS SELECT b FROM `o/x`; "
        "CREATE VIEW f.`default`.v2 AS SELECT a FROM `o/x`; "
        "CREATE TEMPORARY TABLE gone (a INT) WITH ('connector' = 'print')"
    )
    with flowsql.connect() as other:
        other.execute("CREATE CATALOG g WITH ('type' = 'file', 'path' = 'cat'); USE CATALOG g")
        assert names(other, "SHOW DATABASES") == ["default", "shop"]
        assert rows(other, "DESCRIBE DATABASE EXTENDED shop")[2:] == [
            ("comment", "x"),
            ("option:k", "v"),
        ]
        assert names(other, "SHOW TABLES FROM shop") == ["o/x", "vv"]
        assert rows(other, "SELECT COUNT(q) FROM shop.vv") == [(2,)]
        assert rows(other, "SELECT COUNT(a) FROM v2") == [(2,)]
        described = rows(other, "DESCRIBE shop.`o/x`")
        assert described == rows(session, "DESCRIBE `o/x`")
    assert (tmp_path / "cat/shop/o%2Fx.sql").read_text() == (
        "CREATE TABLE `o/x` (\n  `a` INT NOT NULL,\n  `b` AS a + 1 COMMENT 'c',\n"
        "  `ts` TIMESTAMP(3),\n  WATERMARK FOR `ts` AS ts,\n  PRIMARY KEY (`a`) NOT ENFORCED\n)\n"
        "WITH (\n  'connector' = 'datagen',\n  'number-of-rows' = '2'\n)\n"
    )
    assert (tmp_path / "cat/default/v2.sql").read_text() == (
        "USE `shop`;\nCREATE VIEW `v2`\nAS SELECT a FROM `o/x`\n"
    )


def test_changes_of_a_file_catalog_are_seen_by_others(
    session: flowsql.Session, tmp_path: Path
) -> None:
    """ALTER, DROP and an editor; no other file is left."""
    session.execute("CREATE CATALOG f WITH ('type' = 'file', 'path' = 'cat'); USE CATALOG f")
    session.execute(f"CREATE TABLE t (a INT) {BIG}; CREATE TABLE u (a INT) {BIG}")
    with flowsql.connect() as other:
        other.execute("CREATE CATALOG f WITH ('type' = 'file', 'path' = 'cat'); USE CATALOG f")
        assert names(other, "DESCRIBE t") == ["a"]
        session.execute("ALTER TABLE t ADD b INT; ALTER TABLE u RENAME TO w")
        assert names(other, "DESCRIBE t") == ["a", "b"]
        assert names(other, "SHOW TABLES") == ["t", "w"]
        (tmp_path / "cat/default/t.sql").write_text(f"CREATE TABLE t (edited INT) {BIG}")
        assert names(session, "DESCRIBE t") == ["edited"]
        other.execute("DROP TABLE t; CREATE DATABASE d; DROP DATABASE d")
        assert names(session, "SHOW TABLES") == ["w"]
    left = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "cat").rglob("*"))
    assert left == ["cat/default", "cat/default.sql", "cat/default/w.sql"]


def test_a_damaged_file_is_named(session: flowsql.Session, tmp_path: Path) -> None:
    """The error shows the text and where it stands."""
    session.execute("CREATE CATALOG f WITH ('type' = 'file', 'path' = 'cat'); USE CATALOG f")
    (tmp_path / "cat/default/t.sql").write_text("CREATE TABEL t (a INT)")
    (tmp_path / "cat/default/u.sql").write_text("SELECT 1")
    text = failing(session, "SELECT * FROM t")
    assert 'found "TABEL"' in text
    assert f' of "{tmp_path / "cat/default/t.sql"}": ' in text
    assert "has no CREATE TABLE and no CREATE VIEW" in failing(session, "SELECT * FROM u")


def test_a_folder_that_cannot_be_used(session: flowsql.Session, tmp_path: Path) -> None:
    """The catalog is not made."""
    (tmp_path / "plain").write_text("")
    text = failing(session, "CREATE CATALOG f WITH ('type' = 'file', 'path' = 'plain/cat')")
    assert 'catalog "f" cannot use' in text
    assert names(session, "SHOW CATALOGS") == ["default_catalog"]


def test_one_file_that_cannot_be_read(session: flowsql.Session, tmp_path: Path) -> None:
    """Only its table fails, with the file's name; it is listed, and can be dropped."""
    session.execute("CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept'); USE CATALOG c")
    session.execute(f"CREATE TABLE good (a INT) {BIG}; CREATE VIEW v AS SELECT a FROM good")
    bad = tmp_path / "kept" / "default" / "bad.sql"
    bad.write_text("CREATE TABLE bad (a INT\n) WIHT ();")
    assert names(session, "SHOW TABLES") == ["bad", "good", "v"]
    assert names(session, "SHOW VIEWS") == ["v"]
    assert rows(session, "SELECT COUNT(*) FROM v") == [(2,)]
    assert 'table "nope" does not exist' in failing(session, "SELECT a FROM nope")
    assert failing(session, "SELECT a FROM bad").startswith(f'SqlError at 2:3 of "{bad}": ')
    session.execute("DROP TABLE bad")
    assert not bad.exists()
    assert names(session, "SHOW TABLES") == ["good", "v"]


def test_a_mistake_in_a_kept_table_names_its_file(session: flowsql.Session, tmp_path: Path) -> None:
    """Its place is one of that file; a place in the user's own text is not."""
    session.execute("CREATE CATALOG c WITH ('type' = 'file', 'path' = 'kept'); USE CATALOG c")
    folder = tmp_path / "kept" / "default"
    (folder / "t.sql").write_text(f"CREATE TABLE t (a INT,\n  b AS UPER(a)) {BIG};")
    (folder / "v.sql").write_text("CREATE VIEW v AS SELECT\n  nope FROM s;")
    session.execute(f"CREATE TABLE s (a INT) {BIG}")
    told = failing(session, "SELECT a FROM t")
    assert told.startswith(f'SqlError at 2:8 of "{folder / "t.sql"}": function "UPER" does')
    assert f'at 2:3 of "{folder / "v.sql"}": ' in failing(session, "SELECT * FROM v")
    assert failing(session, "SELECT nope FROM s").startswith("SqlError at 1:8: ")
