"""ORDER BY event time: rows stand in order as far as the watermark goes."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

import flowsql

START = dt.datetime(2020, 10, 10, tzinfo=dt.UTC).replace(tzinfo=None)


def test_rows_are_given_in_order_of_time_and_late_ones_left_out() -> None:
    """As Flink's temporal sort: `d 5` comes when a later time has been given."""
    rows = [
        ("a", 1, 1),
        ("a", 2, 2),
        ("b", 5, 7),
        ("b", 6, 7),
        ("c", 4, 6),
        ("c", 3, 8),
        ("d", 5, 4),
        ("d", 9, 16),
    ]
    table = pa.table(
        {
            "item": [r[0] for r in rows],
            "price": pa.array([r[1] for r in rows], pa.int32()),
            "ts": pa.array([START + dt.timedelta(seconds=r[2]) for r in rows], pa.timestamp("ms")),
        }
    )
    with flowsql.connect() as session:
        session.from_arrow("bid", table, watermark="ts - INTERVAL '1' SECOND")
        result = session.execute("SELECT price, item FROM bid ORDER BY ts, price DESC")
        assert result.fetchall() == [
            (1, "a"),
            (2, "a"),
            (4, "c"),
            (6, "b"),
            (5, "b"),
            (3, "c"),
            (9, "d"),
        ]
