"""A table as a plan sees it: columns bound, options read, nothing resolved or opened."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowsql.catalog import ColumnKind
from flowsql.changelog import ChangelogMode
from flowsql.connector import Connector, ConnectorTable
from flowsql.expr import Expression, Literal
from flowsql.types import DataType, Field, RowType

__all__ = ["BoundColumn", "BoundTable", "BoundWatermark"]


@dataclass(frozen=True, slots=True)
class BoundColumn:
    """One column of a table.

    Attributes:
        name: as declared.
        kind: where its values come from.
        type: what a query sees, time attribute included.
        expression: of a computed column, over the row of all columns of the table.
        metadata_key: the connector's key of a metadata column.
        metadata_type: what the connector gives for it; cast to `type`.
        virtual: a metadata column that a sink does not take.
    """

    name: str
    kind: ColumnKind
    type: DataType
    expression: Expression | None = None
    metadata_key: str | None = None
    metadata_type: DataType | None = None
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class BoundWatermark:
    """WATERMARK FOR, with the options that go with it.

    Attributes:
        rowtime: position in the schema.
        expression: over the row of all columns; NULL for SOURCE_WATERMARK().
        strategy: `on-event` or `on-periodic`.
        idle_timeout, all_idle_close: milliseconds, or None for never.
    """

    rowtime: int
    expression: Expression
    strategy: str = "on-event"
    idle_timeout: int | None = None
    all_idle_close: int | None = None

    @property
    def by_source(self) -> bool:
        """SOURCE_WATERMARK(): only the source says how far event time is."""
        return isinstance(self.expression, Literal)


@dataclass(frozen=True, slots=True)
class BoundTable:
    """A table with its options after hints.

    Attributes:
        name: the full name; where hints change options, with their digest behind: the name by
            which a plan, and who opens its tables, call it.
        declared: the full name in the catalog.
        columns: all of them, in order of the DDL.
        connector: who reads or writes it.
        options: as written, hints applied.
        settings: the same, parsed, as far as `${NAME}` allows.
        primary_key: positions.
        partition_keys: names.
        watermark: its event time, or None.
        identity: connector and identifying options, as written.
        scan_mode: what a scan carries.
        bounded: whether a scan ends by itself.
        sink_modes: what a sink takes; empty where it is none.
        bad_records: `fail`, `skip` or `dead-letter`.
        dead_letters: the table that takes bad records.
    """

    name: str
    declared: str
    columns: tuple[BoundColumn, ...]
    connector: Connector = field(compare=False, repr=False)
    options: tuple[tuple[str, str], ...] = field(repr=False)
    settings: ConnectorTable = field(compare=False, repr=False)
    primary_key: tuple[int, ...] = ()
    partition_keys: tuple[str, ...] = ()
    watermark: BoundWatermark | None = None
    identity: tuple[tuple[str, str], ...] = ()
    scan_mode: ChangelogMode = ChangelogMode.APPEND
    bounded: bool = False
    sink_modes: frozenset[ChangelogMode] = frozenset()
    bad_records: str = "fail"
    dead_letters: BoundTable | None = None

    @property
    def schema(self) -> RowType:
        """All columns."""
        return RowType(tuple(Field(c.name, c.type) for c in self.columns), nullable=False)

    @property
    def sink_columns(self) -> tuple[int, ...]:
        """Positions of the columns an INSERT fills: physical, then stored metadata."""
        return tuple(
            i for i, c in enumerate(self.columns) if c.kind is ColumnKind.PHYSICAL
        ) + tuple(
            i for i, c in enumerate(self.columns) if c.kind is ColumnKind.METADATA and not c.virtual
        )
