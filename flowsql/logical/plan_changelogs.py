"""Plan nodes that turn changes into rows, and rows into changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from flowsql.logical.plan import Unary
from flowsql.types import Field, VarCharType

__all__ = ["CHANGE_NAMES", "FromChangelog", "ToChangelog", "codes_text"]

CHANGE_NAMES = ("INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE")
"""What `op_mapping` calls the four kinds of change, by their numbers."""


def codes_text(pairs: Iterable[tuple[str | None, int]]) -> str:
    """Codes and kinds for people: `INSERT, DELETE as "d"`; a kind without a code is left out."""
    return ", ".join(
        CHANGE_NAMES[kind] if code == CHANGE_NAMES[kind] else f'{CHANGE_NAMES[kind]} as "{code}"'
        for code, kind in pairs
        if code is not None
    )


@dataclass(frozen=True, slots=True)
class ToChangelog(Unary):
    """TO_CHANGELOG: every change of the input is a row that says what it is.

    Gives the partition's columns, the code, the other columns. Every column of the input counts:
    one that is not read may be all that an update changes.

    Attributes:
        partition: PARTITION BY.
        op: name of the column with the code.
        codes: the code of each kind, by `CHANGE_NAMES`; None leaves such changes out.
        full_deletes: FALSE leaves DELETE rows nothing but the partition and the unique key; TRUE,
            unlike None, says that there are such rows.
    """

    partition: tuple[int, ...]
    op: str
    codes: tuple[str | None, ...] = CHANGE_NAMES
    full_deletes: bool | None = None

    @property
    def columns(self) -> tuple[int, ...]:
        """The input columns in the order in which they are given."""
        rest = (i for i in range(len(self.input.schema.fields)) if i not in self.partition)
        return (*self.partition, *rest)

    def _fields(self) -> tuple[Field, ...]:
        fields = self.input.schema.fields
        made = [fields[c] for c in self.columns]
        at = len(self.partition)
        if self.full_deletes is False:
            made[at:] = [replace(f, type=f.type.with_nullable(True)) for f in made[at:]]
        made.insert(at, Field(self.op, VarCharType()))
        return tuple(made)

    def __str__(self) -> str:
        names = self.input.schema.names
        parts = [f"partition=[{', '.join(names[c] for c in self.partition)}]"]
        parts = parts if self.partition else []
        shown = codes_text((c, i) for i, c in enumerate(self.codes))
        parts += [f"{self.op}=[{shown}]"]
        parts += [] if self.full_deletes is not False else ["deletes hold the key only"]
        return f"ToChangelog({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class FromChangelog(Unary):
    """FROM_CHANGELOG: every row of the input is a change, of the kind that its code says.

    Gives the partition's columns, then all others but the code.

    Attributes:
        partition: PARTITION BY.
        op: the column with the code.
        codes: code and kind, the number of a name in `CHANGE_NAMES`.
        skip: rows with another code, or none, are left out; else they are an error.
        upsert: an update replaces the row of its partition: old rows are not in the input.
    """

    partition: tuple[int, ...]
    op: int
    codes: tuple[tuple[str, int], ...]
    skip: bool = False
    upsert: bool = False

    @property
    def columns(self) -> tuple[int, ...]:
        """The input columns that are given, in order."""
        taken = {*self.partition, self.op}
        rest = (i for i in range(len(self.input.schema.fields)) if i not in taken)
        return (*self.partition, *rest)

    def _fields(self) -> tuple[Field, ...]:
        return tuple(self.input.schema.fields[c] for c in self.columns)

    def __str__(self) -> str:
        names = self.input.schema.names
        parts = [f"{names[self.op]}=[{codes_text(self.codes)}]"]
        if self.partition:
            parts.insert(0, f"partition=[{', '.join(names[c] for c in self.partition)}]")
        parts += ["upsert"] if self.upsert else []
        parts += ["skips other codes"] if self.skip else []
        return f"FromChangelog({', '.join(parts)})"
