"""Which snapshots are too old: decided over any history, without a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from flowsql_connectors.iceberg.write.retention import Expiry, ExpirySettings, choose
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.refs import SnapshotRef
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from flowsql.errors import ConnectorError

NOW = 1_000_000_000
EMPTY = new_table_metadata(
    Schema(), UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, "file:///t", {}
)
BY_TABLE = ExpirySettings(enabled=True, age=None, last=None, commits=1, interval=0)


def of_job(age: int | None = None, last: int | None = None) -> ExpirySettings:
    """What options say."""
    return ExpirySettings(enabled=True, age=age, last=last, commits=1, interval=0)


def metadata(
    parents: dict[int, int | None],
    ages: dict[int, int],
    refs: dict[str, SnapshotRef],
    properties: dict[str, str] | None = None,
) -> TableMetadata:
    """A table with these snapshots, whose numbers are those of their order."""
    snapshots = [
        Snapshot(
            snapshot_id=number,
            parent_snapshot_id=parent,
            sequence_number=number,
            timestamp_ms=NOW - ages[number],
            manifest_list=f"{number}.avro",
            summary=Summary(Operation.APPEND),
        )
        for number, parent in parents.items()
    ]
    more = {"snapshots": snapshots, "refs": refs, "properties": properties or {}}
    return EMPTY.model_copy(update=more)


def ref(snapshot: int, kind: str = "branch", **more: int) -> SnapshotRef:
    """A branch or tag."""
    return SnapshotRef(snapshot_id=snapshot, snapshot_ref_type=kind, **more)


def line(count: int, **more: Any) -> TableMetadata:
    """Snapshots 1 to `count`, each a second older than the next; the last is the head of `main`."""
    parents = {n: n - 1 or None for n in range(1, count + 1)}
    ages = {n: 1000 * (count - n) for n in parents}
    return metadata(parents, ages, {"main": ref(count), **more.pop("refs", {})}, **more)


def gone(chosen: Expiry) -> list[int]:
    """Ids."""
    return [s.snapshot_id for s in chosen.snapshots]


@pytest.mark.parametrize(("settings", "properties", "left"), [
    (BY_TABLE, {}, 1),
    (of_job(age=2500), {}, 3),
    (of_job(age=0), {}, 5),
    (of_job(age=0, last=3), {}, 3),
    (BY_TABLE, {"history.expire.max-snapshot-age-ms": "1500"}, 4),
    (BY_TABLE, {"history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "4"}, 2),
    (of_job(last=2), {"history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "4"}, 4),
    (of_job(age=4500), {"history.expire.max-snapshot-age-ms": "0"}, 1),
])  # fmt: skip
def test_age_and_number(settings: ExpirySettings, properties: dict[str, str], left: int) -> None:
    """By the options, by the table's properties, and by default after five days."""
    table = line(6, properties=properties)
    if settings == BY_TABLE and not properties:
        five_days = 5 * 86_400_000
        assert not choose(table, settings, "main", (), NOW + five_days - 5000)
        assert gone(choose(table, settings, "main", (), NOW + five_days - 4999)) == [1]
        return
    assert gone(choose(table, settings, "main", (), NOW)) == list(range(1, left + 1))


def test_tags_and_branches_hold_theirs() -> None:
    """A branch says for itself how much it keeps."""
    refs = {
        "release": ref(2, "tag"),
        "audit": ref(4, min_snapshots_to_keep=2),
    }
    chosen = choose(line(8, refs=refs), of_job(age=0), "main", (), NOW)
    assert gone(chosen) == [1, 5, 6, 7]
    assert chosen.refs == frozenset()


def test_a_branch_may_keep_for_longer_than_the_table() -> None:
    """By the age that it has itself."""
    refs = {"main": ref(5, max_snapshot_age_ms=2000)}
    table = line(5)
    table = table.model_copy(update={"refs": refs})
    assert gone(choose(table, of_job(age=0), "main", (), NOW)) == [1, 2]


def test_refs_leave_with_their_age() -> None:
    """Not the one that is written, nor the main one."""
    refs = {
        "old": ref(2, "tag", max_ref_age_ms=3999),
        "young": ref(3, "tag", max_ref_age_ms=3000),
        "mine": ref(1, max_ref_age_ms=1),
        "by-table": ref(4),
    }
    properties = {"history.expire.max-ref-age-ms": "1999"}
    chosen = choose(line(6, refs=refs, properties=properties), of_job(age=0), "mine", (), NOW)
    assert chosen.refs == {"old", "by-table"}
    assert gone(chosen) == [2, 4, 5]


def test_what_no_ref_names_stays_until_it_is_old() -> None:
    """As what was rolled back a moment ago."""
    parents = {1: None, 2: 1, 3: 2, 4: 1}
    ages = {1: 9000, 2: 5000, 3: 1000, 4: 0}
    table = metadata(parents, ages, {"main": ref(4)})
    assert gone(choose(table, of_job(age=2000), "main", (), NOW)) == [1, 2]


def test_what_the_job_needs_stays_with_all_behind_it() -> None:
    """Else it could not be found from the head."""
    assert gone(choose(line(9), of_job(age=0), "main", {5, 7}, NOW)) == [1, 2, 3, 4]


@pytest.mark.parametrize("key", [
    "history.expire.max-snapshot-age-ms", "history.expire.min-snapshots-to-keep",
    "history.expire.max-ref-age-ms",
])  # fmt: skip
def test_a_property_that_is_no_number(key: str) -> None:
    """It is named."""
    with pytest.raises(ConnectorError) as caught:
        choose(line(2, properties={key: "5 days"}), BY_TABLE, "main", (), NOW)
    assert caught.value.message == f"property \"{key}\" of the table is no whole number: '5 days'"
    assert key in str(caught.value.hint)


@dataclass(frozen=True)
class History:
    """A table and how it is looked at."""

    table: TableMetadata
    settings: ExpirySettings
    kept: frozenset[int]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any tree of snapshots, with holes, branches and tags."""
    count = draw(st.integers(1, 12))
    age = sorted(draw(st.lists(st.integers(0, 50), min_size=count, max_size=count)), reverse=True)
    parents = {n: draw(st.one_of(st.none(), st.integers(max(1, n - 3), n - 1))) if n > 1 else None
               for n in range(1, count + 1)}  # fmt: skip
    there = [n for n in parents if n == count or draw(st.integers(0, 5))]
    refs = {"main": ref(count)}
    for name in draw(st.sets(st.sampled_from("abc"))):
        kind = draw(st.sampled_from(["branch", "tag"]))
        refs[name] = ref(draw(st.sampled_from(there)), kind)
    table = metadata({n: parents[n] for n in there}, dict(enumerate(age, 1)), refs)
    settings = of_job(draw(st.integers(0, 50)), draw(st.integers(1, 4)))
    return History(table, settings, frozenset(draw(st.sets(st.sampled_from(there), max_size=2))))


@given(histories())
def test_any_history(history: History) -> None:
    """What must stay does, what leaves is old, and what stays of the branch is one piece."""
    table, settings = history.table, history.settings
    chosen = choose(table, settings, "main", history.kept, NOW)
    left = {s.snapshot_id for s in table.snapshots} - set(gone(chosen))
    assert history.kept <= left
    assert {r.snapshot_id for r in table.refs.values()} <= left
    assert all(NOW - s.timestamp_ms > (settings.age or 0) for s in chosen.snapshots)
    known = {s.snapshot_id: s for s in table.snapshots}
    at, walked = known[table.refs["main"].snapshot_id], []
    while at is not None:
        walked.append(at)
        at = known.get(at.parent_snapshot_id) if at.parent_snapshot_id else None
    stays = [s.snapshot_id in left for s in walked]
    held = {r.snapshot_id for n, r in table.refs.items() if n != "main"}
    if not held:
        assert stays == sorted(stays, reverse=True)
        too_many = sum(stays) > (settings.last or 0)
        oldest = walked[sum(stays) - 1]
        if too_many and oldest.snapshot_id not in history.kept:
            assert NOW - oldest.timestamp_ms <= (settings.age or 0)
    assert sum(stays) >= min(settings.last or 0, len(walked))
    again = table.model_copy(update={"snapshots": [known[n] for n in sorted(left)]})
    assert not choose(again, settings, "main", history.kept, NOW)
