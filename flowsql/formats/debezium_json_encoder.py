"""Changes to debezium-json, a message a row, as Flink's writer spells them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.formats.format import Encoder
from flowsql.formats.json_encoder import JsonEncoder

__all__ = ["DebeziumJsonEncoder"]

# +I and +U add a row, -U and -D take one away.
_ADDS = np.array([True, False, True, False])


class DebeziumJsonEncoder(Encoder):
    """Encodes one table's changes.

    Args:
        rows: spells the rows themselves.
        skip_nulls: leaves members out that are null, "before" and "after" among them.
    """

    def __init__(self, rows: JsonEncoder, *, skip_nulls: bool) -> None:
        self._rows = rows
        before, after = ("", "") if skip_nulls else ('"before":null,', ',"after":null')
        self._added = (f'{{{before}"after":', ',"op":"c"}')
        self._taken = ('{"before":', f'{after},"op":"d"}}')

    def encode(self, batch: pa.RecordBatch) -> bytes:
        return self.encode_changes(batch, None)

    def encode_changes(self, batch: pa.RecordBatch, kinds: npt.NDArray[np.int8] | None) -> bytes:
        if not len(batch):
            return b""
        rows = self._rows.objects(batch)
        if kinds is None or not kinds.any():
            lines = pc.binary_join_element_wise(self._added[0], rows, self._added[1], "")
        else:
            adds = pa.array(_ADDS[kinds])
            opening = pc.if_else(adds, self._added[0], self._taken[0])
            closing = pc.if_else(adds, self._added[1], self._taken[1])
            lines = pc.binary_join_element_wise(opening, rows, closing, "")
        text = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "\n")[0].as_py()
        return f"{text}\n".encode()
