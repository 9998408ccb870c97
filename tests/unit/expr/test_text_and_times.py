"""Text compared with points in time, as Flink was asked: what of it is NULL and what fails."""

from __future__ import annotations

import pytest

from flowsql import FlowSQLError, Session

_ROWS = "(VALUES (1, 'apple', DATE '2024-01-05'), (2, '2024-01-06', DATE '2024-11-15')) AS t(id, item, d)"


def _answers(condition: str) -> list[bool | None]:
    with Session() as session:
        rows = session.execute(f"SELECT id, {condition} AS r FROM {_ROWS}").to_arrow().to_pylist()
    return [r["r"] for r in sorted(rows, key=lambda r: r["id"])]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("item = DATE '2024-01-06'", [None, True]),
        ("item <> d", [None, True]),
        ("item IS DISTINCT FROM d", [True, True]),
        ("CASE item WHEN DATE '2024-01-06' THEN TRUE ELSE FALSE END", [False, True]),
        ("item IN (DATE '2024-01-06')", [False, True]),
        ("item IN (d, DATE '2024-01-06')", [False, True]),
        ("item NOT IN (DATE '2024-01-06')", [True, False]),
        ("d NOT IN ('2024-01-05')", [False, True]),
        ("item = TIMESTAMP '2024-01-06 00:00:00'", [None, True]),
    ],
)
def test_unreadable_text_is_unknown_or_different(
    condition: str, expected: list[bool | None]
) -> None:
    """Recorded from Flink."""
    assert _answers(condition) == expected


@pytest.mark.parametrize(
    ("condition", "unread"),
    [
        ("item > DATE '2024-01-01'", "'apple' as DATE"),
        ("item BETWEEN DATE '2024-01-01' AND DATE '2024-12-31'", "'apple' as DATE"),
        ("item <= d", "'apple' as DATE"),
        ("d IN (item, '2024-01-05')", "'apple' as DATE"),
        ("d = 'foo'", "'foo' as DATE"),
        ("d IS DISTINCT FROM 'foo'", "'foo' as DATE"),
        ("d IN ('foo', '2024-01-05')", "'foo' as DATE"),
    ],
)
def test_unreadable_text_fails(condition: str, unread: str) -> None:
    """Where Flink fails."""
    with pytest.raises(FlowSQLError, match=f"cannot parse {unread}"):
        _answers(condition)
