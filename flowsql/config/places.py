"""Where the options of a table stand in the text that declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from flowsql.errors import FlowSQLError, Span

__all__ = ["OptionPlaces"]

_E = TypeVar("_E", bound=FlowSQLError)


@dataclass(frozen=True, slots=True)
class OptionPlaces:
    """Shows errors where the wrong option is written.

    Attributes:
        text: that the spans point into.
        spans: key → from the beginning of the key to the end of the value.
    """

    text: str = ""
    spans: Mapping[str, Span] = field(default_factory=dict)

    def without(self, keys: Mapping[str, str]) -> OptionPlaces:
        """The places of the other options: these are overridden elsewhere."""
        if not keys:
            return self
        return OptionPlaces(self.text, {k: s for k, s in self.spans.items() if k not in keys})

    def mark(self, error: _E) -> _E:
        """The error, shown at its option where that is known and it is not shown anywhere yet."""
        parts: tuple[FlowSQLError, ...] = (error, *error.more)
        for part in parts:
            span = self.spans.get(part.option or "")
            if span is not None and part.sql is None:
                part.span, part.sql = span, self.text
        return error
