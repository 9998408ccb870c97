"""Rows that a checkpoint deletes: where they are, and by which key they are found again.

A table of them has the columns `file_path` (dictionary), `pos`, and the key's: `key0`, `key1` …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import PYARROW_PARQUET_FIELD_ID_KEY
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

from flowsql_connectors.iceberg.write.files import FileSettings, ParquetFile
from flowsql_connectors.iceberg.write.live import PATH_ID, POSITION_ID

__all__ = ["by_file", "delete_table", "not_in", "write_deletes"]

Ints = npt.NDArray[np.int64]

_SCHEMA: Final = Schema(
    NestedField(PATH_ID, "file_path", StringType(), required=True),
    NestedField(POSITION_ID, "pos", LongType(), required=True),
)
# The path is the same in every row, and so is given once. Positions are all different: as a
# dictionary they take more time and more room.
_PATHS: Final = pa.dictionary(pa.int32(), pa.string())
_FORM: Final = pa.schema(
    [
        pa.field(
            f.name, t, nullable=False, metadata={PYARROW_PARQUET_FIELD_ID_KEY: str(f.field_id)}
        )
        for f, t in zip(_SCHEMA.fields, (_PATHS, pa.int64()), strict=True)
    ]
)
# Without the schema as Arrow has it readers find texts, not what Arrow calls a dictionary.
_ENCODING: Final[dict[str, Any]] = {"use_dictionary": ["file_path"], "store_schema": False}
# No data file has as many rows, and no checkpoint deletes in as many files as the rest can number.
_POSITION_BITS: Final = 40
_POSITION_MASK: Final = (1 << _POSITION_BITS) - 1
# Readers choose delete files by the whole path.
_METRICS: Final = {"write.metadata.metrics.default": "full"}


def delete_table(
    paths: Sequence[str], files: Ints, positions: Ints, keys: Sequence[pa.Array | pa.ChunkedArray]
) -> pa.Table:
    """A table of rows to delete.

    Args:
        paths: locations of files.
        files: int64[n]: which of them each row is in.
        positions: int64[n]: its position there.
        keys: the key's columns.
    """
    column = pa.DictionaryArray.from_arrays(
        pa.array(files, pa.int32()), pa.array(paths, pa.string())
    )
    names = ["file_path", "pos", *(f"key{i}" for i in range(len(keys)))]
    return pa.table([column, pa.array(positions, pa.int64()), *keys], names=names)


def by_file(deleted: pa.Table) -> dict[str, Ints]:
    """Positions by location, sorted and each once."""
    if not deleted.num_rows:
        return {}
    column = deleted.column("file_path").unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    codes = column.indices.to_numpy()
    positions = deleted.column("pos").to_numpy()
    paths = column.dictionary.to_pylist()
    # One word to sort by is quicker than two: the number of its file above each position.
    words = (codes.astype(np.int64) << _POSITION_BITS) | positions
    words.sort()
    words = words[np.flatnonzero(np.diff(words, prepend=-1))]
    codes, positions = words >> _POSITION_BITS, words & _POSITION_MASK
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    return {
        paths[codes[s]]: positions[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def not_in(deleted: pa.Table, locations: set[str]) -> pa.Table:
    """The rows that are in none of some files."""
    wanted = pa.array(sorted(locations), pa.string())
    gone = pc.is_in(deleted.column("file_path").cast(pa.string()), wanted)
    return deleted.filter(pc.invert(gone))


def write_deletes(
    io: Any,
    location: str,
    target: DataFile,
    positions: Ints,
    settings: FileSettings,
) -> DataFile:
    """A file of position deletes of one data file, complete and durable.

    Args:
        io: writes it.
        location: where it goes.
        target: the data file.
        positions: sorted, each once.
        settings: how files are written.
    """
    form = FileSettings(settings.target, settings.codec, settings.level, _METRICS)
    file = ParquetFile(io, location, _FORM, form, **_ENCODING)
    index = pa.array(np.zeros(len(positions), np.int32))
    paths = pa.DictionaryArray.from_arrays(index, pa.array([target.file_path]))
    batch = pa.RecordBatch.from_arrays([paths, pa.array(positions, pa.int64())], schema=_FORM)
    file.write(batch)
    return file.close(_SCHEMA, target.spec_id, target.partition, DataFileContent.POSITION_DELETES)
