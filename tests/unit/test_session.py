"""The library's face, line by line as the design shows it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import ChangelogMode
from flowsql.runtime.job import Job
from tests.unit.library.feeds import SCHEMA, changes, rows, shown


@pytest.fixture
def session(tmp_path: Path) -> Iterator[flowsql.Session]:
    """One whose jobs live in a folder of the test."""
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "jobs")}) as made:
        made.execute("CREATE TABLE nowhere (k BIGINT, v BIGINT) WITH ('connector' = 'blackhole')")
        yield made


def message(session: flowsql.Session, sql: str) -> str:
    """What the user reads of a wrong statement."""
    try:
        answer = session.execute(sql)
        assert isinstance(answer, flowsql.Result)
        answer.fetchall()
    except flowsql.FlowSQLError as error:
        return str(error)
    raise AssertionError("there is no error")


def reach(job: Job, step: int) -> None:
    """Wait until the job has done so many steps."""
    while job.status().get("step", 0) < step:
        assert not job.wait(0.01)


def test_the_last_statement_answers(session: flowsql.Session) -> None:
    """As a table, as tuples, and as often as asked."""
    answer = session.execute("SELECT 1; SELECT a, b FROM (VALUES (1, 'x'), (2, 'y')) AS t (a, b);")
    assert isinstance(answer, flowsql.Result)
    assert answer.fetchall() == [(1, "x"), (2, "y")]
    assert answer.to_arrow().to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    assert answer.to_arrow() is answer.to_arrow()
    assert session.execute("CREATE VIEW v AS SELECT 1").fetchall() == [("OK",)]


def test_changes_can_be_had_once(session: flowsql.Session) -> None:
    """A second reading says so instead of waiting for ever."""
    answer = session.execute("SELECT 1 AS n")
    assert shown(answer) == [(1, [("+I", (1,))])]
    with pytest.raises(flowsql.ConfigError) as caught:
        answer.to_arrow()
    assert str(caught.value) == (
        "ConfigError: the changes of this result were taken before\n"
        "Hint: Execute the query again, or keep what the first reading gave."
    )


def test_a_result_says_what_it_is(session: flowsql.Session) -> None:
    """In a shell one sees the row, and how many there are."""
    session.from_changes("t", SCHEMA, [changes(("+I", 1, 2), ("-D", 1, 2))])
    answer = session.execute("SELECT k, v FROM t")
    assert isinstance(answer, flowsql.Result)
    assert repr(answer) == "<Result of a bounded query: k BIGINT, v BIGINT>"
    assert answer.append is False
    answer.fetchall()
    assert repr(answer) == "<Result of 0 rows: k BIGINT, v BIGINT>"
    assert repr(session.execute("SHOW VIEWS")) == "<Result of 0 rows: view name STRING>"
    session.execute("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen')")
    endless = session.execute("SELECT id FROM g")
    assert isinstance(endless, flowsql.Result)
    assert repr(endless) == "<Result of an endless query: id BIGINT>"
    assert endless.append is True


def test_a_session_and_its_jobs_say_what_they_are(session: flowsql.Session) -> None:
    """In a shell, too."""
    assert repr(session) == "<Session: 1 table, nothing running>"
    session.execute("SET 'pipeline.name' = 'fill'")
    session.execute("CREATE TABLE g (k BIGINT, v BIGINT) WITH ('connector' = 'datagen')")
    job = session.execute("INSERT INTO nowhere SELECT k, v FROM g")
    assert isinstance(job, Job)
    reach(job, 1)
    assert repr(job) == '<Job "fill": running>'
    assert repr(session) == "<Session: 2 tables, 'fill' running>"
    job.stop()
    assert job.wait(60)
    assert repr(job) == '<Job "fill": stopped>'
    given = changes(("+I", 1, 2), ("-U", 1, 2), ("+U", 1, 3), ("+I", 2, 2))
    assert repr(given) == "<Changes: 2 +I, 1 -U, 1 +U (k, v)>"


def test_names_are_listed_before_they_are_loaded() -> None:
    """`dir` and completion in a shell know what can be had."""
    code = "import flowsql; print(set(flowsql.__all__) - set(dir(flowsql)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


def test_a_plan_calls_tables_as_the_statement_does(session: flowsql.Session) -> None:
    """The database that everything is in is said of nothing."""
    session.from_arrow("t", rows((1, 2)))
    answer = session.execute("EXPLAIN INSERT INTO nowhere SELECT k, v FROM t WHERE v > 1")
    assert isinstance(answer, flowsql.Result)
    ((plan,),) = answer.fetchall()
    assert "Scan(t, columns=[k, v])" in plan
    assert "Sink(nowhere, takes=" in plan
    assert "default_catalog" not in plan


def test_log_lines_call_tables_as_the_statement_does(tmp_path: Path) -> None:
    """What a second run says of its target names it as the INSERT does."""
    told: list[str] = []
    config = {"execution.checkpointing.dir": str(tmp_path / "jobs"), "pipeline.name": "twice"}
    with flowsql.Session(config, events=lambda line: told.append(str(line))) as session:
        session.from_arrow("t", rows((1, 2)))
        session.execute(
            f"CREATE TABLE o (k BIGINT) WITH ('connector' = 'filesystem', 'format' = 'csv', "
            f"'path' = '{tmp_path}/o')"
        )
        for _ in range(2):
            job = session.execute("INSERT INTO o SELECT k FROM t")
            assert isinstance(job, Job)
            assert job.wait(60)
    assert [line for line in told if 'those that "o" got from the last run' in line]
    assert not [line for line in told if "default_catalog" in line]


def test_an_endless_query_has_no_table(session: flowsql.Session) -> None:
    """It is refused, not waited for."""
    session.execute("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen')")
    assert message(session, "SELECT id FROM g") == (
        "ConfigError: the query never ends, so that there is no final table\n"
        "Hint: Iterate over changes(), or read bounded tables only."
    )


def test_an_abandoned_result_stops_its_query(session: flowsql.Session) -> None:
    """Nothing runs behind an iterator that was dropped."""
    session.execute("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen')")
    for given in session.execute("SELECT id FROM g").changes():
        assert len(given)
        break
    for job, _ in session._queries:
        assert job.wait(60)
    assert not session.running


def test_close_ends_a_query_that_is_read_elsewhere(tmp_path: Path) -> None:
    """The reader's loop ends; a full queue does not hold the end up."""
    session = flowsql.connect({"execution.checkpointing.dir": str(tmp_path)})
    session.execute("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen')")
    begun, ended = threading.Event(), threading.Event()
    answer = session.execute("SELECT id FROM g")

    def read() -> None:
        for _ in answer.changes():
            begun.set()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert begun.wait(60)
    idle = session.execute("SELECT id FROM g").changes()
    next(idle)
    session.close()
    assert ended.wait(60)


def test_settings_of_the_session_come_back() -> None:
    """SET wins over what the session was opened with, and says so; RESET brings that back."""
    said: list[str] = []
    with flowsql.Session(
        {"pipeline.name": "mine"}, events=lambda line: said.append(str(line))
    ) as session:
        session.execute("SET 'pipeline.name' = 'mine'; SET 'table.dml-sync' = 'true'")
        assert said == []
        session.execute("SET 'pipeline.name' = 'other'")
        assert said == [
            'option "pipeline.name" is "other" by SET, no longer "mine" as given at the start'
        ]
        assert session.config["pipeline.name"] == "other"
        session.execute("RESET 'pipeline.name'")
        assert session.config == {"pipeline.name": "mine", "table.dml-sync": "true"}
        session.execute("SET 'pipeline.name' = 'other'; RESET")
        assert session.config == {"pipeline.name": "mine"}


def test_an_input_that_waits_holds_nobody_up(session: flowsql.Session) -> None:
    """The reader of a blocked iterator is left behind."""
    go = threading.Event()

    def items() -> Iterator[pa.RecordBatch]:
        yield rows((1, 2))
        go.wait(60)

    session.from_changes("t", SCHEMA, items())
    job = session.execute("INSERT INTO nowhere SELECT k, v FROM t")
    assert isinstance(job, Job)
    reach(job, 1)
    job.stop()
    assert job.wait(60)
    assert job.status()["state"] == "stopped"
    go.set()


def test_a_job_answers(session: flowsql.Session, tmp_path: Path) -> None:
    """Start, status, checkpoint, savepoint, stop, wait."""
    session.execute(
        "CREATE TABLE g (k BIGINT, v BIGINT) "
        "WITH ('connector' = 'datagen', 'rows-per-second' = '100')"
    )
    job = session.execute("INSERT INTO nowhere SELECT k, v FROM g")
    assert isinstance(job, Job)
    assert not job.wait(0.05)
    kept = job.checkpoint(10)
    assert kept.parent.name == "savepoints"
    assert kept.name.endswith("-1")
    saved = tmp_path / "saved"
    assert saved == job.savepoint(str(saved), 10)
    assert (saved / "manifest.json").exists()
    assert job.status()["state"] == "running"
    job.stop()
    assert job.wait(60)
    status = job.status()
    assert status["state"] == "stopped"
    assert status["rows_in"] == status["rows_out"]


def test_status_has_the_documented_keys(session: flowsql.Session) -> None:
    """`metrics.NAMES` is what the docs show."""
    from flowsql.runtime.metrics import NAMES

    session.from_arrow("t", rows((1, 2)))
    job = session.execute("INSERT INTO nowhere SELECT k, v FROM t")
    job.wait(60)
    assert list(NAMES) == [k for k in NAMES if k in job.status()]
    assert set(job.status()) == set(NAMES)


def test_one_table_without_a_watermark_hides_no_time(session: flowsql.Session) -> None:
    """The job's time is that of the tables that have one."""
    go = threading.Event()
    schema = pa.schema([("k", pa.int64()), ("ts", pa.timestamp("ms"))])
    timed = pa.record_batch({"k": [1], "ts": pa.array([61_000], pa.timestamp("ms"))}, schema)

    def items() -> Iterator[pa.RecordBatch | None]:
        yield timed
        while not go.wait(0.02):
            yield None

    session.from_changes(
        "a", schema, items(), watermark="ts - INTERVAL '1' SECOND", mode=ChangelogMode.APPEND
    )
    session.from_changes("b", SCHEMA, [rows((1, 2))])
    job = session.execute(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO nowhere SELECT k, v FROM b; "
        "INSERT INTO nowhere SELECT k, COUNT(*) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), "
        "INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, k; END"
    )
    assert isinstance(job, Job)
    reach(job, 2)
    status = job.status()
    go.set()
    assert job.wait(60)
    assert (status["watermark"], status["watermark_lag_ms"] > 0) == (60_000, True)
    marks = {o["title"].split(".")[-1]: o["watermark"] for o in status["operators"]}
    assert marks["a"] == 60_000


def test_a_failed_job_raises_in_the_caller(session: flowsql.Session) -> None:
    """With the place in the statement that was executed."""
    session.from_arrow("t", rows((1, 0)))
    job = session.execute("INSERT INTO nowhere\nSELECT k, k / v FROM t")
    with pytest.raises(flowsql.DataError) as caught:
        job.wait(60)
    assert str(caught.value) == (
        'DataError at 2:11: division by zero in "k / v"\n'
        "  SELECT k, k / v FROM t\n"
        "            ^^^^^\n"
        "Detail: In a row with k = 1, v = 0.\n"
        "Hint: Guard it: CASE WHEN divisor <> 0 THEN … END."
    )
    assert job.status()["state"] == "failed"


def test_nothing_starts_where_a_later_statement_is_wrong(session: flowsql.Session) -> None:
    """No job is left behind that nobody has a handle of."""
    assert 'column "nope" does not exist' in message(
        session, "INSERT INTO nowhere SELECT 1, 2; SELECT nope FROM (SELECT 1 AS n);"
    )
    assert session.jobs == []


def test_an_insert_waits_where_it_shall(session: flowsql.Session) -> None:
    """`table.dml-sync`: the next statement finds the job over."""
    session.from_arrow("t", rows((1, 2)))
    session.execute("SET 'table.dml-sync' = 'true'; SET 'pipeline.name' = 'again'")
    for _ in range(2):
        job = session.execute("INSERT INTO nowhere SELECT k, v FROM t")
        assert not job.running


def test_two_running_jobs_need_two_names(session: flowsql.Session) -> None:
    """Refused with both cures, before either is started."""
    session.execute("SET 'pipeline.name' = 'same'")
    insert = "INSERT INTO nowhere SELECT 1, 2"
    assert message(session, f"{insert}; {insert}").startswith(
        'ConfigError at 1:34: job "same" is running already\n'
    )


def test_from_arrow_takes_what_arrow_has(session: flowsql.Session) -> None:
    """A table, a batch, a reader, and whatever exports itself as a stream."""

    class Frame:
        """Stands for another library's."""

        def __arrow_c_stream__(self, requested: object = None) -> object:
            return table.__arrow_c_stream__(requested)

    table = pa.Table.from_batches([rows((1, 10)), rows((2, 20))])
    given = {
        "a": table,
        "b": rows((1, 10), (2, 20)),
        "c": pa.RecordBatchReader.from_batches(SCHEMA, table.to_batches()),
        "d": Frame(),
    }
    for name, data in given.items():
        session.from_arrow(name, data)
        # Twice: a reader is read when it is declared, not by the first query.
        for _ in range(2):
            assert session.execute(f"SELECT * FROM {name}").fetchall() == [(1, 10), (2, 20)]


def test_from_arrow_refuses_the_rest(session: flowsql.Session) -> None:
    """By name, with what would do."""
    with pytest.raises(flowsql.ConfigError, match='"t" cannot be made of a dict'):
        session.from_arrow("t", {"k": [1]})
    with pytest.raises(flowsql.ConfigError) as caught:
        session.from_arrow("t", rows((1, 2)), primary_key=["kk"])
    assert caught.value.hint == 'Did you mean "k"?'
    with pytest.raises(flowsql.ConfigError, match='watermark names column "ts"'):
        session.from_arrow("t", rows((1, 2)), watermark="ts - INTERVAL '5' SECOND")


def test_a_name_that_is_taken_keeps_its_rows(session: flowsql.Session) -> None:
    """The refused table does not replace the rows of the first."""
    session.from_arrow("t", rows((1, 2)))
    with pytest.raises(flowsql.SqlError, match="exists already"):
        session.from_arrow("t", rows((9, 9)))
    assert session.execute("SELECT * FROM t").fetchall() == [(1, 2)]


def test_a_query_keeps_the_rows_it_was_planned_over(session: flowsql.Session) -> None:
    """A table that was declared anew meanwhile is another one."""
    session.from_arrow("t", rows((1, 2)))
    answer = session.execute("SELECT * FROM t")
    session.execute("DROP TEMPORARY TABLE t")
    session.from_arrow("t", rows((9, 9)))
    assert answer.fetchall() == [(1, 2)]
    assert session.execute("SELECT * FROM t").fetchall() == [(9, 9)]


def test_from_arrow_with_key_and_event_time(session: flowsql.Session) -> None:
    """Both stand in the table's description, and windows close by the watermark."""
    times = [datetime(2026, 1, 1, 10, 0, second) for second in (1, 59, 30)]  # noqa: DTZ001 - TIMESTAMP has no zone
    table = pa.table({"id": [1, 2, 3], "ts": pa.array(times, pa.timestamp("us"))})
    session.from_arrow("t", table, primary_key=["id"], watermark="ts - INTERVAL '5' SECOND")
    described = session.execute("DESCRIBE t").fetchall()
    assert described == [
        ("id", "BIGINT", False, "PRI(id)", None, None),
        ("ts", "TIMESTAMP(3) *ROWTIME*", True, None, None, "ts - INTERVAL '5' SECOND"),
    ]
    windows = session.execute(
        "SELECT window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), "
        "INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
    )
    end = datetime(2026, 1, 1, 10, 1)  # noqa: DTZ001
    assert [(end, 3)] == windows.fetchall()


def test_items_of_equal_ordinal_are_one_step(session: flowsql.Session) -> None:
    """Over all tables; None gives nothing."""
    session.from_changes(
        "l", SCHEMA, [rows((1, 1)), None, changes(("-U", 1, 1), ("+U", 1, 5))], primary_key=["k"]
    )
    session.from_changes("r", SCHEMA, [rows((1, 10)), rows((2, 20)), changes(("-D", 2, 20))])
    assert shown(
        session.execute("SELECT SUM(v) FROM (SELECT v FROM l UNION ALL SELECT v FROM r)")
    ) == [
        (1, [("+I", (11,))]),
        (2, [("-U", (11,)), ("+U", (31,))]),
        (3, [("-U", (31,)), ("+U", (15,))]),
    ]
    assert shown(session.execute("SELECT k, COUNT(*) FROM r GROUP BY k")) == [
        (1, [("+I", (1, 1))]),
        (2, [("+I", (2, 1))]),
        (3, [("-D", (2, 1))]),
    ]


def test_a_mode_says_what_the_items_carry(session: flowsql.Session) -> None:
    """An upsert table needs no row before the update."""
    session.from_changes(
        "t",
        SCHEMA,
        [rows((1, 1)), changes(("+U", 1, 7), ("+U", 2, 2)), changes(("-D", 1, 0))],
        primary_key=["k"],
        mode=ChangelogMode.UPSERT,
    )
    assert session.execute("SELECT k, v FROM t").fetchall() == [(2, 2)]
    with pytest.raises(flowsql.ConfigError, match='mode cannot be "upsrt"'):
        session.from_changes("u", SCHEMA, [], mode="upsrt")


def test_watermarks_are_items(session: flowsql.Session) -> None:
    """A window closes in the step in which time reaches its end."""
    schema = pa.schema([("ts", pa.timestamp("ms"))])
    row = pa.RecordBatch.from_arrays([pa.array([1000], pa.timestamp("ms"))], schema=schema)
    session.from_changes(
        "t",
        schema,
        [row, None, flowsql.Watermark(59_000), flowsql.Watermark(60_000), None],
        watermark="ts - INTERVAL '1' HOUR",
    )
    found = shown(
        session.execute(
            "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) "
            "GROUP BY window_start, window_end"
        )
    )
    assert found == [(4, [("+I", (1,))])]


def test_an_iterable_that_fails(session: flowsql.Session) -> None:
    """The error names the item, and the cause is kept."""

    def items() -> Iterator[pa.RecordBatch]:
        yield rows((1, 1))
        raise RuntimeError("the sensor is gone")

    session.from_changes("t", SCHEMA, items())
    assert message(session, "SELECT * FROM t") == (
        'ConnectorError: item 1 of table "t" cannot be had: '
        "RuntimeError: the sensor is gone\nDetail: Its iterable raised this."
    )
    session.from_changes("u", SCHEMA, [rows((1, 1)), "two"])
    assert 'item 1 of table "u" is a str' in message(session, "SELECT * FROM u")


def test_a_clock_is_read_once_a_step(session: flowsql.Session, tmp_path: Path) -> None:
    """All rows of a step have one time, and it is the given clock's."""

    class Clock:
        """Goes on by an hour with every reading."""

        at = 0

        def now(self) -> int:
            self.at += 3_600_000_000
            return self.at

    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path)}, clock=Clock()) as made:
        made.from_changes("t", SCHEMA, [rows((1, 1), (2, 2)), rows((3, 3))])
        answer = made.execute("SELECT CURRENT_TIMESTAMP FROM t").to_arrow()[0].to_pylist()
    assert answer[0] == answer[1] < answer[2]
    assert answer[0].year == 1970


def test_a_list_goes_on_where_a_checkpoint_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`execution.state-recovery.path`: the position of an iterable is its ordinal."""
    reached, go_on = threading.Event(), threading.Event()

    class Steps:
        """Can be iterated again; holds the first reading up before its last item."""

        readings = 0

        def __iter__(self) -> Iterator[pa.RecordBatch]:
            self.readings += 1
            yield rows((1, 1))
            yield rows((2, 2))
            if self.readings == 1:
                reached.set()
                go_on.wait(60)
            yield rows((3, 3))

    steps = Steps()
    saved = tmp_path / "saved"

    def made(name: str) -> flowsql.Session:
        session = flowsql.connect({"execution.checkpointing.dir": str(tmp_path / name)})
        session.execute(
            "CREATE TABLE s (total BIGINT) WITH ('connector' = 'print'); "
            "SET 'pipeline.name' = 'sums'"
        )
        session.from_changes("t", SCHEMA, steps)
        return session

    query = "INSERT INTO s SELECT SUM(v) FROM t"
    with made("first") as session:
        job = session.execute(query)
        assert reached.wait(60)
        reach(job, step=2)
        job.savepoint(saved, 10)
        job.stop()
        go_on.set()
        job.wait(60)
    assert capsys.readouterr().out.endswith("+U[3]\n")
    with made("second") as session:
        session.execute(f"SET 'execution.state-recovery.path' = '{saved}'")
        job = session.execute(query)
        job.wait(60)
        assert job.status()["rows_in"] == 1
    assert steps.readings == 2
    assert capsys.readouterr().out.endswith("+U[6]\n")


def test_an_iterator_cannot_go_on(tmp_path: Path) -> None:
    """It is used up as it is read: refused, with what would do."""
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path)}) as session:
        session.execute("CREATE TABLE s (v BIGINT) WITH ('connector' = 'blackhole')")
        session.execute("SET 'pipeline.name' = 'once'")
        held = threading.Event()

        def items() -> Iterator[pa.RecordBatch]:
            yield rows((1, 1))
            held.wait(60)

        session.from_changes("t", SCHEMA, items())
        job = session.execute("INSERT INTO s SELECT SUM(v) FROM t")
        reach(job, step=1)
        job.checkpoint(10)
        job.stop()
        held.set()
        job.wait(60)
        again = session.execute("INSERT INTO s SELECT SUM(v) FROM t")
        with pytest.raises(flowsql.ConnectorError, match="cannot be read again from item 1"):
            again.wait(60)


def test_settings_are_checked(tmp_path: Path) -> None:
    """An unknown key names the nearest; one that Flink knows is noted once."""
    with pytest.raises(flowsql.ConfigError) as caught:
        flowsql.connect({"pipeline.nam": "x"})
    assert caught.value.hint == 'Did you mean "pipeline.name"?'
    told: list[str] = []
    session = flowsql.Session(
        {"state.backend.type": "rocksdb"}, events=lambda line: told.append(str(line))
    )
    session.execute("SET 'state.backend.type' = 'hashmap'")
    assert told == ['option "state.backend.type" tunes what is not needed here and has no effect']


def test_tuning_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host process is left alone otherwise."""
    asked: list[object] = []
    monkeypatch.setattr(sys, "setswitchinterval", asked.append)
    monkeypatch.setattr(gc, "freeze", lambda: asked.append("freeze"))
    flowsql.connect()
    assert asked == []
    flowsql.connect(tune_process=True)
    assert asked == [0.001, "freeze"]


def test_what_is_not_there_yet(session: flowsql.Session) -> None:
    """No method that looks finished and is not."""
    assert not hasattr(session, "create_function")
