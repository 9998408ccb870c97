"""Rows as text tables."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

import flowsql
from flowsql.cli.tableau import MAX_WIDTH, Expanded, Tableau
from flowsql.expr import EvalSettings
from flowsql.types import (
    ArrayType,
    BigIntType,
    BinaryType,
    DecimalType,
    Field,
    IntType,
    MapType,
    RowType,
    TimestampType,
    VarBinaryType,
    VarCharType,
)

SCHEMA = RowType((Field("id", IntType()), Field("name", VarCharType())), nullable=False)
BATCH = pa.record_batch({"id": pa.array([1, None], pa.int32()), "name": ["ann", "日本"]})


def test_a_table_is_as_wide_as_its_cells() -> None:
    """Numbers to the right, text to the left, wide characters counted twice."""
    shown = Tableau(SCHEMA, EvalSettings("UTC"), op=False).table(pa.Table.from_batches([BATCH]))
    assert shown.splitlines() == [
        "+--------+------+",
        "|     id | name |",
        "+--------+------+",
        "|      1 | ann  |",
        "| <NULL> | 日本 |",
        "+--------+------+",
        "2 rows in set",
    ]


def test_an_empty_table() -> None:
    """Flink's words."""
    table = pa.Table.from_batches([], schema=BATCH.schema)
    assert Tableau(SCHEMA, EvalSettings("UTC"), op=False).table(table) == "Empty set"


def test_a_long_cell_is_cut() -> None:
    """At Flink's width; a line break is shown, not printed."""
    long = pa.record_batch({"id": pa.array([1], pa.int32()), "name": ["a\n" + "x" * 50]})
    shown = Tableau(SCHEMA, EvalSettings("UTC"), op=False).table(pa.Table.from_batches([long]))
    cell = shown.splitlines()[3].split(" | ")[1].removesuffix(" |")
    assert cell == "a\\n" + "x" * (MAX_WIDTH - 6) + "..."


def test_a_later_row_may_be_wider() -> None:
    """It is shown whole: a number that is cut would be another number."""
    tableau = Tableau(SCHEMA, EvalSettings("UTC"), op=False)
    tableau.fit(pa.Table.from_batches([BATCH.slice(0, 1)]))
    wide = pa.record_batch({"id": pa.array([1234567], pa.int32()), "name": ["x" * 12]})
    assert [*tableau.head().splitlines(), tableau.changes(flowsql.Changes(wide))] == [
        "+----+------+",
        "| id | name |",
        "+----+------+",
        "| 1234567 | xxxxxxxxxxxx |",
    ]


def test_where_more_rows_follow_numbers_have_room() -> None:
    """Text has the width of the first rows; of a number the type says how wide it can be."""
    tableau = Tableau(SCHEMA, EvalSettings("UTC"), op=False)
    tableau.fit(pa.Table.from_batches([BATCH]), more=True)
    assert tableau.rule() == "+-------------+------+"


def test_a_part_of_a_table_says_so() -> None:
    """Nobody takes it for the whole."""
    tableau = Tableau(SCHEMA, EvalSettings("UTC"), op=False)
    shown = tableau.table(pa.Table.from_batches([BATCH]), whole=False)
    assert shown.splitlines()[-1] == "2 rows so far; interrupted, the result is incomplete"
    none = tableau.table(pa.Table.from_batches([], schema=BATCH.schema), whole=False)
    assert none == "Empty set so far; interrupted, the result is incomplete"


def test_control_characters_are_shown() -> None:
    """A cell cannot move the cursor or colour the terminal."""
    odd = pa.record_batch({"id": pa.array([1], pa.int32()), "name": ["a\tb\r\x1b[31mc"]})
    shown = Tableau(SCHEMA, EvalSettings("UTC"), op=False).table(pa.Table.from_batches([odd]))
    assert shown.splitlines()[3] == "|  1 | a\\tb\\r\\x1b[31mc |"


def test_a_stream_has_the_widths_of_its_types() -> None:
    """Later rows are not known when the head is printed."""
    schema = RowType(
        (Field("k", BigIntType()), Field("at", TimestampType(3))),
        nullable=False,
    )
    batch = pa.record_batch(
        {"k": pa.array([-5], pa.int64()), "at": pa.array([0], pa.timestamp("us"))}
    )
    tableau = Tableau(schema, EvalSettings("UTC"), op=True)
    kinds = pa.array([3], pa.int8())
    assert [*tableau.head().splitlines(), tableau.rule()] == [
        "+----+----------------------+-------------------------+",
        "| op |                    k |                      at |",
        "+----+----------------------+-------------------------+",
        "+----+----------------------+-------------------------+",
    ]
    assert tableau.changes(flowsql.Changes(batch, kinds)) == (
        "| -D |                   -5 | 1970-01-01 00:00:00.000 |"
    )


def test_text_is_cut_where_the_setting_says_and_numbers_never() -> None:
    """As Flink's `table.display.max-column-width`."""
    wide = pa.record_batch({"id": pa.array([1234567890], pa.int32()), "name": ["x" * 12]})
    shown = Tableau(SCHEMA, EvalSettings("UTC"), op=False, longest=6)
    assert shown.table(pa.Table.from_batches([wide])).splitlines()[1:4] == [
        "|         id | name   |",
        "+------------+--------+",
        "| 1234567890 | xxx... |",
    ]


def test_a_long_decimal_is_not_cut() -> None:
    """38 digits are more than the width of text."""
    schema = RowType((Field("d", DecimalType(38, 0)),), nullable=False)
    value = "9" * 38
    batch = pa.record_batch({"d": pa.array([Decimal(value)], pa.decimal128(38, 0))})
    table = pa.Table.from_batches([batch])
    assert value in Tableau(schema, EvalSettings("UTC"), op=False).table(table)


def test_rows_one_column_a_line() -> None:
    """Nothing is cut; rows are counted over batches."""
    shown = Expanded(SCHEMA, EvalSettings("UTC"), op=True)
    long = pa.record_batch({"id": pa.array([1], pa.int32()), "name": ["a\n" + "x" * 50]})
    assert shown.head() == shown.rule() == ""
    assert shown.changes(flowsql.Changes(BATCH)).splitlines() == [
        "-[ row 1 +I ]---------------------------",
        "id   | 1",
        "name | ann",
        "-[ row 2 +I ]---------------------------",
        "id   | <NULL>",
        "name | 日本",
    ]
    assert shown.changes(flowsql.Changes(long)).splitlines() == [
        "-[ row 3 +I ]---------------------------",
        "id   | 1",
        "name | a\\n" + "x" * 50,
    ]
    whole = Expanded(SCHEMA, EvalSettings("UTC"), op=False).table(pa.Table.from_batches([BATCH]))
    assert whole.splitlines()[0] == "-[ row 1 ]------------------------------"
    assert whole.splitlines()[-1] == "2 rows in set"


def test_bytes_are_shown_as_the_sql_that_makes_them() -> None:
    """As Flink prints them, within other values too: most are no text."""
    schema = RowType(
        (
            Field("b", VarBinaryType()),
            Field("a", ArrayType(VarBinaryType())),
            Field("m", MapType(VarCharType(), BinaryType(2))),
            Field("r", RowType((Field("x", VarBinaryType()), Field("y", IntType())))),
        ),
        nullable=False,
    )
    rows = pa.record_batch(
        [
            pa.array([b"\xff\x0a", b"", None], pa.binary()),
            pa.array([[b"\xfe", None], [], None], pa.list_(pa.binary())),
            pa.array([[("k", b"ab")], [], None], pa.map_(pa.string(), pa.binary())),
            pa.array(
                [{"x": b"\x00", "y": 1}, {"x": None, "y": 2}, None],
                pa.struct([("x", pa.binary()), ("y", pa.int32())]),
            ),
        ],
        schema=pa.schema(
            [
                ("b", pa.binary()),
                ("a", pa.list_(pa.binary())),
                ("m", pa.map_(pa.string(), pa.binary())),
                ("r", pa.struct([("x", pa.binary()), ("y", pa.int32())])),
            ]
        ),
    )
    assert Tableau(schema, EvalSettings("UTC"), op=False).cells(rows) == [
        ["x'ff0a'", "x''", "<NULL>"],
        ["[x'fe', NULL]", "[]", "<NULL>"],
        ["{k=x'6162'}", "{}", "<NULL>"],
        ["(x'00', 1)", "(NULL, 2)", "<NULL>"],
    ]
