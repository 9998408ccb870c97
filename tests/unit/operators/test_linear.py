"""Filter, project, union: one pure function of a batch."""

from __future__ import annotations

import pytest

from flowsql.changelog import ChangelogMode
from flowsql.errors import DataError, InternalError
from flowsql.expr import Column, EvalSettings, bind_call, number_literal
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import Collect, Filter, Project, Union
from flowsql.runtime.build import build_operator
from flowsql.types import IntType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(a=IntType(), b=VarCharType())
A = Column(type=IntType(), index=0, name="a")
B = Column(type=VarCharType(), index=1, name="b")


def test_a_filter_keeps_kinds_and_marks() -> None:
    """NULL is not TRUE."""
    run = Run(Filter(bind_call(">", [A, number_literal("3")], None)), [ROW], ROW)
    rows = [("+I", 1, "x"), ("-D", 5, "y"), ("+I", None, "z"), ("+U", 7, "w")]
    assert run.step(changes(ROW, rows, marks=[1, 2, 3, 4])) == [("-", 5, "y"), ("+", 7, "w")]
    assert run.parts[0].marks.watermark.tolist() == [2, 4]
    assert run.parts[0].codes.tolist() == [3, 2]
    assert run.step(changes(ROW, [("+I", 1, "x")])) == []
    whole = changes(ROW, [("+I", 9, "x")])
    run.step(whole)
    assert run.parts[-1] is whole


def test_a_projection_computes_columns() -> None:
    """Kinds and marks stay; a column that was not sent may be renamed but not computed with."""
    output = row_type(c=IntType(), d=VarCharType())
    run = Run(Project((bind_call("+", [A, number_literal("1")], None), B)), [ROW], output)
    rows = [("+I", 1, "x"), ("-D", None, "y")]
    assert run.step(changes(ROW, rows, marks=[1, 2])) == [("+", 2, "x"), ("-", None, "y")]
    assert run.parts[0].marks.watermark.tolist() == [1, 2]
    run.step(changes(ROW, rows, unchanged={"b": [True, False]}))
    assert run.parts[-1].unchanged["d"].tolist() == [True, False]
    with pytest.raises(DataError, match='an expression reads column "a", whose value the source'):
        run.step(changes(ROW, rows, unchanged={"a": [True, False]}))


def test_union_gives_all_rows_under_its_own_names() -> None:
    """In order of arrival, whatever the port."""
    other = row_type(x=IntType(), y=VarCharType())
    run = Run(Union(), [ROW, other], ROW, mode=ChangelogMode.APPEND)
    out = run.step(
        (1, changes(other, [(1, "x")], append=True)), (0, changes(ROW, [(2, "y")], append=True))
    )
    assert out == [("+", 1, "x"), ("+", 2, "y")]


def test_what_the_runtime_drives_is_no_operator() -> None:
    """Scans and sinks have none."""
    node = PhysicalNode("n1", Collect(), (), ROW, ChangelogMode.APPEND)
    with pytest.raises(InternalError, match='node "n1" is no operator but a Collect'):
        build_operator(node, [], EvalSettings())
