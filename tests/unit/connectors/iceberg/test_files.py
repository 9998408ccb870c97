"""Parquet files of a table: row groups written behind the caller, bounds of every text."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.write.behind import Behind
from flowsql_connectors.iceberg.write.files import FileSettings, ParquetFile
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField, StringType

from flowsql.errors import ConnectorError

_SCHEMA = Schema(NestedField(1, "v", StringType()))
_FORM = pa.schema([pa.field("v", pa.string(), metadata={"PARQUET:field_id": "1"})])


def opened(folder: Path, **given: Any) -> ParquetFile:
    """A file."""
    settings = FileSettings.of({}, target=None, codec=None, level=None)
    return ParquetFile(PyArrowFileIO(), str(folder / "a.parquet"), _FORM, settings, **given)


def rows(*texts: str) -> pa.RecordBatch:
    """A row group."""
    return pa.RecordBatch.from_arrays([pa.array(texts)], schema=_FORM)


@pytest.mark.parametrize("last", ["\ud7ff", "\U0010ffff", "z"])
def test_any_text_has_a_bound(tmp_path: Path, last: str) -> None:
    """Also one cut short at a letter behind which there is none."""
    longest = "a" * 15 + last + "and more"
    file = opened(tmp_path)
    file.write(rows("a", longest))
    bound = file.close(_SCHEMA, 0, Record()).upper_bounds[1]
    assert from_bytes(StringType(), bound) >= longest


def test_the_caller_goes_on(tmp_path: Path) -> None:
    """While a row group is written; what else is asked for waits for it."""
    behind, may_end = Behind(), threading.Event()
    waiting = behind.start(may_end.wait)
    file = opened(tmp_path, behind=behind)
    threading.Timer(0.05, may_end.set).start()
    file.write(rows("a", "b"))
    waiting.result()
    file.write(rows("c"))
    assert file.rows == 3
    assert file.size > 0
    assert file.close(_SCHEMA, 0, Record()).record_count == 3


def test_what_goes_wrong_is_raised_by_the_next_call(tmp_path: Path) -> None:
    """And by every later one: nobody can tell what the file holds."""
    file = opened(tmp_path, behind=Behind())
    wrong = pa.RecordBatch.from_arrays([pa.array([1])], names=["other"])
    file.write(wrong)
    with pytest.raises(ValueError, match="schema"):
        file.write(rows("a"))
    file.write(rows("a"))
    with pytest.raises(ConnectorError, match="could not be written before, and is lost"):
        file.close(_SCHEMA, 0, Record())
    file.discard()
