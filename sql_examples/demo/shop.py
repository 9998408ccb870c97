"""A shop that trades: orders are placed, paid, sent or given up, prices change.

`python shop.py FOLDER SECONDS [DSN]` tells of its last minutes in fast motion, thousands of changes
twice a second, the same at each run but for their times, in one of two ways: as a change log of its
database, in messages of Debezium, files in `FOLDER/orders`, `FOLDER/products` and `FOLDER/payments`;
or, with a DSN, in a PostgreSQL database, each half second one transaction. What the tables hold in
the end are Parquet files in `FOLDER/end`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["TABLES", "in_files", "in_postgres", "main", "make_tables"]

TABLES = {
    "products": pa.schema(
        [("product_id", pa.int64()), ("name", pa.string()), ("price", pa.decimal128(10, 2))]
    ),
    "orders": pa.schema(
        [
            ("order_id", pa.int64()),
            ("customer_id", pa.int64()),
            ("product_id", pa.int64()),
            ("quantity", pa.int32()),
            ("status", pa.string()),
        ]
    ),
    "payments": pa.schema(
        [
            ("payment_id", pa.int64()),
            ("order_id", pa.int64()),
            ("amount", pa.decimal128(10, 2)),
            ("paid_at", pa.timestamp("ms")),
        ]
    ),
}
PRODUCTS = ("bicycle", "camera", "lamp", "piano", "stamp", "kettle", "violin", "ladder")
PAUSE = 0.5  # seconds
ORDERS_AT_ONCE = 2_000
BUSINESS = timedelta(seconds=11)  # between two pauses

_IN_POSTGRES = {
    "int64": "bigint",
    "int32": "int",
    "string": "text",
    "decimal128(10, 2)": "numeric(10, 2)",
    "timestamp[ms]": "timestamp(3)",
}

Row = dict[str, Any]
Change = tuple[str, Row | None, Row]


class _Shop:
    """Its tables by key.

    Args:
        opened: when it begins to trade, in UTC.

    Attributes:
        changes: (table, row before, row) of all that was changed since they were taken.
    """

    def __init__(self, opened: datetime) -> None:
        self.rows: dict[str, dict[int, Row]] = {name: {} for name in TABLES}
        self.changes: list[Change] = []
        self._chance = random.Random(7)
        # The tables' times have no zone, and whole milliseconds: a file cuts off what PostgreSQL rounds.
        self._now = opened.replace(tzinfo=None, microsecond=opened.microsecond // 1000 * 1000)
        for number, name in enumerate(PRODUCTS):
            price = Decimal(self._chance.randrange(100, 90_000)) / 100
            self._put("products", {"product_id": number, "name": name, "price": price})

    def trade(self) -> None:
        """A while of business."""
        chance = self._chance
        end = self._now + BUSINESS
        orders = self.rows["orders"]
        for number in range(len(orders), len(orders) + ORDERS_AT_ONCE):
            order = {
                "order_id": number,
                "customer_id": chance.randrange(500),
                "product_id": chance.randrange(len(PRODUCTS)),
                "quantity": chance.randrange(1, 6),
                "status": "new",
            }
            self._put("orders", order)
        for number in chance.sample(range(len(orders)), ORDERS_AT_ONCE // 2):
            self._now += timedelta(milliseconds=20_000 // ORDERS_AT_ONCE)
            self._go_on(orders[number])
        self._now = end
        product = self.rows["products"][chance.randrange(len(PRODUCTS))]
        price = product["price"] + Decimal(chance.randrange(-200, 250)) / 100
        self._put("products", {**product, "price": max(Decimal("1.00"), price)})

    def _go_on(self, order: Row) -> None:
        match order["status"], self._chance.random() < 0.1:
            case "new", True:
                self._put("orders", {**order, "status": "given up"})
            case "new", False:
                self._put("orders", {**order, "status": "paid"})
                price = self.rows["products"][order["product_id"]]["price"]
                payment = {
                    "payment_id": len(self.rows["payments"]),
                    "order_id": order["order_id"],
                    "amount": order["quantity"] * price,
                    "paid_at": self._now,
                }
                self._put("payments", payment)
            case "paid", _:
                self._put("orders", {**order, "status": "sent"})
            case _:
                pass

    def _put(self, table: str, row: Row) -> None:
        key = row[TABLES[table].names[0]]
        self.changes.append((table, self.rows[table].get(key), row))
        self.rows[table][key] = row

    def taken(self) -> list[Change]:
        """The changes that were not taken yet."""
        changes, self.changes = self.changes, []
        return changes


def in_files(folder: Path) -> Callable[[int, list[Change]], None]:
    """What tells of changes in files."""

    def tell(number: int, changes: list[Change]) -> None:
        for table in TABLES:
            messages = [
                json.dumps({"before": b, "after": a, "op": "u" if b else "c"}, default=str) + "\n"
                for name, b, a in changes
                if name == table
            ]
            # A file is seen once it is whole: written under a hidden name, then renamed.
            hidden = folder / table / f".{number:05}.json"
            hidden.write_text("".join(messages))
            hidden.rename(hidden.with_name(hidden.name[1:]))

    return tell


def make_tables(connection: Any) -> None:
    """The shop's tables in PostgreSQL, empty."""
    for table, schema in TABLES.items():
        columns = ", ".join(f"{f.name} {_IN_POSTGRES[str(f.type)]}" for f in schema)
        key = schema.names[0]
        connection.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))")
        connection.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")


def in_postgres(dsn: str) -> Callable[[int, list[Change]], None]:
    """What carries changes out in a database, those of one call in one transaction."""
    import psycopg  # noqa: PLC0415 - not for files

    connection = psycopg.connect(dsn)

    def tell(number: int, changes: list[Change]) -> None:
        del number
        with connection.transaction(), connection.cursor() as cursor, connection.pipeline():
            for table, _, row in changes:
                names = TABLES[table].names
                cursor.execute(
                    f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(names))})"
                    f" ON CONFLICT ({names[0]}) DO UPDATE SET"
                    f" {', '.join(f'{n} = excluded.{n}' for n in names[1:])}",
                    [row[n] for n in names],
                )

    return tell


def main(folder: Path, seconds: float, tell: Callable[[int, list[Change]], None]) -> None:
    """Trade for a while."""
    shop = _Shop(datetime.now(UTC) - seconds / PAUSE * BUSINESS)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        shop.trade()
        tell(number, shop.taken())
        number += 1
        time.sleep(PAUSE)
    (folder / "end").mkdir()
    for table, schema in TABLES.items():
        rows = list(shop.rows[table].values())
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / "end" / f"{table}.parquet")


if __name__ == "__main__":
    where, for_seconds, *given = sys.argv[1:]
    main(Path(where), float(for_seconds), in_postgres(*given) if given else in_files(Path(where)))
