"""Each statement: what it arrives as, and what is refused."""

from __future__ import annotations

import pytest

from flowsql import types as t
from flowsql.errors import SqlError
from flowsql.sql import administration as a
from flowsql.sql import parse_script, parse_statement
from flowsql.sql import statements as s
from tests.unit.sql.reading import error, show


def _table(text: str) -> s.CreateTable:
    statement = parse_statement(text)
    assert isinstance(statement, s.CreateTable)
    return statement


def test_create_table_with_every_clause() -> None:
    """Columns of three kinds, key, watermark, comment, partitions and options."""
    table = _table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS cat.db.`t 1` (\n"
        "  id BIGINT COMMENT 'the ''key''',\n"
        "  price DECIMAL(10, 2) NOT NULL,\n"
        "  cost AS price * 2 COMMENT 'twice',\n"
        "  `offset` BIGINT METADATA FROM 'kafka-offset' VIRTUAL COMMENT 'o',\n"
        "  headers MAP<STRING, BYTES> METADATA,\n"
        "  ts TIMESTAMP(3),\n"
        "  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,\n"
        "  CONSTRAINT pk PRIMARY KEY (id) NOT ENFORCED\n"
        ") COMMENT 'c' PARTITIONED BY (price, id) WITH ('connector' = 'print', 'a.b' = 'it''s')"
    )
    assert table.name.parts == ("cat", "db", "t 1")
    assert table.temporary
    assert table.if_not_exists
    identity, price, cost, offset, headers, ts = table.columns
    assert isinstance(identity, s.PhysicalColumn)
    # The columns of the key are NOT NULL, as in Flink.
    assert (t.BigIntType(nullable=False), "the 'key'") == (identity.type, identity.comment)
    assert isinstance(price, s.PhysicalColumn)
    assert str(price.type) == "DECIMAL(10, 2) NOT NULL"
    assert isinstance(cost, s.ComputedColumn)
    assert (show(cost.expression), cost.comment) == ("Mul(price, 2)", "twice")
    assert isinstance(offset, s.MetadataColumn)
    assert (offset.key, offset.virtual, offset.comment) == ("kafka-offset", True, "o")
    assert isinstance(headers, s.MetadataColumn)
    assert (headers.key, headers.virtual) == (None, False)
    assert isinstance(ts, s.PhysicalColumn)
    assert table.watermark is not None
    assert table.watermark.column.parts == ("ts",)
    assert show(table.watermark.expression).startswith("Sub(ts, IntervalLiteral(5")
    assert table.primary_key is not None
    assert (
        table.primary_key.name,
        [c.parts for c in table.primary_key.columns],
    ) == ("pk", [("id",)])
    assert table.comment == "c"
    assert [c.parts for c in table.partitioned_by] == [("price",), ("id",)]
    assert [(o.key, o.value) for o in table.options] == [("connector", "print"), ("a.b", "it's")]


def test_a_key_may_stand_with_its_column() -> None:
    """`id INT PRIMARY KEY NOT ENFORCED`."""
    table = _table("CREATE TABLE t (id INT PRIMARY KEY NOT ENFORCED COMMENT 'x', v INT) WITH ()")
    assert table.primary_key is not None
    assert [c.parts for c in table.primary_key.columns] == [("id",)]
    first = table.columns[0]
    assert isinstance(first, s.PhysicalColumn)
    assert (t.IntType(nullable=False), "x") == (first.type, first.comment)


def test_words_that_flink_does_not_reserve_are_names() -> None:
    """Also where the grammar knows them."""
    assert _table("CREATE TABLE if (key INT, metadata INT, temporary INT)").name.parts == ("if",)
    assert isinstance(parse_statement("USE catalog"), a.Use)


def test_positions_of_names_and_options() -> None:
    """An unknown option is marked where it stands."""
    text = "CREATE TABLE t (a INT) WITH ('k' = 'v')"
    table = _table(text)
    option = table.options[0]
    assert text[option.key_span.start : option.key_span.end] == "'k'"
    assert text[option.value_span.start : option.value_span.end] == "'v'"
    span = table.columns[0].name.span
    assert text[span.start : span.end] == "a"


def test_views() -> None:
    """CREATE VIEW with and without columns; the query's text is at its span."""
    view = parse_statement(
        "CREATE TEMPORARY VIEW IF NOT EXISTS v (a, b) COMMENT 'c' AS SELECT 1, 2"
    )
    assert isinstance(view, s.CreateView)
    assert (view.temporary, view.if_not_exists, view.comment) == (True, True, "c")
    assert [c.parts for c in view.columns] == [("a",), ("b",)]
    assert show(view.query) == "Query(Select(1, 2))"
    bracketed = parse_statement("CREATE VIEW v AS (SELECT 1)")
    assert isinstance(bracketed, s.CreateView)
    assert bracketed.columns == ()


def test_drop() -> None:
    """Tables and views, temporary or not."""
    table = parse_statement("DROP TEMPORARY TABLE IF EXISTS a.b")
    assert isinstance(table, s.DropTable)
    assert (table.temporary, table.if_exists, table.name.parts) == (True, True, ("a", "b"))
    view = parse_statement("drop view v")
    assert isinstance(view, s.DropView)
    assert (view.temporary, view.if_exists) == (False, False)


def test_insert_with_every_clause() -> None:
    """Hints, partition, columns, query and what to do with conflicts."""
    insert = parse_statement(
        "INSERT INTO db.t /*+ OPTIONS('a'='b') */ PARTITION (p = 'x', q) (a, b) "
        "SELECT 1, 2 FROM u ON CONFLICT DO NOTHING"
    )
    assert isinstance(insert, s.Insert)
    assert insert.table.parts == ("db", "t")
    assert [show(h) for h in insert.hints] == ["Hint(OPTIONS, options=[[a, b]])"]
    assert [(p.column.parts, show(p.value)) for p in insert.partition] == [
        (("p",), "'x'"),
        (("q",), "None"),
    ]
    assert [c.parts for c in insert.columns] == [("a",), ("b",)]
    assert insert.on_conflict == "NOTHING"


def test_insert_overwrite() -> None:
    """TABLE may stand in front of the name."""
    for text in ("INSERT OVERWRITE t SELECT 1", "INSERT OVERWRITE TABLE t (a) SELECT 1"):
        insert = parse_statement(text)
        assert isinstance(insert, s.Insert)
        assert (insert.overwrite, insert.table.parts) == (True, ("t",))


@pytest.mark.parametrize(
    "query", ["VALUES (1), (2)", "(SELECT 1)", "WITH a AS (SELECT 1) SELECT * FROM a", "TABLE a"]
)
def test_insert_takes_any_query(query: str) -> None:
    """A bracket behind the table may open columns or the query."""
    insert = parse_statement(f"INSERT INTO t {query}")
    assert isinstance(insert, s.Insert)
    assert insert.columns == ()
    assert isinstance(parse_statement(f"INSERT INTO t (a) {query}"), s.Insert)


@pytest.mark.parametrize(
    "text",
    [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b VALUES 2; END",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b VALUES 2; END;",
    ],
)
def test_statement_sets(text: str) -> None:
    """Both forms mean the same."""
    block = parse_statement(text)
    assert isinstance(block, s.StatementSet)
    assert [i.table.parts for i in block.inserts] == [("a",), ("b",)]


def test_execute_is_the_statement_itself() -> None:
    """`EXECUTE INSERT …` and `EXECUTE SELECT …`."""
    assert isinstance(parse_statement("EXECUTE INSERT INTO t SELECT 1"), s.Insert)
    assert isinstance(parse_statement("EXECUTE SELECT 1"), s.QueryStatement)


def test_explain() -> None:
    """Of queries, inserts and sets, with details."""
    plain = parse_statement("EXPLAIN PLAN FOR SELECT 1")
    assert isinstance(plain, s.Explain)
    assert (s.QueryStatement, ()) == (type(plain.statement), plain.details)
    detailed = parse_statement("EXPLAIN changelog_mode, ESTIMATED_COST INSERT INTO t SELECT 1")
    assert isinstance(detailed, s.Explain)
    assert (s.Insert, ("CHANGELOG_MODE", "ESTIMATED_COST")) == (
        type(detailed.statement),
        detailed.details,
    )
    block = parse_statement("EXPLAIN STATEMENT SET BEGIN INSERT INTO t SELECT 1; END")
    assert isinstance(block, s.Explain)
    assert isinstance(block.statement, s.StatementSet)


def test_session_statements() -> None:
    """SET, RESET, USE, SHOW and DESCRIBE."""
    script = (
        "SET; SET 'a' = 'b'; RESET; RESET 'a'; USE CATALOG c; USE c.d; SHOW TABLES; "
        "SHOW VIEWS FROM c.d NOT LIKE 'x%'; SHOW CREATE TABLE t; SHOW CREATE VIEW v; "
        "DESCRIBE t; DESC EXTENDED a.t"
    )
    found = parse_script(script)
    all_, one, reset_all, reset, catalog, use, tables, views, create, view, describe, desc = found
    assert (all_.key, all_.value) == (None, None)
    assert (one.key, one.value) == ("a", "b")
    assert (reset_all.key, reset.key) == (None, "a")
    assert (a.UseCatalog, ("c",)) == (type(catalog), catalog.name.parts)
    assert (a.Use, ("c", "d")) == (type(use), use.name.parts)
    assert (tables.kind, tables.name, tables.like) == ("TABLES", None, None)
    assert (views.kind, views.name.parts) == ("VIEWS", ("c", "d"))
    assert views.like == a.Like("x%", negated=True)
    assert (create.kind, create.name.parts, view.kind) == ("TABLE", ("t",), "VIEW")
    assert (describe.extended, desc.extended, desc.name.parts) == (False, True, ("a", "t"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELCT 1",
            (
                'SqlError at 1:1: expected a statement, found "SELCT"\n  SELCT 1\n  ^^^^^\n'
                'Hint: Did you mean "SELECT"?'
            ),
        ),
        (
            "CREATE TABEL t (a INT)",
            (
                'SqlError at 1:8: expected "CATALOG", "DATABASE", "FUNCTION", "OR", "TABLE", "TEMPORARY" or "VIEW", '
                'found "TABEL"\n'
                '  CREATE TABEL t (a INT)\n         ^^^^^\nHint: Did you mean "TABLE"?'
            ),
        ),
        (
            "CREATE TABLE t (a INTT)",
            (
                'SqlError at 1:19: data type "INTT" does not exist\n  CREATE TABLE t (a INTT)\n'
                '                    ^^^^\nHint: Did you mean "INT"?'
            ),
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            (
                "SqlError at 1:23: PRIMARY KEY must be declared NOT ENFORCED\n"
                "  CREATE TABLE t (a INT PRIMARY KEY)\n                        ^^^^^^^^^^^\n"
                "Hint: flowsql does not own the data and cannot enforce a key: "
                "write PRIMARY KEY … NOT ENFORCED."
            ),
        ),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a) ENFORCED)", "must be declared NOT ENFORCED"),
        ("CREATE TABLE t (a INT UNIQUE)", "UNIQUE constraint is not supported yet"),
        ("CREATE TABLE t (a INT, UNIQUE (a))", "UNIQUE constraint is not supported yet"),
        ("CREATE TABLE t (value INT)", "as a name, write it `value`"),
        ("CREATE TABLE t (a INT, a STRING)", 'column "a" is declared twice'),
        (
            "CREATE TABLE t (amount INT, PRIMARY KEY (amonut) NOT ENFORCED)",
            'Hint: Did you mean "amount"?',
        ),
        (
            "CREATE TABLE t (a INT, b AS a, PRIMARY KEY (b) NOT ENFORCED)",
            "is not a physical column",
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a, a) NOT ENFORCED)",
            "stands in the primary key twice",
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED)",
            "a table has only one primary key",
        ),
        (
            "CREATE TABLE t (a TIMESTAMP(3), WATERMARK FOR a AS a, WATERMARK FOR a AS a)",
            "a table has only one watermark",
        ),
        ("CREATE TABLE t (a INT) WITH ('k'='v', 'k'='w')", 'option "k" is given twice'),
        ("CREATE TABLE t (a INT) WITH (k = 'v')", 'expected a string in single quotes or ")"'),
        ("CREATE TABLE t (a INT,)", 'expected a name, "CONSTRAINT"'),
        ("CREATE TABLE a.b.c.d (a INT)", "a name has at most three parts"),
        ("CREATE TABLE t WITH ('a'='b')", 'table "t" has no columns'),
        ("CREATE TABLE t (a)", 'column "a" has no type'),
        (
            "CREATE TABLE t (a, b INT) AS SELECT 1",
            "Hint: Names alone put the columns of CREATE TABLE … AS in order.",
        ),
        ("CREATE OR REPLACE TABLE t (a INT)", "CREATE OR REPLACE TABLE needs AS with a query"),
        ("CREATE OR REPLACE TABLE IF NOT EXISTS t AS SELECT 1", "exclude each other"),
        ("CREATE TABLE t LIKE u (OVERWRITING ALL)", "OVERWRITING ALL is not possible"),
        (
            "CREATE TABLE t LIKE u (INCLUDING ALL EXCLUDING ALL)",
            "LIKE says twice what becomes of ALL",
        ),
        (
            "CREATE TABLE t (a INT) DISTRIBUTED INTO 1.5 BUCKETS",
            "the number of buckets must be a whole number",
        ),
        ("CREATE TABLE t (a INT AS b)", 'found "AS"'),
        ("CREATE TABLE t (a TIMESTAMP(3) *ROWTIME*)", 'found "*"'),
        ("CREATE TEMPORARY FUNCTION f AS 'x' USING JAR 'y'", "USING JAR is not supported"),
        ("CREATE FUNCTION f AS 'x' LANGUAGE C", 'there is no language "C" for functions'),
        ("ALTER TABLE t SET ()", "expected a string in single quotes"),
        ("ALTER TABLE t RESET ()", "expected a string in single quotes"),
        ("ALTER TABLE t SET ('a'='1', 'a'='2')", 'option "a" is given twice'),
        (
            "ALTER TABLE t ADD (WATERMARK FOR a AS a, WATERMARK FOR b AS b)",
            "a table has only one watermark",
        ),
        ("ALTER TABLE t ADD PARTITION (a = 1)", "PARTITION of ALTER TABLE is not supported"),
        (
            "ALTER TABLE t ADD IF NOT EXISTS PARTITION (a = 1)",
            "PARTITION of ALTER TABLE is not supported",
        ),
        (
            "ALTER TABLE t DROP IF EXISTS PARTITION (a = 1), PARTITION (a = 2)",
            "PARTITION of ALTER TABLE is not supported",
        ),
        ("CREATE FUNCTION f AS 'x' USING ARTIFACT 'y'", "USING ARTIFACT is not supported"),
        (
            "CREATE FUNCTION f AS 'x.y' LANGUAGE PYTHON WITH ('a' = 'b')",
            "WITH options of a function are not supported",
        ),
        ("DESCRIBE SELECT 1", "Hint: EXPLAIN shows the plan of a query"),
        ("SHOW CREATE CATALOG a.b", '"a.b" has more than 1 part'),
        ("EXPLAIN CREATE TABLE t (a INT)", "only a CREATE TABLE … AS has a plan to explain"),
        (
            "TRUNCATE TABLE t",
            (
                "SqlError at 1:1: statement TRUNCATE TABLE is not supported\n"
                "  TRUNCATE TABLE t\n  ^^^^^^^^^^^^^^\nHint: "
            ),
        ),
        ("DELETE FROM t", "statement DELETE FROM is not supported"),
        ("UPDATE t SET a = 1", "statement UPDATE is not supported"),
        ("CALL p()", "statement CALL is not supported"),
        ("ANALYZE TABLE t COMPUTE STATISTICS", "statement ANALYZE TABLE is not supported"),
        ("show tabels", 'Hint: Did you mean "TABLES"?'),
        ("SET a = b", "Hint: Key and value are quoted: SET 'key' = 'value'."),
        ("USE a.b.c", '"a.b.c" has more than 2 parts'),
        ("USE CATALOG a.b", '"a.b" has more than 1 part'),
        ("DROP TABLE", 'expected a name or "IF", found the end of the statement'),
        ("INSERT INTO t", "a query"),
        ("INSERT INTO t (a, b)", "expected a query, found the end of the statement"),
        ("EXECUTE STATEMENT SET BEGIN END", 'expected "INSERT", found "END"'),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1;", 'expected "END" or "INSERT"'),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1 END", 'found "END"'),
        ("EXPLAIN DROP TABLE t", 'found "DROP"'),
        ("SELECT 1 INSERT", 'expected the end of the statement, found "INSERT"'),
        ("42", 'expected a statement, found "42"'),
        (")", 'expected a statement, found ")"'),
    ],
)
def test_refuses(text: str, expected: str) -> None:
    """Each refusal marks its place and names what is meant."""
    assert expected in error(text)


def test_the_second_statement_is_marked_in_the_script() -> None:
    """Lines and columns count from the start of the script."""
    assert error("SELECT 1;\n  SELECT FROM t").startswith(
        "SqlError at 2:10: expected an expression"
    )


def test_one_statement_means_one() -> None:
    """`parse_statement` takes neither none nor two."""
    for text in ("", ";", "SELECT 1; SELECT 2"):
        with pytest.raises(SqlError, match="expected one statement"):
            parse_statement(text)
    assert parse_script(" -- nothing\n;") == ()
