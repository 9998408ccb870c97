"""How fast is a database's log, joined and windowed, a table of Iceberg?

Two million orders in PostgreSQL, 20,000 products, 500,000 payments: `flowsql run` of one file joins
orders and products into a table of Iceberg, by key, and sums up payments by the minute into Parquet
files, with a checkpoint every five seconds. Asked are the time from the start of the command on an
empty folder until the table holds every order; how long it takes until a million updates, committed
in transactions of a thousand, are in the table; what is written for it; how long DuckDB takes to
read the table in the end, and whether it reads what PostgreSQL says. Server and engine share the
machine's cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _main_job import CHECKPOINT_SECONDS, SIZES, Engine, measure, shop
from _postgres import PostgresServer

NAME = "main_job"
FLOWSQL = Path(sys.executable).with_name("flowsql")
_SOURCE = """
CREATE TABLE {name} ({columns}) WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1',
  'port' = '{port}', 'username' = 'postgres', 'password' = 'secret', 'database-name' = 'postgres',
  'schema-name' = 'public', 'table-name' = '{name}', 'slot.name' = 'shop',
  'debezium.publication.name' = 'shop', 'changelog-mode' = '{mode}');
"""
_COLUMNS = {
    "orders": "order_id BIGINT, customer_id BIGINT, product_id BIGINT, quantity INT,"
    " status STRING, updated_at TIMESTAMP(3), PRIMARY KEY (order_id) NOT ENFORCED",
    "products": "product_id BIGINT, name STRING, price DECIMAL(10, 2),"
    " PRIMARY KEY (product_id) NOT ENFORCED",
    "payments": "payment_id BIGINT, order_id BIGINT, amount DECIMAL(10, 2), paid_at TIMESTAMP(3),"
    " WATERMARK FOR paid_at AS paid_at - INTERVAL '5' SECOND,"
    " PRIMARY KEY (payment_id) NOT ENFORCED",
}
_JOB = """
CREATE TABLE order_lines (order_id BIGINT, product STRING, total DECIMAL(20, 2), status STRING,
  PRIMARY KEY (order_id) NOT ENFORCED)
WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'catalog-type' = 'jdbc',
  'uri' = 'jdbc:sqlite:catalog.db', 'warehouse' = 'warehouse', 'catalog-database' = 'shop',
  'format-version' = '2', 'write.upsert.enabled' = 'true');
CREATE TABLE revenue_per_minute (window_start TIMESTAMP(3), window_end TIMESTAMP(3),
  payments BIGINT, revenue DECIMAL(38, 2))
WITH ('connector' = 'filesystem', 'path' = 'revenue', 'format' = 'parquet');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO order_lines
  SELECT o.order_id, p.name, o.quantity * p.price, o.status
  FROM orders AS o JOIN products AS p ON o.product_id = p.product_id;
  INSERT INTO revenue_per_minute
  SELECT window_start, window_end, COUNT(*), SUM(amount)
  FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end;
END;
"""


class Ours(Engine):
    """`flowsql run` in a new folder."""

    name = "flowsql"
    slots = ("shop",)

    def __init__(self, folder: Path, checkpoint: int, mode: str) -> None:
        self._folder = folder
        self._mode = mode
        self._checkpoint = checkpoint
        self._job: subprocess.Popen[bytes] | None = None

    def start(self, running: PostgresServer) -> float:
        setting = f"SET 'execution.checkpointing.interval' = '{self._checkpoint} s';\n"
        tables = [
            _SOURCE.format(name=n, columns=c, port=running.port, mode=self._mode)
            for n, c in _COLUMNS.items()
        ]
        (self._folder / "job.sql").write_text(setting + "".join(tables) + _JOB)
        began = time.time()
        with (self._folder / "job.log").open("wb") as log:
            self._job = subprocess.Popen(
                [FLOWSQL, "run", "job.sql"],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=dict(os.environ),
            )
        return began

    def pids(self) -> list[int]:
        return [] if self._job is None else [self._job.pid]

    def metadata(self) -> str | None:
        found = list(self._folder.glob("warehouse/shop/order_lines/metadata/*.metadata.json"))
        return str(max(found)) if found else None

    def check(self) -> None:
        if self._job is not None and self._job.poll() is not None:
            raise SystemExit((self._folder / "job.log").read_text(errors="replace")[-3000:])

    def stop(self) -> None:
        if self._job is not None:
            self._job.kill()
            self._job.wait()


def main() -> None:
    """Ours, once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=SIZES["orders"])
    parser.add_argument("--updates", type=int, default=1_000_000)
    parser.add_argument("--checkpoint", type=int, default=CHECKPOINT_SECONDS, help="seconds")
    parser.add_argument("--mode", default="all", choices=("all", "upsert"))
    asked = parser.parse_args()
    sizes = {**SIZES, "orders": asked.rows, "payments": asked.rows // 4}
    folder = Path(tempfile.mkdtemp(prefix="flowsql-benchmark-"))
    try:
        with shop(NAME, sizes, whole=asked.mode == "all") as world:
            measure(Ours(folder, asked.checkpoint, asked.mode), world, asked.updates)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
