"""A job that reads PostgreSQL, as Prometheus and `flowsql status --json` show it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

import flowsql
from flowsql.cli.main import main
from tests.services.following import make
from tests.services.postgres import PostgresServer

_JOB = """
CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{port}',
  'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',
  'table-name' = '{name}', 'slot.name' = 'slot_{name}', 'debezium.publication.name' = 'pub_{name}');
CREATE TABLE o (v STRING, n BIGINT, PRIMARY KEY (v) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO o SELECT v, COUNT(*) FROM t GROUP BY v;
"""


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_the_server_keeps_and_how_far_the_job_is(
    postgres_version: PostgresServer,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Snapshot, slot, lag and the memory of the process that reads."""
    monkeypatch.chdir(tmp_path)
    server = postgres_version
    make(server, name, rows=35)
    config = {"metrics.port": "0", "execution.checkpointing.interval": "100 ms"}
    with flowsql.connect({**config, "pipeline.name": "held"}) as session:
        job = session.execute(_JOB.format(port=server.port, name=name))
        url = job.status()["metrics"]

        def told() -> dict[tuple[str, ...], float]:
            with urllib.request.urlopen(url, timeout=60) as answer:
                text = answer.read().decode()
            return {
                (s.name, *([s.labels["owner"]] if "owner" in s.labels else ())): s.value
                for family in parsed(text)
                for s in family.samples
                if s.name.startswith(("flowsql_source_", "flowsql_job_"))
            }

        _until(lambda: told().get(("flowsql_source_consistent",)) == 1)
        server.execute(f"INSERT INTO {name} VALUES (100, 'x'), (101, 'y')")
        _until(lambda: told()["flowsql_source_num_records_in_total",] == 37)
        _until(lambda: told().get(("flowsql_source_kept_log_bytes",), -1) >= 0)
        _until(lambda: ("flowsql_source_current_fetch_event_time_lag_seconds",) in told())
        _until(lambda: told().get(("flowsql_job_last_completed_checkpoint_id",)))
        _until(lambda: ("flowsql_source_pending_bytes",) in told())
        found = told()
        assert found["flowsql_source_snapshot_records",] == 35
        assert found["flowsql_source_snapshot_expected_records",] == 35
        assert found["flowsql_job_memory_bytes", "readers"] > 1 << 20
        assert found["flowsql_job_healthy",] == 1
        assert main(["status", "held", "--json"]) == 0
        status = json.loads(capsys.readouterr().out)
        (source,) = status["sources"]
        assert (source["slot"], source["rows"]) == (f"slot_{name}", 37)
        assert source["snapshot"]["rows"] == 35
        assert {"kept_bytes", "lag_bytes", "lag_ms", "position"} <= source.keys()
        assert status["health"] == "ok"
        job.stop()
        assert job.wait(60)
