"""The physical columns of a list of DDL pieces (`"a INT"`, `"ts AS …"`, `"PRIMARY KEY …"`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flowsql.types import Field, RowType
from flowsql.types.parser import parse_type_prefix

__all__ = ["metadata_columns", "physical_columns", "primary_key", "split_pieces"]

_NAME = re.compile(r"\s*(?:`((?:[^`]|``)*)`|([A-Za-z_$][\w$]*))\s+")
_CONSTRAINT = re.compile(r"\s*(WATERMARK\s+FOR|PRIMARY\s+KEY|CONSTRAINT|UNIQUE)\b", re.IGNORECASE)
_KEY = re.compile(r"PRIMARY\s+KEY\s*\(([^)]*)\)", re.IGNORECASE)
_COLUMN_KEY = re.compile(r"\bPRIMARY\s+KEY\b", re.IGNORECASE)


def _name(piece: str) -> tuple[str, int]:
    match = _NAME.match(piece)
    if match is None:
        raise ValueError(f"no column name in {piece!r}")
    return (match[1].replace("``", "`") if match[1] is not None else match[2]), match.end()


def split_pieces(pieces: Sequence[str]) -> list[str]:
    """One piece a column or constraint, however they were grouped."""
    split: list[str] = []
    for piece in pieces:
        depth, begin, quote = 0, 0, ""
        for at, char in enumerate(piece):
            if quote:
                quote = "" if char == quote else quote
            elif char in "'`":
                quote = char
            elif char in "(<":
                depth += 1
            elif char in ")>":
                depth -= 1
            elif char == "," and depth == 0:
                split.append(piece[begin:at].strip())
                begin = at + 1
        split.append(piece[begin:].strip())
    return [piece for piece in split if piece]


def physical_columns(pieces: Sequence[str]) -> RowType:
    """The row that a source of this table gives; computed and metadata columns are left out."""
    fields = []
    for piece in split_pieces(pieces):
        if _CONSTRAINT.match(piece):
            continue
        name, at = _name(piece)
        if re.match(r"AS\b", piece[at:], re.IGNORECASE):
            continue
        kind, end = parse_type_prefix(piece, at)
        if re.search(r"\bMETADATA\b", piece[end:], re.IGNORECASE):
            continue
        fields.append(Field(name, kind))
    return RowType(tuple(fields), nullable=False)


def metadata_columns(declared: str) -> RowType:
    """The metadata that a connector of Flink's tests declares: `ts:TIMESTAMP(3), c:STRING`."""
    fields = []
    for piece in split_pieces([declared]):
        key, _, kind = piece.partition(":")
        fields.append(Field(key.strip(), parse_type_prefix(kind, 0)[0]))
    return RowType(tuple(fields), nullable=False)


def primary_key(pieces: Sequence[str]) -> tuple[str, ...]:
    """Names of the key's columns, empty where there is none."""
    for piece in split_pieces(pieces):
        if _CONSTRAINT.match(piece):
            match = _KEY.search(piece)
            if match:
                return tuple(part.strip().strip("`") for part in match[1].split(","))
        elif _COLUMN_KEY.search(piece):
            return (_name(piece)[0],)
    return ()
