"""The table of what DuckDB answers otherwise: every entry is true, cured, and needed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import duckdb
import pytest

from flowsql.types import RowType
from tests.property.queries.grammar import make_job
from tests.support.differences import DIFFERENCES
from tests.support.duck import duck_rows, duck_type
from tests.support.engine import Engine
from tests.support.fold import fold
from tests.support.rows import unordered

_SEEDS = 1000


def _ours(query: str) -> tuple[RowType, Counter[Any]]:
    engine = Engine(config={"execution.runtime-mode": "batch"})
    answer = engine.select(query, ())
    return answer.schema, fold((kind, row) for _, kind, row in answer.changes)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_duckdb_answers_otherwise(name: str) -> None:
    """Without the cure DuckDB gives other rows, other types, or an error."""
    known = DIFFERENCES[name]
    schema, ours = _ours(known.sample)
    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            given = connection.execute(known.naive).fetchall()
        except duckdb.Error:
            return
        types = [row[1] for row in connection.execute(f"DESCRIBE {known.naive}").fetchall()]
        wanted = ", ".join(f"NULL::{duck_type(f.type)}" for f in schema.fields)
        ours_are = [row[1] for row in connection.execute(f"DESCRIBE SELECT {wanted}").fetchall()]
    same_types = types == ours_are
    plain = Counter({tuple(_plain(v) for v in row): count for row, count in ours.items()})
    assert not same_types or Counter(tuple(_plain(v) for v in row) for row in given) != plain


def _plain(value: Any) -> Any:
    """A number as Python compares it: −0.0 is 0.0; a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, float) else value


@pytest.mark.parametrize("name", [n for n, known in DIFFERENCES.items() if known.cured is not None])
def test_the_cure_brings_both_together(name: str) -> None:
    """As it is written for DuckDB, the sample has our rows."""
    known = DIFFERENCES[name]
    schema, ours = _ours(known.sample)
    assert known.cured is not None
    theirs = duck_rows(known.cured, {}, {}, schema)
    assert _unordered(theirs, schema) == _unordered(ours, schema)


def _unordered(rows: Counter[Any], schema: RowType) -> Counter[Any]:
    return Counter(unordered(row, schema) for row in rows.elements())


def test_every_difference_is_needed() -> None:
    """Generated queries go by each entry whose cure is not to generate it, and by no other."""
    used: set[str] = set()
    for seed in range(_SEEDS):
        for query in make_job(seed):
            used |= query.uses
    assert used == {name for name, known in DIFFERENCES.items() if known.generated}
