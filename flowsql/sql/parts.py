"""What the rules of the grammar hand to each other: tokens, and parts of statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from flowsql.errors import Span

__all__ = ["END", "NOWHERE", "Leaf", "Parts", "Rule", "leaf", "must", "one", "value"]

T = TypeVar("T")
Parts = list[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A token as the grammar sees it: `type` names the terminal, `value` is what was read."""

    type: str
    value: Any
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is only a part of others."""

    rule: str
    value: Any
    span: Span


NOWHERE = Span(0, 0)
END = "$END"


def one(parts: Parts, kind: type[T]) -> T | None:
    """The first part of this class, or None."""
    return next((p for p in parts if isinstance(p, kind)), None)


def must(parts: Parts, kind: type[T]) -> T:
    """The first part of this class, which there is."""
    return next(p for p in parts if isinstance(p, kind))


def leaf(parts: Parts, terminal: str) -> Leaf:
    """The first token of this terminal, which there is."""
    return next(p for p in parts if isinstance(p, Leaf) and p.type == terminal)


def value(parts: Parts, rule: str) -> Any:
    """The value of the first part that was this rule, or None."""
    return next((p.value for p in parts if isinstance(p, Rule) and p.rule == rule), None)
