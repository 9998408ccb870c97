"""The contract of a connector: what it is called, what it takes, what it can do."""

from __future__ import annotations

from abc import ABC
from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

from flowsql.changelog import ChangelogMode
from flowsql.config import Option, OptionValues
from flowsql.connector.context import ConnectorContext
from flowsql.connector.preflight import Finding, Needs, PreflightContext
from flowsql.connector.role import Role
from flowsql.connector.sink import Sink
from flowsql.connector.slots import ServerSlot
from flowsql.connector.source import JSON, Reader, Source, Split
from flowsql.connector.table import ConnectorTable
from flowsql.errors import ConfigError
from flowsql.types import DataType
from flowsql.types.predicates import Predicate, Taken

__all__ = ["Connector"]


class Connector(ABC):
    """A kind of outside system. Constructing one does no I/O and imports no client library.

    Attributes:
        name: the value of `'connector' = …`.
        options: its options, beside `connector` and those of its formats.
        roles: what its tables can be used as.
        formats: True where it takes `'format' = …` (and the format's options).
        metadata: metadata key → type, for METADATA columns.
        overwrites: its sinks heed `ConnectorTable.overwrite`.
        overwrites_streams: in streaming mode as well.
        gives_watermarks: its readers give `Poll.watermarks`, for SOURCE_WATERMARK().
        exclusive: a second job of the process on the same group is refused at planning.
        reads_in: where its readers run unless `pipeline.reader` says: `thread`, or `process` for
            those that are busy in Python.
        keeps_slots: its servers keep their logs for jobs, see `slots`.
        self_contained: it needs nothing outside the process, so that nothing can stand in its way.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    roles: ClassVar[frozenset[Role]]
    formats: ClassVar[bool] = False
    metadata: ClassVar[Mapping[str, DataType]] = {}
    overwrites: ClassVar[bool] = False
    overwrites_streams: ClassVar[bool] = False
    gives_watermarks: ClassVar[bool] = False
    exclusive: ClassVar[bool] = False
    reads_in: ClassVar[str] = "thread"
    keeps_slots: ClassVar[bool] = False
    self_contained: ClassVar[bool] = False

    def check(self, table: ConnectorTable, role: Role) -> None:
        """Refuse at planning time what can be known without I/O.

        Raises:
            ConfigError: options that contradict each other or do not fit the schema.
        """
        del table
        if role not in self.roles:
            raise ConfigError(
                f'connector "{self.name}" cannot be used as a {role.value}',
                hint=f"It can be used as: {', '.join(sorted(r.value for r in self.roles))}.",
            )

    def check_columns(self, table: ConnectorTable) -> None:
        """Refuse options that do not fit the table's columns, when it is declared; without I/O.

        Nobody uses the table yet: `check` is asked about that later. It is not called where a value
        comes from the environment.

        Raises:
            ConfigError: an option does not fit; it names its `option`.
        """
        del table

    def metadata_of(self, options: OptionValues) -> Mapping[str, DataType]:
        """The metadata that a table of these options has, key → type; the default: `metadata`.

        For connectors whose formats have some as well.
        """
        del options
        return self.metadata

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        """What a scan of the table carries."""
        del table
        return ChangelogMode.APPEND

    def bounded(self, table: ConnectorTable) -> bool:
        """Whether a scan ends by itself."""
        del table
        return False

    def take_filters(
        self, table: ConnectorTable, predicates: Sequence[Predicate]
    ) -> Sequence[Taken]:
        """What a scan of the table does with each condition; the default: nothing.

        Asked while planning, without I/O, perhaps more than once; what was taken comes back in
        `ConnectorTable.filters`. It holds for all rows that a scan gives, of a snapshot and of a
        log: who can apply it to some only takes it coarsely. Rows that are taken back must be
        left out where the rows they take back are. Of a table that gives upserts only conditions
        on its primary key are offered. Bad records may be left out with the rows around them,
        never because of what a condition makes of them.

        Args:
            table: as in `scan_mode`.
            predicates: all of them are to hold.

        Returns:
            One answer a predicate.
        """
        del table
        return [Taken.NOT] * len(predicates)

    def partitions(self, table: ConnectorTable) -> Sequence[str] | None:
        """For SHOW PARTITIONS: `dt=2020-01-05/kind=a` for each partition of the table, in order.

        Those that `table.filters` leave out, which read partition columns only, are not given.
        None, the default, is for who cannot tell, and for tables without partitions.

        Raises:
            ConnectorError: they cannot be looked at.
        """
        del table
        return None

    def preflight(
        self,
        tables: Sequence[ConnectorTable],
        needs: Mapping[str, Needs],
        context: PreflightContext,
    ) -> Sequence[Finding] | None:
        """What stands in the way of reading or writing these tables; changes nothing anywhere.

        All findings at once: what is wrong with one table does not hide what is with another. An
        error that it raises is one more finding. None, the default of a connector that needs
        something outside, says that nothing was checked.

        Args:
            tables: those of one source group, or one that is written.
            needs: by the tables' names; all have one role.
            context: how thoroughly.
        """
        del tables, needs, context
        return () if self.self_contained else None

    def slot_server(self, table: ConnectorTable) -> Hashable:
        """Equal for tables of one server; only of a connector that `keeps_slots`."""
        return self.group(table)

    def slots(
        self, tables: Sequence[ConnectorTable], positions: Mapping[str, Sequence[JSON]]
    ) -> Sequence[ServerSlot]:
        """What a server keeps for tables, and for jobs.

        Args:
            tables: of one server.
            positions: id of a job → the positions of its sources of this connector.

        Raises:
            ConnectorError: it cannot be asked.
        """
        del tables, positions
        return ()

    def drop_slot(self, tables: Sequence[ConnectorTable], name: str) -> None:
        """Let the server of these tables forget a slot; raises ConnectorError."""
        del tables
        raise ConfigError(f'connector "{self.name}" has no slot "{name}"')

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        """What the sink takes; UPSERT needs a primary key on the table."""
        del table
        return frozenset({ChangelogMode.APPEND})

    def sink_keeps(self, table: ConnectorTable, mode: ChangelogMode) -> str | None:
        """What the sink's writer keeps in the job's state, and what it costs, for EXPLAIN."""
        del table, mode
        return None

    def group(self, table: ConnectorTable) -> Hashable:
        """Tables of a job with equal groups are opened together; the default: each alone."""
        return table.name

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        """The source of one group; `position` is its own stored `position()`.

        Raises:
            ConnectorError: it cannot be reached, or what the position names is gone.
        """
        del tables, position, context
        raise ConfigError(f'connector "{self.name}" cannot be used as a scan')

    def load_reader(self) -> None:
        """Load what `open_reader` needs, in a process that will be asked for a reader soon."""

    def open_reader(
        self,
        tables: Sequence[ConnectorTable],
        setup: JSON,
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> Reader:
        """A reader as `Source.open` makes it, in a process that has nothing else.

        Called only where `Source.setup` gives something.

        Args:
            tables: of the group; options have no places.
            setup: what `Source.setup` gave.
            splits: to begin with, each with the position to start at.
        """
        del tables, setup, splits
        raise ConfigError(f'readers of connector "{self.name}" cannot run in a process')

    def sink(self, table: ConnectorTable) -> Sink:
        """The sink of one table; no I/O before its `open` or `committed`."""
        del table
        raise ConfigError(f'connector "{self.name}" cannot be used as a sink')
