"""What every exactly-once sink promises, and what the others do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowsql.connector import Committed, Guarantee, Role
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError
from flowsql.testing import attempt_context, connector_table

from .sinks import EXACTLY_ONCE, SinkCase, kinded, pairs, rows


@pytest.fixture(params=EXACTLY_ONCE)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> SinkCase:
    """Each exactly-once sink in turn."""
    return EXACTLY_ONCE[request.param](tmp_path)


def test_rows_are_visible_at_their_commit(case: SinkCase) -> None:
    """Not when they are written, not when they are prepared."""
    case.connector.check(case.table, Role.SINK)
    assert Guarantee.EXACTLY_ONCE is case.sink.guarantee
    writer = case.open()
    writer.write(rows(1, 2))
    writer.end_step()
    assert case.visible() == []
    token = writer.prepare(1)
    assert case.visible() == []
    writer.commit(token)
    assert pairs([1, 2]) == case.visible()
    writer.close()
    writer.close()
    assert pairs([1, 2]) == case.visible()
    assert case.leftovers() == []


def test_committing_twice_is_committing_once(case: SinkCase) -> None:
    """By the same writer, and by one of a later process."""
    writer = case.open()
    writer.write(rows(1, 2))
    token = writer.prepare(1)
    writer.commit(token)
    writer.commit(token)
    writer.close()
    for _ in range(2):
        later = case.open(token)
        later.commit(json.loads(json.dumps(token)))
        later.close()
    assert pairs([1, 2]) == case.visible()


def test_a_lost_token_shows_nothing(case: SinkCase) -> None:
    """Prepared but in no manifest: the rows vanish with the process, and leave nothing behind."""
    writer = case.open()
    writer.write(rows(1))
    first = writer.prepare(1)
    writer.commit(first)
    writer.write(rows(2))
    writer.prepare(2)
    writer.write(rows(3))
    del writer
    later = case.open(first)
    later.commit(first)
    assert pairs([1]) == case.visible()
    assert case.leftovers() == []
    later.write(rows(2, 3))
    later.commit(later.prepare(2))
    assert pairs([1, 2, 3]) == case.visible()
    assert case.leftovers() == []


def test_a_held_token_is_no_leftover(case: SinkCase) -> None:
    """Killed between manifest and commit: the next process commits."""
    writer = case.open()
    writer.write(rows(1, 2))
    token = writer.prepare(1)
    writer.write(rows(3))
    del writer
    later = case.open(token)
    later.commit(token)
    later.close()
    assert pairs([1, 2]) == case.visible()
    assert case.leftovers() == []


def test_several_held_tokens_are_committed_in_order(case: SinkCase) -> None:
    """Checkpoints that failed after `prepare` hand their tokens to the next manifest."""
    writer = case.open()
    writer.write(rows(1))
    first = writer.prepare(1)
    writer.write(rows(2))
    second = writer.prepare(2)
    del writer
    later = case.open(first, second)
    later.commit(first)
    assert pairs([1]) == case.visible()
    later.commit(second)
    assert pairs([1, 2]) == case.visible()
    assert Committed("r1", 2) == case.sink.committed("job")


def test_rows_between_prepare_and_commit_belong_to_the_next(case: SinkCase) -> None:
    """A writer goes on while its token is on the way."""
    writer = case.open()
    writer.write(rows(1))
    first = writer.prepare(1)
    writer.write(rows(2))
    writer.commit(first)
    assert pairs([1]) == case.visible()
    writer.commit(writer.prepare(2))
    assert pairs([1, 2]) == case.visible()


def test_nothing_written_gives_no_token(case: SinkCase) -> None:
    """An idle checkpoint costs nothing."""
    writer = case.open()
    assert writer.prepare(1) is None
    writer.write(rows(1))
    assert writer.prepare(2) is not None
    assert writer.prepare(3) is None


def test_an_aborted_token_vanishes(case: SinkCase) -> None:
    """A token that no manifest will hold leaves nothing."""
    writer = case.open()
    writer.write(rows(1))
    writer.abort(writer.prepare(1))
    writer.close()
    assert case.visible() == []
    assert case.leftovers() == []


def test_the_marker_says_what_is_committed(case: SinkCase) -> None:
    """By job, with run and checkpoint, and only after the commit."""
    assert case.sink.committed("job") is None
    writer = case.open()
    writer.write(rows(1))
    token = writer.prepare(4)
    assert case.sink.committed("job") is None
    writer.commit(token)
    assert Committed("r1", 4) == case.sink.committed("job")
    assert case.sink.committed("another job") is None
    assert case.sink.committed("jo") is None


def test_a_new_run_appends(case: SinkCase) -> None:
    """A finished job run again starts at checkpoint 1, and its rows are no repetition."""
    writer = case.open()
    writer.write(rows(1))
    writer.commit(writer.prepare(7))
    writer.close()
    again = case.open(run="r2")
    again.write(rows(2))
    again.commit(again.prepare(1))
    assert pairs([1, 2]) == case.visible()
    assert Committed("r2", 1) == case.sink.committed("job")


def test_two_jobs_do_not_touch_each_other(case: SinkCase) -> None:
    """What one job has staged is no leftover of another."""
    one = case.open(job="a")
    one.write(rows(1))
    token = one.prepare(1)
    other = case.open(job="a b/c")
    other.write(rows(2))
    other.commit(other.prepare(1))
    one.commit(token)
    assert pairs([1, 2]) == case.visible()


def test_jobs_that_begin_from_one_savepoint(case: SinkCase) -> None:
    """Its rows are those of the job that took it, which may have committed them meanwhile."""
    writer = case.open(job="a")
    writer.write(rows(1, 2))
    saved = writer.prepare(1)
    writer.commit(saved)
    writer.write(rows(3))
    writer.commit(writer.prepare(2))
    writer.close()
    for number, job in enumerate(["b", "c"], 4):
        heir = case.open(saved, job=job)
        heir.commit(saved)
        heir.write(rows(number))
        heir.commit(heir.prepare(2))
        heir.close()
    assert case.visible() == pairs([1, 2, 3, 4, 5])


def test_a_foreign_token_is_refused(case: SinkCase) -> None:
    """A token names its connector and its format."""
    writer = case.open()
    writer.write(rows(1))
    token = writer.prepare(1)
    for change in ({"connector": "other"}, {"format": 99}):
        with pytest.raises(ConnectorError, match="token"):
            writer.commit({**token, **change})


def test_many_rows_and_checkpoints(case: SinkCase) -> None:
    """A process dies after every second checkpoint, once committed, once not."""
    held: list[dict] = []
    done: list[int] = []
    for n in range(1, 9):
        writer = case.open(*held)
        for token in held:
            writer.commit(token)
        held = []
        ids = list(range(n * 100, n * 100 + 50))
        writer.write(rows(*ids[:20]))
        writer.write(rows(*ids[20:]))
        token = writer.prepare(n)
        done += ids
        if n % 2:
            writer.commit(token)
        else:
            held = [token]
    writer = case.open(*held)
    for token in held:
        writer.commit(token)
    assert pairs(done) == case.visible()
    assert case.leftovers() == []


@pytest.mark.parametrize("name", ["print", "blackhole"])
def test_at_least_once_sinks_show_every_step(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have nothing to commit and take any kind."""
    table = connector_table("id BIGINT, name STRING", {"connector": name})
    sink = find_connector(name).sink(table)
    assert Guarantee.AT_LEAST_ONCE is sink.guarantee
    writer = sink.open(attempt_context(tmp_path), [])
    writer.write(kinded(("+I", 1, "a"), ("-U", 1, "a"), ("+U", 1, "b"), ("-D", 1, "b")))
    writer.end_step()
    shown = "+I[1, a]\n-U[1, a]\n+U[1, b]\n-D[1, b]\n" if name == "print" else ""
    assert shown == capsys.readouterr().out
    assert writer.prepare(1) is None
    assert sink.committed("job") is None
    writer.close()


@pytest.mark.parametrize("name", ["filesystem", "print", "changelog-sqlite"])
def test_an_unknown_option_is_named_with_the_nearest(name: str) -> None:
    """A key nobody knows is an error, not a silence."""
    option = find_connector(name).options[0].key
    with pytest.raises(ConfigError, match=f'has no option "{option}x"') as error:
        connector_table("a INT", {"connector": name, f"{option}x": "1"})
    assert f'Did you mean "{option}"?' in str(error.value)
