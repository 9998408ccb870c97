"""`sink.partition-commit.*`: a file says that a partition is complete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes
from flowsql.connector import Role, Writer
from flowsql.errors import ConfigError, DataError
from flowsql.testing import attempt_context

from .files import FILESYSTEM, files_table

HOUR = 3_600_000
POLICY = {"sink.partition-commit.policy.kind": "success-file"}
BY_TIME = {**POLICY, "sink.partition-commit.trigger": "partition-time"}
HOURS = {
    **BY_TIME,
    "sink.partition-commit.delay": "1 h",
    "partition.time-extractor.timestamp-pattern": "$dt $hour:00:00",
}


def at(text: str) -> int:
    """Milliseconds since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Bench:
    """One table, written and committed by hand."""

    def __init__(
        self, root: Path, options: dict[str, str], keys: Sequence[str] = ("dt", "hour")
    ) -> None:
        self.root = root
        self.keys = keys
        columns = f"a INT, {', '.join(f'{k} STRING' for k in keys)}"
        self.table = files_table(root, columns, options=options, partition_keys=keys)
        FILESYSTEM.check(self.table, Role.SINK)
        self.number = 0
        self.writer = self.open([])

    def open(self, tokens: list[Any]) -> Writer:
        sink = FILESYSTEM.sink(self.table)
        context = attempt_context(self.root.parent)
        return sink.open(context, json.loads(json.dumps(tokens)))

    def write(self, *rows: Sequence[Any]) -> None:
        names = ["a", *self.keys]
        types = [pa.int32(), *[pa.string()] * len(self.keys)]
        columns = [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types, strict=True)]
        self.writer.write(Changes(pa.record_batch(columns, names)))

    def checkpoint(self, watermark: int | None = None, *, ended: bool = False) -> Any:
        """The token, committed."""
        if watermark is not None or ended:
            self.writer.advance(watermark or (1 << 63) - 1, ended=ended)
        self.writer.end_step()
        self.number += 1
        token = self.writer.prepare(self.number)
        if token is not None:
            self.writer.commit(json.loads(json.dumps(token)))
        return token

    def marked(self) -> list[str]:
        return sorted(str(p.parent.relative_to(self.root)) for p in self.root.rglob("_SUCCESS"))


def test_a_partition_is_complete_when_the_watermark_has_passed_it(tmp_path: Path) -> None:
    """Its time and the delay, strictly; its rows are there before."""
    bench = Bench(tmp_path / "t", HOURS)
    bench.write((1, "2026-01-05", "7"), (2, "2026-01-05", "08"))
    bench.checkpoint(at("2026-01-05 08:00:00"))
    assert bench.marked() == []
    assert len(list(bench.root.rglob("part-*"))) == 2
    assert bench.checkpoint(at("2026-01-05 08:00:00") + 1)["files"] == []
    assert bench.marked() == ["dt=2026-01-05/hour=7"]
    assert next(iter(bench.root.rglob("_SUCCESS"))).read_bytes() == b""
    bench.checkpoint(at("2026-01-05 09:30:00"))
    assert bench.marked() == ["dt=2026-01-05/hour=08", "dt=2026-01-05/hour=7"]
    # Nothing waits: a checkpoint without rows leaves nothing behind.
    assert bench.checkpoint(at("2026-01-05 10:30:00")) is None


def test_late_rows_mark_the_partition_again(tmp_path: Path) -> None:
    """They are written, and whoever looked at the file's time sees it."""
    bench = Bench(tmp_path / "t", HOURS)
    bench.write((1, "2026-01-05", "7"))
    bench.checkpoint(at("2026-01-06 00:00:00"))
    (mark,) = bench.root.rglob("_SUCCESS")
    mark.unlink()
    bench.write((2, "2026-01-05", "7"))
    bench.checkpoint()
    assert bench.marked() == ["dt=2026-01-05/hour=7"]


def test_a_partition_of_a_time_past_the_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock: since its first file, not its last."""
    now = [1_000_000]
    module = "flowsql_connectors.filesystem.commits.time.time_ns"
    monkeypatch.setattr(module, lambda: now[0] * 1_000_000)
    bench = Bench(tmp_path / "t", {**POLICY, "sink.partition-commit.delay": "10 s"}, ["k"])
    bench.write((1, "x"))
    bench.checkpoint()
    now[0] += 6_000
    bench.write((2, "x"), (3, "y"))
    bench.checkpoint()
    assert bench.marked() == []
    now[0] += 4_001
    bench.checkpoint()
    assert bench.marked() == ["k=x"]
    bench.checkpoint(ended=True)
    assert bench.marked() == ["k=x", "k=y"]


def test_without_a_delay_each_commit_marks(tmp_path: Path) -> None:
    """Flink's default."""
    bench = Bench(tmp_path / "t", POLICY, ["k"])
    bench.write((1, "x"), (2, None))
    bench.checkpoint()
    assert bench.marked() == ["k=__DEFAULT_PARTITION__", "k=x"]


def test_what_waits_is_kept_through_a_restart(tmp_path: Path) -> None:
    """Even where the last checkpoint had no rows."""
    bench = Bench(tmp_path / "t", HOURS)
    bench.write((1, "2026-01-05", "7"))
    bench.checkpoint(at("2026-01-05 07:10:00"))
    token = bench.checkpoint(at("2026-01-05 07:20:00"))
    bench.writer.close()
    bench.writer = bench.open([token])
    bench.writer.commit(token)
    assert bench.marked() == []
    bench.checkpoint(at("2026-01-05 08:20:00"))
    assert bench.marked() == ["dt=2026-01-05/hour=7"]


def test_a_commit_that_is_done_marks_nothing_again(tmp_path: Path) -> None:
    """The same token, after a restart; whoever took the file away has his reasons."""
    bench = Bench(tmp_path / "t", HOURS)
    bench.write((1, "2026-01-05", "7"))
    token = bench.checkpoint(at("2026-01-06 00:00:00"))
    (mark,) = bench.root.rglob("_SUCCESS")
    mark.unlink()
    bench.open([token]).commit(token)
    assert bench.marked() == []


@pytest.mark.parametrize(
    ("keys", "values", "options", "time"),
    [
        (["dt"], ["2026-01-05"], {}, "2026-01-05 00:00:00"),
        (["dt"], ["2026-1-5 7:05:00"], {}, "2026-01-05 07:05:00"),
        (["dt"], ["2026-01-05 24:00:00"], {}, "2026-01-06 00:00:00"),
        (
            ["d", "day", "month", "year"],
            ["x", "5", "1", "2026"],
            {"timestamp-pattern": "$year-$month-$day 00:00:00"},
            "2026-01-05 00:00:00",
        ),
        (
            ["dt", "h"],
            ["20260105", "07"],
            {"timestamp-pattern": "$dt $h", "timestamp-formatter": "yyyyMMdd HH"},
            "2026-01-05 07:00:00",
        ),
    ],
)
def test_times_that_partitions_name(
    tmp_path: Path, keys: list[str], values: list[str], options: dict[str, str], time: str
) -> None:
    """One digit where there could be two, and what is too large, as in Flink."""
    given = {f"partition.time-extractor.{k}": v for k, v in options.items()}
    bench = Bench(tmp_path / "t", {**BY_TIME, **given}, keys)
    bench.write((1, *values))
    bench.checkpoint(at(time))
    assert bench.marked() == []
    bench.checkpoint(at(time) + 1)
    assert len(bench.marked()) == 1


@pytest.mark.parametrize(
    ("zone", "time"),
    [
        ("Asia/Shanghai", "2026-07-04 16:00:00"),
        ("America/New_York", "2026-07-05 04:00:00"),
        ("GMT-08:00", "2026-07-05 08:00:00"),
    ],
)
def test_days_of_a_zone(tmp_path: Path, zone: str, time: str) -> None:
    """Where event time is a TIMESTAMP_LTZ."""
    options = {**BY_TIME, "sink.partition-commit.watermark-time-zone": zone}
    bench = Bench(tmp_path / "t", options, ["dt"])
    bench.write((1, "2026-07-05"))
    bench.checkpoint(at(time))
    assert bench.marked() == []
    bench.checkpoint(at(time) + 1)
    assert bench.marked() == ["dt=2026-07-05"]


@pytest.mark.parametrize("value", ["monday", None, "2026-02-x", "2026-01-05 7"])
def test_a_partition_that_names_no_time(tmp_path: Path, value: str | None) -> None:
    """Told with what was read and how."""
    bench = Bench(tmp_path / "t", BY_TIME, ["dt"])
    bench.write((1, value))
    with pytest.raises(DataError) as raised:
        bench.checkpoint(0)
    shown = value or "__DEFAULT_PARTITION__"
    assert raised.value.message == f'partition "dt={shown}" of table "t" names no time: "{shown}"'
    assert "timestamp-pattern" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sink.partition-commit.policy.kind": "metastore"}, 'there is no policy "metastore" for files'),
        ({"sink.partition-commit.policy.kind": "success-file,custom"}, 'no policy "custom"'),
        ({"sink.partition-commit.policy.kind": "sucess"}, 'no policy "sucess"'),
        ({**POLICY, "sink.partition-commit.success-file.name": "done"}, "would be read as rows"),
        ({**POLICY, "sink.partition-commit.success-file.name": "_a/b"}, "would be read as rows"),
        ({**BY_TIME, "sink.partition-commit.watermark-time-zone": "Mars"}, "no such time zone"),
        ({**BY_TIME, "partition.time-extractor.timestamp-pattern": "$day"}, "names no partition column, such as $dt"),
        ({**BY_TIME, "partition.time-extractor.timestamp-formatter": "yyyy-DDD"}, "of letters only yyyy, MM"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """Found when the table is planned."""
    with pytest.raises(ConfigError) as raised:
        Bench(tmp_path / "t", options)
    assert message in raised.value.message
    assert raised.value.hint


def test_a_table_without_partitions(tmp_path: Path) -> None:
    """There is nothing that could be complete."""
    table = files_table(tmp_path, options=POLICY)
    with pytest.raises(ConfigError, match="has no partitions that could be committed"):
        FILESYSTEM.check(table, Role.SINK)
    FILESYSTEM.check(table, Role.SCAN)


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_job_marks_all_at_its_end(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what its event time has not passed."""
    monkeypatch.chdir(tmp_path)
    with flowsql.connect({"execution.runtime-mode": mode}) as session:
        rows = pa.table({"a": [1, 2], "dt": ["2026-01-05", "2026-01-06"]})
        session.from_arrow("u", rows)
        given = ", ".join(f"'{k}' = '{v}'" for k, v in BY_TIME.items())
        session.execute(
            "CREATE TABLE t (a BIGINT, dt STRING) PARTITIONED BY (dt) WITH ("
            f"'connector' = 'filesystem', 'path' = 't', 'format' = 'csv', {given})"
        )
        session.execute("INSERT INTO t SELECT a, dt FROM u").wait(60)
        found = sorted(str(p) for p in Path("t").rglob("_SUCCESS"))
        assert found == ["t/dt=2026-01-05/_SUCCESS", "t/dt=2026-01-06/_SUCCESS"]
        assert sorted(session.execute("SELECT a, dt FROM t").fetchall()) == [
            (1, "2026-01-05"),
            (2, "2026-01-06"),
        ]
