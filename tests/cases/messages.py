"""Recorded change messages: to changes, back to messages, and through a table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowsql.changelog import Changes, kind_names
from flowsql.config import parse_options
from flowsql.formats import FormatTable, find_format
from flowsql.types import RowType
from tests.cases.verdict import Verdict, compare, folded, texts, wrong
from tests.support.ddl import physical_columns, split_pieces
from tests.support.engine import Engine
from tests.support.javatext import row_text

__all__ = ["cdc_formats"]


def cdc_formats(case: Mapping[str, Any], tokens: Sequence[str]) -> Verdict:
    """Messages to changes and back, each in order, and through a table: there, what they come to."""
    form = find_format(case["format"])
    schema = physical_columns(case["schema"])
    table = FormatTable(
        schema, parse_options(form.options, case["options"], where="t"), schema.names
    )
    form.check(table)
    found = form.decoder(table).decode_messages([line.encode() for line in case["input_lines"]])
    if found.bad:
        return wrong("records", [], [b.reason for b in found.bad])
    kinds = kind_names(Changes(found.batch, found.kinds))
    rows = [tuple(r.values()) for r in found.batch.to_pylist()]
    ours = [_as_recorded(k, row, schema) for k, row in zip(kinds, rows, strict=True)]
    if ours != case["expected_rows"]:
        return wrong("rows", case["expected_rows"], ours)
    plain = {k: v for k, v in case["options"].items() if not k.endswith("schema-include")}
    target = FormatTable(schema, parse_options(form.options, plain, where="t"), schema.names)
    written = form.encoder(target).encode_changes(found.batch, found.kinds).decode().splitlines()
    if written != case["expected_serialized"]:
        return wrong("serialized", case["expected_serialized"], written)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.json"
        path.write_text("\n".join(case["input_lines"]) + "\n")
        options = {"connector": "filesystem", "path": str(path), "format": case["format"]}
        given = ", ".join(f"'{k}' = '{v}'" for k, v in {**options, **case["options"]}.items())
        engine = Engine(
            setup=[f"CREATE TABLE t ({', '.join(split_pieces(case['schema']))}) WITH ({given})"]
        )
        answer = engine.select("SELECT * FROM t", ())
    changes = zip([0] * len(rows), kinds, rows, strict=True)
    return compare(
        texts(folded(changes), answer.schema), texts(folded(answer.changes), answer.schema)
    )


def _as_recorded(kind: str, row: Sequence[Any], schema: RowType) -> str:
    text = row_text(row, schema, sign=kind).replace(", ", ",")
    return text.replace("[", "(").replace("]", ")")
