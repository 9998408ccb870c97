"""The power goes off while partitions are written: none is marked before all of its rows are there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.recovery.disk import Loss
from tests.recovery.jobs.crashed import CrashedJob

CUTS = 120 if os.environ.get("FLOWSQL_TEST_ALL") else 16
FILES, ROWS = 8, 60

SCRIPT = """
SET 'pipeline.name' = 'hours';
SET 'pipeline.step.max-rows' = '30';
SET 'execution.checkpointing.dir' = '{disk}/jobs';
SET 'execution.checkpointing.interval' = '10 ms';
CREATE TABLE feed (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' MINUTE) WITH (
  'connector' = 'filesystem', 'path' = '{root}/feed', 'format' = 'csv');
CREATE TABLE log (id INT, h STRING) PARTITIONED BY (h) WITH (
  'connector' = 'filesystem', 'path' = '{disk}/log', 'format' = 'csv',
  'sink.partition-commit.policy.kind' = 'success-file',
  'sink.partition-commit.trigger' = 'partition-time',
  'sink.partition-commit.delay' = '1 h',
  'partition.time-extractor.timestamp-pattern' = '2026-01-05 $h:00:00');
INSERT INTO log SELECT id, DATE_FORMAT(ts, 'HH') FROM feed;
"""


def write_feed(folder: Path) -> dict[str, Counter]:
    """Rows in the order of their time, ten minutes apart; by hour."""
    folder.mkdir()
    hours: dict[str, Counter] = {}
    for number in range(FILES):
        lines = []
        for row in range(number * ROWS, (number + 1) * ROWS):
            minute = row * 3
            hour = f"{minute // 60:02d}"
            lines.append(f"{row},2026-01-05 {hour}:{minute % 60:02d}:00\n")
            hours.setdefault(hour, Counter())[row] += 1
        path = folder / f"{number}.csv"
        path.write_text("".join(lines))
        os.utime(path, (1000 + number, 1000 + number))
    return hours


def rows_of(folder: Path) -> Counter:
    """The rows that a reader finds in a partition."""
    texts = [p.read_text() for p in folder.glob("part-*.csv")]
    return Counter(int(line) for text in texts for line in text.splitlines())


def marked(root: Path) -> list[str]:
    """Hours that are said to be complete."""
    return sorted(p.parent.name.removeprefix("h=") for p in root.glob("h=*/_SUCCESS"))


@pytest.mark.parametrize("loss", [Loss.DATA, Loss.ALL])
def test_a_mark_is_true_after_any_crash(
    tmp_path: Path, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every moment, and after the restart every partition has its mark."""
    monkeypatch.setattr("flowsql.runtime.readers._POLL_ROWS", 25)
    disk_root = tmp_path / "disk"
    hours = write_feed(tmp_path / "feed")
    job = CrashedJob(SCRIPT.format(disk=disk_root, root=tmp_path), disk_root, "hours")
    log = disk_root / "log"
    for crash in job.crashes(loss, CUTS):
        told = marked(log)
        for hour in told:
            assert rows_of(log / f"h={hour}") == hours[hour], crash
        job.run_again()
        assert marked(log) == sorted(hours), crash
        assert {h: rows_of(log / f"h={h}") for h in hours} == hours, crash
