"""Every node of a plan has a name that messages can show."""

from __future__ import annotations

from flowsql.logical import LogicalPlan
from flowsql.logical.correlation import NAMES


def _kinds(kind: type[LogicalPlan]) -> set[str]:
    """Names of the classes below; a class with slots is made twice, under one name."""
    return {kind.__name__}.union(*map(_kinds, kind.__subclasses__()))


def test_no_message_shows_the_name_of_a_class() -> None:
    """What a sub-query reads the query around it below is told in words of SQL."""
    named = {k.__name__ for k in NAMES}
    assert named == _kinds(LogicalPlan) - {"LogicalPlan", "Unary", "Binary"}
    assert not named & set(NAMES.values())
