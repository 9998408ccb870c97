"""What sinks are given: net, labelled, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import (
    DELETE,
    INSERT,
    UPDATE_AFTER,
    ChangelogMode,
    Changes,
    kind_names,
)
from flowsql.errors import DataError
from flowsql.expr import StepClock
from flowsql.runtime.constraints import Constraints, Enforcers
from flowsql.runtime.outlets import CollectOutlet, SinkForm
from flowsql.runtime.pending import PendingOutput
from flowsql.types import BigIntType, Field, RowType

ROW = RowType((Field("k", BigIntType()), Field("v", BigIntType())), nullable=False)
MODE = ChangelogMode


def changes(rows: list[tuple[int, int | None]], kinds: list[int] | None = None) -> Changes:
    """Rows of (k, v)."""
    columns = [pa.array([r[i] for r in rows], pa.int64()) for i in (0, 1)]
    batch = pa.RecordBatch.from_arrays(columns, names=["k", "v"])
    return Changes(batch, None if kinds is None else np.array(kinds, np.int8))


def given(form: SinkForm, *parts: Changes, spill: Path | None = None) -> list[str]:
    """One step's output as text; `spill` is the folder for a large step."""
    found: list[str] = []

    def take(part: Changes, step: int) -> None:
        rows = zip(*(c.to_pylist() for c in part.batch.columns), strict=True)
        found.extend(f"{k}{list(r)}" for k, r in zip(kind_names(part), rows, strict=True))

    outlet = CollectOutlet("o", "o", form, take)
    if spill is not None:
        outlet.pending = PendingOutput(spill, "p", ROW.types, (0,), form.net)
    for part in parts:
        outlet.push(0, part)
    outlet.settle(StepClock(0))
    return found


STEP = (
    changes([(1, 10), (2, 20)], [DELETE, DELETE]),
    changes([(1, 11), (3, 30), (4, 40)], [INSERT, INSERT, INSERT]),
    changes([(4, 40)], [DELETE]),
)


def test_a_retract_sink_gets_pairs() -> None:
    """Adjacent -U and +U; what was added and taken away in the step is not seen."""
    form = SinkForm("t", ROW, MODE.RETRACT, (0,))
    assert given(form, *STEP) == ["-U[1, 10]", "+U[1, 11]", "-D[2, 20]", "+I[3, 30]"]


def test_an_upsert_sink_gets_no_before() -> None:
    """The last row of each key, or its end."""
    form = SinkForm("t", ROW, MODE.UPSERT, (0,))
    assert given(form, *STEP) == ["+U[1, 11]", "-D[2, 20]", "+I[3, 30]"]


@pytest.mark.parametrize("limit", [0, 40, 60])
@pytest.mark.parametrize("mode", [MODE.RETRACT, MODE.UPSERT])
def test_a_step_too_large_for_memory_is_the_same_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, mode: ChangelogMode
) -> None:
    """An Arrow string column ends at 2 GiB: what is more is netted a key group at a time."""
    form = SinkForm("t", ROW, mode, (0,))
    whole = given(form, *STEP)
    monkeypatch.setattr("flowsql.runtime.outlets._MUCH", limit)
    spilled = given(form, *STEP, spill=tmp_path)
    by_key = {key: [r for r in whole if f"[{key}," in r] for key in range(5)}
    assert {key: [r for r in spilled if f"[{key}," in r] for key in range(5)} == by_key
    assert [p.suffix for p in tmp_path.iterdir()] == [".arrow"]


def test_without_a_key_there_are_no_updates() -> None:
    """Only rows that come and rows that go."""
    form = SinkForm("t", ROW, MODE.RETRACT)
    assert sorted(given(form, *STEP)) == ["+I[1, 11]", "+I[3, 30]", "-D[1, 10]", "-D[2, 20]"]


def test_upserts_pass_straight() -> None:
    """The last of a key in the step counts; a delete may hold only the key."""
    form = SinkForm("t", ROW, MODE.UPSERT, (0,), MODE.UPSERT)
    first = changes([(1, 10), (2, 20), (1, 11)], [INSERT, INSERT, UPDATE_AFTER])
    assert given(form, first, changes([(2, None)], [DELETE])) == ["+U[1, 11]", "-D[2, None]"]


def test_appended_rows_are_given_as_they_come() -> None:
    """Batch by batch."""
    form = SinkForm("t", ROW, MODE.APPEND, (), MODE.APPEND)
    assert given(form, changes([(1, 1)]), changes([(1, 1)])) == ["+I[1, 1]", "+I[1, 1]"]


def test_not_null_is_checked_where_rows_stay() -> None:
    """A delete that holds only its key breaks nothing."""
    row = RowType((ROW.fields[0], Field("v", BigIntType(nullable=False))), nullable=False)
    kept = Constraints("t", row, (1,), Enforcers())
    form = SinkForm("t", ROW, MODE.UPSERT, (0,), MODE.UPSERT, kept)
    assert given(form, changes([(2, None)], [DELETE])) == ["-D[2, None]"]
    with pytest.raises(DataError) as caught:
        given(form, changes([(2, None)]))
    assert caught.value.message == (
        'column "v" of table "t" is NOT NULL, but a NULL is written to it'
    )
    assert "'table.exec.sink.not-null-enforcer' = 'DROP'" in (caught.value.hint or "")


def test_unchanged_columns_need_someone_who_knows_them() -> None:
    """A value that the source did not send is never taken for NULL."""
    form = SinkForm("t", ROW, MODE.UPSERT, (0,), MODE.UPSERT)
    sent = changes([(1, None)], [UPDATE_AFTER])
    toast = Changes(sent.batch, sent.codes, {"v": np.array([True])})
    with pytest.raises(DataError, match='did not send column "v"') as caught:
        given(form, toast)
    assert "REPLICA IDENTITY FULL" in (caught.value.hint or "")
