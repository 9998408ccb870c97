"""Statements about functions that users write."""

from __future__ import annotations

from dataclasses import dataclass

from flowsql.errors import Span
from flowsql.sql.statements import Name, Statement

__all__ = ["AlterFunction", "CreateFunction", "DropFunction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFunction(Statement):
    """`CREATE [TEMPORARY [SYSTEM]] FUNCTION [IF NOT EXISTS] name AS 'module.name' LANGUAGE PYTHON`.

    `language` is PYTHON, JAVA or SCALA; Flink means JAVA where none is written.
    """

    name: Name
    place: str
    place_span: Span
    language: str = "JAVA"
    language_span: Span | None = None
    temporary: bool = False
    system: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterFunction(Statement):
    """`ALTER [TEMPORARY [SYSTEM]] FUNCTION [IF EXISTS] name AS 'module.name' LANGUAGE PYTHON`."""

    name: Name
    place: str
    place_span: Span
    language: str = "JAVA"
    language_span: Span | None = None
    temporary: bool = False
    system: bool = False
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFunction(Statement):
    """`DROP [TEMPORARY [SYSTEM]] FUNCTION [IF EXISTS] name`."""

    name: Name
    temporary: bool = False
    system: bool = False
    if_exists: bool = False
