"""Lark's LALR parser over `statements.lark`, fed leaf by leaf.

Importing this loads lark, and the first grammar takes some 50 ms to build: a script of nothing but
queries never does either.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer, LexerState
from lark.parsers.lalr_analysis import Shift

from flowsql.errors import Span
from flowsql.sql.parts import END, Leaf
from flowsql.sql.transformer import StatementBuilder

__all__ = ["Steps"]

_WORDS = {
    "IDENTIFIER": "a name",
    "STRING": "a string in single quotes",
    "NUMBER": "a number",
    "HINTS": "a hint",
    "TYPE": "a data type",
    "EXPRESSION": "an expression",
    "QUERY": "a query",
    END: "the end of the statement",
}


class _NoLexer(Lexer):
    """Lark must have one; the tokens are fed by hand."""

    def __init__(self, lexer_conf: Any) -> None:
        pass

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Any]:
        """Never asked."""
        raise NotImplementedError


@cache
def _grammar() -> tuple[Lark, dict[str, str]]:
    """The grammar and, for each word and symbol in it, the terminal's name."""
    text = files("flowsql.sql").joinpath("statements.lark").read_text(encoding="utf-8")
    lark = Lark(text, parser="lalr", lexer=_NoLexer, transformer=StatementBuilder())
    return lark, {t.pattern.value: t.name for t in lark.terminals if t.pattern is not None}


class Steps:
    """The LALR parser at one place in a statement."""

    def __init__(self) -> None:
        lark, self.terminals = _grammar()
        self.parser: Any = lark.parse_interactive()

    def may_take(self, terminal: str) -> bool:
        """Whether this terminal may come next: what a pending reduction allows is tried out."""
        step = self.parser.choices().get(terminal)
        if step is None:
            return False
        if step[0] is Shift:
            return True
        trial = self.parser.parser_state.copy(deepcopy_values=False)
        trial.parse_conf = copy(trial.parse_conf)
        trial.parse_conf.callbacks = {}
        try:
            trial.feed_token(Leaf(terminal, "", Span(0, 0)), is_end=terminal == END)
        except UnexpectedToken:
            return False
        return True

    def take(self, leaf: Leaf) -> Any:
        """Go on over `leaf`, which may come; the result behind the end."""
        return self.parser.feed_token(leaf)

    def expected(self) -> list[str]:
        """What may come next, as errors call it."""
        names = {name: text for text, name in self.terminals.items()}
        may = [t for t in self.parser.choices() if t.isupper() and self.may_take(t)]
        words = sorted(names[t] for t in may if t in names)
        return (
            [_WORDS[t] for t in _WORDS if t in may and t != END]
            + words
            + ([_WORDS[END]] if END in may else [])
        )
