"""Statements: the grammar `statements.lark` driven token by token.

The grammar says what may come next; where that is a query, an expression or a type, the parser of
its own reads on from the same tokens and hands the grammar one leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flowsql.errors import Refusals, Span, SqlError, nearest
from flowsql.sql import statements as s
from flowsql.sql.cursor import bounded, misspelt, spoken
from flowsql.sql.dialect import Query, QueryParser, span_of
from flowsql.sql.keywords import RESERVED
from flowsql.sql.parts import END, Leaf
from flowsql.sql.splitter import Piece, pieces
from flowsql.sql.tokens import Kind, Token, tokenize
from flowsql.sql.unsupported import foreign_statement, refuse_at, refuse_statement
from flowsql.types import NullType

if TYPE_CHECKING:
    from flowsql.sql.lalr import Steps

__all__ = ["parse_piece", "parse_script", "parse_statement"]

_STARTS = (
    *("SELECT", "WITH", "VALUES", "CREATE", "DROP", "INSERT", "EXECUTE", "EXPLAIN", "SET"),
    *("RESET", "USE", "SHOW", "DESCRIBE", "ALTER", "BEGIN", "CHECK"),
)


_BRACKETS = {"(": 1, "<": 1, ")": -1, ">": -1}


def parse_script(text: str) -> tuple[s.Statement, ...]:
    """All statements of a script, in order.

    Raises:
        SqlError: With a span into `text`; the first mistake found.
    """
    tokens = tokenize(text)
    return tuple(_parse(text, tokens, piece) for piece in pieces(tokens))


def parse_statement(text: str) -> s.Statement:
    """The one statement that `text` is; a semicolon may close it.

    Raises:
        SqlError: It is none, or there are several.
    """
    tokens = tokenize(text)
    found = pieces(tokens)
    if len(found) != 1:
        span = found[1].span if found else Span(0, max(1, len(text)))
        raise SqlError("expected one statement", span=span)
    return _parse(text, tokens, found[0])


def parse_piece(text: str, piece: Piece) -> s.Statement:
    """One statement of a script that was split before."""
    return _parse(text, tokenize(text), piece)


def _parse(text: str, tokens: Sequence[Token], piece: Piece) -> s.Statement:
    with bounded(piece.span):
        return _statement(text, tokens, piece)


def _statement(text: str, tokens: Sequence[Token], piece: Piece) -> s.Statement:
    refuse_statement(tokens, piece)
    cursor = QueryParser(text, tokens, piece.first)
    if cursor.token.key != "(" and cursor.query_follows():
        query = cursor.query()
        if cursor.at == piece.last:
            return s.QueryStatement(query=query, span=piece.span)
    from flowsql.sql.lalr import Steps  # noqa: PLC0415 - scripts of queries need no statements

    cursor, steps, refusals = QueryParser(text, tokens, piece.first), Steps(), Refusals()
    while cursor.at < piece.last:
        leaf = _leaf(cursor, steps, refusals)
        if leaf is None:
            refusals.check()
            raise _syntax_error(cursor, steps, piece)
        steps.take(leaf)
    if not steps.may_take(END):
        refusals.check()
        raise _syntax_error(cursor, steps, piece)
    found: object = None
    try:
        found = steps.take(Leaf(END, "", cursor.token.span))
    except SqlError as error:
        found = error.partly
        refusals.add(error)
    wrong = refusals.first()
    if wrong is not None:
        wrong.partly = found
        raise wrong
    assert isinstance(found, s.Statement)
    return replace(found, span=piece.span)


def _leaf(cursor: QueryParser, steps: Steps, refusals: Refusals) -> Leaf | None:
    """The next leaf, and the cursor behind it; None if nothing that may come does.

    A type that does not exist is told together with others of the statement.
    """
    token, may = cursor.token, steps.may_take
    if _query_comes(cursor, steps):
        query: Query = cursor.query()
        return Leaf("QUERY", query, span_of(query))
    name = token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.key not in RESERVED)
    terminal = steps.terminals.get(token.key)
    if terminal and may(terminal) and not (name and may("IDENTIFIER") and _ends(cursor)):
        cursor.advance()
        return Leaf(terminal, token.value, token.span)
    if name and may("IDENTIFIER"):
        cursor.advance()
        return Leaf("IDENTIFIER", token.value, token.span)
    if token.kind is Kind.WORD and may("WORD"):
        cursor.advance()
        return Leaf("WORD", token.value, token.span)
    if token.kind is Kind.STRING and may("STRING"):
        cursor.advance()
        return Leaf("STRING", token.value, token.span)
    if token.kind is Kind.NUMBER and may("NUMBER"):
        cursor.advance()
        return Leaf("NUMBER", token.value, token.span)
    if token.kind is Kind.HINT and may("HINTS"):
        return Leaf("HINTS", cursor.hints(), cursor.since(token.start))
    if token.kind is Kind.WORD and may("TYPE"):
        at, data_type = cursor.at, None
        with refusals.part():
            data_type = cursor.data_type()
        if cursor.at == at:
            _pass_type(cursor)
        return Leaf("TYPE", data_type or NullType(), cursor.since(token.start))
    if may("EXPRESSION"):
        node = cursor.expression()
        return Leaf("EXPRESSION", node, span_of(node))
    return None


def _pass_type(cursor: QueryParser) -> None:
    """Steps over a type that cannot be read: its name, what stands in brackets behind, NOT NULL."""
    cursor.advance()
    depth = 0
    while cursor.token.kind is not Kind.END and (depth or cursor.token.key in {"(", "<"}):
        depth += _BRACKETS.get(cursor.token.key, 0)
        cursor.advance()
    if not cursor.take("NOT", "NULL"):
        cursor.take("NULL")


def _query_comes(cursor: QueryParser, steps: Steps) -> bool:
    if cursor.token.key == "(":
        column_list = not cursor.query_follows(1) and cursor.peek().key != "("
        return steps.may_take("QUERY") and not (column_list and steps.may_take("LPAR"))
    return cursor.query_follows() and steps.may_take("QUERY")


def _ends(cursor: QueryParser) -> bool:
    """Whether nothing goes on from a word that is both keyword and possible name: it is a name."""
    return cursor.peek().key in {";", ".", "(", ")", ","} or cursor.peek().kind is Kind.END


def _on_its_own_line(cursor: QueryParser) -> bool:
    before = cursor.tokens[cursor.at - 1]
    return "\n" in cursor.text[before.end : cursor.token.start]


def _syntax_error(cursor: QueryParser, steps: Steps, piece: Piece) -> SqlError:
    token = cursor.token
    refuse_at(cursor.tokens, piece, cursor.at)
    foreign = foreign_statement(cursor.tokens, piece, cursor.at)
    if foreign is not None:
        return foreign
    if cursor.at == piece.first:
        meant = nearest(token.value, _STARTS) if token.kind is Kind.WORD else None
        return SqlError(
            f"expected a statement, found {spoken(token)}",
            span=token.span,
            hint=f'Did you mean "{meant}"?' if meant else None,
        )
    if cursor.tokens[piece.first].key == "SET" and cursor.at == piece.first + 1:
        return SqlError(
            f"expected a string in single quotes, found {spoken(token)}",
            span=token.span,
            hint="Key and value are quoted: SET 'key' = 'value'.",
        )
    if token.key in _STARTS and steps.may_take(END) and _on_its_own_line(cursor):
        return SqlError(
            f'expected ";" in front of {spoken(token)}, which begins another statement',
            span=token.span,
            hint="Put a semicolon between two statements.",
        )
    if cursor.at >= piece.last:
        end = piece.span.end
        return misspelt(Token(Kind.END, "", "", end, end), steps.expected())
    return cursor.unexpected(*steps.expected())
