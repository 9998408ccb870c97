"""What the filesystem connector can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Finding,
    Needs,
    OptionValues,
    Predicate,
    PreflightContext,
    Reader,
    Role,
    Sink,
    Source,
    Split,
    Taken,
    columns_of_predicate,
)
from flowsql.errors import ConfigError, nearest
from flowsql.formats import FormatTable, find_format
from flowsql.types import (
    ArrayType,
    BigIntType,
    BitmapType,
    DataType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    RowType,
    VarCharType,
    VariantType,
)
from flowsql_connectors.filesystem.commits import partition_commits
from flowsql_connectors.filesystem.options import OPTIONS
from flowsql_connectors.filesystem.paths import is_hidden, local_path, path_regex

__all__ = ["FilesystemConnector", "file_table"]

# Flink's name for what the format of the values knows, in connectors that have one for keys as well.
_VALUE = "value."


def file_table(table: ConnectorTable) -> FormatTable:
    """The part of the table that stands in the files: all but the partition columns."""
    inside = [i for i, n in enumerate(table.schema.names) if n not in table.partition_keys]
    schema = table.schema.select(inside)
    columns = tuple(c for c in table.columns if c not in table.partition_keys)
    held = set(schema.names)
    wanted = tuple(f.predicate for f in table.filters if columns_of_predicate(f.predicate) <= held)
    known = find_format(table.options["format"]).metadata
    metadata = {
        name: key.removeprefix(_VALUE)
        for name, key in table.metadata.items()
        if key.removeprefix(_VALUE) in known
    }
    return FormatTable(schema, table.options, columns, table.local_time_zone, wanted, metadata)


class FilesystemConnector(Connector):
    """Local files."""

    name = "filesystem"
    options = OPTIONS
    roles = frozenset({Role.SCAN, Role.SINK})
    formats = True
    overwrites = True
    metadata = {  # noqa: RUF012 - declared as Mapping by the contract
        "file.path": VarCharType(nullable=False),
        "file.name": VarCharType(nullable=False),
        "file.size": BigIntType(nullable=False),
        "file.modification-time": LocalZonedTimestampType(3, nullable=False),
    }

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        local_path(table.options["path"])
        if table.options["source.path.regex-pattern"] is not None:
            path_regex(table.options["source.path.regex-pattern"])
        for key in table.partition_keys:
            if key not in table.schema.names:
                near = nearest(key, table.schema.names)
                raise ConfigError(
                    f'partition column "{key}" of table "{table.name}" does not exist',
                    hint=f'Did you mean "{near}"?' if near else None,
                )
            if is_hidden(key):
                raise ConfigError(
                    f'partition column "{key}" of table "{table.name}" would hide its rows',
                    detail='Files and folders whose names begin with "." or "_" are left out when '
                    "they are read.",
                    hint="Give the column another name.",
                )
            kind = table.schema.fields[table.schema.index(key)].type
            if isinstance(
                kind, ArrayType | BitmapType | MapType | MultisetType | RowType | VariantType
            ):
                raise ConfigError(
                    f'partition column "{key}" cannot be of type {kind}',
                    hint="The values are names of folders: declare it as STRING.",
                )
        if len(table.partition_keys) == len(table.schema.names):
            raise ConfigError(f'table "{table.name}" has no column beside its partition columns')
        form, inside = find_format(table.options["format"]), file_table(table)
        form.check(inside)
        if role is Role.SINK and not form.bulk:
            form.encoder(inside)
        if role is Role.SCAN and form.changelog:
            self._check_moves(table)
        if role is Role.SINK:
            partition_commits(table)
        if role is Role.SINK and table.metadata:
            raise ConfigError(
                f'metadata columns of connector "{self.name}" cannot be written',
                hint="Declare them as METADATA VIRTUAL.",
            )

    @staticmethod
    def _check_moves(table: ConnectorTable) -> None:
        """Refuse rows that move to a partition that may be read before the one they leave."""
        outside = [k for k in table.partition_keys if k not in table.primary_key]
        if table.primary_key and outside:
            raise ConfigError(
                f'partition column "{outside[0]}" of table "{table.name}" is not in its PRIMARY KEY',
                detail="Changes are in order within a partition only: a row that moves to another "
                "could be there twice.",
                hint="Put the partition columns into the PRIMARY KEY, or declare none.",
            )

    def metadata_of(self, options: OptionValues) -> Mapping[str, DataType]:
        known = find_format(options["format"]).metadata
        return {**self.metadata, **known, **{f"{_VALUE}{k}": t for k, t in known.items()}}

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        changelog = find_format(table.options["format"]).changelog
        return ChangelogMode.RETRACT if changelog else ChangelogMode.APPEND

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        changelog = find_format(table.options["format"]).changelog
        return frozenset({ChangelogMode.APPEND, *([ChangelogMode.RETRACT] if changelog else [])})

    def bounded(self, table: ConnectorTable) -> bool:
        return table.options["source.monitor-interval"] is None

    def take_filters(
        self, table: ConnectorTable, predicates: Sequence[Predicate]
    ) -> Sequence[Taken]:
        """Partitions are chosen by the names of folders, row groups by what the format knows."""
        bulk = find_format(table.options["format"]).bulk

        def take(predicate: Predicate) -> Taken:
            columns = columns_of_predicate(predicate)
            if columns <= set(table.partition_keys):
                return Taken.EXACT
            mixed = not columns.isdisjoint(table.partition_keys)
            return Taken.COARSE if bulk or mixed else Taken.NOT

        return [take(p) for p in predicates]

    def partitions(self, table: ConnectorTable) -> Sequence[str] | None:
        """The folders that are there, with files or without."""
        if not table.partition_keys:
            return None
        from flowsql_connectors.filesystem.source import partition_folders  # noqa: PLC0415 - loads pyarrow

        return partition_folders(table)

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding]:
        from flowsql_connectors.filesystem.preflight import reading, writing  # noqa: PLC0415 - loads pyarrow

        (table,) = tables
        if needs[table.name].role is Role.SINK:
            return list(writing(table))
        return list(reading(table, context))

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        from flowsql_connectors.filesystem.source import FilesystemSource  # noqa: PLC0415 - loads pyarrow

        (table,) = tables
        return FilesystemSource(table, position, context.tell)

    def open_reader(
        self,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> Reader:
        from flowsql_connectors.filesystem.reader import FilesystemReader  # noqa: PLC0415 - loads pyarrow

        del setup
        reader = FilesystemReader(*tables)
        reader.assign(splits)
        return reader

    def sink(self, table: ConnectorTable) -> Sink:
        from flowsql_connectors.filesystem.sink import FilesystemSink  # noqa: PLC0415 - loads pyarrow

        return FilesystemSink(table)
