"""The table functions there are: what stands behind FROM and gives a table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TableFunction", "all_table_functions", "is_table_function"]


@dataclass(frozen=True, slots=True)
class TableFunction:
    """A function that stands behind FROM.

    Attributes:
        name: upper case.
        signature: how it is called; what stands in square brackets may be left out.
        doc: one sentence for the reference.
    """

    name: str
    signature: str
    doc: str


_FUNCTIONS = {
    f.name: f
    for f in (
        TableFunction(
            "FROM_CHANGELOG",
            "FROM_CHANGELOG(input => TABLE t [PARTITION BY k] [, op => DESCRIPTOR(column)] "
            "[, op_mapping => MAP['code, code', 'INSERT', …]] [, error_handling => 'FAIL'|'SKIP'])",
            "Every row is the change of a table that its op code says.",
        ),
        TableFunction(
            "TO_CHANGELOG",
            "TO_CHANGELOG(input => TABLE t [PARTITION BY k] [, op => DESCRIPTOR(column)] "
            "[, op_mapping => MAP['INSERT, UPDATE_AFTER', 'code', …]] "
            "[, produces_full_deletes => TRUE|FALSE])",
            "Every change of a table is a row with an op code that says which.",
        ),
        TableFunction(
            "TUMBLE",
            "TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(time), SIZE => <INTERVAL> "
            "[, OFFSET => <INTERVAL>])",
            "The rows with the window of fixed size that their time falls into.",
        ),
    )
}


def all_table_functions() -> tuple[TableFunction, ...]:
    """Every table function, by name."""
    return tuple(_FUNCTIONS.values())


def is_table_function(name: str) -> bool:
    """Whether `name`, in any case, is a table function that is there."""
    return name.upper() in _FUNCTIONS
