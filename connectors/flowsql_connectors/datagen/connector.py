"""What the datagen connector can do."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.connector import JSON, Connector, ConnectorContext, ConnectorTable, Role, Source
from flowsql.errors import ConfigError, Refusals, nearest
from flowsql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    LocalZonedTimestampType,
    RowType,
    TimestampType,
    TimeType,
    VarBinaryType,
    VarCharType,
)
from flowsql_connectors.datagen.generate import field_plans, sequence_rows
from flowsql_connectors.datagen.options import OPTIONS
from flowsql_connectors.datagen.source import DatagenSource

__all__ = ["DatagenConnector"]


class DatagenConnector(Connector):
    """Made-up rows."""

    name = "datagen"
    options = OPTIONS
    roles = frozenset({Role.SCAN})
    self_contained = True

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        if table.options["rows-per-second"] <= 0:
            raise ConfigError(
                'option "rows-per-second" must be greater than 0', option="rows-per-second"
            )
        if (table.options["number-of-rows"] or 0) < 0:
            raise ConfigError(
                'option "number-of-rows" must not be negative', option="number-of-rows"
            )
        self.check_columns(table)
        field_plans(table)

    def check_columns(self, table: ConnectorTable) -> None:
        refusals = Refusals()
        for option in OPTIONS:
            if "#" in option.key:
                for path in table.options.matching(option.key):
                    with refusals.part():
                        _check_field(table, path, option.key.replace("#", path))
        refusals.check()

    def bounded(self, table: ConnectorTable) -> bool:
        return table.options["number-of-rows"] is not None or sequence_rows(table) is not None

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del context
        (table,) = tables
        return DatagenSource(table, position, bounded=self.bounded(table))


def _check_field(table: ConnectorTable, path: str, key: str) -> None:
    """There is such a column or part of one, and its values are made so."""
    names = path.split(".")
    kind: DataType | None = table.schema
    for depth, name in enumerate(names):
        parts = _parts(kind)
        kind = parts.get(name)
        if kind is None:
            within = f'column "{".".join(names[:depth])}"' if depth else f'table "{table.name}"'
            near = nearest(name, parts)
            raise ConfigError(
                f'option "{key}" names no {"part" if depth else "column"} of {within}',
                hint=f'Did you mean "{near}"?'
                if near
                else f"Leave it out; ALTER TABLE … RESET ('{key}') takes it from a table that is there.",
                option=key,
            )
    word = key.rpartition(".")[2]
    sequence = table.options.matching("fields.#.kind").get(path) == "sequence"
    fitting = _SEQUENCE if sequence else ("kind", "null-rate", *_taken(kind))
    if word not in fitting:
        what = "a sequence" if sequence else f"random values of type {kind}"
        raise ConfigError(
            f'option "{key}" has no effect on {what}',
            hint=f"There are: {', '.join(sorted(fitting))}.",
            option=key,
        )


_SEQUENCE = ("kind", "start", "end")


def _parts(kind: DataType | None) -> dict[str, DataType]:
    match kind:
        case RowType(fields=fields):
            return {f.name: f.type for f in fields}
        case ArrayType(element=element):
            return {"element": element}
        case _:
            return {}


def _taken(kind: DataType | None) -> tuple[str, ...]:
    """The options of random values of a type."""
    match kind:
        case CharType() | VarCharType() | BinaryType() | VarBinaryType():
            return ("length", "var-len")
        case DateType() | TimeType() | TimestampType() | LocalZonedTimestampType():
            return ("max-past",)
        case ArrayType():
            return ("length",)
        case RowType() | BooleanType():
            return ()
        case _:
            return ("min", "max")
