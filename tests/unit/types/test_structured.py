"""STRUCTURED types: rows with the name of a class."""

from __future__ import annotations

from flowsql.types import IntType, RowType, StructuredType, arrow_type
from flowsql.types.common import common_type
from flowsql.types.parser import parse_type


def test_text_and_back() -> None:
    """The text of the type is read back, quotes in the name and all."""
    text = "STRUCTURED<'a.It''s', `i` INT NOT NULL, `r` STRUCTURED<'b.C', `s` STRING>>"
    found = parse_type(text)
    assert isinstance(found, StructuredType)
    assert found.class_name == "a.It's"
    assert str(found) == text


def test_only_the_same_class_has_a_common_type() -> None:
    """It is stored as a row is, but merges with no row and no other class."""
    one, other = parse_type("STRUCTURED<'a', x INT>"), parse_type("STRUCTURED<'b', x INT>")
    row = parse_type("ROW<x INT>")
    assert arrow_type(row) == arrow_type(one)
    assert isinstance(row, RowType)
    assert common_type([one, one.not_null()]) == one
    assert common_type([one, other]) is None
    assert common_type([one, row]) is None
    assert common_type([one, IntType()]) is None
