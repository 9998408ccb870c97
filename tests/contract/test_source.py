"""What every source promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from flowsql.connector import (
    And,
    Comparison,
    IsNull,
    OneOf,
    Or,
    Predicate,
    Reader,
    Role,
    ScanFilter,
    Source,
    Split,
    Taken,
    ValueRange,
    may_hold,
)
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError
from flowsql.runtime.reader_process import ReaderProcess
from flowsql.runtime.remote import RemoteReader
from flowsql.testing import connector_table
from flowsql.types import BigIntType

from .reading import TIMEOUT
from .sources import CASES, Case


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Each source in turn."""
    return CASES[request.param](tmp_path)


def by_table(rows: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The order of rows is promised within a table."""
    return {name: [line for n, line in rows if n == name] for name in {n for n, _ in rows}}


def _whole(case: Case) -> list[tuple[str, str]]:
    found = case.read().rows
    if case.expected is not None:
        assert case.expected == [line for _, line in found]
    assert found
    return found


def test_checks_pass_and_boundedness_is_known_before(case: Case) -> None:
    """Planning needs no I/O beyond constructing."""
    for table in case.tables:
        case.connector.check(table, Role.SCAN)
        assert case.connector.bounded(table) == case.open().bounded
        hash(case.connector.group(table))


def test_a_bounded_source_ends(case: Case) -> None:
    """Every split is finished once, and then nothing comes."""
    run = case.read()
    assert run.finished or not case.open().bounded
    assert run.bad == []


@pytest.mark.parametrize("max_rows", [1, 3, 7, 1000])
def test_a_cut_anywhere_gives_the_same_rows(case: Case, max_rows: int) -> None:
    """However often it is stopped and opened again, each row comes once, in order."""
    whole = _whole(case)
    found: list[tuple[str, str]] = []
    position = None
    for _ in range(10 * len(whole)):
        run = case.read(position, rows=max_rows, max_rows=max_rows)
        found += run.rows
        if not run.rows and (run.finished or not case.open().bounded):
            break
        position = run.position or position
    assert by_table(whole) == by_table(found)


def test_reads_two_takes_the_position_and_reads_on(case: Case) -> None:
    """The position is where the next read starts, not where the last one was."""
    whole = _whole(case)
    first = case.read(rows=2, max_rows=2)
    rest = case.read(first.position)
    assert by_table(whole) == by_table(first.rows + rest.rows)


def test_an_old_position_gives_the_same_rows_again(case: Case) -> None:
    """Reading twice from one position gives one answer (a crash after a checkpoint)."""
    first = case.read(rows=5, max_rows=5)
    once, again = case.read(first.position), case.read(first.position)
    assert by_table(once.rows) == by_table(again.rows)


def test_positions_are_plain_json_that_says_whose_it_is(case: Case) -> None:
    """A position names its connector and its format."""
    run = case.read(rows=3, max_rows=1)
    assert run.position == json.loads(json.dumps(run.position))
    for position in run.position["splits"].values():
        assert case.connector.name == position["connector"]
        assert isinstance(position["format"], int)


def test_a_foreign_position_is_refused(case: Case) -> None:
    """Nothing is read from a position that another connector or a newer version wrote."""
    for change in ({"connector": "other"}, {"format": 99}):
        run = case.read(rows=3, max_rows=1)
        splits = {k: {**v, **change} for k, v in run.position["splits"].items()}
        with pytest.raises(ConnectorError, match="cannot be read"):
            case.read({"source": run.position["source"], "splits": splits})


def test_a_poll_waits_no_longer_than_asked(case: Case) -> None:
    """A reader without work gives None in time."""
    reader = case.open().open([])
    for _ in range(3):
        assert reader.poll(10, TIMEOUT) is None
    reader.close()


def test_projection_gives_only_the_asked_columns(case: Case) -> None:
    """`table.columns` is what comes, in that order; also where it is nothing but their number."""
    table = case.tables[0]
    for read_columns in (table.schema.names[:1], table.schema.names[1:2], ()):
        narrow = replace(table, columns=read_columns)
        others = [narrow, *case.tables[1:]]
        rows = case.narrow(others).read().rows
        assert len(rows) == len(_whole(case))
        if not read_columns:
            assert {"[]"} >= {line[2:] for name, line in rows if name == table.name}


_WANTED: list[Callable[[str, BigIntType], Predicate]] = [
    lambda c, t: Comparison(c, t, "=", 3),
    lambda c, t: Comparison(c, t, "<>", 3),
    lambda c, t: And((Comparison(c, t, ">", 1), Comparison(c, t, "<=", 8))),
    lambda c, t: Or((OneOf(c, t, (2, 4, 999)), IsNull(c, t))),
    lambda c, t: IsNull(c, t, negated=True),
]


def _takes(case: Case, column: int) -> bool:
    """Whether a condition over whole numbers of a column is taken."""
    kind = case.tables[0].schema.types[column]
    if not isinstance(kind, BigIntType):
        return False
    predicate = Comparison(case.tables[0].schema.names[column], kind, "=", 3)
    return case.connector.take_filters(case.tables[0], [predicate]) != [Taken.NOT]


def test_it_is_known_what_each_can_do(case: Case, request: pytest.FixtureRequest) -> None:
    """So that the tests of it leave nobody out."""
    name = request.node.callspec.params["case"]
    columns = range(len(case.tables[0].schema.names))
    assert [c for c in columns if _takes(case, c)] == [
        columns[c] for n, c in _FILTERED if n == name
    ]
    assert (case.open().setup() is None) == (name in _IN_THREADS)


# Sources that take conditions, with the column they take them of; those with readers in threads.
_FILTERED = [
    ("filesystem-parquet", 0),
    ("filesystem-partitions", -1),
    ("iceberg", 0),
    ("iceberg-scanned", 0),
    ("iceberg-snapshots", 0),
]
_IN_THREADS = {"values", "datagen", "iceberg", "iceberg-scanned", "iceberg-snapshots"}


@pytest.mark.parametrize("wanted", _WANTED)
@pytest.mark.parametrize(("case", "column"), _FILTERED, indirect=["case"])
def test_what_is_taken_leaves_out_no_wanted_row(
    case: Case, wanted: Callable[[str, BigIntType], Predicate], column: int
) -> None:
    """Nor, where it is taken exactly, any other row in; also if it is cut in between."""
    table = case.tables[0]
    kind = table.schema.types[column]
    assert isinstance(kind, BigIntType)
    predicate = wanted(table.schema.names[column], kind)
    (taken,) = case.connector.take_filters(table, [predicate])
    assert taken is not Taken.NOT
    told = replace(table, filters=(ScanFilter(predicate, taken),))
    narrow = case.narrow([told, *case.tables[1:]])
    whole = [line for name, line in _whole(case) if name == table.name]

    def passes(line: str) -> bool:
        text = line[3:-1].split(", ")[column]
        value = None if text == "null" else int(text)
        return may_hold(predicate, lambda _: ValueRange.point(value))

    first = narrow.read(rows=2, max_rows=2)
    rest = narrow.read(first.position)
    found = [line for name, line in first.rows + rest.rows if name == table.name]
    assert [line for line in found if passes(line)] == [line for line in whole if passes(line)]
    if taken is Taken.EXACT:
        assert all(map(passes, found))


@pytest.mark.parametrize("name", ["filesystem", "values", "datagen", "fake-database"])
def test_an_unknown_option_is_named_with_the_nearest(name: str) -> None:
    """A key nobody knows is an error, not a silence."""
    option = find_connector(name).options[0].key.replace("#", "a")
    with pytest.raises(ConfigError, match=f'has no option "{option}x"') as error:
        connector_table("a INT", {"connector": name, f"{option}x": "1"})
    assert f'Did you mean "{option}"?' in str(error.value)


@pytest.mark.parametrize("case", sorted(CASES.keys() - _IN_THREADS), indirect=True)
def test_the_same_rows_in_a_process(case: Case) -> None:
    """A reader built from plain data gives what one of the source's own gives, cut or not."""
    check_in_a_process(case)


def check_in_a_process(case: Case) -> None:
    """Read whole by the source's own reader, and in two parts by readers in processes."""
    open_source = case.open

    def apart(position: dict | None = None) -> Source:
        source = open_source(position)
        setup = json.loads(json.dumps(source.setup()))

        def start(splits: Sequence[tuple[Split, dict | None]]) -> Reader:
            process = ReaderProcess(case.connector.name, "the tables")
            return RemoteReader(process, case.tables, setup, splits)

        source.open = start  # type: ignore[method-assign]
        return source

    whole = _whole(case)
    case.open = apart  # type: ignore[method-assign]
    first = case.read(rows=7, max_rows=7)
    rest = case.read(first.position)
    assert by_table(whole) == by_table(first.rows + rest.rows)
