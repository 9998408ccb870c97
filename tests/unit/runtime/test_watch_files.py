"""A job over files with a join, a window and dead letters: everything that is measured of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

import flowsql
from flowsql.cli.main import main
from flowsql.runtime.metrics import METRICS
from tests.unit.runtime.bench import until

JOB = """
CREATE TABLE orders (id INT, item INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE)
  WITH ('connector' = 'filesystem', 'path' = 'orders', 'format' = 'csv', 'source.monitor-interval' = '20 ms',
        'scan.bad-record' = 'dead-letter', 'scan.dead-letter.table' = 'bad');
CREATE TABLE items (item INT, name STRING)
  WITH ('connector' = 'filesystem', 'path' = 'items', 'format' = 'csv', 'source.monitor-interval' = '20 ms');
CREATE TABLE bad (table_name STRING, place STRING, record BYTES, reason STRING) WITH ('connector' = 'blackhole');
CREATE TABLE named (id INT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'named', 'format' = 'parquet');
CREATE TABLE hours (begun TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO named SELECT o.id, i.name FROM orders o JOIN items i ON o.item = i.item;
  INSERT INTO hours SELECT window_start, COUNT(*)
    FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
END;
"""
Found = dict[tuple[str, ...], float]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Found]]:
    """Reads the metrics of the job, which runs: (name, values of the labels) → value."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "orders/a.csv": "1,1,2026-01-01 00:10:00\n2,2,2026-01-01 02:10:00\nwrong,x,y\n",
        "items/a.csv": "1,ax\n2,saw\n",
    }.items():
        Path(name).parent.mkdir()
        Path(name).write_text(text)
    config = {"metrics.port": "0", "execution.checkpointing.interval": "50 ms"}
    with flowsql.connect({**config, "pipeline.name": "shop"}) as session:
        job = session.execute(JOB)
        url = job.status()["metrics"]

        def read() -> Found:
            with urllib.request.urlopen(url, timeout=60) as answer:
                text = answer.read().decode()
            return {
                (s.name, *(s.labels[k] for k in sorted(s.labels) if k != "job_name")): s.value
                for family in parsed(text)
                for s in family.samples
            }

        yield read


def test_everything_that_is_measured(
    told: Callable[[], Found], capsys: pytest.CaptureFixture[str]
) -> None:
    """By job, source, split, operator, state table, sink and owner of memory."""
    until(lambda: told().get(("flowsql_job_num_records_out_total",)) == 2 + 1 + 1)
    Path("orders/.b.csv").write_text("3,1,2026-01-01 00:20:00\n")
    Path("orders/.b.csv").rename("orders/b.csv")
    until(lambda: told()["flowsql_job_num_late_records_dropped_total",] == 1)
    home = "default_catalog.default_database."
    until(lambda: told()["flowsql_sink_num_records_send_total", home + "named"] == 3)
    until(lambda: told().get(("flowsql_job_last_completed_checkpoint_id",)))
    until(lambda: any(k[0] == "flowsql_state_records" and v for k, v in told().items()))
    found = told()
    assert found["flowsql_job_num_records_in_total",] == 3 + 2
    assert found["flowsql_job_num_records_in_errors_total",] == 1
    assert found["flowsql_job_num_orphan_retractions_total",] == 0
    assert found["flowsql_job_num_bytes_in_total",] > 0
    assert found["flowsql_job_num_bytes_out_total",] > 0
    assert found["flowsql_job_last_checkpoint_size_bytes",] > 0
    assert found["flowsql_job_last_checkpoint_duration_seconds",] >= 0
    assert found["flowsql_job_last_checkpoint_age_seconds",] >= 0
    assert found["flowsql_job_number_of_failed_checkpoints_total",] == 0
    for sink, rows in (("named", 3), ("hours", 1), ("bad", 1)):
        assert found["flowsql_sink_num_records_send_total", home + sink] == rows
    # Files that are read have no time of their own any more; their table has.
    assert found["flowsql_job_watermark_lag_seconds",] > 0
    assert {k[-1] for k in found if k[0] == "flowsql_source_queue_bytes"} == {
        home + "orders",
        home + "items",
    }
    owners = {k[1] for k in found if k[0] == "flowsql_job_memory_bytes"}
    assert owners == {"state", "queues", "output", "readers"}
    titles = {k[1] for k in found if k[0] == "flowsql_operator_step_duration_seconds_count"}
    assert any(t.startswith("Join") for t in titles)
    assert any(t.startswith("Window") for t in titles)
    tables = [k for k in found if k[0] == "flowsql_state_size_bytes"]
    assert len({k[1] for k in tables}) >= 2
    # The same numbers, where no port is set too.
    assert main(["status", "shop", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    same = {
        (
            metric.name,
            *(v for _, v in sorted(zip(metric.labels, labels, strict=True)) if v != "shop"),
        )
        for metric in METRICS
        for labels, _ in metric.samples("shop", status)
    }
    names = {m.name for m in METRICS}
    # A file that was just read has no time of its own any more.
    lasting = {k for k in found if k[0] in names and not k[0].startswith("flowsql_split_")}
    assert lasting <= same
