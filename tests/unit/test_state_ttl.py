"""State that is forgotten, through the session: restarts, and another lifetime than before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import flowsql
from flowsql.runtime.clock import ManualClock
from flowsql.runtime.job import Job
from tests.unit.library.feeds import SCHEMA, changes, rows

HOUR = 3_600_000
QUERY = "INSERT INTO s SELECT /*+ STATE_TTL('t' = '{}') */ k, COUNT(*) FROM t GROUP BY k"


class Steps:
    """Two steps, of which the first reading gives one."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self._first = True

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield rows((1, 1), (2, 2))
        if self._first:
            self._first = False
            self.go_on.wait(60)
        yield rows((1, 3))


def reach(job: Job, step: int) -> None:
    """Wait until the job has done so many steps."""
    while job.status().get("step", 0) < step:
        assert not job.wait(0.01)


@pytest.fixture
def steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Steps:
    """What the job behind the savepoint in `tmp_path / "saved"` has read one step of, at hour 1."""
    made = Steps()
    with begin(tmp_path, made, "first", at=1) as session:
        job = session.execute(QUERY.format("2 h"))
        assert isinstance(job, Job)
        reach(job, 1)
        job.savepoint(tmp_path / "saved", 10)
        job.stop()
        made.go_on.set()
        job.wait(60)
    assert capsys.readouterr().out == "+I[1, 1]\n+I[2, 1]\n"
    return made


def begin(folder: Path, steps: Steps, name: str, at: int) -> flowsql.Session:
    """A session whose clock stands at this hour."""
    clock = ManualClock(at * HOUR * 1_000)
    session = flowsql.connect({"execution.checkpointing.dir": str(folder / name)}, clock=clock)
    session.execute("CREATE TABLE s (k BIGINT, n BIGINT) WITH ('connector' = 'print')")
    session.execute("SET 'pipeline.name' = 'counts'")
    session.from_changes("t", SCHEMA, steps)
    return session


@pytest.mark.parametrize(("hour", "expected"), [(2, "-U[1, 1]\n+U[1, 2]\n"), (3, "+I[1, 1]\n")])
def test_a_checkpoint_knows_when_state_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: Steps, hour: int, expected: str
) -> None:
    """A lifetime goes on over a restart, also while nothing runs."""
    with begin(tmp_path, steps, "second", at=hour) as session:
        session.execute(f"SET 'execution.state-recovery.path' = '{tmp_path / 'saved'}'")
        job = session.execute(QUERY.format("2 h"))
        assert isinstance(job, Job)
        job.wait(60)
    assert capsys.readouterr().out == expected


def test_another_lifetime_is_another_job(tmp_path: Path, steps: Steps) -> None:
    """It is refused with the difference."""
    with begin(tmp_path, steps, "second", at=2) as session:
        session.execute(f"SET 'execution.state-recovery.path' = '{tmp_path / 'saved'}'")
        job = session.execute(QUERY.format("3 h"))
        assert isinstance(job, Job)
        with pytest.raises(flowsql.StateError) as caught:
            job.wait(60)
    assert "- COUNT(*) GROUP BY k, state kept for 2 h" in str(caught.value)
    assert "+ COUNT(*) GROUP BY k, state kept for 3 h" in str(caught.value)


def test_the_setting_is_told_where_it_differs(tmp_path: Path) -> None:
    """The statements read alike: the operators show it."""
    steps = Steps()
    query = "INSERT INTO s SELECT k, COUNT(*) FROM t GROUP BY k"
    for name, ttl in (("first", "1 h"), ("second", "0 s")):
        with begin(tmp_path, steps, name, at=1) as session:
            session.execute(f"SET 'table.exec.state.ttl' = '{ttl}'")
            if name == "second":
                session.execute(f"SET 'execution.state-recovery.path' = '{tmp_path / 'saved'}'")
            job = session.execute(query)
            assert isinstance(job, Job)
            if name == "first":
                reach(job, 1)
                job.savepoint(tmp_path / "saved", 10)
                job.stop()
                steps.go_on.set()
                job.wait(60)
                continue
            with pytest.raises(flowsql.StateError) as caught:
                job.wait(60)
    assert "- GroupAggregate(keys=[k], calls=[COUNT(*)], ttl=1 h)" in str(caught.value)
    assert "+ GroupAggregate(keys=[k], calls=[COUNT(*)])" in str(caught.value)


def test_a_late_update_replaces_a_pair_of_a_forgotten_row() -> None:
    """Also where an aggregate is made of the pairs."""
    clock = ManualClock(0)

    def left() -> Iterator[flowsql.Changes]:
        yield changes(("+I", 1, 7))
        clock.advance(HOUR)
        yield changes(("-U", 1, 7), ("+U", 1, 8))

    with flowsql.connect(clock=clock) as session:
        session.from_changes("l", SCHEMA, left())
        session.from_changes("r", SCHEMA, [changes(("+I", 1, 10)), None])
        session.execute(
            "CREATE VIEW pairs AS SELECT /*+ STATE_TTL('l' = '1 h') */ l.v, r.v AS w "
            "FROM l JOIN r ON l.k = r.k"
        )
        result = session.execute("SELECT COUNT(*) AS n, SUM(v * w) AS total FROM pairs")
        assert isinstance(result, flowsql.Result)
        assert result.to_arrow().to_pylist() == [{"n": 1, "total": 80}]
