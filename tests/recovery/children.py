"""What the killed children run."""

from __future__ import annotations

import json
from pathlib import Path

import flowsql
from flowsql.config import EngineSettings
from flowsql.runtime.job import Job
from tests.recovery.toys import KnownPlan, Numbers, Parts, job_plan, sums_plan


def sums(folder: str, total: int, aggregate: bool, splits: int = 2) -> None:
    """Numbers → filter → GROUP BY → parts, with a checkpoint every 20 ms; once."""
    root = Path(folder)
    record = root / "jobs" / "sums" / "job.json"
    if record.exists() and json.loads(record.read_text())["finished"]:
        return
    source = Numbers(total, splits=splits, size=50, pause=0.004, transaction=3)
    plan = job_plan(source, Parts(root / "out"), sums_plan(aggregate=aggregate))
    settings = EngineSettings(
        checkpoint_dir=root / "jobs", checkpoint_interval=20, step_max_rows=400, num_retained=2
    )
    job = Job("sums", plan, settings, codec=KnownPlan(plan.plan))
    job.run()
    if job.error is not None:
        raise job.error


FILES_JOB = """
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND
) WITH (
  'connector' = 'filesystem', 'path' = '{root}/bid', 'format' = 'parquet',
  'source.monitor-interval' = '50 ms'
);
CREATE TABLE auction (
  id BIGINT, item STRING, seller BIGINT, category BIGINT, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = '{root}/auction', 'format' = 'parquet');
CREATE TABLE sales (auction BIGINT, item STRING, price BIGINT)
WITH ('connector' = 'filesystem', 'path' = '{root}/sales', 'format' = 'parquet');
CREATE TABLE per_minute (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), bidder BIGINT, bids BIGINT, top BIGINT
) WITH ('connector' = 'filesystem', 'path' = '{root}/per_minute', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO sales
  SELECT b.auction, a.item, b.price FROM bid b JOIN auction a ON b.auction = a.id
  WHERE a.category = 10;
  INSERT INTO per_minute
  SELECT window_start, window_end, bidder, COUNT(*), MAX(price)
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, bidder;
END;
"""

BANK_JOB = """
CREATE TABLE checking (
  id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'checking',
        'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE savings (
  id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'savings',
        'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE by_group (
  k BIGINT, accounts BIGINT, balance BIGINT, partners BIGINT, PRIMARY KEY (k) NOT ENFORCED
) WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/by_group.sqlite');
CREATE TABLE probe (balance BIGINT, version BIGINT)
WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/probe.sqlite', 'changelog-log' = 'true');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO by_group
  SELECT MOD(c.id, 7), COUNT(*), SUM(c.balance), COUNT(s.id)
  FROM checking c LEFT JOIN savings s ON c.balance = s.balance
  GROUP BY MOD(c.id, 7);
  INSERT INTO probe
  SELECT SUM(balance), SUM(version)
  FROM (SELECT balance, version FROM checking UNION ALL SELECT balance, version FROM savings);
END;
"""


def sql(folder: str, script: str) -> None:
    """The job of a script until someone stops it."""
    text = {"files": FILES_JOB, "bank": BANK_JOB}[script].format(root=folder)
    config = {
        "execution.checkpointing.dir": f"{folder}/jobs",
        "execution.checkpointing.interval": "30 ms",
        "pipeline.name": script,
        "restart-strategy.type": "none",
    }
    with flowsql.connect(config=config) as session:
        job = session.execute(text)
        assert isinstance(job, Job)
        job.wait()
