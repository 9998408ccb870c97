"""The LALR parser of statements, fed leaf by leaf.

Its tables are made from `statements.lark` beforehand (`make_tables`) and hold, for each state, what
a symbol leads to: another state, or `-1 - n` for a reduction by rule n.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

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


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule: `size` values of the stack become one.

    Attributes:
        name: what the grammar calls it.
        size: how many values it takes.
        parts: the places of those that are kept; `~place` where the value is a list of parts.
        build: makes the value of them; None where they stay a list, for the rule around it.
        single: where there is one part, it is the value.
    """

    name: str
    size: int
    parts: tuple[int, ...]
    build: Callable[[list[Any]], Any] | None
    single: bool

    def value(self, values: list[Any]) -> Any:
        """The value of the rule over its values."""
        parts: list[Any] = []
        for place in self.parts:
            if place < 0:
                parts += values[~place]
            else:
                parts.append(values[place])
        if self.single and len(parts) == 1:
            return parts[0]
        return parts if self.build is None else self.build(parts)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the parser is driven by; `words` gives a word's or symbol's terminal."""

    states: list[dict[str, int]]
    rules: list[_Rule]
    words: dict[str, str]
    end: int


@cache
def _tables() -> _Tables:
    text = files("flowsql.sql").joinpath("statements.json").read_text(encoding="utf-8")
    read, builder = json.loads(text), StatementBuilder()
    rules = [
        _Rule(
            name,
            size,
            tuple(parts),
            None if name.startswith("_") or single else getattr(builder, name),
            bool(single),
        )
        for name, size, parts, single in read["rules"]
    ]
    return _Tables(read["states"], rules, read["words"], read["end"])


class Steps:
    """The LALR parser at one place in a statement."""

    def __init__(self) -> None:
        self._tables = _tables()
        self._states = [0]
        self._values: list[Any] = []
        self.terminals = self._tables.words

    def may_take(self, terminal: str) -> bool:
        """Whether this terminal may come next: what a pending reduction allows is tried out."""
        table, states = self._tables, self._states
        step = table.states[states[-1]].get(terminal)
        if step is None or step >= 0:
            return step is not None
        states = states.copy()
        while step is not None and step < 0:
            rule = table.rules[-1 - step]
            del states[len(states) - rule.size :]
            states.append(table.states[states[-1]][rule.name])
            if terminal == END and states[-1] == table.end:
                return True
            step = table.states[states[-1]].get(terminal)
        return step is not None

    def take(self, leaf: Leaf) -> Any:
        """Go on over `leaf`, which may come; the result behind the end."""
        table, states, values = self._tables, self._states, self._values
        while True:
            step = table.states[states[-1]][leaf.type]
            if step >= 0:
                states.append(step)
                values.append(leaf)
                return None
            rule = table.rules[-1 - step]
            first = len(values) - rule.size
            value = rule.value(values[first:])
            del states[first + 1 :], values[first:]
            states.append(table.states[states[-1]][rule.name])
            values.append(value)
            if leaf.type == END and states[-1] == table.end:
                return value

    def expected(self) -> list[str]:
        """What may come next, as errors call it."""
        names = {name: text for text, name in self.terminals.items()}
        choices = self._tables.states[self._states[-1]]
        may = [t for t in choices if t.isupper() and self.may_take(t)]
        words = sorted(names[t] for t in may if t in names)
        return (
            [_WORDS[t] for t in _WORDS if t in may and t != END]
            + words
            + ([_WORDS[END]] if END in may else [])
        )
