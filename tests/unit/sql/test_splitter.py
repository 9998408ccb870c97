"""A script cut into statements."""

from __future__ import annotations

import pytest

from flowsql.errors import SqlError
from flowsql.sql import parse_piece, split
from flowsql.sql.statements import QueryStatement


def _texts(script: str) -> list[str]:
    return [script[p.span.start : p.span.end] for p in split(script)]


def test_semicolons_cut_but_not_inside_strings_names_and_comments() -> None:
    """What looks like an end may be text."""
    script = "SELECT ';' ; -- ;\n/* ; */ SELECT `;` // ;\n; SELECT 1"
    assert ["SELECT ';'", "SELECT `;` // ;"[:10], "SELECT 1"] == _texts(script)


def test_a_byte_order_mark_is_no_character() -> None:
    """Some editors begin a file with it."""
    assert _texts("\ufeffSELECT 1;\r\nSELECT 2") == ["SELECT 1", "SELECT 2"]


def test_empty_statements_are_left_out() -> None:
    """Semicolons and comments alone are none."""
    assert _texts(" ; ;; -- nothing\n") == []


def test_a_statement_set_is_one_statement() -> None:
    """In each of its forms, with CASE … END inside."""
    new = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END; INSERT INTO b SELECT 2; END"
    old = "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END"
    explained = "EXPLAIN STATEMENT SET BEGIN INSERT INTO a SELECT 1; END"
    assert [new, old, explained, "SELECT 3"] == _texts(f"{new};{old};\n{explained}; SELECT 3")


def test_an_open_statement_says_so() -> None:
    """A prompt waits until the statement is closed."""
    assert [p.closed for p in split("SELECT 1; SELECT 2")] == [True, False]
    assert [p.closed for p in split("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;")] == [
        False
    ]


def test_a_piece_is_parsed_in_its_script() -> None:
    """Its positions stay those of the script."""
    script = "SELECT 1; SELECT 2"
    statement = parse_piece(script, split(script)[1])
    assert isinstance(statement, QueryStatement)
    assert (statement.span.start, statement.span.end) == (10, 18)


def test_an_open_string_is_refused() -> None:
    """There is no end to cut at."""
    with pytest.raises(SqlError, match="the string is not closed"):
        split("SELECT 'a; SELECT 1")
