"""The text of types: every type and synonym, Flink's defaults, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql import types as t
from flowsql.errors import SqlError
from flowsql.types.parser import parse_type, parse_type_prefix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int", t.IntType()),
        ("INTEGER NOT NULL", t.IntType(nullable=False)),
        ("BIGINT NULL", t.BigIntType()),
        ("FLOAT", t.FloatType()),
        ("DOUBLE", t.DoubleType()),
        ("DOUBLE PRECISION", t.DoubleType()),
        ("DECIMAL", t.DecimalType(10, 0)),
        ("DEC(5)", t.DecimalType(5, 0)),
        ("NUMERIC(38, 18)", t.DecimalType(38, 18)),
        ("CHAR", t.CharType(1)),
        ("CHARACTER(3)", t.CharType(3)),
        ("CHAR VARYING(3)", t.VarCharType(3)),
        ("CHARACTER VARYING", t.VarCharType()),
        ("VARCHAR", t.VarCharType()),
        ("VARCHAR(2147483647)", t.VarCharType()),
        ("STRING", t.VarCharType()),
        ("BINARY", t.BinaryType(1)),
        ("BINARY VARYING(4)", t.VarBinaryType(4)),
        ("VARBINARY", t.VarBinaryType()),
        ("BYTES", t.VarBinaryType()),
        ("DATE", t.DateType()),
        ("TIME", t.TimeType(0)),
        ("TIME(3) WITHOUT TIME ZONE", t.TimeType(3)),
        ("TIMESTAMP", t.TimestampType(6)),
        ("TIMESTAMP(3) WITHOUT TIME ZONE", t.TimestampType(3)),
        ("TIMESTAMP_LTZ", t.LocalZonedTimestampType(6)),
        ("TIMESTAMP(9) WITH LOCAL TIME ZONE", t.LocalZonedTimestampType(9)),
        ("INTERVAL YEAR TO MONTH", t.YearMonthIntervalType()),
        ("INTERVAL YEAR(4)", t.YearMonthIntervalType("YEAR", 4)),
        ("INTERVAL MONTH", t.YearMonthIntervalType("MONTH")),
        ("INTERVAL DAY(3) TO SECOND(2)", t.DayTimeIntervalType("DAY TO SECOND", 3, 2)),
        ("INTERVAL SECOND(3)", t.DayTimeIntervalType("SECOND", fraction=3)),
        ("ARRAY<INT NOT NULL>", t.ArrayType(t.IntType(nullable=False))),
        ("MULTISET<STRING>", t.MultisetType(t.VarCharType())),
        ("MAP<INT, ARRAY<STRING>>", t.MapType(t.IntType(), t.ArrayType(t.VarCharType()))),
        ("ROW(a INT)", t.RowType((t.Field("a", t.IntType()),))),
        (
            "ROW<`a``b` INT NOT NULL 'it''s', c STRING>",
            t.RowType(
                (
                    t.Field("a`b", t.IntType(nullable=False), "it's"),
                    t.Field("c", t.VarCharType()),
                )
            ),
        ),
        ("NULL", t.NullType()),
        ("INT /* comment */ NOT -- more\n NULL", t.IntType(nullable=False)),
    ],
)
def test_reads_each_type_and_synonym(text: str, expected: t.DataType) -> None:
    """A text means one type."""
    assert expected == parse_type(text)


_LEAVES = st.one_of(
    st.sampled_from(
        [
            *(t.BooleanType(), t.TinyIntType(), t.SmallIntType(), t.IntType(), t.BigIntType()),
            *(t.FloatType(), t.DoubleType(), t.DateType(), t.NullType(), t.VarCharType()),
            *(t.VarBinaryType(), t.CharType(7), t.BinaryType(2), t.VarCharType(9)),
            *(t.YearMonthIntervalType(u) for u in ("YEAR", "MONTH", "YEAR TO MONTH")),
            *(t.DayTimeIntervalType(u) for u in ("DAY", "HOUR", "HOUR TO SECOND", "SECOND")),
            t.TimestampType(3, t.TimeAttribute.ROWTIME, nullable=False),
            t.LocalZonedTimestampType(3, t.TimeAttribute.PROCTIME),
        ]
    ),
    st.builds(t.TimestampType, st.integers(0, 9)),
    st.builds(t.TimeType, st.integers(0, 9)),
    st.integers(1, 38).flatmap(lambda p: st.builds(t.DecimalType, st.just(p), st.integers(0, p))),
)
_NAMES = st.text("ab`' \\é", min_size=1, max_size=4)


def _nested(inner: st.SearchStrategy[t.DataType]) -> st.SearchStrategy[t.DataType]:
    member = st.builds(t.Field, _NAMES, inner)
    return st.one_of(
        st.builds(t.ArrayType, inner),
        st.builds(t.MultisetType, inner),
        st.builds(t.MapType, inner, inner),
        st.builds(lambda fields: t.RowType(tuple(fields)), st.lists(member, max_size=3)),
        st.builds(lambda one: one.not_null(), inner),
    )


@settings(max_examples=200, deadline=None)
@given(st.recursive(_LEAVES, _nested, max_leaves=6))
def test_reads_back_what_it_prints(data_type: t.DataType) -> None:
    """`parse_type(str(t)) == t` for every type."""
    assert data_type == parse_type(str(data_type))


def test_a_prefix_ends_where_the_type_ends() -> None:
    """What follows a type is left to the caller."""
    text = "a ROW<x INT> NOT NULL COMMENT 'c'"
    found, end = parse_type_prefix(text, 2)
    assert str(found) == "ROW<`x` INT> NOT NULL"
    assert text[end:] == " COMMENT 'c'"
    found, end = parse_type_prefix("INT NOT ENFORCED", 0)
    assert (found, end) == (t.IntType(), 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TIME(6)", "TIME(3)"),
        ("INTERVAL DAY(3) TO SECOND(2)", "INTERVAL SECOND(3)"),
        ("INTERVAL YEAR TO MONTH", "INTERVAL MONTH"),
        ("ROW<a TIME(9)>", "ROW<`a` TIME(3)>"),
        ("INT ARRAY", "ARRAY<INT NOT NULL>"),
        ("INT ARRAY MULTISET", "MULTISET<ARRAY<INT NOT NULL> NOT NULL>"),
    ],
)
def test_what_sql_declares_is_what_flink_makes_of_it(text: str, expected: str) -> None:
    """DDL and CAST know less than the text of a type."""
    assert expected == str(parse_type_prefix(text, 0)[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INTT", 'data type "INTT" does not exist\n  INTT\n  ^^^^\nHint: Did you mean "INT"?'),
        (
            "DECIMAL(39)",
            "the precision of DECIMAL must be between 1 and 38 (both inclusive), not 39",
        ),
        ("DECIMAL(5, 6)", "the scale of DECIMAL must be between 0 and 5 (both inclusive), not 6"),
        ("TIMESTAMP(10)", "the precision of TIMESTAMP must be between 0 and 9 (both inclusive)"),
        ("VARCHAR(0)", "the length of VARCHAR must be between 1 and 2147483647 (both inclusive)"),
        ("TIMESTAMP WITH TIME ZONE", "Hint: Use TIMESTAMP_LTZ"),
        ("RAW('x', 'y')", "data type RAW is not supported"),
        ("VARIANT(3)", 'expected the end of the type, found "("'),
        ("REAL", "Hint: Flink does not know it either; use FLOAT."),
        ("ROW<a>", 'field "a" has no type'),
        ("ARRAY<INT", 'expected ">", found the end of the text'),
        ("INT INT", 'expected the end of the type, found "INT"'),
        ("INTERVAL MONTH TO DAY", "expected no smaller unit"),
        ("", "expected a data type, found the end of the text"),
        ("ARRAY<" * 200, "the type is nested too deeply"),
    ],
)
def test_refuses_with_a_cure(text: str, expected: str) -> None:
    """A wrong type is an error that marks its place."""
    with pytest.raises(SqlError) as caught:
        parse_type(text)
    assert expected in str(caught.value.with_sql(text))
    assert caught.value.span is not None
