"""What became of a case, and how rows are compared by their texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flowsql.types import RowType
from tests.cases.decode import normal_text, same_text
from tests.support.engine import Change
from tests.support.fold import fold
from tests.support.javatext import row_text

__all__ = ["AGREE", "Verdict", "Word", "compare", "flat", "folded", "texts", "wrong"]


class Word(Enum):
    """The verdict in one word."""

    AGREE = "agree"
    WRONG = "wrong"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case; `why` is empty where we agree."""

    word: Word
    why: str = ""


AGREE = Verdict(Word.AGREE)


def wrong(what: str, expected: object, actual: object) -> Verdict:
    """Wrong rows, with both sides."""
    return Verdict(Word.WRONG, f"{what}\n    Flink:   {expected}\n    flowsql: {actual}")


def texts(rows: Counter[Any], schema: RowType) -> list[str]:
    """The rows as Flink writes them."""
    return [normal_text(row_text(r, schema)) for r, n in rows.items() for _ in range(n)]


def flat(text: str) -> str:
    """`+I[a, b]` or `+I(a,b)` as the records of streams write it: `a,b`."""
    bare = re.sub(r"^[+-][IUD]", "", text)
    if bare != text and (bare[:1], bare[-1:]) in (("[", "]"), ("(", ")")):
        bare = bare[1:-1]
    return bare.replace(", ", ",")


def compare(expected: Iterable[str], actual: Iterable[str]) -> Verdict:
    """Two multisets of row texts."""
    missing, extra = Counter(expected), Counter(actual)
    missing, extra = missing - extra, extra - missing
    left = sorted(extra.elements())
    for text in sorted(missing.elements()):
        near = next((other for other in left if same_text(text, other)), None)
        if near is not None:
            left.remove(near)
            missing[text] -= 1
    wanted = sorted(missing.elements())
    return AGREE if not wanted and not left else wrong("rows", wanted[:8], left[:8])


def folded(changes: Sequence[Change]) -> Counter[Any]:
    """The table after these changes."""
    return fold((kind, row) for _, kind, row in changes)
