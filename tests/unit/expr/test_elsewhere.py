"""Functions of other dialects."""

from __future__ import annotations

import re

import pytest

from flowsql.errors import SqlError
from flowsql.expr import bind_call, is_aggregate
from flowsql.expr.elsewhere import ELSEWHERE
from flowsql.expr.functions.catalogue import find_function

# Forms with a grammar of their own.
FORMS = {"CAST", "TRY_CAST", "EXTRACT", "POSITION", "FLOOR", "IS", "OR", "IN", "AS", "TO", "FROM"}
PARTS = {"DAY", "YEAR", "STRING", "INT", "DOUBLE", "DECIMAL", "NULL"}


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_there_is_no_such_function_but_what_is_named(name: str) -> None:
    """A cure that is refused in its turn would be worse than none."""
    assert not is_aggregate(name)
    with pytest.raises(SqlError) as caught:
        bind_call(name, [], None)
    assert caught.value.hint == f"Write {ELSEWHERE[name]}."
    for word in re.findall("[A-Z_]+", ELSEWHERE[name]):
        known = word in FORMS | PARTS or is_aggregate(word) or find_function(word)
        assert known, word
