"""The parser's tables in the tree are those of the grammar beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flowsql.sql import make_tables


def test_the_tables_are_of_the_grammar() -> None:
    """Who changed `statements.lark` also ran `make grammar`."""
    made = make_tables.tables(make_tables.GRAMMAR.read_text(encoding="utf-8"))
    assert made == make_tables.TABLES.read_text(encoding="utf-8"), "run: make grammar"


@pytest.mark.parametrize("statement", ["SELECT 1", "SHOW TABLES"])
def test_statements_are_read_without_lark(statement: str) -> None:
    """What is installed needs the tables alone."""
    code = (
        f"import sys; from flowsql.sql import parse_script; parse_script({statement!r})\n"
        "print('lark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
