"""What a connector is told of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowsql.config import OptionPlaces, OptionValues
from flowsql.types import RowType
from flowsql.types.predicates import ScanFilter

__all__ = ["ConnectorTable"]


@dataclass(frozen=True)
class ConnectorTable:
    """One table, seen from its connector.

    Attributes:
        name: the full name, for messages and as the `table` of every `Piece`.
        schema: the physical columns in order of the DDL, with our types.
        options: parsed against the connector's (and the format's) declaration, `${…}` resolved.
        primary_key: names of its columns, empty where there is none.
        partition_keys: PARTITIONED BY.
        columns: names of the physical columns to read (a subset, in schema order) or all that a
            sink is given.
        metadata: column name → metadata key, for the METADATA columns that are read or written;
            they stand behind the physical ones.
        local_time_zone: `table.local-time-zone`, for text forms.
        places: where the options are written; `places.mark(error)` shows an error with `option`
            there, which is worth it for errors at the start of a job.
        overwrite: a sink's rows take the place of those that are there (INSERT OVERWRITE, in batch
            mode): of all, or, where the table is partitioned, of those of each partition that
            gets rows.
        filters: what was taken in `Connector.take_filters`, or by the connector of an older
            version that planned the job: what was taken exactly must be kept exactly.
        declared_name: what CREATE TABLE calls it, without catalog and database; `name` has more
            where a query gives it hints.
    """

    name: str
    schema: RowType
    options: OptionValues
    primary_key: tuple[str, ...] = ()
    partition_keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    local_time_zone: str = "UTC"
    places: OptionPlaces = field(default_factory=OptionPlaces, compare=False, repr=False)
    overwrite: bool = False
    filters: tuple[ScanFilter, ...] = ()
    declared_name: str = ""

    @property
    def decoded(self) -> tuple[str, ...]:
        """Names of the physical columns that a reader of records decodes, in schema order.

        Where bad records are set aside, whether a record is bad must not depend on what a query
        happens to read of it: all columns are decoded. Where a bad record fails the job, those
        that are read suffice: an answer is then one over readable values.
        """
        if self.options.get("scan.bad-record", "fail") == "fail":
            return self.columns
        return self.schema.names

    @property
    def read_schema(self) -> RowType:
        """The schema of the columns in `columns`."""
        return self.schema.select([self.schema.index(c) for c in self.columns])
