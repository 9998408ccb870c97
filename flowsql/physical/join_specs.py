"""The specs of operators that compare two inputs; see `specs.py`, which hands them on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowsql.changelog import ChangelogMode
from flowsql.expr.nodes import Expression
from flowsql.physical.spec import Spec

__all__ = [
    "Join",
    "JoinKind",
    "JoinSide",
    "SemiJoin",
    "SetKind",
    "SetOperation",
    "SideLayout",
]


class JoinKind(Enum):
    """Which side's rows are preserved."""

    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"


class SideLayout(Enum):
    """How a join side's rows are kept (DESIGN 3), chosen by the planner.

    KEY_IS_UNIQUE: the join key holds the unique key: one row a slot.
    HAS_UNIQUE_KEY: rows are found by their unique key.
    NO_UNIQUE_KEY: rows are found by their whole content, with a weight.
    """

    KEY_IS_UNIQUE = "join key is unique"
    HAS_UNIQUE_KEY = "has unique key"
    NO_UNIQUE_KEY = "no unique key"


@dataclass(frozen=True, slots=True)
class JoinSide:
    """One side of a join.

    Attributes:
        keys: equality columns, pairwise with the other side's.
        columns: columns that are given, or read by the condition; the only ones stored beside
            the unique key.
        layout: how the rows are kept.
        unique_key: columns of the unique key; empty for NO_UNIQUE_KEY.
        mode: APPEND or RETRACT.
        ttl: of a row.
    """

    keys: tuple[int, ...]
    columns: tuple[int, ...]
    layout: SideLayout
    unique_key: tuple[int, ...]
    mode: ChangelogMode
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Join(Spec):
    """Equi-join of two updating inputs (ports 0 and 1).

    Output: `left.columns`, then `right.columns`. An inner join of APPEND sides is APPEND.

    Attributes:
        kind: INNER, LEFT, RIGHT, FULL.
        left, right: the sides.
        null_safe: for each key pair, whether NULL matches NULL (`IS NOT DISTINCT FROM`).
        condition: over the output row, or None; a pair counts as a match only where TRUE.
    """

    kind: JoinKind
    left: JoinSide
    right: JoinSide
    null_safe: tuple[bool, ...]
    condition: Expression | None = None

    @property
    def ages(self) -> bool:
        """Whether a side forgets rows with time."""
        return self.left.ttl > 0 or self.right.ttl > 0


@dataclass(frozen=True, slots=True)
class SemiJoin(Spec):
    """Rows of the left input that have (IN, EXISTS), or have no (NOT IN, NOT EXISTS), match.

    Output: `left.columns`, each left row as often as it comes; APPEND if it is no anti join and both
    sides are APPEND, else RETRACT; unique keys are the left input's.

    Attributes:
        anti: rows without a match.
        left, right: the sides; keys may be empty. `columns` of the right side are those that the
            condition reads, and empty without one: then, unless a side has a `ttl`, nothing but
            the number of rows by key is kept of that side, and its layout counts for nothing.
        null_safe: for each key pair, whether NULL matches NULL.
        condition: over `left.columns`, then `right.columns`; a pair is a match only where TRUE.
        null_aware: `left.key NOT IN (SELECT right.key …)` with NULL as SQL has it: where the right
            side has no row every left row is given, where it holds a NULL none, and a left row
            with a NULL key is given only where the right side has no row. For an anti join with one
            key, that is not null-safe, and no condition, whose sides have no `ttl`. Not needed where neither key is nullable.
    """

    anti: bool
    left: JoinSide
    right: JoinSide
    null_safe: tuple[bool, ...]
    condition: Expression | None = None
    null_aware: bool = False

    @property
    def keeps_right(self) -> bool:
        """Whether the right side's rows are kept, not only their number by key."""
        return self.condition is not None or self.left.ttl > 0 or self.right.ttl > 0


class SetKind(Enum):
    """How two inputs are compared, row by row; NULL equals NULL."""

    INTERSECT = "intersect"
    EXCEPT = "except"


@dataclass(frozen=True, slots=True)
class SetOperation(Spec):
    """INTERSECT [ALL] and EXCEPT [ALL] of two inputs with equal types (ports 0 and 1).

    Output: the rows under the left input's names; APPEND for an INTERSECT [ALL] of APPEND inputs,
    else RETRACT. Without ALL the whole row is a unique key.

    Attributes:
        kind: which.
        all: with l and r equal rows on the sides, INTERSECT ALL gives min(l, r), EXCEPT ALL
            max(l − r, 0); without ALL a row is given once or not at all.
        left_mode: APPEND or RETRACT.
        right_mode: the same.
        ttl: of a row, on both sides together.
    """

    kind: SetKind
    all: bool
    left_mode: ChangelogMode
    right_mode: ChangelogMode
    ttl: int = 0
