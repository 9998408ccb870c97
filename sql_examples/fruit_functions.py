"""Functions that 11_python_function.sql calls."""

from __future__ import annotations

import flowsql


@flowsql.udf
def plural(noun: str, amount: int) -> str:
    """The noun as it stands behind a number."""
    if amount == 1:
        return noun
    return noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
