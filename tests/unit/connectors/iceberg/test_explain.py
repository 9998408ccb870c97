"""EXPLAIN says what keeping a table by key costs."""

from __future__ import annotations

import pytest

import flowsql

TABLES = """
CREATE TABLE s (a BIGINT, b STRING) WITH ('connector' = 'datagen');
CREATE TABLE t (a BIGINT, b STRING, PRIMARY KEY ({key}) NOT ENFORCED)
  WITH ('connector' = 'iceberg', 'catalog-name' = 'c', 'warehouse' = '/tmp/none');
"""


@pytest.mark.parametrize(
    ("key", "query", "keeps"),
    [
        ("a", "SELECT a, b FROM s", None),
        ("a", "SELECT a, MAX(b) FROM s GROUP BY a", "an index of (a), about 34 B a key"),
        (
            "a, b",
            "SELECT a, b FROM s GROUP BY a, b",
            "an index of (a, b), about 50 B a key and texts of more than 12 bytes",
        ),
    ],
)
def test_explain_shows_the_index(key: str, query: str, keeps: str | None) -> None:
    """Where there is one: rows that are only added need none."""
    with flowsql.connect() as session:
        session.execute(TABLES.format(key=key))
        shown = session.execute(f"EXPLAIN INSERT INTO t {query}").fetchall()[0][0]
    assert ("keeps=" in shown) is (keeps is not None)
    if keeps is not None:
        assert f"keeps=[{keeps}]" in shown
