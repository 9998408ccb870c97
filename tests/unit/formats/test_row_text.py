"""`Row.toString`, as Flink's print connector writes it."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.formats import row_text


def test_writes_as_flink() -> None:
    """Recorded output of Flink 2.3."""
    types = pa.schema(
        [
            ("a", pa.list_(pa.string())),
            ("b", pa.struct([("x", pa.int32()), ("y", pa.string())])),
            ("m", pa.map_(pa.string(), pa.int32())),
            ("t", pa.timestamp("us", "UTC")),
            ("u", pa.timestamp("us")),
            ("d", pa.decimal128(5, 2)),
            ("e", pa.float64()),
            ("x", pa.binary()),
            ("n", pa.string()),
            ("ti", pa.time32("ms")),
            ("da", pa.date32()),
        ]
    )
    row = {
        "a": ["p;q", "r"], "b": {"x": 1, "y": "z w"}, "m": [("k", 1)],
        "t": dt.datetime(1970, 1, 1, 0, 0, 1, 0, dt.UTC),
        "u": dt.datetime(2020, 1, 1, 10, 0, 0, 120000), "d": Decimal("1.50"), "e": 1e10,
        "x": b"\x01\xff", "n": None, "ti": dt.time(10, 11), "da": dt.date(2020, 1, 5),
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([row, {}], schema=types)
    assert [
        (
            "+U[[p;q, r], +I[1, z w], {k=1}, 1970-01-01T00:00:01Z, 2020-01-01T10:00:00.120, 1.50, "
            "1.0E10, [1, -1], null, 10:11, 2020-01-05]"
        ),
        "-D[" + ", ".join(["null"] * 11) + "]",
    ] == row_text(Changes(batch, np.array([2, 3], np.int8)))
