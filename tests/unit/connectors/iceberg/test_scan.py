"""Rows of one snapshot: which files, which rows of them, and as which values."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flowsql_connectors.iceberg import CONNECTOR
from flowsql_connectors.iceberg.write.commit import Delta, commit_delta
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform
from pyiceberg.types import (
    DateType,
    DecimalType,
    FixedType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from flowsql.errors import ConnectorError, DataError, FlowSQLError
from flowsql.session import Session
from flowsql.testing import attempt_context, connector_table

from .lake import (
    COLUMNS,
    Lake,
    add,
    commit,
    data_files,
    delete_file,
    delete_rows,
    equality_file,
    file_of,
    head,
)


def ids(session: Session, sql: str) -> list[int]:
    """The first column of the answer, sorted."""
    return sorted(row[0] for row in session.execute(sql).fetchall())


def read_files(session: Session, lake: Lake, table: Table, condition: str) -> int:
    """How many data files a query with this condition opens: the others are removed before."""
    wanted = ids(session, f"SELECT id FROM t WHERE {condition}")
    opened = 0
    for file in data_files(table):
        path = Path(file.file_path)
        kept = path.read_bytes()
        path.unlink()
        try:
            assert ids(session, f"SELECT id FROM t WHERE {condition}") == wanted
        except ConnectorError:
            opened += 1
        path.write_bytes(kept)
    return opened


def test_deleted_rows_are_left_out(lake: Lake, session: Session) -> None:
    """Of several files by one delete file, of one file by several."""
    table = lake.make(properties={"write.parquet.row-group-limit": "4"})
    add(table, range(10))
    add(table, range(10, 20))
    delete_rows(table, 3, 4, 15)
    delete_rows(table, 0, 9, 4)
    assert ids(session, "SELECT id FROM t") == [1, 2, 5, 6, 7, 8, *range(10, 15), *range(16, 20)]
    assert ids(session, "SELECT COUNT(*) FROM t WHERE id > 100 OR id < 12") == [8]


def test_a_delete_applies_to_no_later_file(lake: Lake, session: Session) -> None:
    """Nor to a file of another path."""
    table = lake.make()
    add(table, [1, 2])
    file, at = file_of(table, 1)
    commit(table, delete_file(table, {file.file_path: [at], f"{file.file_path}x": [0]}))
    add(table, [1])
    assert ids(session, "SELECT id FROM t") == [1, 2]


def test_rows_deleted_by_equality_are_left_out(lake: Lake, session: Session) -> None:
    """Of older files only; whichever columns are read."""
    table = lake.make()
    add(table, [1, 2, 3])
    delete_rows(table, 2)
    commit(
        table, equality_file(table, {"id": [1, 7]}), equality_file(table, {"id": [], "name": []})
    )
    add(table, [1, 4])
    commit(table, equality_file(table, {"name": ["n3", "n4"]}))
    assert ids(session, "SELECT id FROM t") == [1]
    assert session.execute("SELECT name FROM t").fetchall() == [("n1",)]
    assert ids(session, "SELECT COUNT(*) FROM (SELECT id FROM t WHERE name > 'n')") == [1]


def test_an_equality_delete_of_a_partition_is_of_no_other(lake: Lake, session: Session) -> None:
    """One without a partition is of all."""
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "city", StringType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "city"))
    table = lake.make("t", schema, partition_spec=spec)
    form = table.schema().as_arrow()
    table.append(pa.table([[1, 2, 1, 2], ["a", "a", "b", "b"]], schema=form))
    commit(table, equality_file(table, {"id": [1]}, "a"))
    assert session.execute("SELECT id, city FROM t ORDER BY id, city").fetchall() == [
        (1, "b"),
        (2, "a"),
        (2, "b"),
    ]


def test_a_delete_is_not_left_out_by_what_else_its_file_holds(lake: Lake, session: Session) -> None:
    """Some write whole rows, of which only the key counts: what is known of the rest is of old rows."""
    table = lake.make()
    add(table, [1, 2])
    whole = equality_file(table, {"id": [1], "name": ["zz"]})
    whole[14] = [table.schema().find_field("id").field_id]
    whole[10] = whole[11] = {table.schema().find_field("name").field_id: b"zz"}
    commit(table, whole)
    assert ids(session, "SELECT id FROM t WHERE name < 'o'") == [2]


def test_equality_deletes_outlive_their_columns(lake: Lake, session: Session) -> None:
    """A column that is dropped is still in the files."""
    table = lake.make(schema=pa.schema([("id", pa.int64()), ("name", pa.string())]))
    add(table, [1, 2, 3])
    commit(table, equality_file(table, {"name": ["n2"]}))
    with table.update_schema() as update:
        update.delete_column("name")
    assert ids(session, "SELECT id FROM t") == [1, 3]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("d < 12345678901234567890123456789012345.5", [1]),
        ("d > -12345678901234567890123456789012345.5", [1]),
        ("d = 1000", []),
    ],
)
def test_constants_of_more_digits_than_the_column(
    lake: Lake, session: Session, condition: str, expected: list[int]
) -> None:
    """Choose no file that its partition speaks for."""
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "d", DecimalType(5, 2)))
    spec = PartitionSpec(PartitionField(2, 1000, BucketTransform(3), "d_bucket"))
    table = lake.make("t", schema, partition_spec=spec)
    table.append(pa.table([[1], [Decimal("1.25")]], schema=table.schema().as_arrow()))
    assert ids(session, f"SELECT id FROM t WHERE {condition}") == expected


@pytest.mark.parametrize("seed", range(6))
def test_equality_deletes_of_any_columns(lake: Lake, session: Session, seed: int) -> None:
    """NULL is equal to NULL; a file that lacks a column has NULL there."""
    choose = random.Random(seed)
    columns = {"a": LongType(), "b": StringType(), "c": DecimalType(5, 1)}
    fields = [NestedField(i, n, k) for i, (n, k) in enumerate(columns.items(), 1)]
    table = lake.make("t", Schema(*fields[:2]))
    values: dict[str, list] = {
        "a": [None, 1, 2, 3],
        "b": [None, "x", "y"],
        "c": [None, Decimal("1.5"), Decimal("2.5")],
    }
    rows: list[dict] = []
    for step in range(8):
        if step == 3:
            with table.update_schema() as update:
                update.add_column("c", DecimalType(5, 1))
        known = [f.name for f in table.schema().fields]
        if step % 3:
            keys = choose.sample(known, choose.randint(1, len(known)))
            gone = [{k: choose.choice(values[k]) for k in keys} for _ in range(3)]
            commit(table, equality_file(table, {k: [g[k] for g in gone] for k in keys}))
            rows = [r for r in rows if not any(all(r[k] == g[k] for k in keys) for g in gone)]
        else:
            new = [{k: choose.choice(values[k]) for k in known} for _ in range(30)]
            table.append(pa.Table.from_pylist(new, schema=table.schema().as_arrow()))
            rows += [{"c": None, **r} for r in new]
    found = session.execute("SELECT a, b, c FROM t").fetchall()
    assert Counter(found) == Counter((r["a"], r["b"], r["c"]) for r in rows)
    some = session.execute("SELECT b FROM t WHERE a = 1").fetchall()
    assert Counter(some) == Counter((r["b"],) for r in rows if r["a"] == 1)


def test_time_travel(lake: Lake, session: Session) -> None:
    """By snapshot, time, tag and branch; through a hint."""
    table = lake.make()
    first = add(table, [1])
    second = add(table, [2])
    delete_rows(table, 1)
    table.refresh().manage_snapshots().create_tag(first, "v1").create_branch(second, "b").commit()
    times = {e.snapshot_id: e.timestamp_ms for e in table.refresh().history()}

    def read(hint: str) -> list[int]:
        return ids(session, f"SELECT id FROM t /*+ OPTIONS({hint}) */")

    assert ids(session, "SELECT id FROM t") == [2]
    assert read(f"'snapshot-id' = '{first}'") == [1]
    assert read(f"'snapshot-id' = '{second}'") == [1, 2]
    assert read(f"'as-of-timestamp' = '{times[second] - 1}'") == [1]
    assert read(f"'as-of-timestamp' = '{times[second]}'") == [1, 2]
    assert read("'tag' = 'v1'") == [1]
    assert read("'branch' = 'b'") == [1, 2]


@pytest.mark.parametrize("name", ["t", "a-b.c"])
def test_a_hint_is_no_part_of_a_name(lake: Lake, name: str) -> None:
    """Nor are quotes: where no 'catalog-table' says it, the table is called as it is declared."""
    first = add(lake.make(name), [1])
    session = Session()
    options = {k: v for k, v in lake.declared().items() if k != "catalog-table"}
    given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
    session.execute(f"CREATE TABLE `{name}` (id BIGINT, name STRING) WITH ({given})")
    hint = f"OPTIONS('snapshot-id' = '{first}')"
    assert ids(session, f"SELECT id FROM `{name}` /*+ {hint} */") == [1]
    hint = "OPTIONS('target-file-size-bytes' = '1 mb')"
    session.execute(f"INSERT INTO `{name}` /*+ {hint} */ VALUES (2, 'b')").wait()
    assert ids(session, f"SELECT id FROM `{name}`") == [1, 2]
    assert [t[-1] for t in lake.catalog.list_tables("default")] == [name]


@pytest.mark.parametrize(
    ("hint", "message", "cure"),
    [
        ("'snapshot-id' = '5'", "has no snapshot 5", "It has "),
        ("'as-of-timestamp' = '5'", "knows no snapshot of that time", "It has "),
        ("'tag' = 'v2'", 'has no tag "v2"', "It has: v1."),
        ("'branch' = 'v1'", 'has no branch "v1"', "main"),
        ("'tag' = 'v1', 'snapshot-id' = '5'", "exclude each other", "give one"),
        ("'tag' = 'v1', 'branch' = 'main'", "exclude each other", "give one"),
        ("'start-snapshot-timestamp' = '5'", "is for streaming scans", "'streaming' = 'true'"),
        ("'start-snapshot-id' = '5'", "snapshot 5 of table", None),
        ("'end-snapshot-id' = '5'", "has no snapshot 5", None),
        ("'end-tag' = 'v2'", 'has no tag "v2"', "It has: v1."),
        ("'end-tag' = 'v1', 'end-snapshot-id' = '5'", "exclude each other", "give one"),
        ("'end-tag' = 'v1', 'tag' = 'v1'", "exclude each other", "give one"),
        ("'streaming' = 'true', 'end-tag' = 'v1'", "is not for streaming", "Leave 'streaming' out"),
        ("'streaming' = 'true', 'tag' = 'v1'", "is not for streaming", "starting-strategy"),
        ("'streaming' = 'true', 'start-snapshot-id' = '5'", "needs 'starting-strategy'", None),
        ("'limit' = '5'", "not supported yet", "LIMIT"),
        ("'snapshotid' = '5'", 'no option "snapshotid"', '"snapshot-id"'),
    ],
)
def test_what_cannot_be_read_is_told(
    lake: Lake, session: Session, hint: str, message: str, cure: str | None
) -> None:
    """With what there is."""
    table = lake.make()
    table.manage_snapshots().create_tag(add(table, [1]), "v1").commit()
    with pytest.raises(FlowSQLError) as caught:
        session.execute(f"SELECT id FROM t /*+ OPTIONS({hint}) */").fetchall()
    assert message in caught.value.message
    assert cure is None or cure in (caught.value.hint or "")


def test_what_snapshots_added(lake: Lake, session: Session) -> None:
    """Behind one, up to another; a compaction between them adds nothing, whatever becomes of it."""
    table = lake.make()
    made = [add(table, [i]) for i in range(3)]
    scratch = lake.make("scratch")
    add(scratch, range(3))
    old = {f.file_path for f in data_files(table)}
    commit_delta(
        table.refresh(),
        Delta(added=tuple(data_files(scratch)), removed=frozenset(old), replaces=True),
        check=lambda _: None,
        name=lambda: "c",
        settings={},
        branch="main",
    )
    made.append(add(table, [3]))
    tags = table.refresh().manage_snapshots().create_tag(made[0], "a").create_tag(made[2], "c")
    tags.commit()

    def read(hint: str) -> list[int]:
        return ids(session, f"SELECT id FROM t /*+ OPTIONS({hint}) */")

    assert read(f"'start-snapshot-id' = '{made[0]}'") == [1, 2, 3]
    assert read(f"'start-snapshot-id' = '{made[0]}', 'end-snapshot-id' = '{made[1]}'") == [1]
    assert read("'start-tag' = 'a', 'end-tag' = 'c'") == [1, 2]
    assert read("'end-tag' = 'c'") == [0, 1, 2]
    assert read(f"'start-snapshot-id' = '{made[3]}'") == []
    assert ids(session, "SELECT id FROM t /*+ OPTIONS('start-tag' = 'a') */ WHERE id > 2") == [3]
    deleting = delete_rows(table, 3)
    with pytest.raises(ConnectorError, match=f"snapshot {deleting} .* did more than add rows"):
        read("'start-tag' = 'a'")
    assert read("'start-tag' = 'a', 'end-tag' = 'c'") == [1, 2]
    with pytest.raises(ConnectorError, match=f"{made[2]} .* does not lead to {made[0]}"):
        read("'start-tag' = 'c', 'end-tag' = 'a'")


def test_what_snapshots_added_is_read_on(lake: Lake) -> None:
    """By a restart, whatever was added since."""
    table = lake.make()
    first = add(table, [0])
    add(table, [1, 2, 3])
    options = {**lake.declared(), "start-snapshot-id": str(first)}
    declared = connector_table("id BIGINT", options)
    context = attempt_context(lake.warehouse / "job")
    found, position = _rows(CONNECTOR.open_source([declared], None, context), None, 1)
    add(table, [4])
    source = CONNECTOR.open_source([declared], position["source"], context)
    assert found + _rows(source, position, 100)[0] == [1, 2, 3]


def test_files_are_chosen_by_their_statistics(lake: Lake, session: Session) -> None:
    """Whatever the condition is made of, it is the same answer."""
    table = lake.make()
    add(table, range(10))
    add(table, range(10, 20))
    add(table, range(20, 30), name="x")
    assert read_files(session, lake, table, "id = 5") == 1
    assert read_files(session, lake, table, "id BETWEEN 9 AND 10") == 2
    assert read_files(session, lake, table, "id IN (5, 25)") == 2
    assert read_files(session, lake, table, "name LIKE 'x%' OR id IS NULL") == 3
    assert read_files(session, lake, table, "name >= 'x'") == 1
    assert read_files(session, lake, table, "id > 25 AND name < 'x'") == 0
    assert read_files(session, lake, table, "MOD(id, 2) = 0") == 3


def test_partitions_are_chosen(lake: Lake, session: Session) -> None:
    """By their own columns and by what they are made of."""
    schema = Schema(
        NestedField(1, "id", LongType()),
        NestedField(2, "city", StringType()),
        NestedField(3, "ts", TimestampType()),
    )
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "city"),
        PartitionField(3, 1001, DayTransform(), "d"),
    )
    table = lake.make("t", schema, partition_spec=spec)
    times = [dt.datetime(2024, 1, day, 5, 6, 7, 891234) for day in (1, 2, 3, 3)]  # noqa: DTZ001
    columns = [pa.array([1, 2, 3, 4]), ["a", "a", "b", None], pa.array(times, pa.timestamp("us"))]
    table.append(pa.table(columns, schema=table.schema().as_arrow()))
    assert read_files(session, lake, table, "city = 'a'") == 2
    assert read_files(session, lake, table, "city IS NULL") == 1
    assert read_files(session, lake, table, "ts < TIMESTAMP '2024-01-02 00:00:00'") == 1
    explained = session.execute("EXPLAIN SELECT id FROM t WHERE city = 'a' AND id > 1").fetchall()
    assert "columns=[id, city], filter=[city = 'a', id > 1]" in str(explained[0][0])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("ts = TIMESTAMP '2024-01-01 00:00:00.123'", [0]),
        ("ts > TIMESTAMP '2024-01-01 00:00:00.123'", []),
        ("ts <= TIMESTAMP '2024-01-01 00:00:00.123'", [0]),
        ("ts IN (TIMESTAMP '2024-01-01 00:00:00.123')", [0]),
        ("was = TIMESTAMP '1960-01-01 00:00:00.123'", [0]),
        ("tm = TIME '01:02:03.004'", [0]),
    ],
)
def test_finer_digits_than_declared_are_cut_off(
    lake: Lake, condition: str, expected: list[int]
) -> None:
    """And no file is left out because of them."""
    schema = Schema(
        NestedField(1, "id", LongType()),
        NestedField(2, "ts", TimestampType()),
        NestedField(3, "was", TimestampType()),
        NestedField(4, "tm", TimeType()),
    )
    table = lake.make("t", schema)
    columns = [
        pa.array([0]),
        pa.array([dt.datetime(2024, 1, 1, 0, 0, 0, 123456)], pa.timestamp("us")),  # noqa: DTZ001
        pa.array([dt.datetime(1960, 1, 1, 0, 0, 0, 123456)], pa.timestamp("us")),  # noqa: DTZ001
        pa.array([dt.time(1, 2, 3, 4567)], pa.time64("us")),
    ]
    table.append(pa.table(columns, schema=table.schema().as_arrow()))
    session = Session()
    given = ", ".join(f"'{k}' = '{v}'" for k, v in lake.declared().items())
    columns_text = "id BIGINT, ts TIMESTAMP(3), was TIMESTAMP(3), tm TIME(3)"
    session.execute(f"CREATE TABLE t ({columns_text}) WITH ({given})")
    assert ids(session, f"SELECT id FROM t WHERE {condition}") == expected


def test_values_of_every_type(lake: Lake, session: Session) -> None:
    """Nested ones as well; a column that came later is NULL in older files."""
    schema = Schema(
        NestedField(1, "i", IntegerType(), required=True),
        NestedField(2, "d", DecimalType(10, 2)),
        NestedField(3, "day", DateType()),
        NestedField(4, "tz", TimestamptzType()),
        NestedField(5, "b", FixedType(2)),
        NestedField(6, "r", StructType(NestedField(7, "x", LongType()))),
        NestedField(8, "l", ListType(9, StringType(), element_required=False)),
        NestedField(10, "m", MapType(11, StringType(), 12, IntegerType(), value_required=False)),
        NestedField(13, "u", UUIDType()),
    )
    table = lake.make("t", schema)
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    row = {
        "i": 1,
        "d": Decimal("1.25"),
        "day": dt.date(2024, 1, 1),
        "tz": moment,
        "b": b"ab",
        "r": {"x": 5},
        "l": ["a", None],
        "m": [("k", 7)],
        "u": b"0123456789abcdef",
    }
    form = table.schema().as_arrow()
    nothing = {"i": 2, **dict.fromkeys(list(row)[1:])}
    plain = pa.schema([f if f.name != "u" else pa.field("u", pa.binary(16)) for f in form])
    table.append(pa.Table.from_pylist([row, nothing], schema=plain).cast(form))
    with table.update_schema() as update:
        update.add_column("later", LongType())
        update.add_column(("r", "y"), StringType())
        update.update_column("i", LongType())
    first, second = sorted(session.execute("SELECT * FROM t").fetchall())
    assert first[:3] == (1, Decimal("1.25"), dt.date(2024, 1, 1))
    assert first[4:] == (b"ab", {"x": 5, "y": None}, ["a", None], [("k", 7)], row["u"], None)
    assert second == (2, *[None] * 9)
    assert session.execute("SELECT later FROM t").fetchall() == [(None,), (None,)]


def test_a_column_is_known_by_its_number(lake: Lake, session: Session) -> None:
    """Names that are swapped are no values that are, whatever the statistics of files say."""
    table = lake.make(schema=pa.schema([("id", pa.int64()), ("other", pa.int64())]))
    table.append(pa.table({"id": [1, 2], "other": [10, 20]}))
    with table.update_schema() as update:
        update.rename_column("id", "was")
        update.rename_column("other", "id")
    assert session.execute("SELECT id, was FROM t WHERE id = 20").fetchall() == [(20, 2)]
    assert session.execute("SELECT id, was FROM t WHERE id = 2").fetchall() == []


def test_a_file_that_others_wrote_is_read_by_its_names(lake: Lake, session: Session) -> None:
    """Without field ids, and without the column of its partition."""
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "city", StringType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "city"))
    table = lake.make("t", schema, partition_spec=spec)
    path = lake.warehouse / "theirs.parquet"
    pq.write_table(pa.table({"id": pa.array([1, 2]), "city": ["a", "a"]}), path)
    table.add_files([str(path)])
    pq.write_table(pa.table({"id": pa.array([1, 2])}), path)
    assert session.execute("SELECT id, city FROM t").fetchall() == [(1, "a"), (2, "a")]


@pytest.mark.parametrize(
    ("columns", "message", "error"),
    [
        ("id BIGINT, nam STRING", 'has no column "nam"', ConnectorError),
        ("id STRING", "is declared as STRING, and is long", ConnectorError),
        ("id BIGINT NOT NULL", '"id" of', DataError),
    ],
)
def test_a_declaration_that_does_not_fit(
    lake: Lake, columns: str, message: str, error: type[FlowSQLError]
) -> None:
    """Is told before anything is read; a NULL when it is."""
    table = lake.make()
    table.append(pa.table([pa.array([None], pa.int64()), ["x"]], schema=COLUMNS))
    session = Session()
    given = ", ".join(f"'{k}' = '{v}'" for k, v in lake.declared().items())
    session.execute(f"CREATE TABLE t ({columns}) WITH ({given})")
    with pytest.raises(error) as caught:
        session.execute("SELECT * FROM t").fetchall()
    assert message in caught.value.message


def test_a_file_that_is_gone_is_told(lake: Lake, session: Session) -> None:
    """With why it may be."""
    table = lake.make()
    add(table, [1])
    (file,) = data_files(table)
    Path(file.file_path).unlink()
    with pytest.raises(ConnectorError, match="is gone") as caught:
        session.execute("SELECT * FROM t").fetchall()
    assert "expired" in (caught.value.detail or "")


def _rows(source: object, position: dict | None, polls: int) -> tuple[list[int], dict | None]:
    """Rows."""
    splits = source.discover()  # type: ignore[attr-defined]
    stored = {} if position is None else position["splits"]
    reader = source.open([(s, stored.get(s.id)) for s in splits])  # type: ignore[attr-defined]
    found: list[int] = []
    for _ in range(polls):
        poll = reader.poll(2, 0.0)
        if poll is None:
            break
        for piece in poll.pieces:
            found += piece.changes.batch.column("id").to_pylist()
        for split in poll.finished:
            source.finished(split, {})  # type: ignore[attr-defined]
    left = {s.id: reader.position(s.id) for s in splits}
    reader.close()
    return found, {"source": source.position(), "splits": left}  # type: ignore[attr-defined]


@pytest.mark.parametrize("polls", range(1, 6))
def test_a_restart_reads_the_same_snapshot_on(lake: Lake, polls: int) -> None:
    """Whatever was committed meanwhile."""
    table = lake.make()
    add(table, range(5))
    delete_rows(table, 1)
    declared = connector_table("id BIGINT", lake.declared())
    context = attempt_context(lake.warehouse / "job")
    first, position = _rows(CONNECTOR.open_source([declared], None, context), None, polls)
    add(table, [100])
    commit(table, removed=[f.file_path for f in data_files(table)])
    source = CONNECTOR.open_source([declared], position["source"], context)
    rest, _ = _rows(source, position, 100)
    assert first + rest == [0, 2, 3, 4]


def test_a_snapshot_that_expired_meanwhile_is_told(lake: Lake) -> None:
    """It cannot be read on."""
    table = lake.make()
    add(table, [1])
    declared = connector_table("id BIGINT", lake.declared())
    context = attempt_context(lake.warehouse / "job")
    position = CONNECTOR.open_source([declared], None, context).position()
    old = head(table)
    add(table, [2])
    table.refresh().maintenance.expire_snapshots().by_id(old).commit()
    with pytest.raises(ConnectorError, match="which was being read, has expired"):
        CONNECTOR.open_source([declared], position, context)


def test_a_check_finds_what_stands_in_the_way(lake: Lake, session: Session) -> None:
    """Before a job is started; nothing is made."""
    table = lake.make()
    add(table, [1])
    assert "ERROR" not in str(session.execute("CHECK TABLE t").fetchall())
    own = Session()
    given = ", ".join(f"'{k}' = '{v}'" for k, v in lake.declared("u").items())
    own.execute(f"CREATE TABLE u (id BIGINT) WITH ({given})")
    found = str(own.execute("CHECK TABLE u").fetchall())
    assert 'table "u" does not exist in database "default"' in found
    assert "is not there yet" in found
    assert [t[-1] for t in lake.catalog.list_tables("default")] == ["t"]
