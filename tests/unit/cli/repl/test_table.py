"""The table that changes make."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE, Changes
from flowsql.cli.repl.table import LiveTable
from flowsql.errors import ConfigError
from flowsql.types import BigIntType, Field, RowType, VarCharType

SCHEMA = RowType((Field("k", BigIntType()), Field("v", VarCharType())), nullable=False)

Row = tuple[int | None, str | None]


def changes(*rows: tuple[int, Row]) -> Changes:
    """Rows with their kinds."""
    batch = pa.record_batch(
        {
            "k": pa.array([row[0] for _, row in rows], pa.int64()),
            "v": pa.array([row[1] for _, row in rows], pa.string()),
        }
    )
    return Changes(batch, np.array([code for code, _ in rows], np.int8))


def shown(table: LiveTable) -> list[Row]:
    """The rows after `settle`."""
    return [tuple(row.values()) for row in table.settle().to_pylist()]


def test_an_updated_row_stays_in_its_place() -> None:
    """Also over several updates in one look; new rows go to the end."""
    table = LiveTable(SCHEMA, append=False, limit=100)
    table.add(changes(*((INSERT, (k, "a")) for k in (1, 2, 3))))
    assert shown(table) == [(1, "a"), (2, "a"), (3, "a")]
    table.add(changes((UPDATE_BEFORE, (2, "a")), (UPDATE_AFTER, (2, "b")), (INSERT, (4, "a"))))
    table.add(changes((UPDATE_BEFORE, (2, "b")), (UPDATE_AFTER, (2, "c")), (DELETE, (1, "a"))))
    assert shown(table) == [(2, "c"), (3, "a"), (4, "a")]
    assert table.received == 9


def test_equal_rows_and_null() -> None:
    """Each counts; one that goes takes one with it."""
    table = LiveTable(SCHEMA, append=False, limit=100)
    table.add(changes(*[(INSERT, (None, None))] * 3, (DELETE, (None, None))))
    assert shown(table) == [(None, None)] * 2


def test_whatever_comes_the_rows_are_those_of_the_changes() -> None:
    """However often somebody looks in between."""
    seed = random.Random(7)
    table, held = LiveTable(SCHEMA, append=False, limit=1000), Counter[Row]()
    for _ in range(60):
        some: list[tuple[int, Row]] = []
        for _ in range(seed.randrange(8)):
            row: Row = (seed.randrange(4), seed.choice("ab"))
            live = list(held.elements())
            if live and seed.random() < 0.6:
                old = seed.choice(live)
                held[old] -= 1
                if seed.random() < 0.5:
                    some.append((DELETE, old))
                    continue
                held[row] += 1
                some += [(UPDATE_BEFORE, old), (UPDATE_AFTER, row)]
            else:
                held[row] += 1
                some.append((INSERT, row))
        if some:
            table.add(changes(*some))
        if seed.random() < 0.5:
            assert Counter(shown(table)) == +held
    assert Counter(shown(table)) == +held


def test_too_many_rows() -> None:
    """The oldest go where nothing is taken back; elsewhere the table would be wrong."""
    table = LiveTable(SCHEMA, append=True, limit=2)
    rows = changes(*((INSERT, (k, "a")) for k in (1, 2, 3)))
    table.add(Changes(rows.batch))
    assert shown(table) == [(2, "a"), (3, "a")]
    assert table.dropped == 1
    table = LiveTable(SCHEMA, append=False, limit=2)
    table.add(rows)
    with pytest.raises(ConfigError, match="the result has more than 2 rows") as raised:
        table.settle()
    assert "sql-client.execution.max-table-result.rows" in (raised.value.hint or "")
