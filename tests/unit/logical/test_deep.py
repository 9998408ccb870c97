"""Long chains of operators are planned and run; what is deeper is refused at its place."""

from __future__ import annotations

import pytest

from flowsql import Session, SqlError

_ROWS = "(VALUES (1, 'a'), (2, 'b')) AS t(id, item)"


@pytest.mark.parametrize(
    ("operator", "operand", "expected"),
    [("+", "id", [400, 800]), ("||", "item", ["a" * 400, "b" * 400]),
     (" AND ", "id > 0", [True, True]), (" OR ", "id > 1", [False, True])],
)  # fmt: skip
def test_a_chain_of_400_operators_runs(operator: str, operand: str, expected: list[object]) -> None:
    """Flink runs them."""
    with Session() as session:
        query = f"SELECT id, {operator.join([operand] * 400)} AS r FROM {_ROWS}"
        rows = session.execute(query).to_arrow().to_pylist()
    assert [r["r"] for r in sorted(rows, key=lambda r: r["id"])] == expected


def test_what_is_too_deep_is_refused_at_its_place() -> None:
    """Not by Python."""
    with Session() as session, pytest.raises(SqlError) as found:
        session.execute(f"SELECT {'+'.join(['id'] * 4000)} FROM {_ROWS}")
    assert found.value.message == "the statement is nested too deeply"
    assert found.value.span is not None
