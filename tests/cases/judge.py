"""Runs one recorded case and says whether we agree with Flink."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import flowsql
from flowsql.runtime.clock import ManualClock
from flowsql.types import (
    ArrayType,
    BinaryType,
    CharType,
    DataType,
    IntType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    RowType,
    SmallIntType,
    TinyIntType,
)
from tests.cases.decode import (
    NotRepresentable,
    infer_type,
    normal_text,
    plain,
    plain_row,
    same_text,
)
from tests.cases.feeds import engine_of, steps_of
from tests.cases.java_functions import defined
from tests.cases.messages import cdc_formats
from tests.cases.sinks import create_sink, finals, sink_columns, sink_table
from tests.cases.verdict import AGREE, Verdict, Word, compare, flat, folded, texts, wrong
from tests.support.connectors import Advance, Event, Rows
from tests.support.ddl import physical_columns
from tests.support.engine import Answer, Engine, Table
from tests.support.fold import FoldError
from tests.support.javatext import row_text, value_text

__all__ = ["JUDGES", "Verdict", "Word", "judge"]


# Differences that docs/flink-compatibility.md states.
_ON_PURPOSE = {
    "flink-tp/WatermarkAssignerTestPrograms/watermark-assigner-pushdown-computed": (
        "the watermark outlives a restart"
    ),
}
_HOME = "default_catalog.default_database."


def judge(kind: str, case: Mapping[str, Any], tokens: Sequence[str] = ()) -> Verdict:
    """The verdict on one case of a file of this kind; never raises.

    Tables of the present database are named without it by us: so they are in the tokens.
    """
    try:
        verdict = JUDGES[kind](case, [t.replace(_HOME, "") for t in tokens])
        if verdict.word is Word.WRONG and case["name"] in _ON_PURPOSE:
            return Verdict(Word.REFUSED, f"on purpose: {_ON_PURPOSE[case['name']]}")
        return verdict
    except flowsql.InternalError as error:
        return Verdict(Word.REFUSED, f"CRASH {error}")
    except flowsql.FlowSQLError as error:
        return Verdict(Word.REFUSED, str(error))
    except NotRepresentable as error:
        return Verdict(Word.REFUSED, f"record: {error}")
    except FoldError as error:
        return Verdict(Word.WRONG, f"changelog: {error}")
    except Exception:  # noqa: BLE001 (a crash of ours is a result to report, not the end)
        return Verdict(Word.REFUSED, "CRASH " + traceback.format_exc(limit=-6))


def _first_bad(verdicts: Iterable[Callable[[], Verdict]]) -> Verdict:
    """Agreement of all; else the first wrong one, else the first refusal."""
    refused: Verdict | None = None
    for run in verdicts:
        try:
            verdict = run()
        except flowsql.InternalError:
            raise
        except flowsql.FlowSQLError as error:
            verdict = Verdict(Word.REFUSED, str(error))
        if verdict.word is Word.WRONG:
            return verdict
        if verdict.word is Word.REFUSED and refused is None:
            refused = verdict
    return refused or AGREE


# Statements that must be refused --------------------------------------------------------------

_UNBUILT = re.compile(r"not supported|does not exist|no (function|connector|option)|unknown")


def _error(
    engine: Engine, sql: str, steps: Any, *, planning: bool | None, theirs: str, tokens: Any
) -> Verdict:
    """Whether we refuse in the same phase, naming what Flink names."""
    try:
        engine.explain(sql)
        planned = True
    except flowsql.FlowSQLError as error:
        planned, ours = False, error
    if planned:
        try:
            answer = engine.select(sql, steps)
        except flowsql.FlowSQLError as error:
            ours = error
        else:
            return wrong("no error", theirs, answer.changes[:3])
    if isinstance(ours, flowsql.InternalError):
        raise ours
    text = str(ours)
    phase_agrees = planning is None or planning == (not planned)
    known = _UNBUILT.search(ours.message) is None or _UNBUILT.search(theirs) is not None
    if phase_agrees and known and all(token in text for token in tokens):
        return AGREE
    return Verdict(Word.REFUSED, f"another error than Flink's ({theirs}):\n{text}")


# Milliseconds between the phases of a case that is restored.
_PAUSE = 10_000

# Files ----------------------------------------------------------------------------------------


def _programs(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    engine = engine_of(case)
    first, second = steps_of(case), steps_of(case, "rows_after_restore")
    restarts = [(len(first), len(first))] if case.get("has_restore_phase") else []
    if restarts and second:
        # Flink's savepoints are not restored in the second in which they were taken.
        second[0] = [Advance(_PAUSE), *second[0]]
    steps = first + second
    sinks = {sink["name"].strip("`"): sink for sink in case["sinks"]}
    inserts = [s for s in case["sql"] if re.match(r"\s*(INSERT|EXECUTE|BEGIN)", s, re.IGNORECASE)]
    job = inserts[0] if inserts else f"INSERT INTO `{next(iter(sinks))}` {case['sql'][-1]}"
    if len(inserts) > 1:
        job = "EXECUTE STATEMENT SET BEGIN " + " ".join(f"{s};" for s in inserts) + " END"
    creates = {name: create_sink(sink) for name, sink in sinks.items()}
    given = engine.insert(job, creates, steps, restarts=restarts)
    return _first_bad(
        lambda name=name, sink=sink: compare(
            finals(sink), texts(sink_table(sink, given[name]), sink_columns(sink))
        )
        for name, sink in sinks.items()
    )


def _programs_errors(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    engine = engine_of(case)
    steps = steps_of(case)
    creates = {s["name"]: create_sink(s) for s in case["sinks"]}
    said: list[str] = []

    def one(run: Mapping[str, Any]) -> Verdict:
        theirs = run.get("expected_error_message", "")
        planning = "Runtime" not in run.get("expected_exception", "Validation")
        try:
            if run["sql"].lstrip().upper().startswith("INSERT"):
                engine.insert(run["sql"], creates, steps)
            else:
                engine.select(run["sql"], steps)
        except flowsql.FlowSQLError as error:
            said.append(str(error))
            return _same_cause(error, planning=planning, theirs=theirs)
        return wrong("no error", theirs, "rows")

    runs = [run for run in case["run"] if run["kind"] == "FAILING_SQL"]
    verdict = _first_bad(lambda run=run: one(run) for run in runs or case["run"])
    return verdict if verdict.word is not Word.AGREE else _named(tokens, said)


def _named(tokens: Sequence[str], said: Sequence[str]) -> Verdict:
    """Whether the errors name, all together, what Flink's name."""
    missing = [token for token in tokens if not any(token in text for text in said)]
    if not missing:
        return AGREE
    return Verdict(Word.REFUSED, f"errors do not name {missing}:\n" + "\n".join(said))


def _same_cause(error: flowsql.FlowSQLError, *, planning: bool, theirs: str) -> Verdict:
    if isinstance(error, flowsql.InternalError):
        raise error
    ours_planning = isinstance(error, flowsql.SqlError | flowsql.ConfigError)
    unbuilt = _UNBUILT.search(error.message) and not _UNBUILT.search(theirs)
    text = str(error)
    if planning == ours_planning and not unbuilt:
        return AGREE
    return Verdict(Word.REFUSED, f"another error than Flink's ({theirs}):\n{text}")


def _stream(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    engine = engine_of(case)
    steps = steps_of(case)
    sinks = {sink["name"]: sink for sink in case["sink_tables"]}

    def one(expectation: Mapping[str, Any]) -> Verdict:
        run = case["run"][expectation.get("run_index") or 0]
        if run["mode"] == "insert" or re.match(r"\s*INSERT", run["sql"], re.IGNORECASE):
            sink = sinks.get(expectation.get("of", "")) or next(iter(sinks.values()))
            creates = {name: create_sink(s) for name, s in sinks.items()}
            changes = engine.insert(run["sql"], creates, steps)[sink["name"]]
            schema = sink_columns(sink)
            table = sink_table(sink, changes)
        else:
            answer = engine.select(expectation.get("query") or run["sql"], steps)
            schema, table = answer.schema, folded(answer.changes)
            if _as_replayed(case.get("flink_2_3_0_replay"), expectation, answer):
                return AGREE
        return _rows_agree(expectation, table, schema)

    # What is linked to no assertion, and updates without their old rows, are judged only where
    # nothing else tells of their statement.
    told = {e.get("run_index") for e in case["expectations"] if not _vague(e)}
    return _first_bad(
        lambda e=e: one(e)
        for e in case["expectations"]
        if e["kind"] != "error" and not (_vague(e) and e.get("run_index") in told)
    )


def _vague(expectation: Mapping[str, Any]) -> bool:
    kinds = (
        {text[:2] for text in expectation["expected"]} if expectation["kind"] == "raw" else set()
    )
    return expectation["kind"] == "unlinked" or ("+U" in kinds and "-U" not in kinds)


def _as_replayed(replay: Any, expectation: Mapping[str, Any], answer: Answer) -> bool:
    """Whether Flink, given just this record, answered as we do.

    A test may do between two queries what its record does not hold, such as USE in Java.
    """
    selects = (replay or {}).get("selects") or []
    index = expectation.get("run_index") or 0
    if expectation.get("ordered_compare") or index >= len(selects):
        return False
    theirs = map(normal_text, selects[index].get("materialized") or ())
    return compare(theirs, texts(folded(answer.changes), answer.schema)).word is Word.AGREE


def _rows_agree(expectation: Mapping[str, Any], table: Counter[Any], schema: RowType) -> Verdict:
    expected = expectation["expected"]
    if any(isinstance(row, list) for row in expected):
        return compare((_expected_text(row, schema) for row in expected), texts(table, schema))
    ours = texts(table, schema)
    if expectation["kind"] == "raw" and any(re.match(r"[+-][IUD][\[(]", text) for text in expected):
        held: Counter[str] = Counter()
        for text in expected:
            held[flat(normal_text(text))] += 1 if text[:2] in ("+I", "+U") else -1
        return compare((+held).elements(), (flat(text) for text in ours))
    return compare((flat(normal_text(text)) for text in expected), (flat(text) for text in ours))


def _stream_errors(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    theirs = "; ".join(e["expected_message_contains"] for e in case["expectations"])
    try:
        engine = engine_of(case)
        creates = {sink["name"]: create_sink(sink) for sink in case["sink_tables"]}
        for run in case["run"]:
            if re.match(r"\s*(INSERT|EXECUTE)", run["sql"], re.IGNORECASE):
                engine.insert(run["sql"], creates, steps_of(case))
            else:
                engine.select(run["sql"], steps_of(case))
        if not case["run"]:
            engine.schema("SELECT 1")
    except flowsql.FlowSQLError as error:
        verdict = _same_cause(error, planning=True, theirs=theirs)
        return verdict if verdict.word is not Word.AGREE else _named(tokens, [str(error)])
    return wrong("no error", theirs, "rows")


def _batch(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    steps = steps_of(case)
    whole = [[event for step in steps for event in step]] if steps else []
    engines = [(engine_of(case, {"execution.runtime-mode": "batch"}), whole)]
    if case["streaming_replay_on_flink_2_3_0"].startswith("ok"):
        engines.append((engine_of(case), steps))

    replay = (case.get("flink_2_3_0_streaming_replay") or {}).get("selects") or []

    def one(engine: Engine, feed: Any, expectation: Mapping[str, Any]) -> Verdict:
        index = expectation.get("run_index") or 0
        run = case["run"][index]
        if engine is not engines[0][0] and run["mode"] != "insert" and index < len(replay):
            answer = engine.select(run["sql"], feed)
            expected = map(normal_text, replay[index]["materialized"])
            return compare(expected, texts(folded(answer.changes), answer.schema))
        if run["mode"] == "insert":
            (sink,) = case["sink_tables"]
            changes = engine.insert(run["sql"], {sink["name"]: create_sink(sink)}, feed)[
                sink["name"]
            ]
            return _rows_agree(expectation, folded(changes), sink_columns(sink))
        answer = engine.select(run["sql"], feed)
        if _as_replayed(case.get("flink_2_3_0_streaming_replay"), expectation, answer):
            return AGREE
        if expectation.get("ordered_compare") and engine is engines[0][0]:
            return _ordered(expectation, answer)
        return _rows_agree(expectation, folded(answer.changes), answer.schema)

    return _first_bad(
        lambda engine=engine, feed=feed, e=e: one(engine, feed, e)
        for engine, feed in engines
        for e in case["expectations"]
    )


def _expected_text(cells: Sequence[Any], schema: RowType) -> str:
    """A row of a record; a nested value may stand there as text."""
    _, *values = cells
    if len(values) != len(schema.fields):
        return normal_text(f"+I{values}")
    texts = []
    for value, field in zip(values, schema.fields, strict=True):
        nested = isinstance(field.type, ArrayType | MapType | MultisetType | RowType)
        if nested and isinstance(value, str):
            texts.append(value)
        else:
            texts.append(value_text(plain(value, field.type), field.type))
    return normal_text(f"+I[{', '.join(texts)}]")


def _ordered(expectation: Mapping[str, Any], answer: Answer) -> Verdict:
    ours = [normal_text(row_text(row, answer.schema)) for _, _, row in answer.changes]
    theirs = [_expected_text(row, answer.schema) for row in expectation["expected"]]
    if len(ours) == len(theirs) and all(map(same_text, theirs, ours)):
        return AGREE
    return wrong("rows in order", theirs[:8], ours[:8])


def _zone(name: str) -> tzinfo:
    offset = re.fullmatch(r"(?:GMT|UTC)([+-])(\d\d):(\d\d)", name)
    if offset is None:
        return ZoneInfo(name)
    away = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return timezone(-away if offset[1] == "-" else away)


def _given(value: Any, kind: DataType, zone: tzinfo) -> Any:
    """A field's value: local times of instants are the session's, fixed lengths are padded."""
    if isinstance(kind, LocalZonedTimestampType) and isinstance(value, dict):
        text = value.get("$timestamp")
        if text is not None:
            seconds, _, fraction = text.partition(".")
            local = datetime.fromisoformat(seconds).replace(tzinfo=zone)
            value = {
                "$timestamp_ltz": f"{local.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction or 0}Z"
            }
    width = {TinyIntType: 8, SmallIntType: 16, IntType: 32}.get(type(kind))
    if width is not None and isinstance(value, int):
        # The tests are written in Java: (short) 32780 is -32756.
        half = 1 << (width - 1)
        return (value + half) % (1 << width) - half
    if isinstance(kind, CharType) and isinstance(value, str):
        return value.ljust(kind.length)
    if isinstance(kind, BinaryType) and isinstance(value, dict):
        return bytes.fromhex(value["$bytes"]).ljust(kind.length, b"\0")
    return plain(value, kind)


def _row_engine(
    case: Mapping[str, Any], names: Sequence[str], types: Sequence[str], values: Sequence[Any]
) -> tuple[Engine, list[list[Event]]]:
    """A table `t` of one row; columns whose type is a class of the JVM are left out."""
    pieces, cells = [], []
    zone = _zone(case["config"].get("table.local-time-zone", "UTC"))
    for name, kind, value in zip(names, types, values, strict=True):
        try:
            piece = f"`{name}` {_legacy(value) if kind == 'RAW/LEGACY' else kind}"
            row = physical_columns([piece])
            cells.append(_given(value, row.types[0], zone))
            pieces.append(piece)
        except (flowsql.FlowSQLError, NotRepresentable, KeyError):
            continue
    if not pieces:
        pieces, cells = ["`_` INT"], [None]
    engine = engine_of({**case, "source_tables": ()})
    engine.tables = [Table("t", tuple(pieces))]
    return engine, [[Rows("t", (("+I", tuple(cells)),))]]


def _legacy(value: Any) -> str:
    """The type of a column that Flink's test bases declare by a class of the JVM.

    `BigDecimal` has the scale of its text (19 digits where it is NULL, as all of theirs), arrays
    are of `Integer`.
    """
    match value:
        case None:
            return "DECIMAL(38, 19)"
        case list():
            return "ARRAY<INT>"
        case {"$row": members}:
            fields = ", ".join(f"`f{i}` {_legacy(m)}" for i, m in enumerate(members))
            return f"ROW<{fields}>"
        case {"$date": _}:
            return "DATE"
        case {"$time": _}:
            return "TIME(0)"
        case {"$timestamp": _}:
            return "TIMESTAMP(3)"
        case bool():
            return "BOOLEAN"
        case int():
            return "INT"
        case str() if digits := re.fullmatch(r"-?\d+(?:\.(\d+))?", value):
            return f"DECIMAL(38, {len(digits[1] or '')})"
        case _:
            raise NotRepresentable(str(value)[:80])


def _one_row(engine: Engine, steps: Any, text: str) -> tuple[RowType, tuple[Any, ...]]:
    answer = engine.select(f"SELECT {text} FROM t", steps)
    ((row, _),) = folded(answer.changes).items()
    return answer.schema, row


def _functions(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    values = case.get("field_values") or []
    types = case.get("field_types") or [str(infer_type(v)) for v in values]
    engine, steps = _row_engine(case, [f"f{i}" for i in range(len(values))], types, values)

    def one(item: Mapping[str, Any]) -> Verdict:
        if item["kind"] == "error":
            return _error(
                engine,
                f"SELECT {item['sql_expr']} FROM t",
                steps,
                planning=item["at_validation"],
                theirs=item["error_message"] or "",
                tokens=tokens,
            )
        schema, row = _one_row(engine, steps, item["sql_expr"])
        wanted = physical_columns([f"f{i} {kind}" for i, kind in enumerate(item["types"])])
        names = [(str(a), str(b)) for a, b in zip(wanted.types, schema.types, strict=True)]
        if any(a != b for a, b in names) and not _type_of_replay(item, schema):
            return wrong(f"type of {item['sql_expr']}", *zip(*names, strict=True))
        if not item["expected"]:  # RAND(): any value will do
            return AGREE
        expected = tuple(plain(v, k) for v, k in zip(item["expected"], wanted.types, strict=True))
        verdict = compare([row_text(expected, wanted)], [row_text(row, schema)])
        if verdict.word is Word.AGREE:
            return verdict
        return wrong(item["sql_expr"], row_text(expected, wanted), row_text(row, schema))

    with defined():
        return _first_bad(lambda item=item: one(item) for item in case["items"])


def _type_of_replay(item: Mapping[str, Any], schema: RowType) -> bool:
    """Whether Flink's answer has this type though its test declares one that is less exact."""
    replay = item.get("flink_2_3_0")
    if not isinstance(replay, dict) or len(schema.fields) != 1:
        return False
    return str(replay.get("types", "")) == f"[{schema.types[0]}]"


# "Now" of the expressions that compare the clock with the moment of their recording.
_RECORDED = 1_795_245_295_000_000


def _expressions(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    table = case["table"]
    names, types, row = table["field_names"], table["field_types"], table["row"][1:]
    engine, steps = _row_engine(case, names, types, row)
    engine.clock = ManualClock(_RECORDED)

    # A test of validation expects an exception of every expression; what it writes is not looked at.
    refused = re.search(r"ValidationTest/|/testUnsupported", case["name"]) is not None

    def one(item: Mapping[str, Any]) -> Verdict:
        text = item["sql_expr"]
        if refused or "expected" not in item:
            return _error(
                engine,
                f"SELECT {text} FROM t",
                steps,
                planning=None,
                theirs=item.get("error_contains") or "",
                tokens=tokens,
            )
        _, row = _one_row(engine, steps, f"CAST({text} AS STRING)")
        ours = "NULL" if row[0] is None else row[0]
        if same_text(normal_text(item["expected"]), normal_text(ours)):
            return AGREE
        return wrong(text, item["expected"], ours)

    with defined():
        return _first_bad(lambda item=item: one(item) for item in case["items"])


def _aggregates(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    (column,) = physical_columns([f"r {case['source_type']}"]).types
    assert isinstance(column, RowType)
    pieces = [str(f) for f in column.fields]
    if "watermark_expr" in case:
        pieces.append(f"WATERMARK FOR {case['rowtime_column']} AS {case['watermark_expr']}")
    record = {
        "name": "source_table",
        "schema": pieces,
        "rows": case["source_rows"],
        "changelog_mode": ",".join({row[0] for row in case["source_rows"]})
        .replace("-D", "D")
        .replace("+U", "UA")
        .replace("-U", "UB")
        .replace("+I", "I"),
    }
    whole = {**case, "source_tables": [record]}
    engine, steps = engine_of(whole), steps_of(whole)

    def one(item: Mapping[str, Any]) -> Verdict:
        if item["kind"] != "result":
            theirs = item["error_message"] or ""
            return _error(engine, item["sql"], steps, planning=None, theirs=theirs, tokens=tokens)
        answer = engine.select(item["sql"], steps)
        (wanted,) = physical_columns([f"r {item['result_type']}"]).types
        assert isinstance(wanted, RowType)
        names = [(str(a), str(b)) for a, b in zip(wanted.types, answer.schema.types, strict=True)]
        if any(a != b for a, b in names):
            return wrong(f"type of {item['sql']}", *zip(*names, strict=True))
        rows = Counter(plain_row(row, wanted)[1] for row in item["expected_rows"])
        return compare(texts(rows, wanted), texts(folded(answer.changes), answer.schema))

    return _first_bad(lambda item=item: one(item) for item in case["items"])


def _nexmark(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    tables = [
        {"name": name, "schema": schema, "rows": case["events"].get(name, [])}
        for name, schema in case["source_schemas"].items()
    ]
    whole = {**case, "source_tables": tables}
    answer = engine_of(whole).select(case["sql"][-1], case["steps"](whole))
    expected = [normal_text("+I" + text[2:]) for text in case["flink_2_3_0_final"]]
    return compare(expected, texts(folded(answer.changes), answer.schema))


JUDGES: dict[str, Callable[[Mapping[str, Any], Sequence[str]], Verdict]] = {
    "programs": _programs,
    "programs_errors": _programs_errors,
    "stream": _stream,
    "stream_errors": _stream_errors,
    "batch": _batch,
    "functions": _functions,
    "expressions": _expressions,
    "aggregates": _aggregates,
    "cdc_formats": cdc_formats,
    "nexmark": _nexmark,
}
