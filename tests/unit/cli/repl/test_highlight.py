"""Colours of SQL."""

from __future__ import annotations

import pytest

from flowsql.cli.repl.highlight import parts


def test_each_kind_has_its_colour() -> None:
    """Words, calls, strings, numbers, quoted names, comments; types with brackets are words."""
    text = "SELECT count(a), 'x''y' -- why\nFROM `t` WHERE b > 1.5 /* so */ AND CAST(c AS CHAR(3))"
    coloured = [(style.removeprefix("class:"), piece) for style, piece in parts(text) if style]
    assert coloured == [
        ("keyword", "SELECT"),
        ("function", "count"),
        ("string", "'x''y'"),
        ("comment", " -- why\n"),
        ("keyword", "FROM"),
        ("name", "`t`"),
        ("keyword", "WHERE"),
        ("number", "1.5"),
        ("comment", " /* so */ "),
        ("keyword", "AND"),
        ("function", "CAST"),
        ("keyword", "AS"),
        ("keyword", "CHAR"),
        ("number", "3"),
    ]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("SELECT 'a b", ("class:string", "'a b")),
        ("SELECT `a b", ("class:name", "`a b")),
        ("SELECT 1 /* a 'b", ("class:comment", "/* a 'b")),
        ('SELECT "a"', ("class:error", '"a"')),
    ],
)
def test_what_is_open_has_its_colour_to_the_end(text: str, last: tuple[str, str]) -> None:
    """While it is typed it is no mistake yet."""
    assert parts(text)[-1] == last


@pytest.mark.parametrize(
    "text", ["", " ", "SELECT\n\n1 ;\t", "a.b['c'] /*+ OPTIONS('x' = 'y') */", "'", "X'1", "§ '"]
)
def test_the_pieces_are_the_text(text: str) -> None:
    """Whatever it is."""
    assert "".join(piece for _, piece in parts(text)) == text
