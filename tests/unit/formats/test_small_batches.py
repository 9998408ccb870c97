"""What a batch of a few rows costs must be the kernels' work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from flowsql.changelog import Changes
from flowsql.formats import find_format, row_text
from flowsql.types import arrow_schema
from tests.unit.formats.helpers import format_table

COLUMNS = (
    "b BOOLEAN, i INT, s STRING, d DECIMAL(10, 2), f DOUBLE, t TIME(3), ts TIMESTAMP(3), "
    "z TIMESTAMP_LTZ(3), a ARRAY<STRING>, r ROW<x INT, y STRING>"
)
LINES = {
    "csv": b"true,1,x,1.50,2.5,12:00:01,2020-01-01 00:00:00,2020-01-01 00:00:00Z,p;q,1;u\n",
    "json": b'{"b":true,"i":1,"s":"x","d":1.5,"f":2.5,"t":"12:00:01","ts":"2020-01-01 00:00:00",'
    b'"z":"2020-01-01 00:00:00Z","a":["p"],"r":{"x":1,"y":"u"}}\n',
}


class _Watch:
    """Finds no module; remembers what was looked for."""

    def __init__(self) -> None:
        self.wanted: list[str] = []

    def find_spec(self, name: str, *_: Any) -> None:
        self.wanted.append(name)


@pytest.fixture
def wanted() -> Iterator[list[str]]:
    """Modules that Arrow looks for, and does not find, to guess what a Python value is."""
    watch = _Watch()
    gone = {m: sys.modules.pop(m) for m in list(sys.modules) if m.split(".")[0] == "dateutil"}
    sys.meta_path.insert(0, watch)  # type: ignore[arg-type]
    yield watch.wanted
    sys.meta_path.remove(watch)  # type: ignore[arg-type]
    sys.modules.update(gone)


def test_arrow_looks_for_modules_where_it_has_to_guess(wanted: list[str]) -> None:
    """The reason for the tests below; where it is gone, `types/constants.py` may go too."""
    pa.scalar("x")
    assert "dateutil" in wanted


@pytest.mark.parametrize("name", LINES)
def test_formats_tell_arrow_the_types_of_their_constants(name: str, wanted: list[str]) -> None:
    """Reading, writing and showing rows."""
    table = format_table(name, COLUMNS)
    made = find_format(name)

    def use() -> None:
        found = made.decoder(table).decode(LINES[name] * 3)
        assert not found.bad
        assert found.batch.schema == arrow_schema(table.schema)
        assert made.encoder(table).encode(found.batch)
        assert len(row_text(Changes(found.batch))) == 3

    use()
    wanted.clear()
    use()
    assert wanted == []
