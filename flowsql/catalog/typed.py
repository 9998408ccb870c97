"""Errors of a table that was stated anew, shown in the statement that was typed.

`ALTER TABLE t ADD c AS nope` fails in the text of the whole table as it would be declared, which
the user never saw. Each piece of that text that was typed is shown where it was typed; the rest at
the changed column that it reads, or at what the statement changes, with the line of the text as a
detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from flowsql.errors import FlowSQLError, Span
from flowsql.sql import (
    AddParts,
    AlterTable,
    ComputedColumn,
    CreateTable,
    Distribution,
    ModifyParts,
    PlacedColumn,
    PrimaryKey,
    Watermark,
    parse_statement,
)
from flowsql.sql.dialect import span_of
from flowsql.sql.statements import Column

__all__ = ["shown_as_typed"]

_Part = Column | PrimaryKey | Watermark | Distribution
# What a piece is, and whose: ("column", "c"), ("expression", "c"), ("key", "c") …
_Piece = tuple[str, str]


@contextmanager
def shown_as_typed(statement: AlterTable | CreateTable, script: str) -> Iterator[None]:
    """Errors that come out of the block and show another text show the statement in `script`."""
    try:
        yield
    except FlowSQLError as error:
        typed = dict(_pieces(_parts(statement)))
        for part in (error, *error.more):
            if part.sql not in (None, script) and part.file is None:
                _move(part, typed, _changed(statement), script)
        raise


def _move(error: FlowSQLError, typed: dict[_Piece, Span], otherwise: Span, script: str) -> None:
    text, at = error.sql, error.span
    assert text is not None
    error.sql, error.span = script, otherwise
    if at is None:
        return
    # A key of unknown columns is no statement at all.
    error.span = typed.get(("key", text[at.start : at.end].strip("`")), otherwise)
    with suppress(FlowSQLError):
        _place(error, text, at, typed)


def _place(error: FlowSQLError, text: str, at: Span, typed: dict[_Piece, Span]) -> None:
    stated, script = parse_statement(text), error.sql
    assert isinstance(stated, CreateTable)
    assert script is not None
    for piece, span in _pieces(_parts(stated)):
        if span.start <= at.start and at.end <= span.end and piece in typed:
            there = typed[piece]
            same = text[span.start : span.end] == script[there.start : there.end]
            error.span = at.shifted(there.start - span.start) if same else there
            return
    begin, end = text.rfind("\n", 0, at.start) + 1, text.find("\n", at.end)
    line = text[begin:end].strip().removesuffix(",")
    error.detail = error.detail or f"The table would have {line}."
    words = set(re.findall(r"\w+", line))
    read = [span for (kind, name), span in typed.items() if kind == "column" and name in words]
    if len(read) == 1:
        (error.span,) = read


def _parts(statement: AlterTable | CreateTable) -> Iterable[_Part]:
    if isinstance(statement, CreateTable):
        found = (statement.primary_key, statement.watermark, statement.distribution)
        return (*statement.columns, *(part for part in found if part is not None))
    parts: list[_Part] = []
    if isinstance(statement.alteration, AddParts | ModifyParts):
        for part in statement.alteration.parts:
            if not isinstance(part, PlacedColumn):
                parts.append(part)
                continue
            parts.append(part.column)
            if part.key is not None:
                parts.append(part.key)
    return parts


def _pieces(parts: Iterable[_Part]) -> Iterator[tuple[_Piece, Span]]:
    for part in parts:
        match part:
            case PrimaryKey() | Distribution():
                kind = "key" if isinstance(part, PrimaryKey) else "distribution"
                yield from (((kind, str(c)), c.span) for c in part.columns)
            case Watermark():
                yield ("watermark", str(part.column)), part.column.span
                yield ("time", ""), span_of(part.expression)
            case ComputedColumn():
                yield ("column", str(part.name)), part.name.span
                yield ("expression", str(part.name)), span_of(part.expression)
            case _:
                yield ("column", str(part.name)), part.name.span


def _changed(statement: AlterTable | CreateTable) -> Span:
    """What the statement changes, where it is one thing; else the table's name."""
    spans = [span for _, span in _pieces(_parts(statement))]
    alone = isinstance(statement, AlterTable) and len(spans) == 1
    return spans[0] if alone else statement.name.span
