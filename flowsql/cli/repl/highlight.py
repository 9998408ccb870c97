"""Colours for SQL as it is typed, by the same tokens that are run."""

from __future__ import annotations

from flowsql.errors import SqlError
from flowsql.sql.keywords import CLAUSES, NO_FUNCTION, RESERVED
from flowsql.sql.tokens import Kind, Token, tokenize

__all__ = ["KEYWORDS", "parts"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of statements that may also be names, and those of the shell.
_LOOSE = _words(
    """
    ADD AFTER CASCADE CATALOG CHANGELOG_MODE COLUMNS CONFLICT CONSTRAINT DATABASE ENFORCED
    ESTIMATED_COST EXCLUDING EXPLAIN FIRST GENERATED IF INCLUDING JAR JOB JOBS JSON_EXECUTION_PLAN KEY
    LAST METADATA OPTIONS ORDINALITY OVERWRITE OVERWRITING PARTITIONED PARTITIONS PLAN PLAN_ADVICE
    PYTHON RENAME REPLACE SETS STOP TEMPORARY TIES TYPE VIEW VIRTUAL CLEAR EXIT HELP QUIT SOURCE
    """
)
KEYWORDS = RESERVED | frozenset(CLAUSES) | _LOOSE

# What may stand before a bracket without being called.
_TYPES = _words(
    """
    CHAR VARCHAR BINARY VARBINARY BYTES DECIMAL DEC NUMERIC TIME TIMESTAMP TIMESTAMP_LTZ ROW ARRAY MAP
    MULTISET KEY OPTIONS FILTER WITHIN
    """
)
_STYLES = {
    Kind.STRING: "class:string",
    Kind.BINARY: "class:string",
    Kind.NUMBER: "class:number",
    Kind.QUOTED: "class:name",
    Kind.HINT: "class:comment",
}


def parts(text: str) -> list[tuple[str, str]]:
    """The text in pieces, each with its style; together they are the text.

    A string or comment that is still open has its colour to the end.
    """
    rest = len(text)
    try:
        tokens = tokenize(text)
    except SqlError as error:
        rest = error.span.start if error.span is not None else 0
        tokens = tokenize(text[:rest])
    found: list[tuple[str, str]] = []
    at = 0
    for number, token in enumerate(tokens):
        if token.kind is Kind.END:
            break
        found += _between(text[at : token.start])
        following = tokens[number + 1]
        found.append((_style(token, following), text[token.start : token.end]))
        at = token.end
    found += _between(text[at:rest])
    if rest < len(text):
        found.append((_open_style(text, rest), text[rest:]))
    return found


def _between(text: str) -> list[tuple[str, str]]:
    """Blanks and comments."""
    return [("" if text.isspace() else "class:comment", text)] if text else []


def _style(token: Token, following: Token) -> str:
    if token.kind is Kind.WORD:
        if following.key == "(" and token.key not in NO_FUNCTION | _TYPES:
            return "class:function"
        return "class:keyword" if token.key in KEYWORDS else ""
    return _STYLES.get(token.kind, "")


def _open_style(text: str, at: int) -> str:
    if text.startswith("/*", at):
        return "class:comment"
    return {"'": "class:string", "`": "class:name"}.get(text[at], "class:error")
