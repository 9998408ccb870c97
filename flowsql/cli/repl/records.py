"""Results as CSV or JSON lines, for another program: `--format csv | json`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pyarrow as pa

from flowsql.changelog import Changes, kind_names
from flowsql.config import parse_options
from flowsql.expr import EvalSettings, to_text
from flowsql.formats import Encoder, FormatTable, find_format
from flowsql.library.result import Result
from flowsql.types import (
    ArrayType,
    BitmapType,
    CharType,
    DataType,
    DayTimeIntervalType,
    Field,
    MapType,
    MultisetType,
    NullType,
    RowType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
    arrow_schema,
)

__all__ = ["RecordPrinter"]

_NESTED = (ArrayType, MapType, MultisetType, RowType)
_TEXT = (BitmapType, NullType, VariantType, YearMonthIntervalType, DayTimeIntervalType)


class RecordPrinter:
    """Prints results on standard output, a record a line.

    A query that ends gives its final rows: as they come where none is ever taken back. One that does
    not gives every change, and a column `op` says what happened to the row where rows can be taken
    back. CSV has a line of names; NULL is empty there.

    Args:
        form: `csv` or `json`.
        settings: how values become text (time zone).
        interrupted: whether the user has asked for the end.
    """

    def __init__(self, form: str, settings: EvalSettings, interrupted: Callable[[], bool]) -> None:
        self._form = form
        self._settings = settings
        self._interrupted = interrupted

    def show(self, answer: Result) -> bool:
        """Print an answer; whether it is a whole one.

        Raises:
            FlowSQLError: the query failed.
        """
        known = answer.stream is None
        if known and answer.schema.names == ("result",) and answer.fetchall() == [("OK",)]:
            return True
        records = _Records(
            self._form, answer.schema, self._settings, op=not (answer.bounded or answer.append)
        )
        collected: list[Changes] = []
        direct = known or answer.append or not answer.bounded
        begun = False
        for changes in answer.changes():
            if self._interrupted():
                break
            if direct:
                if not begun:
                    records.head()
                    begun = True
                records.changes(changes)
            else:
                collected.append(changes)
        if not begun:
            records.head()
        for batch in () if direct else answer.fold(collected).to_batches():
            records.changes(Changes(batch))
        return not (answer.bounded and self._interrupted())


class _Records:
    """Rows of one schema as lines."""

    def __init__(self, form: str, schema: RowType, settings: EvalSettings, *, op: bool) -> None:
        self._form = form
        self._schema = schema
        self._settings = settings
        self._op = op
        self._as_text = [_needs_text(f.type, form) for f in schema.fields]
        fields = [
            Field(f.name, VarCharType()) if text else f
            for f, text in zip(schema.fields, self._as_text, strict=True)
        ]
        if op:
            name = "op" if "op" not in schema.names else "$op"
            fields.insert(0, Field(name, VarCharType()))
        self._shown = RowType(tuple(fields), nullable=False)
        self._encoder = self._make_encoder()

    def _make_encoder(self) -> Encoder:
        form = find_format(self._form)
        given = {
            "csv": {"csv.write-bigdecimal-in-scientific-notation": "false"},
            "json": {"json.encode.decimal-as-plain-number": "true"},
        }
        options = parse_options(form.options, given[self._form], where="output")
        zone = self._settings.local_time_zone
        return form.encoder(FormatTable(self._shown, options, self._shown.names, zone))

    def head(self) -> None:
        """The names, where the form has them in front."""
        if self._form == "csv":
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(self._shown.names)
            print(line.getvalue(), end="", flush=True)

    def changes(self, changes: Changes) -> None:
        """Lines for a batch of changes."""
        if not len(changes):
            return
        columns: list[pa.Array] = [
            _texts(column, f.type, self._settings) if text else column
            for column, f, text in zip(
                changes.batch.columns, self._schema.fields, self._as_text, strict=True
            )
        ]
        if self._op:
            columns.insert(0, pa.array(kind_names(changes), pa.string()))
        schema = arrow_schema(self._shown)
        columns = [c.cast(f.type) for c, f in zip(columns, schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        text = self._encoder.encode(batch).decode()
        print(text, end="" if text.endswith("\n") else "\n", flush=True)


def _needs_text(data_type: DataType, form: str) -> bool:
    """Whether the form does not hold such values as what they are."""
    if isinstance(data_type, _TEXT):
        return True
    if form == "csv":
        return isinstance(data_type, _NESTED)
    match data_type:
        case MapType(key=key, value=value):
            return not isinstance(key, CharType | VarCharType) or _needs_text(value, form)
        case MultisetType():
            return True
        case ArrayType(element=element):
            return _needs_text(element, form)
        case RowType(fields=fields):
            return any(_needs_text(f.type, form) for f in fields)
        case _:
            return False


def _texts(column: pa.Array, data_type: DataType, settings: EvalSettings) -> pa.Array:
    texts = to_text(column, data_type, settings, printing=True)
    return texts if isinstance(texts, pa.Array) else pa.array(list(texts), pa.string())
