"""What sinks' columns promise: NULLs and lengths, at the top and within values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import DELETE, INSERT, Changes
from flowsql.errors import DataError
from flowsql.runtime.constraints import Constraints, Enforcers
from flowsql.types import DataType, Field, RowType, arrow_schema
from flowsql.types.parser import parse_type

NULLS = "table.exec.sink.not-null-enforcer"
LENGTHS = "table.exec.sink.type-length-enforcer"


def row_of(kind: str) -> RowType:
    """A table of one column."""
    return RowType((Field("a", parse_type(kind)),), nullable=False)


def changes(kind: DataType, values: Sequence[Any], kinds: Sequence[int] | None = None) -> Changes:
    """Rows of one column `a`."""
    schema = arrow_schema(RowType((Field("a", kind),), nullable=False))
    batch = pa.RecordBatch.from_arrays([pa.array(values, schema.field(0).type)], schema=schema)
    return Changes(batch, None if kinds is None else np.array(kinds, np.int8))


def left(
    kind: str,
    values: Sequence[Any],
    enforcers: Enforcers,
    *,
    nulls: Sequence[int] = (),
    kinds: Sequence[int] | None = None,
    keyed_deletes: bool = False,
) -> list[Any]:
    """The values that a table of this type is given."""
    row = row_of(kind)
    constraints = Constraints("t", row, nulls, enforcers)
    given = changes(row.fields[0].type, values, kinds)
    if constraints.fits:
        given = constraints.fitted(given)
    kept = constraints.checked(given, keyed_deletes=keyed_deletes)
    return [] if kept is None else kept.batch.column(0).to_pylist()


def refusal(kind: str, values: Sequence[Any], enforcers: Enforcers, **more: Any) -> DataError:
    """The error that values of a table give."""
    with pytest.raises(DataError) as caught:
        left(kind, values, enforcers, **more)
    return caught.value


ROWS = Enforcers(nested="rows")
DEEP = Enforcers(nested="rows_and_collections")


@pytest.mark.parametrize(
    ("kind", "values", "place"),
    [
        ("BIGINT NOT NULL", [1, None], "a"),
        ("ROW<b INT NOT NULL>", [None, {"b": 1}, {"b": None}], "a.b"),
        ("ROW<b ROW<c INT NOT NULL> NOT NULL>", [{"b": None}], "a.b"),
        ("ROW<b ROW<c INT NOT NULL>>", [{"b": None}, {"b": {"c": None}}], "a.b.c"),
        ("ARRAY<INT NOT NULL>", [None, [], [1], [1, 2, None]], "a[2]"),
        ("ARRAY<ARRAY<INT NOT NULL> NOT NULL>", [[[1]], [[2], [3, None]]], "a[1][1]"),
        ("ARRAY<ROW<b INT NOT NULL>>", [[None, {"b": None}]], "a[1].b"),
        ("MAP<INT, INT NOT NULL>", [[(1, 2)], [(1, 2), (3, None)]], "a[value]"),
        ("MAP<INT, ROW<b INT NOT NULL>>", [[(1, None), (3, {"b": None})]], "a[value].b"),
        ("ROW<b MAP<INT, ARRAY<INT NOT NULL>>>", [{"b": [(1, [None])]}], "a.b[value][0]"),
    ],
)
def test_a_null_is_named_by_its_place(kind: str, values: list[Any], place: str) -> None:
    """As Flink names it; what is NULL itself promises nothing of what would be within."""
    error = refusal(kind, values, DEEP, nulls=(0,) if place == "a" else ())
    assert error.message == (
        f'column "{place}" of table "t" is NOT NULL, but a NULL is written to it'
    )
    assert error.hint == (
        f"Give it a value with COALESCE, or SET '{NULLS}' = 'DROP' to leave such rows out."
    )


def test_how_deep_is_looked() -> None:
    """Not within values, within rows, or within collections as well."""
    values = [{"b": [None]}]
    kind = "ROW<b ARRAY<INT NOT NULL>>"
    assert left(kind, values, Enforcers()) == values
    assert left(kind, values, ROWS) == values
    assert refusal(kind, values, DEEP).message.startswith('column "a.b[0]"')
    assert left("ROW<b INT NOT NULL>", [{"b": None}], Enforcers()) == [{"b": None}]


def test_rows_with_nulls_are_left_out() -> None:
    """All of such a row, be it added or taken away; an upsert's delete needs its key only."""
    drop = Enforcers(nulls="drop", nested="rows")
    kind = "ROW<b INT NOT NULL>"
    values = [{"b": 1}, {"b": None}, {"b": None}]
    assert left(kind, values, drop) == [{"b": 1}]
    assert left(kind, values[1:], drop) == []
    kinds = [INSERT, INSERT, DELETE]
    assert left(kind, values, drop, kinds=kinds) == [{"b": 1}]
    assert left(kind, values, drop, kinds=kinds, keyed_deletes=True) == [{"b": 1}, {"b": None}]


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("CHAR(2)", ["ab", "a"], 'column "a" of table "t" is CHAR(2), but a value of 1 character'),
        ("CHAR(2)", ["äö", "abc"], "CHAR(2), but a value of 3 characters"),
        ("VARCHAR(2)", ["", "äö", "abc"], "VARCHAR(2), but a value of 3 characters"),
        ("BINARY(2)", [b"ab", b"a"], "BINARY(2), but a value of 1 byte is"),
        ("VARBINARY(2)", [b"", b"abc"], "VARBINARY(2), but a value of 3 bytes"),
        ("ARRAY<ROW<b CHAR(2)>>", [[{"b": "ab"}, {"b": "a"}]], 'column "a[1].b"'),
        ("MAP<CHAR(2), VARCHAR(2)>", [[("ab", "a"), ("a", "b")]], 'column "a[key]"'),
        ("MAP<CHAR(2), VARCHAR(2)>", [[("ab", "abc")]], 'column "a[value]"'),
    ],
)
def test_a_length_is_an_error(kind: str, values: list[Any], says: str) -> None:
    """Text is counted in characters, bytes in bytes; NULL has no length."""
    strict = Enforcers(lengths="error", nested="rows_and_collections")
    error = refusal(kind, [None, *values], strict)
    assert says in error.message
    assert error.hint == f"CAST it, or SET '{LENGTHS}': 'IGNORE' writes them as they are."
    assert left(kind, values, Enforcers()) == values


def test_lengths_have_a_cure_more_where_values_can_be_cut() -> None:
    """Not within collections."""
    error = refusal("CHAR(2)", ["a"], Enforcers(lengths="error"))
    assert error.hint == (
        f"CAST it, or SET '{LENGTHS}': 'TRIM_PAD' cuts and fills values, 'IGNORE' writes them as "
        "they are."
    )


def test_text_and_bytes_without_a_length_are_free() -> None:
    """STRING and BYTES."""
    strict = Enforcers(lengths="error")
    assert not Constraints("t", row_of("STRING"), (), strict)
    assert not Constraints("t", row_of("BYTES"), (), Enforcers(lengths="trim_pad"))


@pytest.mark.parametrize(
    ("kind", "values", "fitted"),
    [
        ("CHAR(3)", ["a", "äöüß", None], ["a  ", "äöü", None]),
        ("VARCHAR(3)", ["a", "abcd", None], ["a", "abc", None]),
        ("BINARY(3)", [b"a", b"abcd", None], [b"a\0\0", b"abc", None]),
        ("VARBINARY(3)", [b"a", b"abcd", None], [b"a", b"abc", None]),
    ],
)
def test_values_are_cut_and_filled(kind: str, values: list[Any], fitted: list[Any]) -> None:
    """With spaces and zeros; also within rows, where that is asked for."""
    fit = Enforcers(lengths="trim_pad")
    assert left(kind, values, fit) == fitted
    inner = [{"b": v} for v in values] + [None]
    deep = Enforcers(lengths="trim_pad", nested="rows")
    assert left(f"ROW<b {kind}>", inner, deep) == [{"b": v} for v in fitted] + [None]
    assert left(f"ROW<b {kind}>", inner, fit) == inner


def test_the_first_row_counts() -> None:
    """Whatever its column; a row that is left out for a NULL is not measured."""
    row = RowType((Field("a", parse_type("CHAR(1)")), Field("b", parse_type("INT NOT NULL"))))
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["x", "ab", "abc"]), pa.array([None, None, 3], pa.int32())], names=["a", "b"]
    )
    told = []
    for nulls in ("error", "drop"):
        constraints = Constraints("t", row, (1,), Enforcers(nulls, "error"))
        with pytest.raises(DataError) as caught:
            constraints.checked(Changes(batch), keyed_deletes=False)
        told.append(caught.value.message)
    assert told == [
        'column "b" of table "t" is NOT NULL, but a NULL is written to it',
        'column "a" of table "t" is CHAR(1), but a value of 3 characters is written to it',
    ]


def test_what_goes_was_let_in_before() -> None:
    """Only rows that come break a promise."""
    strict = Enforcers(lengths="error")
    assert left("CHAR(2)", ["a"], strict, kinds=[DELETE]) == ["a"]


def test_slices_of_batches() -> None:
    """Rows of a longer batch are looked at by themselves."""
    row = row_of("MAP<CHAR(2), ARRAY<INT NOT NULL>>")
    given = changes(row.fields[0].type, [[("a", [None])], [("ab", [1])], [("ab", [2, None])]])
    constraints = Constraints("t", row, (), Enforcers(lengths="error", nested=DEEP.nested))
    assert constraints.checked(given.slice(1, 1), keyed_deletes=False) is not None
    with pytest.raises(DataError, match=r'"a\[value\]\[1\]"'):
        constraints.checked(given.slice(1, 2), keyed_deletes=False)
