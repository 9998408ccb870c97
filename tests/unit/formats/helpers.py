"""Tables for format tests."""

from __future__ import annotations

from flowsql.config import parse_options
from flowsql.formats import FormatTable, find_format
from flowsql.types import RowType
from flowsql.types.parser import parse_type


def format_table(name: str, columns: str, **options: str) -> FormatTable:
    """A table of format `name`; `field_delimiter=";"` is `<name>.field-delimiter`."""
    schema = parse_type(f"ROW<{columns}>")
    assert isinstance(schema, RowType)
    given = {f"{name}.{k.replace('__', '.').replace('_', '-')}": v for k, v in options.items()}
    values = parse_options(find_format(name).options, given, where="table")
    return FormatTable(schema, values, schema.names)


def decode(name: str, columns: str, block: bytes, **options: str) -> tuple[list, list]:
    """Rows as tuples, and (line, reason) of each bad record."""
    table = format_table(name, columns, **options)
    fmt = find_format(name)
    fmt.check(table)
    found = fmt.decoder(table).decode(block)
    assert found.batch.num_rows == (
        len(found.record_of) if found.record_of is not None else found.records
    )
    rows = [tuple(r.values()) for r in found.batch.to_pylist()]
    return rows, [(b.line, b.reason) for b in found.bad]
