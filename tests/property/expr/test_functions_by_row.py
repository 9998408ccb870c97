"""Functions give for a column what they give for its values one by one, NULLs and slices and all."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from flowsql.expr import EvalSettings, StepClock, compile_projection, fold
from flowsql.expr.variant_binary import from_json
from flowsql.logical.expressions import ExpressionBinder
from flowsql.logical.scope import Relation, Scope
from flowsql.sql.dialect import parse_expression
from flowsql.types import ArrayType, DataType, MapType, RowType, arrow_schema
from tests.support.ddl import physical_columns

ROW = physical_columns([
    "p BOOLEAN", "i INT", "l BIGINT", "d DOUBLE", "e DECIMAL(10, 2)", "s STRING", "j STRING",
    "x BYTES", "dt DATE", "ts TIMESTAMP(3)", "z TIMESTAMP_LTZ(3)", "ai ARRAY<INT>",
    "st ARRAY<STRING>", "ad ARRAY<DOUBLE>", "m MAP<STRING, INT>", "r ROW<x INT, y STRING>",
    "ar ARRAY<ROW<x INT, y STRING>>", "v VARIANT",
])  # fmt: skip
ROWS = 37

EXPRESSIONS = """
JSON_VALUE(j, '$.a.b[1]')
JSON_VALUE(j, 'lax $.a.q' DEFAULT s ON EMPTY)
JSON_VALUE(j, IF(i > 0, '$.a.b[0]', s))
JSON_QUERY(j, '$.b')
JSON_QUERY(j, 'lax $..b' WITH WRAPPER EMPTY OBJECT ON EMPTY)
JSON_QUERY(j, '$.a.b' RETURNING ARRAY<STRING>)
JSON_EXISTS(j, 'strict $.a' UNKNOWN ON ERROR)
j IS JSON OBJECT
JSON_STRING(s)
JSON_STRING(d)
JSON_STRING(e)
JSON_STRING(ts)
JSON_STRING(z)
JSON_STRING(x)
JSON_STRING(ai)
JSON_STRING(m)
JSON_STRING(ar)
JSON_OBJECT('b' VALUE i, 'a' VALUE s, 'c' VALUE JSON_ARRAY(d, p, 'x'))
JSON_OBJECT('b' VALUE i, 'a' VALUE r ABSENT ON NULL)
JSON_ARRAY(i, s, 1, st)
JSON_ARRAY(i, s NULL ON NULL)
JSON_QUOTE(s)
JSON_UNQUOTE(JSON_QUOTE(s))
ARRAY_APPEND(ai, i)
ARRAY_PREPEND(st, 'x')
ARRAY_CONCAT(ai, ARRAY[i], ai)
ARRAY_DISTINCT(ai)
ARRAY_DISTINCT(ad)
ARRAY_DISTINCT(ar)
ARRAY_EXCEPT(ai, ARRAY[1, i])
ARRAY_INTERSECT(ai, ARRAY[1, i])
ARRAY_UNION(st, ARRAY[s, 'x'])
ARRAY_REMOVE(ai, i)
ARRAY_REMOVE(ad, d)
ARRAY_REVERSE(ar)
ARRAY_SLICE(ai, i)
ARRAY_SLICE(st, 2, i)
ARRAY_SORT(ai)
ARRAY_SORT(st, p)
ARRAY_SORT(ai, FALSE, p)
ARRAY_MAX(ad)
ARRAY_MIN(ad)
ARRAY_MIN(st)
ARRAY_JOIN(st, s)
ARRAY_JOIN(st, ',', s)
ARRAY_CONTAINS(ai, i)
ARRAY_POSITION(st, s)
MAP_FROM_ARRAYS(ARRAY['a', 'b'], ARRAY[i, 2])
MAP_UNION(m, MAP['k', i])
MAP_KEYS(m)
MAP_ENTRIES(m)
m['k']
ai[i]
ar[1].y
ai = ARRAY[1, i]
m = m
r = ROW(i, s)
CARDINALITY(m)
PRINTF('%s|%05d|%.2f|%s|%b', s, i, d, e, p)
PRINTF(s, i)
URL_DECODE(s)
IS_VALID_UTF8(x)
MAKE_VALID_UTF8(x)
HASH_CODE(s)
REGEXP_EXTRACT(s, '([a-z])(.)', 2)
SPLIT_INDEX(s, ',', 1)
SPLIT_INDEX(s, ',', i)
OBJECT_UPDATE(OBJECT_OF('a.B', 'x', i, 'y', s), 'y', l)
(ts - TIMESTAMP '2020-01-01 00:00:00') DAY
(dt - DATE '2020-02-29') MONTH
DATE_FORMAT(ts, 'w W F e YY kk')
CONVERT_TZ('2020-01-01 00:00:00', 'UTC', s)
TRY_CAST(s AS DECIMAL(6, 2))
TRY_CAST(d AS DECIMAL(6, 1))
CAST(e AS DECIMAL(4, 1))
TRY_PARSE_JSON(j)
TRY_PARSE_JSON(j, COALESCE(p, FALSE))
JSON_STRING(v)
JSON_STRING(ARRAY[v, TRY_PARSE_JSON(j)])
JSON_VALUE(v, '$.b')
JSON_QUERY(TRY_PARSE_JSON(j), '$.b')
CASE WHEN JSON_QUERY(v, '$') LIKE '{%' THEN v ELSE NULL END['a']
CASE WHEN JSON_QUERY(v, '$') LIKE '{%' THEN v ELSE NULL END[CASE WHEN p THEN 'a' ELSE 'b' END]
CASE WHEN JSON_QUERY(v, '$') LIKE '[%' THEN v ELSE NULL END[i]
v = TRY_PARSE_JSON('1')
v IN (PARSE_JSON('1'), PARSE_JSON('[]'))
ARRAY_DISTINCT(ARRAY[v, v, PARSE_JSON('1')])
CAST(ARRAY[v] AS STRING)
COALESCE(v, TRY_PARSE_JSON(j))
PRINTF('%h|%g|%.2a|%tF %<tT', s, d, d, l)
CASE WHEN i > 1 THEN JSON_OBJECT('a' VALUE s) ELSE ARRAY_JOIN(st, '-') END
""".strip().splitlines()

TEXTS = (
    "Hello", "a,b,,c", "", "b😀é", "12.505", "-7", "%d %s", "%41", "PST", "$.b", "null",
    '{"a": {"b": [1, 2.5, null]}, "b": [1], "o": {}}', '[1, {"b": 2}]', '{"a": null}',
)  # fmt: skip


def _value(data_type: DataType, chance: random.Random) -> Any:
    """A value of the type, or None."""
    if chance.random() < 0.2:
        return None
    match data_type:
        case ArrayType(element=element):
            return [_value(element, chance) for _ in range(chance.choice([0, 1, 2, 4]))]
        case MapType(value=item):
            keys = chance.sample(["k", "l", "é", "😀"], chance.choice([0, 1, 3]))
            return [(k, _value(item, chance)) for k in keys]
        case RowType(fields=fields):
            return {f.name: _value(f.type, chance) for f in fields}
    return chance.choice(_PLAIN[data_type.root])


_PLAIN: dict[str, tuple[Any, ...]] = {
    "BOOLEAN": (True, False),
    "INT": (0, 1, 2, 3, -1, -5),
    "BIGINT": (0, 1, -1, 1 << 40),
    "DOUBLE": (0.0, -0.0, 1.5, 2.25, -1e10, 1e-7, math.nan, math.inf),
    "DECIMAL": (Decimal("0.00"), Decimal("12.35"), Decimal("-99999.95")),
    "VARCHAR": TEXTS,
    "VARBINARY": (b"", b"hello", b"\x80", b"\xe4\xbdA"),
    "VARIANT": tuple(
        from_json(t, last_wins=False)
        for t in ("1", '{"a":{"x":1},"b":"y"}', '{"b":2}', "[1,[2.50],null]", "[]", '"x"', "null")
    ),
    "DATE": (0, 18321, -400, 19000),
    "TIMESTAMP": (0, 1_582_979_696_789_000, -86_400_001_000),
    "TIMESTAMP_LTZ": (0, 1_582_979_696_789_000),
}


def _batch() -> Any:
    chance = random.Random(5)
    arrays = [
        pa.array(
            [
                chance.choice((*TEXTS[-5:], None)) if f.name == "j" else _value(f.type, chance)
                for _ in range(ROWS)
            ],
            a.type,
        )
        for f, a in zip(ROW.fields, arrow_schema(ROW), strict=True)
    ]
    return pa.record_batch(arrays, names=list(ROW.names))


BATCH = _batch()


def _plain(value: Any) -> str:
    """Tells NaN from none, and -0.0 from 0.0."""
    return repr(value)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_column_is_its_values(text: str) -> None:
    """The whole batch, a part of it and each row by itself; no rows are no error."""
    scope = Scope(ROW, (Relation(("t",), 0, len(ROW.fields)),))
    bound = fold(ExpressionBinder(scope, "SELECT").value(parse_expression(text)), EvalSettings())
    project = compile_projection([bound], ROW, EvalSettings())
    clock = StepClock(0)
    whole = project(BATCH, clock)[0]
    whole.validate(full=True)
    values = [_plain(v) for v in whole.to_pylist()]
    assert len(set(values)) > 1
    part = project(BATCH.slice(3, 20), clock)[0]
    assert values[3:23] == [_plain(v) for v in part.to_pylist()]
    single = [project(BATCH.slice(i, 1), clock)[0].to_pylist()[0] for i in range(ROWS)]
    assert values == [_plain(v) for v in single]
    assert len(project(BATCH.slice(0, 0), clock)[0]) == 0
