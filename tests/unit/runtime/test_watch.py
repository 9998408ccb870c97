"""`metrics.port`: what Prometheus reads, and whether a job is well."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

import flowsql
from flowsql.connector import observe_files
from flowsql.errors import ConfigError, ConnectorError
from flowsql.runtime.groups import ReaderLimits, SourceGroup
from flowsql.runtime.job import Job
from flowsql.runtime.measures import BUCKETS, Durations
from flowsql.runtime.metrics import METRICS, NAMES, Kind
from flowsql.runtime.watch import exposition
from flowsql.testing import attempt_context, connector_table
from tests.recovery.toys import Numbers
from tests.unit.runtime.bench import Bench, FullDisk, endless, until

SCHEMA = pa.schema([("k", pa.int64()), ("ts", pa.timestamp("ms"))])
HOUR = 3_600_000
# What only some sources have: a log, a server, a snapshot, a lost connection.
SOURCE: dict[str, Any] = {
    "connector": "fake",
    "tables": ["a", "b"],
    "lag_bytes": 10,
    "kept_bytes": 20,
    "lag_ms": 1500,
    "snapshot": {"rows": 3, "total": 4},
    "reconnecting": {"attempt": 2},
}


def get(url: str, accept: str = "") -> tuple[int, str, str]:
    """Status code, body, content type."""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers["Content-Type"]


def samples(text: str) -> dict[tuple[str, ...], float]:
    """(Name, values of the labels by their name) → value."""
    return {
        (s.name, *(s.labels[k] for k in sorted(s.labels))): s.value
        for family in parsed(text)
        for s in family.samples
    }


class Running:
    """A job with event time, state, late rows and a sink, that waits for its next row."""

    def __init__(self, config: dict[str, str]) -> None:
        self.go, self.fails = threading.Event(), False
        self.session = flowsql.connect({"metrics.port": "0", "pipeline.name": "shop", **config})
        self.session.from_changes(
            "t", SCHEMA, self._items(), watermark="ts - INTERVAL '1' SECOND", mode="append"
        )
        self.session.execute(
            "CREATE TABLE nowhere (k BIGINT, n BIGINT) WITH ('connector' = 'blackhole')"
        )
        self.job = self.session.execute(
            "INSERT INTO nowhere SELECT k, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), "
            "INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k"
        )
        assert isinstance(self.job, Job)
        self.url: str = self.job.status()["metrics"]

    def kept(self) -> bool:
        """Whether the status knows of rows in state."""
        operators = self.job.status()["operators"]
        return any(t["rows"] for o in operators for t in o.get("state", {}).values())

    def _items(self) -> Iterator[pa.RecordBatch | None]:
        for at in ([HOUR, HOUR], [2 * HOUR], [10]):
            times = pa.array(at, pa.timestamp("ms"))
            yield pa.record_batch({"k": pa.array(range(len(at)), pa.int64()), "ts": times}, SCHEMA)
        while not self.go.wait(0.01):
            yield None
        if self.fails:
            raise ConnectorError("the source broke")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Four rows are in, the last of them late, and one window is given."""
    monkeypatch.chdir(tmp_path)
    made = Running({"execution.checkpointing.interval": "50 ms", "restart-strategy.type": "none"})
    with made.session:
        # The state's sizes are looked at now and then.
        until(lambda: made.job.status().get("late_rows") == 1, 60)
        until(lambda: made.job.status()["checkpoint"].get("number"), 60)
        until(made.kept, 60)
        yield made
        made.go.set()


def test_prometheus_reads_what_the_status_says(running: Running) -> None:
    """The numbers are those of the status; times are seconds."""
    code, text, kind = get(running.url)
    assert (code, kind.partition(";")[0]) == (200, "text/plain")
    found = samples(text)
    assert found["flowsql_job_num_records_in_total", "shop"] == 4
    assert found["flowsql_job_num_records_out_total", "shop"] == 2
    assert found["flowsql_job_num_bytes_in_total", "shop"] == 4 * 16
    assert found["flowsql_job_num_late_records_dropped_total", "shop"] == 1
    assert found["flowsql_job_current_watermark_seconds", "shop"] == 2 * HOUR / 1000 - 1
    table = "default_catalog.default_database.t"
    (lag,) = [v for k, v in found.items() if k[0] == "flowsql_split_watermark_lag_seconds"]
    assert lag > 50 * 365 * 24 * 3600
    assert {k[-1] for k in found if k[0] == "flowsql_split_idle"} == {table}
    assert found["flowsql_sink_num_records_send_total", "shop", table[:-1] + "nowhere"] == 2
    assert found["flowsql_job_state", "shop", "running"] == 1
    assert found["flowsql_job_state", "shop", "failed"] == 0
    assert found["flowsql_job_healthy", "shop"] == 1
    assert found["flowsql_build_info", flowsql.__version__] == 1
    assert found["process_resident_memory_bytes",] > 1 << 20
    assert sum(v for k, v in found.items() if k[0] == "flowsql_state_records") >= 1
    steps = found["flowsql_job_step_duration_seconds_count", "shop"]
    assert found["flowsql_job_step_duration_seconds_bucket", "shop", "+Inf"] == steps >= 3


def test_openmetrics_where_it_is_asked_for(running: Running) -> None:
    """As new Prometheus servers do."""
    asked = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    code, text, kind = get(running.url, asked)
    assert (code, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    families = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}
    assert families["flowsql_job_num_records_in"].type == "counter"


def test_every_metric_is_told_and_documented(running: Running) -> None:
    """Of a job with all that a source may have."""
    status = running.job.status()
    sources = [{**s, **SOURCE} for s in status["sources"]]
    status |= {"sources": sources, "memory_limit": 1 << 30}
    text, _ = exposition(iter([("shop", status)]))
    told = {s.name for family in parsed(text.decode()) for s in family.samples}
    for metric in METRICS:
        name = metric.name + "_count" * (metric.kind == Kind.HISTOGRAM)
        assert name in told, metric.name
    page = (Path(flowsql.__file__).parent.parent / "docs/reference/metrics.md").read_text(
        encoding="utf-8"
    )
    assert {m.name for m in METRICS} <= set(re.findall(r"`(flowsql_\w+)`", page))
    for metric in METRICS:
        assert metric.where.split(".")[0].removesuffix("[]") in NAMES, metric.name


def test_names_keep_prometheus_rules() -> None:
    """Each name once; `_total` for what only grows; base units."""
    names = [m.name for m in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"flowsql_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == Kind.COUNTER)
        assert not re.search(r"_(ms|milliseconds|rows|mb)(_|$)", metric.name)
        assert (metric.scale == 1) or metric.name.endswith("_seconds")
        assert metric.doc.endswith(".")


def test_a_job_that_fails_is_ill_until_its_session_is_closed(running: Running) -> None:
    """503 with the reason; the port is free afterwards."""
    well = running.url.replace("/metrics", "/healthz")
    assert get(well)[0] == 200
    assert json.loads(get(well)[1]) == {"status": "ok", "jobs": {"shop": "ok"}}
    running.fails = True
    running.go.set()
    until(lambda: running.job.status()["health"] != "ok", 60)
    code, text, _ = get(well)
    (reason,) = json.loads(text)["jobs"].values()
    assert code == 503
    assert re.match(r"failed: .*the source broke", reason)
    running.session.close()
    with pytest.raises(OSError, match="refused"):
        get(well)


def test_a_server_that_stays_away(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment is no illness; where the job is over nobody tries any more."""
    lost = {"attempt": 9, "next_ms": 1000, "error": "connection refused"}
    told = SourceGroup.status
    monkeypatch.setattr(SourceGroup, "status", lambda group: told(group) | {"reconnecting": lost})
    well = running.url.replace("/metrics", "/healthz")
    assert get(well)[0] == 200
    lost["attempt"] = 10
    code, text, _ = get(well)
    assert (code, json.loads(text)["jobs"]) == (
        503,
        {"shop": "reconnecting (attempt 10): connection refused"},
    )
    assert samples(get(running.url)[1])["flowsql_job_healthy", "shop"] == 0
    running.fails = True
    running.go.set()
    until(lambda: running.job.status()["ended"] is not None, 60)
    assert all("reconnecting" not in source for source in running.job.status()["sources"])


def test_a_source_that_is_not_open_yet(tmp_path: Path) -> None:
    """Nobody says that its tables equal the database."""
    table = connector_table("a INT", {"connector": "values"}, name="t")
    group = SourceGroup(
        "t",
        Numbers(10),
        [table],
        context=attempt_context(tmp_path),
        limits=ReaderLimits(1 << 20, 1 << 20),
        ready=threading.Condition(),
    )
    assert (group.status()["phase"], group.status()["consistent"]) == ("starting", False)
    group.open(None)
    assert (group.status()["phase"], group.status()["consistent"]) == ("stream", True)
    group.close()


def test_what_is_not_there(running: Running) -> None:
    """The answer says what is."""
    code, text, _ = get(running.url.replace("/metrics", "/"))
    assert (code, text) == (404, "flowsql: /metrics for Prometheus, /healthz\n")


def test_jobs_of_one_process_are_labels(running: Running) -> None:
    """Of several sessions, too; two of one name are told apart."""
    with flowsql.connect({"metrics.port": "0"}) as other:
        other.from_arrow("u", pa.table({"k": [1]}))
        rows = other.execute("SELECT k FROM u")
        assert rows.fetchall() == [(1,)]
        other.execute("SET 'pipeline.name' = 'shop-2'")
        other.execute("CREATE TABLE nowhere (k BIGINT) WITH ('connector' = 'blackhole')")
        job = other.execute("INSERT INTO nowhere SELECT k FROM u")
        assert job.wait(60)
        assert job.status()["metrics"] == running.url
        found = samples(get(running.url)[1])
        assert found["flowsql_job_num_records_in_total", "shop"] == 4
        assert found["flowsql_job_num_records_in_total", "shop-2"] == 1
        assert found["flowsql_job_state", "shop-2", "finished"] == 1
        assert not any("select" in part for key in found for part in key)
    assert "shop-2" not in get(running.url)[1]


def test_a_job_that_took_the_name_of_one_that_is_over(running: Running) -> None:
    """It is shown still when the session of the other one is closed."""
    running.fails = True
    running.go.set()
    until(lambda: running.job.status()["ended"] is not None, 60)
    elsewhere = {"execution.checkpointing.dir": "elsewhere", "pipeline.name": "shop"}
    with flowsql.connect({"metrics.port": "0", **elsewhere}) as other:
        other.from_arrow("u", pa.table({"k": [1]}))
        other.execute("CREATE TABLE nowhere (k BIGINT) WITH ('connector' = 'blackhole')")
        job = other.execute("INSERT INTO nowhere SELECT k FROM u")
        assert job.wait(60)
        running.session.close()
        found = samples(get(job.status()["metrics"])[1])
        assert found["flowsql_job_state", "shop", "finished"] == 1
    with pytest.raises(OSError, match="refused"):
        get(running.url)


def test_a_port_that_is_taken() -> None:
    """Nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with flowsql.connect({"metrics.port": str(port)}) as session:
            session.from_arrow("u", pa.table({"k": [1]}))
            session.execute("CREATE TABLE nowhere (k BIGINT) WITH ('connector' = 'blackhole')")
            with pytest.raises(ConfigError) as raised:
                session.execute("INSERT INTO nowhere SELECT k FROM u")
            message = f'metrics cannot be shown at "127.0.0.1:{port}": address already in use'
            assert raised.value.message == message
            assert "Choose another 'metrics.port'" in str(raised.value.hint)
            assert not session.running


@pytest.mark.parametrize("port", ["65536", "-1", "x"])
def test_what_is_no_port(port: str) -> None:
    """Refused where it is set."""
    with pytest.raises(ConfigError, match=r'option "metrics\.port" cannot be'):
        flowsql.connect({"metrics.port": port})


def test_no_checkpoint_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than interval, pause and timeout together; one that is completed mends it."""
    ahead = [0.0]
    module = "flowsql.runtime.checkpoints.monotonic"
    monkeypatch.setattr(module, lambda: time.monotonic() + ahead[0])
    disk = FullDisk()
    job = Bench(tmp_path).job(endless(2000), tolerable_failed_checkpoints=1_000_000)
    with observe_files(disk):
        job.start()
        until(lambda: disk.refused, 60)
        assert job.status()["health"] == "ok"
        ahead[0] = 1000.0
        until(lambda: job.status()["health"].startswith("no checkpoint for 10"), 60)
        disk.full = False
        until(lambda: job.status()["health"] == "ok", 60)
        job.stop()
        assert job.wait(60)
    status = job.status()
    assert status["checkpoint"]["completed"] >= 1
    assert status["checkpoint"]["failed"] >= 1
    assert (status["checkpoint"]["in_progress"], status["restarts"]) == (0, 0)


def test_a_histogram_counts_every_duration() -> None:
    """Also those that the percentiles have forgotten; an end belongs to its bucket."""
    durations = Durations()
    for _ in range(600):
        durations.add(0.0001)
    durations.add(0.3)
    durations.add(100.0)
    found = durations.histogram()
    assert list(found["buckets"]) == [str(b) for b in BUCKETS]
    assert found["buckets"]["0.0001"] == found["buckets"]["0.25"] == 600
    assert found["buckets"]["0.5"] == found["buckets"]["10.0"] == 601
    assert (found["count"], found["sum"]) == (602, 100.36)
