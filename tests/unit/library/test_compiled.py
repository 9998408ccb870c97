"""COMPILE PLAN, EXECUTE PLAN, and the words of EXPLAIN."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsql
from flowsql.runtime.job import Job

TABLES = (
    "CREATE TABLE t (a INT, b STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '3', "
    "'fields.a.kind' = 'sequence', 'fields.a.start' = '1', 'fields.a.end' = '3'); "
    "CREATE TABLE kept (a INT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv')"
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flowsql.Session]:
    """A session with a source and a sink."""
    monkeypatch.chdir(tmp_path)
    with flowsql.connect({"table.dml-sync": "true"}) as made:
        made.execute(TABLES)
        yield made


def failing(session: flowsql.Session, sql: str) -> str:
    """The error's text."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        session.execute(sql)
    return str(caught.value)


def written(tmp_path: Path) -> list[str]:
    """All lines of the sink."""
    return sorted(
        line for f in (tmp_path / "out").glob("part*") for line in f.read_text().splitlines()
    )


def test_a_plan_may_be_named_by_a_uri(session: flowsql.Session, tmp_path: Path) -> None:
    """As Flink's documents do; files elsewhere are refused."""
    session.execute(f"COMPILE PLAN 'file://{tmp_path}/p.json' FOR INSERT INTO kept SELECT a FROM t")
    assert (tmp_path / "p.json").exists()
    session.execute(f"EXECUTE PLAN 'file:{tmp_path}/p.json'")
    assert written(tmp_path) == ["1", "2", "3"]
    assert "not in a local file" in failing(session, "EXECUTE PLAN 's3://bucket/p.json'")


def test_a_failing_row_is_marked_in_the_statement(session: flowsql.Session) -> None:
    """The stored plan has no places; the statement that was stored with it has."""
    session.execute("COMPILE PLAN 'p.json' FOR INSERT INTO kept SELECT 1 / (a - 2) FROM t")
    text = failing(session, "EXECUTE PLAN 'p.json'")
    assert "division by zero" in text
    assert "\n  INSERT INTO kept SELECT 1 / (a - 2) FROM t\n" + " " * 26 + "^" in text


def test_a_plan_is_compiled_and_executed(session: flowsql.Session, tmp_path: Path) -> None:
    """In another session, with another current database."""
    answer = session.execute("COMPILE PLAN 'plans/p.json' FOR INSERT INTO kept SELECT a + 1 FROM t")
    assert isinstance(answer, flowsql.Result)
    assert answer.fetchall() == [("OK",)]
    assert not (tmp_path / "out").exists()
    stored = json.loads((tmp_path / "plans/p.json").read_text())
    assert stored["statement"] == "INSERT INTO kept SELECT a + 1 FROM t"
    assert (stored["catalog"], stored["database"]) == ("default_catalog", "default_database")
    with flowsql.connect({"table.dml-sync": "true"}) as other:
        other.execute(TABLES)
        other.execute("CREATE DATABASE d; USE d")
        job = other.execute("EXECUTE PLAN 'plans/p.json'")
        assert isinstance(job, Job)
        answer = other.execute("SHOW CURRENT DATABASE")
        assert isinstance(answer, flowsql.Result)
        assert answer.fetchall() == [("d",)]
    assert written(tmp_path) == ["2", "3", "4"]


def test_the_stored_plan_runs(session: flowsql.Session, tmp_path: Path) -> None:
    """Not what the planner would make of the statement now."""
    for name, least in (("p", 1), ("q", 2)):
        session.execute(
            f"COMPILE PLAN '{name}.json' FOR INSERT INTO kept SELECT a FROM t WHERE a > {least}"
        )
    mixed = json.loads((tmp_path / "p.json").read_text())
    other = json.loads((tmp_path / "q.json").read_text())
    mixed["plan"]["nodes"] = other["plan"]["nodes"]
    (tmp_path / "p.json").write_text(json.dumps(mixed))
    session.execute("EXECUTE PLAN 'p.json'")
    assert written(tmp_path) == ["3"]


def test_statement_sets_and_both_at_once(session: flowsql.Session, tmp_path: Path) -> None:
    """A file that is there is executed as it is."""
    block = "STATEMENT SET BEGIN INSERT INTO kept SELECT a FROM t; INSERT INTO kept VALUES 9; END"
    session.execute(f"COMPILE AND EXECUTE PLAN 'p.json' FOR {block}")
    assert written(tmp_path) == ["1", "2", "3", "9"]
    session.execute("SET 'pipeline.name' = 'again'")
    session.execute("COMPILE AND EXECUTE PLAN 'p.json' FOR INSERT INTO kept SELECT a FROM t")
    assert written(tmp_path) == ["1", "1", "2", "2", "3", "3", "9", "9"]


def test_a_plan_is_kept(session: flowsql.Session) -> None:
    """Unless it is removed."""
    compile_ = "COMPILE PLAN 'p.json' {}FOR INSERT INTO kept SELECT a FROM t"
    session.execute(compile_.format(""))
    assert 'plan "p.json" exists already' in failing(session, compile_.format(""))
    session.execute(compile_.format("IF NOT EXISTS "))


def test_a_plan_of_changed_tables_is_refused(session: flowsql.Session, tmp_path: Path) -> None:
    """The difference is shown; so is what else is wrong with a file."""
    session.execute("COMPILE PLAN 'p.json' FOR INSERT INTO kept SELECT a FROM t")
    session.execute("ALTER TABLE t MODIFY a BIGINT; ALTER TABLE kept MODIFY a BIGINT")
    text = failing(session, "EXECUTE PLAN 'p.json'")
    assert 'the plan in "p.json" belongs to other tables or settings' in text
    assert "Detail: " in text
    assert "^" in text
    session.execute("DROP TABLE t")
    assert "INSERT INTO kept SELECT a FROM t" in failing(session, "EXECUTE PLAN 'p.json'")
    assert "No such file" in failing(session, "EXECUTE PLAN 'q.json'")
    (tmp_path / "q.json").write_text('{"format": 99}')
    assert "holds no plan that this version" in failing(session, "EXECUTE PLAN 'q.json'")
    (tmp_path / "out").touch()
    assert "cannot write the plan" in failing(
        session, "COMPILE PLAN 'out/p.json' FOR INSERT INTO kept VALUES CAST(1 AS BIGINT)"
    )


def test_explain_says_more_when_asked(session: flowsql.Session) -> None:
    """Each word adds a part; the JSON has Flink's shape."""
    answer = session.execute(
        "EXPLAIN ESTIMATED_COST, PLAN_ADVICE, JSON_EXECUTION_PLAN INSERT INTO kept SELECT a FROM t"
    )
    assert isinstance(answer, flowsql.Result)
    text = answer.fetchall()[0][0]
    assert "== Estimated Cost ==\nnot estimated" in text
    assert "== Plan Advice ==\nno available advice" in text
    plan = json.loads(text.partition("== Physical Execution Plan ==\n")[2])
    scan, sink = plan["nodes"]
    assert (scan["pact"], sink["pact"]) == ("Data Source", "Data Sink")
    assert sink["predecessors"] == [
        {"id": scan["id"], "ship_strategy": "FORWARD", "side": "second"}
    ]
