"""Steps: where they end, what they show, what becomes of bad records and snapshots."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowsql.changelog import ChangelogMode, Changes
from flowsql.config import EngineSettings
from flowsql.connector import BadRecord, Poll, Split
from flowsql.errors import DataError, FlowSQLError
from flowsql.physical import PhysicalNode, PhysicalPlan, specs
from flowsql.runtime.graph import JobPlan, ResolvedTable
from flowsql.runtime.job import Job
from flowsql.types import Field, RowType, VarBinaryType, VarCharType
from tests.recovery.toys import KnownPlan, fold, job_plan, sums_plan, table
from tests.unit.runtime.scripted import Memory, Script, Scripted, gives, piece


def run(plan: JobPlan, **settings: Any) -> Job:
    """To the end, without a folder."""
    job = Job("j", plan, EngineSettings(**settings), persistent=False, codec=KnownPlan(plan.plan))
    job.run()
    if job.error is not None:
        raise job.error
    return job


def steps_of(memory: Memory) -> list[list[tuple[str, tuple[Any, ...]]]]:
    """The steps that gave something."""
    return [s for s in memory.steps if s]


def test_one_net_change_a_key_and_step() -> None:
    """A key touched twice in a step gives one change; `ends_step` ends a step."""
    script = Script(
        {
            "s": [
                gives("s", (5, 1), (5, 2), (6, 1), ends_step=True),
                gives("s", (5, 3), ends_step=True),
                gives("s", (1, 9), ends_step=True),
                gives("s", (6, 0), (7, 4), ends_step=True),
            ]
        }
    )
    memory = Memory()
    run(job_plan(Scripted(script), memory))
    assert steps_of(memory) == [
        [("+I", (5, 2, 3)), ("+I", (6, 1, 1))],
        [("-U", (5, 2, 3)), ("+U", (5, 3, 6))],
        [("-U", (6, 1, 1)), ("+U", (6, 2, 1)), ("+I", (7, 1, 4))],
    ]


def test_a_step_holds_whole_transactions() -> None:
    """However few rows a step should have, and however large the transaction is."""
    whole = [gives("s", *((5, i) for i in range(at, at + 40)), boundary=False) for at in (0, 40)]
    script = Script({"s": [*whole, gives("s", (5, 80)), gives("s", (5, 81))]})
    memory = Memory()
    run(job_plan(Scripted(script), memory), step_max_rows=1, max_transaction_bytes=1000)
    sums = [row[1:] for kind, row in memory.changes if kind[0] == "+"]
    assert sums[0] == (81, sum(range(81)))
    assert sums[-1] == (82, sum(range(82)))


def test_a_full_queue_stops_the_reader() -> None:
    """Back-pressure bounds what is read ahead, and ends no step early."""
    polls = [gives("s", *((5, i) for i in range(1000))) for _ in range(300)]
    script = Script({"s": polls})
    plan = job_plan(Scripted(script), Memory())
    seen: list[int] = []
    job: Job

    def slow(changes: Changes, step: int) -> None:
        execution = job._execution
        assert execution is not None
        seen.append(max(t.queued_bytes for g in execution.groups for t in g.threads))

    nodes = (plan.plan.nodes[0],)
    scan = nodes[0]
    collect = PhysicalNode("out", specs.Collect(), ("scan",), scan.output, scan.mode)
    plan = JobPlan(PhysicalPlan((scan, collect), "f"), plan.tables)
    settings = EngineSettings(queue_bytes=1 << 20, step_max_rows=1000)
    job = Job("j", plan, settings, persistent=False, collect=slow, codec=KnownPlan(plan.plan))
    job.run()
    assert job.error is None
    # The limit, and the poll that was under way.
    assert max(seen) <= (1 << 20) + 2 * (16_000 + 2048)


def test_a_batch_job_gives_its_result_once() -> None:
    """One step over the whole input, whatever ends where."""
    script = Script(
        {"s": [gives("s", (5, i), ends_step=True) for i in range(20)], "t": [gives("t", (5, 7))]}
    )
    memory = Memory()
    plan = job_plan(Scripted(script), memory)
    plan = replace(plan, plan=replace(plan.plan, streaming=False))
    run(plan, step_max_rows=2)
    assert steps_of(memory) == [[("+I", (5, 21, sum(range(20)) + 7))]]


def test_an_empty_source_ends_at_once() -> None:
    """No split at all, or splits without rows."""
    for script in (Script({}), Script({"s": []})):
        memory = Memory()
        job = run(job_plan(Scripted(script), memory))
        assert memory.changes == []
        assert job.status()["state"] == "finished"


def test_splits_found_later_are_read() -> None:
    """Discovery goes on until a bounded source has no more."""
    script = Script({"s": [gives("s", (5, 1))]}, later={"t": [gives("t", (5, 2))]})
    memory = Memory()
    run(job_plan(Scripted(script), memory))
    assert fold(memory.changes) == Counter({(5, 2, 3): 1})


BAD = BadRecord("numbers", "file:7", b"x,\xff", "no number")
LETTERS = RowType(
    (
        Field("table_name", VarCharType()),
        Field("place", VarCharType()),
        Field("record", VarBinaryType()),
        Field("reason", VarCharType()),
    )
)


def bad_plan(policy: specs.BadRecordPolicy, memory: Memory, letters: Memory) -> JobPlan:
    """The sums, and the records that cannot be decoded."""
    polls = [gives("s", (5, 1)), Poll((piece("s", (5, 2)),), (BAD,)), gives("s", (5, 3))]
    plan = job_plan(Scripted(Script({"s": polls})), memory)
    scan = plan.plan.nodes[0]
    spec = replace(scan.spec, bad_records=policy)
    nodes = [replace(scan, spec=spec), *plan.plan.nodes[1:]]
    if policy is specs.BadRecordPolicy.DEAD_LETTER:
        append = ChangelogMode.APPEND
        nodes += [
            PhysicalNode("dead", specs.DeadLetters(), ("scan",), LETTERS, append),
            PhysicalNode("letters", specs.Sink("letters", append), ("dead",), LETTERS, append),
        ]
    tables = {**plan.tables, "letters": ResolvedTable(letters, table("letters", LETTERS))}
    return JobPlan(replace(plan.plan, nodes=tuple(nodes)), tables)


def test_a_bad_record_fails_the_job() -> None:
    """By default: with the place, the reason, the record, and the cure."""
    memory = Memory()
    with pytest.raises(DataError) as caught:
        run(bad_plan(specs.BadRecordPolicy.FAIL, memory, Memory()))
    assert str(caught.value) == (
        'DataError: a record of table "numbers" cannot be decoded: no number\n'
        "Detail: At file:7: x,\\xff\n"
        "Hint: Leave such records out with 'scan.bad-record' = 'skip' in the table's WITH, or keep "
        "them with 'dead-letter'."
    )


def test_bad_records_are_skipped_or_kept() -> None:
    """Counted in both cases; kept as rows of the dead-letter table."""
    for policy in (specs.BadRecordPolicy.SKIP, specs.BadRecordPolicy.DEAD_LETTER):
        memory, letters = Memory(), Memory()
        job = run(bad_plan(policy, memory, letters))
        assert fold(memory.changes) == Counter({(5, 3, 6): 1})
        assert job.status()["bad_records"] == 1
        kept = [("+I", ("numbers", "file:7", b"x,\xff", "no number"))]
        assert letters.changes == (kept if policy is specs.BadRecordPolicy.DEAD_LETTER else [])


def snapshot_script() -> Script:
    """Two chunks, then a log that is consistent after its second transaction."""
    return Script(
        {
            "c1": [gives("c1", (5, 10), (6, 10), consistent=False)],
            "c2": [gives("c2", (7, 10), consistent=False)],
            "log": [
                gives("log", (5, 1), consistent=False),
                gives("log", (7, 1), consistent=False),
                gives("log", (6, 1), consistent=True),
                gives("log", (6, 5), consistent=True),
            ],
        },
        splits={
            "c1": Split("c1", ("numbers",), snapshot=True),
            "c2": Split("c2", ("numbers",), snapshot=True),
            "log": Split("log", ("numbers",), owner="log"),
        },
        wait_for={"log": {"c1", "c2"}},
    )


def test_nothing_is_shown_before_the_snapshot_is_consistent() -> None:
    """The first change holds the whole consistent state."""
    memory = Memory()
    run(job_plan(Scripted(snapshot_script()), memory), step_max_rows=1)
    first, *rest = steps_of(memory)
    after_snapshot = {(5, 2, 11), (6, 2, 11), (7, 2, 11)}
    at_end = {(5, 2, 11), (6, 3, 16), (7, 2, 11)}
    assert {row for _, row in first} in (after_snapshot, at_end)
    assert all(kind == "+I" for kind, _ in first)
    assert set(fold(memory.changes)) == at_end
    assert len(rest) <= 1


def test_progressive_output_shows_every_row() -> None:
    """`pipeline.snapshot-output` = progressive."""
    memory = Memory()
    settings = {"step_max_rows": 1, "snapshot_output": "progressive"}
    run(job_plan(Scripted(snapshot_script()), memory), **settings)
    assert len(steps_of(memory)) == 6
    assert set(fold(memory.changes)) == {(5, 2, 11), (6, 3, 16), (7, 2, 11)}


def test_appended_rows_of_a_snapshot_are_held_back_too() -> None:
    """In order of arrival, in one step."""
    memory = Memory()
    plan = job_plan(Scripted(snapshot_script()), memory, sums_plan(aggregate=False))
    run(plan, step_max_rows=1)
    first = steps_of(memory)[0]
    assert len(first) >= 6
    assert len(memory.changes) == 7


def test_results_are_told_to_readers() -> None:
    """What a finished split gave goes through the source to every reader."""
    script = snapshot_script()
    run(job_plan(Scripted(script), Memory()))
    assert {"finished": "c1", "result": {"polls": 1}} in script.told


def test_a_null_for_a_not_null_column(tmp_path: Path) -> None:
    """An error that names column and table, or a row left out."""
    script = Script({"s": [gives("s", (5, 1)), Poll((piece("s", (6, None)),))]})  # type: ignore[arg-type]
    for enforcer in ("error", "drop"):
        memory = Memory()
        plan = job_plan(Scripted(script), memory, sums_plan(aggregate=False))
        sink = plan.plan.nodes[-1]
        nodes = (*plan.plan.nodes[:-1], replace(sink, spec=replace(sink.spec, not_null=(1,))))
        plan = replace(plan, plan=replace(plan.plan, nodes=nodes))
        if enforcer == "error":
            with pytest.raises(FlowSQLError, match='column "v" of table "parts" is NOT NULL'):
                run(plan, not_null_enforcer=enforcer)
        else:
            run(plan, not_null_enforcer=enforcer)
            assert memory.changes == [("+I", (5, 1))]
