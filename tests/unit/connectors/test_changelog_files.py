"""Files of changes: written exactly once, and read in the order in which they were written."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes
from flowsql.connector import Role
from flowsql.errors import ConfigError, ConnectorError
from flowsql.testing import attempt_context, row_text

from .files import CONTEXT, FILESYSTEM, files_table, open_source, write_file

KINDS = ["+I", "-U", "+U", "-D"]


def changes_table(path: Path, columns: str = "a INT, b STRING", **more: Any) -> Any:
    """A table of changes."""
    return files_table(path, columns, "debezium-json", **more)


def message(kind: str, a: int, b: str | None) -> str:
    """One line."""
    row = {"a": a, "b": b}
    if kind == "+I":
        return json.dumps({"before": None, "after": row, "op": "c"}) + "\n"
    return json.dumps({"before": row, "after": None, "op": "d"}) + "\n"


def update(a: int, old: str, new: str) -> str:
    """One line."""
    values = {"before": {"a": a, "b": old}, "after": {"a": a, "b": new}, "op": "u"}
    return json.dumps(values) + "\n"


def ids(source: Any) -> list[str]:
    """Names of the files that are given."""
    return [s.id for s in source.discover()]


def read_changes(table: Any, max_rows: int = 1000) -> list[str]:
    """Every change, as text."""
    source, reader = open_source(table)
    assert source.bounded
    lines: list[str] = []
    while (poll := reader.poll(max_rows, 0)) is not None:
        assert poll.bad == ()
        lines += [line for p in poll.pieces for line in row_text(p.changes)]
    reader.close()
    return lines


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Numbers count by their value; times of change, which copying loses, do not count."""
    names = ["2/part-1.json", "part-2.json", "part-010-a.json", "part-10.json"]
    for age, name in enumerate(names):
        write_file(tmp_path / name, message("+I", age, name), 1000 - age)
    table = changes_table(tmp_path)
    assert read_changes(table) == [f"+I[{i}, {name}]" for i, name in enumerate(names)]
    splits = FILESYSTEM.open_source([table], None, CONTEXT).discover()
    assert {s.owner for s in splits} == {"changelog"}


def test_a_partition_is_in_order(tmp_path: Path) -> None:
    """And partitions among each other by the names of files first."""
    for name in ("p=y/part-2.json", "p=x/part-10.json", "p=x/part-9.json", "p=y/part-1.json"):
        write_file(tmp_path / name, message("+I", 1, name))
    table = changes_table(tmp_path, "a INT, b STRING, p STRING", partition_keys=("p",))
    expected = ["p=y/part-1.json", "p=y/part-2.json", "p=x/part-9.json", "p=x/part-10.json"]
    assert read_changes(table) == [f"+I[1, {name}, {name[2]}]" for name in expected]


def test_updates_stay_together_and_within_what_was_asked(tmp_path: Path) -> None:
    """Whatever the number of rows that a poll may give."""
    text = message("+I", 1, "x") + update(1, "x", "y") + update(1, "y", "z") + message("-D", 1, "z")
    write_file(tmp_path / "1.json", text)
    write_file(tmp_path / "2.json", text)
    once = ["+I[1, x]", "-U[1, x]", "+U[1, y]", "-U[1, y]", "+U[1, z]", "-D[1, z]"]
    for most in range(1, 8):
        _, reader = open_source(changes_table(tmp_path))
        found: list[str] = []
        while (poll := reader.poll(most, 0)) is not None:
            lines = [line for p in poll.pieces for line in row_text(p.changes)]
            assert len(lines) <= max(most, 2)
            assert not lines or not lines[-1].startswith("-U")
            found += lines
        assert found == once * 2


def test_a_file_that_comes_too_late_ends_the_job(tmp_path: Path) -> None:
    """Its place is behind one that was read; also after a restart, and before it is read whole."""
    watched = {"options": {"source.monitor-interval": "2 s"}}
    for more, wanted in (({}, ["b.json"]), (watched, ["b.json"])):
        folder = tmp_path / str(len(more))
        table = changes_table(folder, **more)
        write_file(folder / "b.json", message("+I", 1, "x"), 100)
        source = FILESYSTEM.open_source([table], None, CONTEXT)
        assert ids(source) == wanted
        stored = json.loads(json.dumps(source.position()))
        write_file(folder / "a.json", message("+I", 1, "x"), 100)
        later = FILESYSTEM.open_source([table], stored, CONTEXT)
        for again in (source, later):
            with pytest.raises(ConnectorError, match=r'comes before "b\.json"') as error:
                again.discover()
            assert "Files of changes are read in the order of their names." in str(error.value)
            assert "Give it a name that sorts behind" in str(error.value)
        (folder / "a.json").rename(folder / "_a.json")
        write_file(folder / "c.json", message("+I", 1, "x"), 100)
        again = FILESYSTEM.open_source([table], stored, CONTEXT)
        assert ids(again) == ["b.json", "c.json"]


def test_other_partitions_may_be_behind(tmp_path: Path) -> None:
    """The order is one within a partition."""
    table = changes_table(
        tmp_path,
        "a INT, b STRING, p STRING",
        partition_keys=("p",),
        options={"source.monitor-interval": "2 s"},
    )
    write_file(tmp_path / "p=x/2.json", message("+I", 1, "x"), 100)
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert ids(source) == ["p=x/2.json"]
    write_file(tmp_path / "p=y/1.json", message("+I", 1, "x"), 100)
    assert ids(source) == ["p=y/1.json"]
    write_file(tmp_path / "p=x/1.json", message("+I", 1, "x"), 100)
    with pytest.raises(ConnectorError, match=r'comes before "p=x/2.json"'):
        source.discover()


def test_nothing_is_given_behind_a_file_that_is_written(tmp_path: Path) -> None:
    """It would be read first."""
    table = changes_table(tmp_path, options={"source.monitor-interval": "1 h"})
    write_file(tmp_path / "1.json", message("+I", 1, "x"), 100)
    young = write_file(tmp_path / "2.json", message("+I", 1, "x"))
    write_file(tmp_path / "3.json", message("+I", 1, "x"), 100)
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert ids(source) == ["1.json"]
    os.utime(young, (100, 100))
    assert ids(source) == ["2.json", "3.json"]


@pytest.mark.parametrize("options", [{}, {"source.monitor-interval": "2 s"}])
def test_a_look_that_misses_a_file_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    """A folder that is listed while files are renamed may show the second without the first."""
    table = changes_table(tmp_path, options=options)
    for name in ("1.json", "2.json"):
        write_file(tmp_path / name, message("+I", 1, "x"), 100)
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    whole = type(source)._files
    looks: list[int] = []

    def files(self: Any) -> Any:
        looks.append(1)
        found = list(whole(self))
        return [f for f in found if len(looks) > 1 or f[1] != "1.json"]

    monkeypatch.setattr(type(source), "_files", files)
    assert ids(source) == ["1.json", "2.json"]


def test_rows_that_move_between_partitions_are_refused(tmp_path: Path) -> None:
    """A key would be there twice for a while, or for good."""
    given: dict[str, Any] = {"partition_keys": ("p",), "primary_key": ("a",)}
    table = changes_table(tmp_path, "a INT, b STRING, p STRING", **given)
    with pytest.raises(ConfigError, match='partition column "p" of table "t" is not in its') as e:
        FILESYSTEM.check(table, Role.SCAN)
    assert "Put the partition columns into the PRIMARY KEY, or declare none." in str(e.value)
    FILESYSTEM.check(table, Role.SINK)
    given["primary_key"] = ("a", "p")
    FILESYSTEM.check(changes_table(tmp_path, "a INT, b STRING, p STRING", **given), Role.SCAN)


def kinded(*rows: tuple[str, int, str]) -> Changes:
    """Changes of a table of two columns."""
    batch = pa.RecordBatch.from_pydict(
        {"a": pa.array([a for _, a, _ in rows], pa.int32()), "b": [b for _, _, b in rows]}
    )
    return Changes(batch, np.array([KINDS.index(k) for k, _, _ in rows], np.int8))


def test_files_are_written_in_the_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over checkpoints, full files, other processes, and a clock that is set back."""
    out = tmp_path / "out"
    table = changes_table(out, options={"sink.rolling-policy.file-size": "1 b"})
    sink = FILESYSTEM.sink(table)
    expected = []
    clock = time.time_ns()
    for run in range(3):
        back = clock - run * 10**12
        monkeypatch.setattr("flowsql_connectors.filesystem.sink.time.time_ns", lambda b=back: b)
        writer = sink.open(attempt_context(tmp_path / "job"), [])
        tokens = []
        for number in range(2):
            for part in range(12):
                name = f"{run}-{number}-{part}"
                writer.write(kinded(("+I", 1, name), ("-D", 1, name)))
                expected += [f"+I[1, {name}]", f"-D[1, {name}]"]
            tokens.append(writer.prepare(run * 2 + number + 1))
        for token in tokens:
            writer.commit(token)
        writer.close()
    assert len(list(out.glob("*.json"))) == 3 * 2 * 12
    assert read_changes(table) == expected
    stored = writer.prepare(99)
    assert stored is None


def test_what_is_prepared_counts_as_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is committed after a restart stands before those that are written then."""
    table = changes_table(tmp_path / "out")
    sink = FILESYSTEM.sink(table)
    writer = sink.open(attempt_context(tmp_path / "job"), [])
    writer.write(kinded(("+I", 1, "x")))
    token = json.loads(json.dumps(writer.prepare(1)))
    writer.close()
    monkeypatch.setattr("flowsql_connectors.filesystem.sink.time.time_ns", lambda: 0)
    later = sink.open(attempt_context(tmp_path / "job"), [token])
    later.commit(token)
    later.write(kinded(("-D", 1, "x")))
    later.commit(later.prepare(2))
    assert read_changes(table) == ["+I[1, x]", "-D[1, x]"]


def test_partitions_are_written_with_their_kinds(tmp_path: Path) -> None:
    """Each row to its folder, with what happened to it."""
    table = changes_table(tmp_path / "out", partition_keys=("b",))
    writer = FILESYSTEM.sink(table).open(attempt_context(tmp_path / "job"), [])
    writer.write(kinded(("+I", 1, "x"), ("+I", 2, "y"), ("-U", 1, "x"), ("+U", 1, "y")))
    writer.commit(writer.prepare(1))
    texts = {p.parent.name: p.read_text() for p in (tmp_path / "out").glob("b=*/*.json")}
    assert texts == {
        "b=x": '{"before":null,"after":{"a":1},"op":"c"}\n'
        '{"before":{"a":1},"after":null,"op":"d"}\n',
        "b=y": '{"before":null,"after":{"a":2},"op":"c"}\n'
        '{"before":null,"after":{"a":1},"op":"c"}\n',
    }


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> flowsql.Session:
    """One that waits for its jobs, and would have several readers."""
    monkeypatch.chdir(tmp_path)
    return flowsql.connect({"table.dml-sync": "true", "parallelism.default": "3"})


def rows_of(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    """The answer's rows."""
    answer = session.execute(sql)
    assert isinstance(answer, flowsql.Result)
    return sorted(answer.fetchall(), key=str)


def random_changes(seed: int) -> tuple[list[list[Any]], Counter]:
    """A changelog of rows that may be there several times, and the table it comes to."""
    chance = random.Random(seed)
    there: list[tuple[int, str]] = []
    log: list[list[Any]] = []
    for _ in range(120):
        row = (chance.randrange(9), chance.choice("abc"))
        kind = chance.randrange(3)
        if kind == 0 or not there:
            there.append(row)
            log.append(["+I", *row])
            continue
        old = there.pop(chance.randrange(len(there)))
        if kind == 1:
            log.append(["-D", *old])
        else:
            log += [["-U", *old], ["+U", *row]]
            there.append(row)
    return log, Counter(there)


def test_a_changelog_is_written_anew(session: flowsql.Session, tmp_path: Path) -> None:
    """The files of the run before are gone, its own stay."""
    session.execute(
        "SET 'execution.runtime-mode' = 'batch'; CREATE TABLE log (a INT, b STRING) WITH ("
        "'connector' = 'filesystem', 'path' = 'log', 'format' = 'debezium-json')"
    )
    session.execute("INSERT INTO log VALUES (1, 'x'), (2, 'y')")
    session.execute("INSERT OVERWRITE log VALUES (3, 'z')")
    assert rows_of(session, "SELECT * FROM log") == [(3, "z")]
    assert len(list((tmp_path / "log").glob("*.json"))) == 1


@pytest.mark.parametrize("partitioned", ["", "PARTITIONED BY (b)"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_changelog_is_recorded_and_read_back(
    session: flowsql.Session, step: int, partitioned: str
) -> None:
    """Whatever the steps, the table and what is computed of it are the same."""
    log, expected = random_changes(step)
    data = "\n".join(json.dumps(row) for row in log)
    session.execute(f"SET 'pipeline.step.max-rows' = '{step}'")
    session.execute(
        f"CREATE TABLE src (a INT, b STRING) WITH ('connector' = 'values', "
        f"'changelog-mode' = 'I,UB,UA,D', 'data' = '{data}'); "
        f"CREATE TABLE log (a INT, b STRING) {partitioned} WITH ('connector' = 'filesystem', "
        "'path' = 'log', 'format' = 'debezium-json', 'sink.rolling-policy.file-size' = '300 b')"
    )
    session.execute("INSERT INTO log SELECT * FROM src")
    wanted = sorted(expected.elements(), key=str)
    assert rows_of(session, "SELECT * FROM log") == wanted
    counts = Counter(a for a, _ in expected.elements())
    answer = rows_of(session, "SELECT a, COUNT(*) FROM log GROUP BY a")
    assert answer == sorted(((a, n) for a, n in counts.items()), key=str)
    if partitioned:
        assert rows_of(session, "SELECT * FROM log WHERE b = 'a'") == [
            r for r in wanted if r[1] == "a"
        ]


def test_bad_messages_go_to_the_dead_letter_table(session: flowsql.Session, tmp_path: Path) -> None:
    """Or fail the job, with file and line."""
    lines = message("+I", 1, "x") + '{"op":"t"}\n' + update(1, "x", "y")
    write_file(tmp_path / "log/1.json", lines)
    table = (
        "CREATE TABLE {} (a INT, b STRING, f STRING METADATA FROM 'file.name' VIRTUAL, t STRING "
        "METADATA FROM 'value.source.table' VIRTUAL) WITH ('connector' = 'filesystem', "
        "'path' = 'log', 'format' = 'debezium-json'{})"
    )
    session.execute(table.format("strict", ""))
    with pytest.raises(flowsql.FlowSQLError, match=r"log/1.json:2") as error:
        rows_of(session, "SELECT * FROM strict")
    assert '"op" is "t", a TRUNCATE' in str(error.value)
    session.execute(
        "CREATE TABLE bad (table_name STRING, place STRING, record BYTES, reason STRING) "
        "WITH ('connector' = 'filesystem', 'path' = 'bad', 'format' = 'json'); "
        "CREATE TABLE kept (a INT, b STRING, f STRING, t STRING) "
        "WITH ('connector' = 'filesystem', 'path' = 'kept', 'format' = 'debezium-json')"
    )
    more = ", 'scan.bad-record' = 'dead-letter', 'scan.dead-letter.table' = 'bad'"
    session.execute(table.format("patient", more))
    session.execute("INSERT INTO kept SELECT * FROM patient")
    assert rows_of(session, "SELECT * FROM kept") == [(1, "y", "1.json", None)]
    assert rows_of(session, "SELECT reason FROM bad") == [
        ('"op" is "t", a TRUNCATE: which rows it takes away is not known',)
    ]


def test_keys_may_decide_what_is_taken_back(session: flowsql.Session, tmp_path: Path) -> None:
    """Where what was there before is incomplete, or a message comes twice."""
    lines = message("+I", 1, "x") * 2 + message("+I", 2, "y") + message("-D", 1, None)
    write_file(tmp_path / "log/1.json", lines + update(2, "?", "z"))
    session.execute(
        "SET 'table.exec.source.cdc-events-duplicate' = 'true'; "
        "CREATE TABLE log (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED) WITH ("
        "'connector' = 'filesystem', 'path' = 'log', 'format' = 'debezium-json')"
    )
    assert rows_of(session, "SELECT * FROM log") == [(2, "z")]
    assert rows_of(session, "SELECT COUNT(*) FROM log") == [(1,)]


def test_two_statements_write_one_table(session: flowsql.Session, tmp_path: Path) -> None:
    """Each takes back its own rows only, so their order among each other is free."""
    session.execute(
        "CREATE TABLE src (a INT, b STRING) WITH ('connector' = 'values', 'data' = "
        '\'[1, "x"]\n[2, "y"]\n[1, "z"]\'); '
        "CREATE TABLE log (a INT, n BIGINT) WITH ("
        "'connector' = 'filesystem', 'path' = 'log', 'format' = 'debezium-json')"
    )
    session.execute(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO log SELECT a, COUNT(*) FROM src GROUP BY a; "
        "INSERT INTO log SELECT a, COUNT(*) FROM src GROUP BY a; END"
    )
    assert rows_of(session, "SELECT * FROM log") == [(1, 2), (1, 2), (2, 1), (2, 1)]


def test_a_format_without_changes_takes_no_updates(session: flowsql.Session) -> None:
    """Said at planning."""
    session.execute(
        "CREATE TABLE src (a INT) WITH ('connector' = 'values', 'changelog-mode' = 'I,UB,UA,D', "
        "'data' = '[\"+I\", 1]'); CREATE TABLE plain (n BIGINT) WITH ('connector' = 'filesystem', "
        "'path' = 'out', 'format' = 'json')"
    )
    with pytest.raises(flowsql.FlowSQLError, match="cannot take"):
        session.execute("INSERT INTO plain SELECT COUNT(*) FROM src")
    with pytest.raises(flowsql.FlowSQLError, match="has no metadata"):
        session.execute(
            "CREATE TABLE t (a INT, s STRING METADATA FROM 'source.table' VIRTUAL) WITH ("
            "'connector' = 'filesystem', 'path' = 'out', 'format' = 'json'); SELECT * FROM t"
        )
    with pytest.raises(flowsql.FlowSQLError, match="cannot write with"):
        session.execute(
            "CREATE TABLE w (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', "
            "'format' = 'debezium-json', 'debezium-json.schema-include' = 'true'); "
            "INSERT INTO w SELECT COUNT(*) FROM src"
        )
