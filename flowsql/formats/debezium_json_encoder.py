"""Changes to debezium-json, a message a row, as Flink's writer spells them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.formats.format import Encoder
from flowsql.formats.json_encoder import JsonEncoder
from flowsql.formats.text import joined_lines
from flowsql.types.constants import join_texts, text_constant

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
            lines = join_texts(self._added[0], rows, self._added[1])
        else:
            adds = pa.array(_ADDS[kinds])
            added, taken = (tuple(map(text_constant, ends)) for ends in (self._added, self._taken))
            opening = pc.if_else(adds, added[0], taken[0])
            closing = pc.if_else(adds, added[1], taken[1])
            lines = join_texts(opening, rows, closing)
        return f"{joined_lines(lines)}\n".encode()
