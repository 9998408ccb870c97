"""A script cut into statements, by tokens: strings, comments and statement sets stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowsql.errors import Span
from flowsql.sql.tokens import Kind, Token, tokenize

__all__ = ["Piece", "pieces", "split"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement's part of a script.

    Attributes:
        span: From its first to its last token, the closing semicolon left out.
        first: Index of its first token.
        last: Index behind its last token: the semicolon, or the end of the script.
        closed: Whether a semicolon ends it; a prompt waits for it.
    """

    span: Span
    first: int
    last: int
    closed: bool


def split(text: str) -> tuple[Piece, ...]:
    """The statements of `text`; empty ones are left out.

    Raises:
        SqlError: A string, quoted name or comment is not closed.
    """
    return pieces(tokenize(text))


def pieces(tokens: Sequence[Token]) -> tuple[Piece, ...]:
    """The statements of a script's tokens."""
    found: list[Piece] = []
    first, at, inside = 0, 0, False
    while True:
        token = tokens[at]
        if token.kind is Kind.END:
            if at > first:
                found.append(_piece(tokens, first, at, closed=False))
            return tuple(found)
        if token.key == "SET" and _opens_set(tokens, first, at):
            inside = True
        elif inside and token.key == "END" and tokens[at - 1].key in {";", "BEGIN"}:
            inside = False
        elif token.key == ";" and not inside:
            if at > first:
                found.append(_piece(tokens, first, at, closed=True))
            first = at + 1
        at += 1


def _piece(tokens: Sequence[Token], first: int, last: int, *, closed: bool) -> Piece:
    return Piece(Span(tokens[first].start, tokens[last - 1].end), first, last, closed)


def _opens_set(tokens: Sequence[Token], first: int, at: int) -> bool:
    """Whether SET at `at` belongs to `… STATEMENT SET BEGIN` or `BEGIN STATEMENT SET ;`."""
    if at - 1 < first or tokens[at - 1].key != "STATEMENT":
        return False
    if tokens[at + 1].key == "BEGIN":
        return True
    return at - 2 == first and tokens[first].key == "BEGIN" and tokens[at + 1].key == ";"
