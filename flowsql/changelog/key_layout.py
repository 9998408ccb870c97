"""Where the words of a key's normal form stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from flowsql.types import (
    ArrayType,
    BinaryType,
    BitmapType,
    BooleanType,
    CharType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    VarBinaryType,
    VarCharType,
    VariantType,
)

__all__ = ["NULL_COLUMNS", "KeyLayout", "Leaf", "LeafKind", "text_leaves", "top_leaves"]

NULL_COLUMNS: Final = 64  # leaves to a word of NULL bits


class LeafKind(Enum):
    """How one column becomes words."""

    NULL = "null"  # no words
    BOOL = "bool"
    FIXED = "fixed"
    FLOAT = "float"
    DECIMAL_SHORT = "decimal-short"
    DECIMAL_LONG = "decimal-long"
    TEXT = "text"
    NESTED = "nested"  # canonical bytes
    STRUCT = "struct"  # only its NULL bit


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of the flattened key.

    Attributes:
        kind: how it is stored.
        type: its Flink type.
        word: index of its first word; meaningless for NULL and STRUCT.
        text: index among the TEXT and NESTED leaves, else −1.
    """

    kind: LeafKind
    type: DataType
    word: int
    text: int


class KeyLayout:
    """Where the words of a key of given types stand; made once a type list.

    Attributes:
        types: the key's column types.
        leaves: flattened columns in pre-order; leaf i has NULL bit i.
        words: number of words, without the first NULL word.
        texts: number of TEXT and NESTED leaves.
    """

    __slots__ = ("leaves", "null_words", "texts", "types", "words")

    def __init__(self, types: tuple[DataType, ...]) -> None:
        self.types = types
        self.leaves: list[Leaf] = []
        self.words = 0
        self.texts = 0
        for data_type in types:
            self._add(data_type)
        # NULL bits of leaves 64 and up live in ordinary words behind the values.
        self.null_words = self.words
        self.words += max(0, len(self.leaves) - 1) // NULL_COLUMNS

    @staticmethod
    def of(types: Sequence[DataType]) -> KeyLayout:
        """The layout of these types, cached."""
        return _layout(tuple(types))

    def _add(self, data_type: DataType) -> None:
        kind = _kind(data_type)
        width = _WIDTH[kind]
        is_text = kind in (LeafKind.TEXT, LeafKind.NESTED)
        self.leaves.append(Leaf(kind, data_type, self.words, self.texts if is_text else -1))
        self.words += width
        self.texts += is_text
        if isinstance(data_type, RowType):
            for field in data_type.fields:
                self._add(field.type)


@lru_cache(maxsize=1024)
def _layout(types: tuple[DataType, ...]) -> KeyLayout:
    return KeyLayout(types)


_WIDTH: Final = {
    LeafKind.NULL: 0,
    LeafKind.BOOL: 1,
    LeafKind.FIXED: 1,
    LeafKind.FLOAT: 1,
    LeafKind.DECIMAL_SHORT: 1,
    LeafKind.DECIMAL_LONG: 2,
    LeafKind.TEXT: 2,
    LeafKind.NESTED: 2,
    LeafKind.STRUCT: 0,
}


def _kind(data_type: DataType) -> LeafKind:
    match data_type:
        case NullType():
            return LeafKind.NULL
        case BooleanType():
            return LeafKind.BOOL
        case FloatType() | DoubleType():
            return LeafKind.FLOAT
        case DecimalType(precision=p):
            return LeafKind.DECIMAL_SHORT if p <= 18 else LeafKind.DECIMAL_LONG
        case CharType() | VarCharType() | BinaryType() | VarBinaryType():
            return LeafKind.TEXT
        case BitmapType() | VariantType():
            return LeafKind.TEXT
        case RowType():
            return LeafKind.STRUCT
        case ArrayType() | MapType() | MultisetType():
            return LeafKind.NESTED
        case _:
            return LeafKind.FIXED


def top_leaves(layout: KeyLayout) -> list[int]:
    """Numbers of the leaves that are whole columns."""
    tops, at = [], 0
    for data_type in layout.types:
        tops.append(at)
        at += _leaf_count(data_type)
    return tops


def _leaf_count(data_type: DataType) -> int:
    if isinstance(data_type, RowType):
        return 1 + sum(_leaf_count(f.type) for f in data_type.fields)
    return 1


def text_leaves(layout: KeyLayout) -> list[Leaf]:
    """The TEXT and NESTED leaves, in order."""
    return [leaf for leaf in layout.leaves if leaf.text >= 0]
