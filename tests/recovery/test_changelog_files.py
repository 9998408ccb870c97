"""The power goes off while changes are written to files: they are there once, in order."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.recovery.disk import Loss
from tests.recovery.jobs.crashed import CrashedJob

CUTS = 120 if os.environ.get("FLOWSQL_TEST_ALL") else 16
FILES, MESSAGES = 12, 40

SCRIPT = """
SET 'pipeline.name' = 'record';
SET 'pipeline.step.max-rows' = '30';
SET 'execution.checkpointing.dir' = '{disk}/jobs';
SET 'execution.checkpointing.interval' = '10 ms';
CREATE TABLE feed (id INT, owner STRING, v INT) WITH (
  'connector' = 'filesystem', 'path' = '{root}/feed', 'format' = 'debezium-json');
CREATE TABLE log (owner STRING, n BIGINT, total INT) WITH (
  'connector' = 'filesystem', 'path' = '{disk}/log', 'format' = 'debezium-json',
  'sink.rolling-policy.file-size' = '500 b');
INSERT INTO log SELECT owner, COUNT(*), SUM(v) FROM feed GROUP BY owner;
"""


def write_feed(folder: Path) -> Counter:
    """Files of changes whose names are in order and whose times are not; the table they come to."""
    chance = random.Random(5)
    folder.mkdir()
    there: dict[int, dict] = {}
    for number in range(FILES):
        lines = []
        for _ in range(MESSAGES):
            row = {
                "id": chance.randrange(30),
                "owner": chance.choice("abcd"),
                "v": chance.randrange(9),
            }
            old = there.get(row["id"])
            if old is None:
                lines.append({"before": None, "after": row, "op": "c"})
            elif chance.random() < 0.3:
                lines.append({"before": old, "after": None, "op": "d"})
                del there[row["id"]]
                continue
            else:
                lines.append({"before": old, "after": row, "op": "u"})
            there[row["id"]] = row
        path = folder / f"feed-{number}.json"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        os.utime(path, (1000 - number, 1000 - number))
    counts = Counter(r["owner"] for r in there.values())
    totals: Counter = Counter()
    for row in there.values():
        totals[row["owner"]] += row["v"]
    return Counter((o, n, totals[o]) for o, n in counts.items())


def folded(folder: Path) -> Counter:
    """The table that files of changes come to, read in the order of their names."""
    found: Counter = Counter()
    for path in sorted(folder.glob("part-*.json")):
        for line in path.read_text().splitlines():
            message = json.loads(line)
            if message["op"] == "c":
                found[tuple(message["after"].values())] += 1
            else:
                row = tuple(message["before"].values())
                assert found[row] > 0, f"{row} is taken away and was not there"
                found[row] -= 1
    return +found


@pytest.mark.parametrize("loss", [Loss.DATA, Loss.ALL])
def test_after_any_crash_the_changes_are_right(
    tmp_path: Path, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No change is lost, none is there twice, and none comes before what it takes away."""
    monkeypatch.setattr("flowsql.runtime.readers._POLL_ROWS", 25)
    disk_root = tmp_path / "disk"
    expected = write_feed(tmp_path / "feed")
    job = CrashedJob(SCRIPT.format(disk=disk_root, root=tmp_path), disk_root, "record")
    for crash in job.crashes(loss, CUTS):
        job.run_again()
        assert folded(disk_root / "log") == expected, crash
        assert len(list((disk_root / "log").glob("part-*.json"))) > 3, crash
