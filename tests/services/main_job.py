"""A shop in a real server, and the job that keeps its order lines in Iceberg and its revenue in files.

What the job must have written is asked of the server; what it has written is read by DuckDB, the
Iceberg table with an extension that shares no code with what wrote it.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flowsql.cli.main import main as flowsql_main
from flowsql.errors import StateError
from flowsql.runtime.control import request
from flowsql.runtime.folder import JobFolder
from tests.recovery.jobs.zygote import REPOSITORY
from tests.services.others import rows_of
from tests.services.postgres import PostgresServer
from tests.support.iceberg import IcebergFolder
from tests.support.iceberg_reader import rows_by_duckdb

__all__ = ["NAME", "MainJob"]

NAME = "main"
_DELAY = timedelta(seconds=5)  # of the watermark
_JOB = """
SET 'pipeline.name' = 'main';
SET 'execution.checkpointing.dir' = '{folder}/jobs';
SET 'execution.checkpointing.interval' = '{interval}';
SET 'pipeline.max-transaction-bytes' = '16 kb';
CREATE TABLE orders (order_id BIGINT, customer_id BIGINT, product_id BIGINT, quantity INT,
    status STRING, updated_at TIMESTAMP(3), PRIMARY KEY (order_id) NOT ENFORCED)
  WITH ({server}, 'table-name' = 'orders', 'scan.incremental.snapshot.chunk.size' = '{chunk}');
CREATE TABLE products (product_id BIGINT, name STRING, price DECIMAL(10, 2),
    PRIMARY KEY (product_id) NOT ENFORCED)
  WITH ({server}, 'table-name' = 'products', 'scan.incremental.snapshot.chunk.size' = '{chunk}');
CREATE TABLE payments (payment_id BIGINT, order_id BIGINT, amount DECIMAL(10, 2),
    paid_at TIMESTAMP(3), WATERMARK FOR paid_at AS paid_at - INTERVAL '5' SECOND,
    PRIMARY KEY (payment_id) NOT ENFORCED)
  WITH ({server}, 'table-name' = 'payments', 'scan.incremental.snapshot.chunk.size' = '{chunk}');
CREATE TABLE order_lines (order_id BIGINT, product STRING, total DECIMAL(20, 2), status STRING,
    PRIMARY KEY (order_id) NOT ENFORCED)
  WITH ('connector' = 'iceberg', 'catalog-name' = 'demo', 'catalog-type' = 'jdbc',
    'uri' = 'jdbc:sqlite:{folder}/lake/catalog.db', 'warehouse' = '{folder}/lake',
    'format-version' = '2', 'write.upsert.enabled' = 'true');
CREATE TABLE revenue_per_minute (window_start TIMESTAMP(3), window_end TIMESTAMP(3),
    payments BIGINT, revenue DECIMAL(38, 2))
  WITH ('connector' = 'filesystem', 'path' = '{folder}/revenue', 'format' = 'parquet');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO order_lines
    SELECT o.order_id, p.name, o.quantity * p.price, o.status
    FROM orders o JOIN products p ON o.product_id = p.product_id;
  INSERT INTO revenue_per_minute
    SELECT window_start, window_end, COUNT(*), SUM(amount)
    FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(paid_at), INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end;
END;
"""
_LINES = """
SELECT o.order_id, p.name, (o.quantity * p.price)::numeric(20, 2), o.status
FROM orders o JOIN products p ON o.product_id = p.product_id
"""
_REVENUE = """
SELECT date_trunc('minute', paid_at) AS start, date_trunc('minute', paid_at) + interval '1 minute',
  count(*), sum(amount)
FROM payments GROUP BY start
"""

Rows = Counter[tuple[Any, ...]]


class MainJob:
    """The shop, who trades in it, and what the job makes of it.

    Args:
        folder: for the job's statements, state and results.
        server: gets the shop's tables.
        port: by which the job comes to it.
        orders: that are there from the beginning, and as many payments.
        interval: between checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        server: PostgresServer,
        port: int,
        *,
        orders: int,
        interval: str,
    ) -> None:
        self.file = folder / "job.sql"
        self.jobs = folder / "jobs"
        self.lake = IcebergFolder(folder / "lake", "order_lines", catalog="demo")
        self._revenue = folder / "revenue"
        self._server = server
        with server.connect() as connection:
            connection.execute(Path(__file__).with_name("shopping.sql").read_bytes())
            connection.execute(f"SELECT fill_shop({orders})".encode())
            # Else the first plans, which are kept, read whole tables.
            connection.execute("ANALYZE")
        options = {
            "connector": "postgres-cdc",
            "hostname": "127.0.0.1",
            "port": str(port),
            "username": "postgres",
            "password": "unused",
            "database-name": "postgres",
            "schema-name": "public",
            "slot.name": "flowsql_shop",
        }
        given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
        self.file.write_text(
            _JOB.format(
                folder=folder, server=given, interval=interval, chunk=max(100, orders // 10)
            )
        )
        self._traders: subprocess.Popen[bytes] | None = None

    # -- trade ------------------------------------------------------------------------------------

    def start_trading(self, rate: int) -> None:
        """So many transactions a second, as long as the server is there."""
        self._traders = subprocess.Popen(
            [sys.executable, "-m", "tests.services.busy", self._server.dsn(),
             f"CALL trade(0.5, {rate}, {{there}})"],
            cwd=REPOSITORY, stdout=subprocess.PIPE,
        )  # fmt: skip

    def stop_trading(self) -> tuple[int, float, datetime]:
        """How many transactions were made in how many seconds, and the watermark behind the last."""
        assert self._traders is not None
        self._traders.send_signal(signal.SIGTERM)
        out, _ = self._traders.communicate(timeout=120)
        assert self._traders.returncode == 0
        self._traders = None
        ((made,),) = self._server.execute("SELECT last_value FROM traded")
        return made, float(out), self.close_shop()

    def close_shop(self) -> datetime:
        """One more transaction; the watermark behind it."""
        ((last,),) = self._server.execute("SELECT close_shop()")
        return last - _DELAY

    def touch(self, keys: list[tuple[int, int]]) -> datetime:
        """The orders between some keys change in a way that is seen; the watermark behind it."""
        for first, last in keys:
            self._server.execute(
                f"UPDATE orders SET status = status || '.' WHERE order_id BETWEEN {first} AND {last}"
            )
        return self.close_shop()

    def close(self) -> None:
        """Whatever happened."""
        if self._traders is not None:
            self._traders.kill()
            self._traders.communicate()

    # -- the job ----------------------------------------------------------------------------------

    def watermark(self) -> datetime | None:
        """What the running job says; None where it says nothing, or does not run."""
        try:
            found = request(JobFolder(self.jobs, NAME).socket, "status", timeout=60).get(
                "watermark"
            )
        except StateError:
            return None
        return None if found is None else datetime(1970, 1, 1) + timedelta(milliseconds=found)  # noqa: DTZ001 (event time has no zone)

    def status(self) -> dict[str, Any]:
        """What `flowsql status --json` prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = flowsql_main(["status", "--json", "--dir", str(self.jobs), NAME])
        assert code == 0
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    # -- results ----------------------------------------------------------------------------------

    def check_lines(self, others: Rows | None = None) -> int:
        """The Iceberg table is the query over the server's tables, and others' rows; its rows."""
        wanted = Counter((i, n, _text(t), s) for i, n, t, s in self._server.execute(_LINES))
        table = self.lake.table
        assert table is not None
        # JSON has no decimals: they come as texts.
        found = Counter(rows_by_duckdb(table.metadata_location))
        assert found == wanted + (others or Counter())
        return found.total()

    def check_revenue(self, watermark: datetime | None) -> int:
        """The files are the query for every window that ended before; None: for all. Their rows."""
        wanted = Counter(
            row
            for row in self._server.execute(_REVENUE)
            if watermark is None or row[1] - timedelta(milliseconds=1) <= watermark
        )
        tables = [pq.read_table(path) for path in self._revenue.glob("*.parquet")]
        found = Counter(tuple(row.values()) for table in tables for row in table.to_pylist())
        assert found == wanted
        return found.total()

    def put_one_row_too_many(self) -> int:
        """Another writer adds a row with a key of the job's; the key."""
        table = self.lake.table
        assert table is not None
        ((key,),) = self._server.execute(
            "SELECT min(order_id) FROM orders JOIN products USING (product_id)"
        )
        table.append(rows_of(table, {key: ("intruder", None, "intruder")}))
        return int(key)

    def take_it_back(self, key: int) -> None:
        """The other writer's row goes."""
        table = self.lake.table
        assert table is not None
        table.delete(f"order_id = {key} AND status = 'intruder'")

    def described(self) -> str:
        """Snapshots and files of the table."""
        table = self.lake.table
        assert table is not None
        newest = table.current_snapshot()
        assert newest is not None
        assert newest.summary is not None
        files, deletes = (newest.summary[f"total-{n}-files"] for n in ("data", "delete"))
        return f"{len(table.snapshots())} snapshots, {files} data files, {deletes} delete files"

    def check_tidy(self, whose: str = "") -> None:
        """No file in the folders of the results that no reader is led to.

        Args:
            whose: only files with this in their names.
        """
        assert [f for f in self.lake.strays() if whose in Path(f).name] == []
        hidden = [p for p in self._revenue.rglob("*") if p.is_file() and p.parent != self._revenue]
        assert [p.name for p in hidden] == ["committed.json"]
        assert {p.suffix for p in self._revenue.iterdir() if p.is_file()} == {".parquet"}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
