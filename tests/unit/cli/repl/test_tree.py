"""Plans in a narrow terminal."""

from __future__ import annotations

from flowsql.cli.repl.tree import wrapped_plan

PLAN = """\
== Plan ==
Join(inner, id = id, left: no unique key, stores [id])
├─ Filter(name LIKE 'x%', and something that is long)
│  └─ Scan(a, columns=[id, name, and, many, others, more])
└─ Scan(b, columns=[id, name, and, many, others, more])"""


def test_a_long_line_goes_on_within_its_branch() -> None:
    """The branches stay whole; nothing is left out."""
    wrapped = wrapped_plan(PLAN, 40)
    assert (
        wrapped
        == """\
== Plan ==
Join(inner, id = id, left: no unique
│   key, stores [id])
├─ Filter(name LIKE 'x%', and something
│  │   that is long)
│  └─ Scan(a, columns=[id, name, and,
│         many, others, more])
└─ Scan(b, columns=[id, name, and, many,
       others, more])"""
    )
    assert wrapped_plan(PLAN, 200) == PLAN


def test_other_texts_stay() -> None:
    """Such as a statement that is shown back."""
    text = "CREATE TABLE `t` (\n" + "  `a` INT, " * 20 + "\n)"
    assert wrapped_plan(text, 40) == text
