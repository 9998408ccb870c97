"""VARIANT where it meets Python."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import flowsql
from flowsql.errors import DataError
from flowsql.types import Field, IntType, RowType, VarCharType, VariantType
from flowsql.types.parser import parse_type


def _fed(kind: str, values: pa.Array) -> flowsql.Session:
    session = flowsql.connect()
    schema = RowType((Field("v", parse_type(kind)),), nullable=False)
    session.from_changes("t", schema, [pa.RecordBatch.from_arrays([values], names=["v"])])
    return session


def test_values_of_python() -> None:
    """`fetchall` gives what is in a VARIANT, also within other types; `to_arrow` its bytes."""
    document = {"b": [1, 2.5, None, True], "a": "x"}
    query = (
        "SELECT v, v['b'][2], v['zz'], ROW(v['a'], 1), ARRAY[v['a']], MAP['k', v['b'][3]] FROM t"
    )
    session = _fed("VARIANT", pa.array([json.dumps(document)]))
    answer = session.execute(query)
    ((whole, number, missing, row, array, entries),) = answer.fetchall()
    assert document == whole
    assert Decimal("2.5") == number
    assert missing is None
    assert list(row.values()) == ["x", 1]
    assert array == ["x"]
    assert entries == [("k", None)]
    assert pa.binary() == answer.to_arrow().column(0).type


def test_columns_are_given_as_json() -> None:
    """Texts, each read once; NULL stays NULL."""
    session = _fed("VARIANT", pa.array(['{"a":1}', None, "null", '{"a":1}']))
    assert session.execute("SELECT * FROM t").fetchall() == [
        ({"a": 1},),
        (None,),
        (None,),
        ({"a": 1},),
    ]
    assert session.execute("SELECT COUNT(v) FROM t").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("VARIANT", pa.array(["{"]), "has no VARIANT in '{': expecting property name"),
        ("VARIANT", pa.array(['{"a":1,"a":1}']), 'key "a" occurs twice in an object'),
        (
            "VARIANT",
            pa.array([b"{}"]),
            'column "v" of item 0 of table "t" is binary, and a VARIANT',
        ),
        ("VARIANT", pa.array([1]), "is int64, and a VARIANT is given as JSON text"),
        ("ARRAY<VARIANT>", pa.array([["1"]]), "cannot be given as ARRAY<VARIANT>"),
        ("VARIANT", pa.array(["[" * 600 + "]" * 600]), "more than 500 arrays and objects"),
    ],
)
def test_what_is_no_variant(kind: str, values: pa.Array, expected: str) -> None:
    """Bytes are never taken unseen."""
    with pytest.raises(DataError) as caught:
        _fed(kind, values).execute("SELECT * FROM t").fetchall()
    assert expected in str(caught.value)


def test_print(capfd: pytest.CaptureFixture[str]) -> None:
    """The connector `print` writes JSON."""
    session = _fed("VARIANT", pa.array(['{"a" : [1, "x"]}', None]))
    session.execute(
        "CREATE TABLE p (v VARIANT, a ARRAY<VARIANT>, m MAP<STRING, VARIANT>, r ROW<v VARIANT>) "
        "WITH ('connector' = 'print')"
    )
    job: Any = session.execute(
        "INSERT INTO p SELECT v, ARRAY[v['a'], v['b']], MAP['k', v], ROW(v) FROM t"
    )
    job.wait()
    assert capfd.readouterr().out.splitlines() == [
        '+I[{"a":[1,"x"]}, [[1,"x"], null], {k={"a":[1,"x"]}}, +I[{"a":[1,"x"]}]]',
        "+I[null, [null, null], {k=null}, +I[null]]",
    ]


def test_functions_of_users_take_text() -> None:
    """A function in Python cannot have the type."""
    with pytest.raises(flowsql.errors.ConfigError, match="cannot have the type VARIANT"):
        flowsql.udf(lambda v: v, input_types=["VARIANT"], result_type="STRING")


def test_the_type() -> None:
    """VARIANT is a type like others."""
    assert str(parse_type("ROW<v VARIANT NOT NULL, i INT>")) == "ROW<`v` VARIANT NOT NULL, `i` INT>"
    assert VariantType(nullable=False) == parse_type("variant not null")
    assert VariantType() not in (VarCharType(), IntType())
