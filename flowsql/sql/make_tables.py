"""Makes `statements.json`, the parser's tables, out of `statements.lark`: `make grammar`.

Lark reads a grammar and works its tables out in some 80 ms, as long as much else of a short run.
So it does that here, once, and what is installed holds the tables and needs no lark. States are
numbered by a walk from the first one: the same grammar gives the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lark import Lark
from lark.lexer import Lexer, LexerState
from lark.parsers.lalr_analysis import Shift

__all__ = ["GRAMMAR", "TABLES", "made_from", "tables"]

GRAMMAR = Path(__file__).with_name("statements.lark")
TABLES = Path(__file__).with_name("statements.json")


class _NoLexer(Lexer):
    """Lark must have one; only its tables are wanted."""

    def __init__(self, lexer_conf: Any) -> None:
        pass

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Any]:
        """Never asked."""
        raise NotImplementedError


def made_from(grammar: str) -> str:
    """What the tables note of the grammar that they were made from."""
    return hashlib.sha256(grammar.encode()).hexdigest()


def tables(grammar: str) -> str:
    """The file's text: JSON as `flowsql.sql.lalr` reads it."""
    lark = Lark(grammar, parser="lalr", lexer=_NoLexer)
    table = lark.parser.parser._parse_table  # noqa: SLF001 - its own writer numbers by chance
    numbers = _numbered(table)
    rules = {rule: at for at, rule in enumerate(lark.rules)}
    states = [
        {
            symbol: numbers[to] if action is Shift else -1 - rules[to]
            for symbol, (action, to) in sorted(table.states[state].items())
        }
        for state in numbers
    ]
    whole = {
        "grammar": made_from(grammar),
        "end": numbers[table.end_states["start"]],
        "words": {t.pattern.value: t.name for t in lark.terminals if t.pattern is not None},
        "rules": [_rule(rule) for rule in lark.rules],
        "states": states,
    }
    lines = (f"{json.dumps(key)}: {_lines(value)}" for key, value in whole.items())
    return "{" + ",\n".join(lines) + "}\n"


def _lines(value: Any) -> str:
    """A list with a line for each entry, so that changes can be read; all else as it is."""
    if not isinstance(value, list):
        return json.dumps(value, sort_keys=True)
    return "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in value) + "\n]"


def _numbered(table: Any) -> dict[Any, int]:
    """The states in the order in which a walk from the first one meets them."""
    numbers = {table.start_states["start"]: 0}
    for state in (waiting := list(numbers)):
        for _, (action, to) in sorted(table.states[state].items(), key=lambda item: item[0]):
            if action is Shift and to not in numbers:
                numbers[to] = len(numbers)
                waiting.append(to)
    return numbers


def _rule(rule: Any) -> list[Any]:
    """Its name, its length, what its value is made of, and whether one part stands for it.

    A part is its place; a place with its bits turned (`~place`) holds a list of parts.
    """
    kept = rule.options.keep_all_tokens
    parts = [
        ~place if not symbol.is_term and symbol.name.startswith("_") else place
        for place, symbol in enumerate(rule.expansion)
        if kept or not (symbol.is_term and symbol.filter_out)
    ]
    return [rule.origin.name, len(rule.expansion), parts, int(rule.options.expand1)]


if __name__ == "__main__":
    TABLES.write_text(tables(GRAMMAR.read_text(encoding="utf-8")), encoding="utf-8")
