"""What may be typed next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowsql.cli.repl.complete import Completions, declared_options

TABLES = {
    "bid": (("item", "STRING"), ("price", "INT"), ("order", "BIGINT")),
    "auction": (("id", "INT"), ("item", "STRING")),
}


@pytest.fixture
def completions() -> Completions:
    """Of two tables."""
    return Completions(lambda: list(TABLES), lambda table: TABLES.get(table, ()))


def texts(completions: Completions, text: str) -> list[str]:
    """The candidates where `|` stands."""
    before, _, after = text.partition("|")
    return [c.text for c in completions.at(before + after, len(before))]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SEL|", ["SELECT"]),
        ("sel|", ["select"]),
        ("SELECT 1; cre|", ["create"]),
        ("CREATE T|", ["TABLE", "TEMPORARY"]),
        ("SHOW t|", ["tables"]),
        ("SELECT * FROM |", ["bid", "auction"]),
        ("SELECT * FROM b|", ["bid"]),
        ("SELECT * FROM bid, a|", ["auction"]),
        ("SELECT a FROM bid JOIN |", ["bid", "auction"]),
        ("DESCRIBE a|", ["auction"]),
        ("INSERT INTO |", ["bid", "auction"]),
        ("SELECT pr| FROM bid", ["price"]),
        ("SELECT o| FROM bid", ["`order`"]),
        ("SELECT b.| FROM bid AS b", ["item", "price", "`order`"]),
        ("SELECT b.i| FROM auction a, bid b", ["item"]),
        ("SELECT 1 FROM bid WHERE it|", ["item"]),
        ("SELECT it| FROM bid; SELECT 1 FROM auction", ["item"]),
        ("SELECT x.| FROM bid", []),
        ("SELECT 12|", []),
        ("SELECT 'SEL|", []),
        ('SELECT "SEL|', []),
        ("-- SEL|", []),
    ],
)
def test_words(completions: Completions, text: str, first: list[str]) -> None:
    """By what stands before, and by the tables of the whole statement."""
    found = texts(completions, text)
    assert found[: len(first) or None] == first


def test_functions_have_their_sentence(completions: Completions) -> None:
    """Beside the columns and words that begin alike; in the case that was begun."""
    found = {c.text: c.what for c in completions.at("SELECT co", 9)}
    assert {"count", "concat", "coalesce"} <= found.keys()
    assert found["concat"].endswith(".")
    assert "COUNT" in texts(completions, "SELECT CO|")


OPEN = "CREATE TABLE t (a INT) WITH ("


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (OPEN + "'con|", ["connector'"]),
        (OPEN + "'connector' = 'file|", ["filesystem'"]),
        (OPEN + "'connector' = 'filesystem', 'form|", ["format'"]),
        (OPEN + "'connector' = 'filesystem', 'format' = 'c|", ["csv'"]),
        (OPEN + "'connector' = 'filesystem', 'format' = 'csv', 'csv.n|", ["csv.null-literal'"]),
        (OPEN + "'connector' = 'nothing', 'pa|", []),
        (OPEN + "'connector' = 'datagen', 'connector|", []),
        ("SELECT * FROM bid /*+ OPTIONS('|", []),
        ("SET 'execution.runtime|", ["execution.runtime-mode'"]),
        ("SET 'execution.runtime-mode' = '|", ["streaming'", "batch'"]),
        ("SET 'table.dml-sync' = 't|", ["true'"]),
        ("RESET 'pipeline.na|", ["pipeline.name'"]),
        ("SELECT '|", []),
    ],
)
def test_options(completions: Completions, text: str, first: list[str]) -> None:
    """Keys and values from what is declared; a key that is given is not offered again."""
    found = texts(completions, text)
    assert found[: len(first) or None] == first


def test_tables_are_remembered_until_forgotten() -> None:
    """One question per look, not one per key."""
    asked: list[str] = []

    def columns(table: str) -> tuple[tuple[str, str], ...]:
        asked.append(table)
        return TABLES.get(table, ())

    completions = Completions(lambda: list(TABLES), columns)
    for _ in range(2):
        texts(completions, "SELECT pr| FROM bid")
    assert asked == ["bid"]
    completions.forget()
    texts(completions, "SELECT pr| FROM bid")
    assert asked == ["bid", "bid"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM lake.|", ["shop", "`a b`"]),
        ("SELECT * FROM lake.s|", ["shop"]),
        ("SELECT * FROM bid, lake.shop.|", ["orders"]),
        ("SELECT * FROM bid JOIN `lake`.shop.o| ON", ["orders"]),
        ("INSERT INTO lake.shop.or|", ["orders"]),
        ("USE lake.|", ["shop", "`a b`"]),
        ("SELECT lake.| FROM bid", []),
        ("SELECT * FROM nowhere.|", []),
    ],
)
def test_names_within_catalogs_and_databases(text: str, expected: list[str]) -> None:
    """Asked for once."""
    there = {("lake",): ["shop", "a b"], ("lake", "shop"): ["orders"]}
    asked: list[tuple[str, ...]] = []

    def within(parts: Sequence[str]) -> Sequence[str]:
        asked.append(tuple(parts))
        return there.get(tuple(parts), ())

    completions = Completions(list, lambda _: (), within=within)
    assert texts(completions, text) == expected
    assert texts(completions, text) == expected
    assert len(asked) <= 1


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("CREATE CATALOG c WITH ('ty|", ["type'"]),
        ("CREATE CATALOG c WITH ('type' = 'ice|", ["iceberg'"]),
        ("CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-t|", ["catalog-type'"]),
        ("CREATE CATALOG c WITH ('type' = 'iceberg', 'catalog-type' = 'r|", ["rest'"]),
        ("CREATE CATALOG c WITH ('type' = 'nobody', 'catalog-t|", []),
    ],
)
def test_options_of_a_catalog(completions: Completions, text: str, first: list[str]) -> None:
    """Those that its type has."""
    assert texts(completions, text) == first


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ALTER TABLE bid SET ('|", ["rows-per-second'"]),
        (
            "ALTER TABLE IF EXISTS c.d.bid SET ('number-of-rows' = '1', 'rows-per|",
            ["rows-per-second'"],
        ),
        ("ALTER TABLE bid RESET ('|", ["connector'", "rows-per-second'"]),
        ("SELECT * FROM bid /*+ OPTIONS('rows-per|", ["rows-per-second'"]),
        ("SELECT * FROM c.d.`bid` /*+ OPTIONS('a' = 'b', 'number|", ["number-of-rows'"]),
        ("SELECT * FROM bid /*+ OPTIONS('conn|", []),
        ("SELECT * FROM nobody /*+ OPTIONS('rows-per|", []),
        ("SELECT * FROM bid /*+ STATE_TTL('|", []),
        ("SELECT /*+ OPTIONS('|", []),
    ],
)
def test_options_of_a_table_that_is_there(text: str, first: list[str]) -> None:
    """In hints and ALTER TABLE: of its connector, but never another connector."""
    kept = {"connector": "datagen", "rows-per-second": "1"}
    completions = Completions(list, lambda _: (), lambda name: kept if name.endswith("bid") else {})
    found = texts(completions, text)
    assert found[: len(first) or None] == first


def test_options_are_read_from_a_statement() -> None:
    """What SHOW CREATE TABLE shows."""
    shown = "CREATE TABLE `t` (\n  `with` INT\n)\nWITH (\n  'connector' = 'x',\n  'a' = 'it''s'\n)"
    assert declared_options(shown) == {"connector": "x", "a": "it's"}
    assert declared_options("CREATE VIEW v AS SELECT 1") == {}
