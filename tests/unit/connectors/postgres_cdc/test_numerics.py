"""PostgreSQL's numeric is the DECIMAL it should be, or an error that says so."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from flowsql_connectors.postgres_cdc import CopyDecoder
from flowsql_connectors.postgres_cdc.decode.numerics import numeric_text
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import DataError
from flowsql.types import DecimalType
from tests.unit.connectors.postgres_cdc.making import NUMERIC, column, copy_row, numeric

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_WIDE = Context(prec=200)


def _decode(values: list[bytes | None], target: DecimalType) -> list[Decimal | None]:
    messages = [copy_row(value) for value in values]
    batch = CopyDecoder([column(NUMERIC, declared=target)]).decode(
        [_HEADER + messages[0], *messages[1:]]
    )
    batch.validate(full=True)
    return batch.column(0).to_pylist()


@st.composite
def _columns(draw: st.DrawFn) -> tuple[DecimalType, list[str | None]]:
    """A type, and values that mostly have its digits, or up to three more behind the point."""
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))
    whole = st.integers(0, 10 ** draw(st.integers(0, precision - scale)) - 1)
    fraction = st.integers(0, scale + 3).flatmap(
        lambda n: st.integers(0, 10**n - 1).map(lambda f: f"{f:0{n}d}" if n else "")
    )
    value = st.builds(
        lambda sign, w, f: f"{sign}{w}.{f}" if f else f"{sign}{w}",
        st.sampled_from(["", "-"]),
        whole,
        fraction,
    )
    values = draw(st.lists(st.one_of(value, st.none()), min_size=1, max_size=30))
    return DecimalType(precision, scale), values


@settings(max_examples=400, deadline=None)
@given(_columns())
def test_a_numeric_is_the_decimal_of_the_same_value(
    case: tuple[DecimalType, list[str | None]],
) -> None:
    """Of every precision and scale; more digits behind the point are rounded away from zero."""
    target, values = case
    bound = Decimal(1).scaleb(target.precision - target.scale)
    unit = Decimal(1).scaleb(-target.scale)
    expected = [
        None if v is None else Decimal(v).quantize(unit, ROUND_HALF_UP, _WIDE) for v in values
    ]
    sent = [None if v is None else numeric(v) for v in values]
    if any(e is not None and e.copy_abs() >= bound for e in expected):
        with pytest.raises(DataError, match="cannot hold"):
            _decode(sent, target)
    else:
        assert _decode(sent, target) == expected


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e39", "100000000", "-1e20"])
def test_what_no_decimal_holds_is_named(value: str) -> None:
    """Never NULL, never another number: the column, the value and the cure."""
    shown = f"{Decimal(value):f}" if "N" not in value and "I" not in value else value
    with pytest.raises(DataError) as raised:
        _decode([numeric("1"), None, numeric(value)], DecimalType(10, 2))
    assert raised.value.message == (
        f'column "c", numeric in the server, holds {shown}, which DECIMAL(10, 2) cannot hold'
    )
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("Declare the column as `c` STRING")


@pytest.mark.parametrize("value", ["0", "0.00", "-1.50", "12345678.0001", "10000", "0.00001234"])
def test_the_text_of_a_value_is_the_servers(value: str) -> None:
    """As a message shows it."""
    assert numeric_text(numeric(value)) == value


def test_digits_that_are_not_there_are_refused() -> None:
    """A count that the length denies."""
    with pytest.raises(DataError, match="could not be read: a numeric whose length"):
        _decode([numeric("12345.6")[:-2]], DecimalType(10, 2))
