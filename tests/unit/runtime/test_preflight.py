"""Checks before the start: what connectors are told, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from flowsql.changelog import ChangelogMode
from flowsql.config import Option, OptionPlaces, OptionType, OptionValues
from flowsql.connector import (
    Connector,
    ConnectorTable,
    Finding,
    Needs,
    PreflightContext,
    Role,
    Severity,
)
from flowsql.errors import ConnectorError, PreflightError, Span
from flowsql.physical import PhysicalNode, PhysicalPlan
from flowsql.physical.specs import Normalize, Scan, Sink, Union
from flowsql.runtime.preflight import Report, check_tables, needs_of, unwritable
from flowsql.types import Field, IntType, RowType

ROW = RowType((Field("id", IntType()),), nullable=False)
SECRET = Option("password", OptionType.STRING, "Known to us.", secret=True)
TEXT = "WITH ('path' = 'x', 'password' = 'hush')"
READ = Needs(Role.SCAN)


class Asked(Connector):
    """Answers as a test says."""

    name = "asked"
    roles = frozenset({Role.SCAN, Role.SINK})
    options: ClassVar[tuple[Option, ...]] = (SECRET,)

    def __init__(self, answer: Callable[[], Sequence[Finding] | None]) -> None:
        self.answer = answer

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding] | None:
        del tables, needs, context
        return self.answer()


def _table(name: str, **more: object) -> ConnectorTable:
    places = OptionPlaces(TEXT, {"path": Span(6, 18)})
    options = OptionValues((SECRET,), {"password": "hush"})
    return ConnectorTable(name, ROW, options, places=places, **more)  # type: ignore[arg-type]


def _asked(
    answer: Callable[[], Sequence[Finding] | None], *names: str, quick: bool = False
) -> Report:
    tables = [_table(n) for n in names]
    needs = dict.fromkeys(names, READ)
    return check_tables(Asked(answer), tables, needs, PreflightContext(quick=quick))


def test_findings_stand_at_their_option() -> None:
    """With the secret starred, in the text as in what is said."""
    made = _asked(
        lambda: [
            Finding(Severity.ERROR, 'no "hush"', "Say hush.", "b", "path"),
            Finding(Severity.WARNING, "well"),
        ],
        "a",
        "b",
    )
    first, second = made.found
    assert (first.table, first.role, first.severity) == ("b", Role.SCAN, Severity.ERROR)
    assert str(first.error) == (
        "PreflightError at 1:7: no \"'******'\"\n"
        "  WITH ('path' = 'x', 'password' = '****')\n"
        "        ^^^^^^^^^^^^\n"
        "Hint: Say '******'."
    )
    assert (second.table, second.severity) == ("", Severity.WARNING)
    assert made.checked == [("a", Role.SCAN), ("b", Role.SCAN)]


def test_an_error_is_one_more_finding() -> None:
    """A connector that cannot go on says so by raising; a foreign exception hides nothing."""

    def unreachable() -> None:
        raise ConnectorError("could not reach hush", hint="Start it.", option="path")

    def broken() -> None:
        raise KeyError("x")

    (found,) = _asked(unreachable, "a").found
    assert isinstance(found.error, PreflightError)
    assert found.error.message == "could not reach '******'"
    assert found.error.position == (1, 7)
    (found,) = _asked(broken, "a", "b").found
    assert found.table == ""
    assert found.error.message == "unexpected KeyError: 'x'"


def test_who_checks_nothing_is_named() -> None:
    """It is no proof that all is well, but nothing to hold up a start for."""
    (found,) = _asked(lambda: None, "a").found
    assert found.severity is Severity.NOTE
    assert found.error.message == 'connector "asked" checks nothing before the start: "a"'
    assert _asked(lambda: None, "a", quick=True).found == []
    assert _asked(lambda: (), "a").found == []


def test_a_report_says_things_once() -> None:
    """Two jobs that read one table find the same; errors are raised together."""
    report = Report()
    for _ in range(2):
        report.add(
            _asked(
                lambda: [
                    Finding(Severity.ERROR, "one"),
                    Finding(Severity.ERROR, "two"),
                    Finding(Severity.NOTE, "three"),
                ],
                "a",
            )
        )
    assert [f.error.message for f in report.found] == ["one", "two", "three"]
    with pytest.raises(PreflightError, match="one") as raised:
        report.check()
    assert [e.message for e in raised.value.more] == ["two"]
    assert raised.value.exit_code == 3
    Report().check()


def _node(name: str, spec: object, *inputs: str) -> PhysicalNode:
    return PhysicalNode(name, spec, inputs, ROW, ChangelogMode.APPEND)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "between", "before", "whole", "holds"),
    [
        (ChangelogMode.APPEND, None, False, False, False),
        (ChangelogMode.RETRACT, None, True, False, False),
        (ChangelogMode.UPSERT, Normalize((0,)), False, False, True),
        (ChangelogMode.UPSERT, Union(), False, True, False),
    ],
)
def test_needs(
    mode: ChangelogMode, between: object, before: bool, whole: bool, holds: bool
) -> None:
    """Old rows where changes take back, whole ones where nobody fills in, and who holds rows."""
    scan = _node("s", Scan("t", ("id",), None, mode))
    rest = [_node("n", between, "s")] if between is not None else []
    sink = _node("k", Sink("o", mode), "n" if rest else "s")
    plan = PhysicalPlan((scan, *rest, sink), "")
    table = _table("t", primary_key=("id",))
    expected = Needs(Role.SCAN, ("id",), before_images=before, whole_rows=whole, holds_rows=holds)
    assert needs_of(plan, scan, table) == expected
    assert needs_of(plan, sink, table) == Needs(Role.SINK, ("id",))


def test_unwritable_folders(tmp_path: Path) -> None:
    """The nearest folder that is there decides."""
    assert unwritable(tmp_path / "a" / "b") is None
    (tmp_path / "file").write_text("")
    assert unwritable(tmp_path / "file" / "b") == f'"{tmp_path}/file" is not a folder'
    refused = f'there is no right to write in "{tmp_path}"'
    assert unwritable(tmp_path / "a", lambda _, __: False) == refused
