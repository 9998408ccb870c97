"""The table that a sink writes: found or made, looked at again before each commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flowsql.connector import Attempt, Committed, ConnectorTable
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.address import CatalogAddress, catalog_address, table_identifier
from flowsql_connectors.iceberg.catalogs import open_catalog
from flowsql_connectors.iceberg.options import MADE_WITH
from flowsql_connectors.iceberg.schema import (
    check_declared,
    iceberg_schema,
    other_partitioning,
    partition_spec,
)
from flowsql_connectors.iceberg.storage import metadata_named
from flowsql_connectors.iceberg.telling import telling
from flowsql_connectors.iceberg.write.commit import Conflict, Delta, Landed, commit_delta
from flowsql_connectors.iceberg.write.history import commit_removal
from flowsql_connectors.iceberg.write.markers import Marker, Removal, last_marker, marked_jobs
from flowsql_connectors.iceberg.write.names import FileNames, base_name, sink_tag, table_tag
from flowsql_connectors.iceberg.write.partitions import Partitions

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

__all__ = [
    "CREATED_BY",
    "Target",
    "check_written",
    "committed_by",
    "find_table",
    "holders_of",
]

CREATED_BY: Final = "flowsql.created-by"
_PREFIXES: Final = ("write.", "commit.", "read.", "history.", "gc.", "schema.")
_MAIN: Final = "main"
_VERSION: Final = 2


def find_table(table: ConnectorTable) -> Table | None:
    """The table as it is in its catalog, or None where there is none.

    Raises:
        ConnectorError: the catalog cannot be asked.
    """
    from pyiceberg.exceptions import (  # noqa: PLC0415 - the client
        NoSuchNamespaceError,
        NoSuchTableError,
    )

    address = catalog_address(table.options)
    if address.file is not None and not address.file.exists():
        return None
    catalog = open_catalog(address)
    with telling(address, catalog, table_identifier(table)):
        try:
            return catalog.load_table(table_identifier(table))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None


def committed_by(table: ConnectorTable, job: str) -> Committed | None:
    """What the table has of a job."""
    found = find_table(table)
    if found is None:
        return None
    marker = last_marker(found.metadata, table.options["branch"], job)
    if marker is None:
        return None
    name = ".".join(table_identifier(table))
    instead = f'drop table "{name}" of catalog "{catalog_address(table.options).name}"'
    return Committed(marker.run, marker.checkpoint, instead=instead)


def holders_of(table: ConnectorTable) -> list[str]:
    """The jobs whose rows the table has."""
    found = find_table(table)
    return [] if found is None else marked_jobs(found.metadata, table.options["branch"])


def check_written(declared: ConnectorTable, found: Table) -> None:
    """Refuse a table that cannot be written as it is declared; raises ConnectorError."""
    version = found.metadata.format_version
    if version != _VERSION:
        raise ConnectorError(
            f'table "{declared.name}" has format version {version}, and only version {_VERSION} can be '
            "written",
            hint="Bring a table of version 1 to version 2 (pyiceberg: "
            "table.transaction().upgrade_table_version(2)); write to another table instead of "
            "one of version 3.",
        )
    check_declared(declared, found.schema(), written=True)
    if declared.overwrite:
        _check_divided(declared, found)
    branch = declared.options["branch"]
    reference = found.metadata.refs.get(branch)
    if reference is not None and reference.snapshot_ref_type.value != "branch":
        raise ConnectorError(
            f'"{branch}" is a tag of table "{declared.name}", and only branches are written',
            option="branch",
        )
    if reference is None and branch != _MAIN:
        raise ConnectorError(
            f'table "{declared.name}" has no branch "{branch}"',
            detail="It could begin with all rows that the table has, with those of an earlier snapshot, "
            "or with none.",
            hint="Create it where it is to begin (pyiceberg: table.manage_snapshots().create_branch("
            f"table.current_snapshot().snapshot_id, {branch!r}).commit()).",
            option="branch",
        )
    Partitions(found.spec(), found.schema())


def _check_divided(declared: ConnectorTable, found: Table) -> None:
    """What INSERT OVERWRITE replaces goes by the partitions that the table has, not by the declared ones."""
    other = other_partitioning(declared, found.spec(), found.schema())
    if other is not None:
        raise ConnectorError(
            other,
            detail="INSERT OVERWRITE would replace other rows than the declaration says.",
            hint="Declare the table's partitions, or none.",
            final=True,
        )


class Target:
    """A table that one attempt of a job writes.

    Attributes:
        declared: the table as it is declared.
        table: as it was known last.
        attempt: whose work this is.
        sink: which of the job's sinks.
        sink_tag: what the names of files begin with that are made before there is a table.
        tag: what the names of its files in this very table begin with.
        names: gives them.
        branch: that is written.
    """

    def __init__(
        self, declared: ConnectorTable, attempt: Attempt, sink: str, *, make: bool = True
    ) -> None:
        self.declared = declared
        self.attempt = attempt
        self.sink = sink or declared.name
        self.sink_tag = sink_tag(attempt.job, self.sink)
        # Until it is known which table it is.
        self.names = FileNames(self.sink_tag, attempt)
        self.branch: str = declared.options["branch"]
        self._address: CatalogAddress = catalog_address(declared.options)
        self._identifier = table_identifier(declared)
        self._catalog: Catalog = open_catalog(self._address, make=True)
        self.table: Table = self._found_or_made(make=make)
        self._before = self._last_run(self.metadata)
        self.tag = table_tag(self.sink_tag, str(self.metadata.table_uuid))
        self.names = FileNames(self.tag, attempt)

    @property
    def metadata(self) -> TableMetadata:
        """As they were known last."""
        return self.table.metadata

    @property
    def by_client(self) -> bool:
        """Whether metadata files are written here rather than by the catalog's server."""
        return self._address.kind != "rest"

    @property
    def owns_files(self) -> bool:
        """Whether files may be deleted that no snapshot of the table names."""
        return self.metadata.properties.get("gc.enabled", "true").lower() != "false"

    @property
    def head(self) -> int | None:
        """The newest snapshot of the branch, as it was known last."""
        found = self.metadata.snapshot_by_name(self.branch)
        return None if found is None else found.snapshot_id

    def location(self, folder: str, name: str) -> str:
        """Where a new file goes."""
        return self.table.location_provider().new_data_location(f"{folder}{name}")

    def refresh(self) -> None:
        """Look at the table again."""
        with self.telling():
            self.table.refresh()

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Errors of the client, with their cures."""
        with telling(self._address, self._catalog, self._identifier):
            yield

    def is_done(self, marker: Marker, metadata: TableMetadata | None = None) -> bool:
        """Whether the table has a checkpoint's rows.

        Raises:
            ConnectorError: that cannot be told.
        """
        known = metadata or self.metadata
        self._check_alone(known)
        job, sink, run = marker.job, marker.sink, marker.run
        found = last_marker(known, self.branch, job, sink, run)
        if found is not None:
            return found.covers(marker)
        if (job, run) != (self.attempt.job, self.attempt.run):
            later = last_marker(known, self.branch, job, sink)
            if later is not None and later.snapshot is None:
                raise ConnectorError(
                    f'whether table "{self.declared.name}" has the rows of checkpoint '
                    f'{marker.checkpoint} of job "{job}", from which this job begins, cannot be told',
                    detail="A later run of that job wrote the table, and the snapshots before it "
                    "expired.",
                    hint="Begin from a checkpoint of the later run, or anew into another table.",
                    final=True,
                )
        return False

    def _last_run(self, metadata: TableMetadata) -> str | None:
        found = last_marker(metadata, self.branch, self.attempt.job, self.sink)
        return None if found is None else found.run

    def _check_alone(self, metadata: TableMetadata) -> None:
        """The same job may have been begun elsewhere before either had committed anything."""
        attempt, run = self.attempt, self._last_run(metadata)
        if run not in {None, attempt.run, self._before, *attempt.dead}:
            raise ConnectorError(
                f'table "{self.declared.name}" has rows of another run of job "{attempt.job}", which '
                "committed first",
                detail=f"It is run {run}; this one is {attempt.run}, and would write each row a second "
                "time.",
                hint="Stop one of the two. Give the jobs names of their own with 'pipeline.name' where "
                "both are wanted.",
                final=True,
            )

    def commit(
        self, delta: Delta, marker: Marker, check: Callable[[TableMetadata], None]
    ) -> Landed | None:
        """Commit a checkpoint's files, with its marker.

        Returns:
            What was made, or None where `check` found that another commit stands against it.

        Raises:
            ConnectorError: it could not be committed.
        """
        from pyiceberg.exceptions import CommitFailedException  # noqa: PLC0415 - the client

        marked = replace(delta, properties=marker.summary)
        with self.telling(), metadata_named(self._unfinished):
            try:
                return commit_delta(
                    self.table,
                    marked,
                    check=check,
                    name=lambda: self.names.new(""),
                    settings=marker.setting(
                        sink_tag(marker.job, marker.sink), self.table.last_sequence_number + 1
                    ),
                    branch=self.branch,
                )
            except Conflict:
                return None
            except CommitFailedException as error:
                raise ConnectorError(
                    f'could not commit to table "{self.declared.name}": other writers came first',
                    detail=str(error).partition("\n")[0],
                    hint="Trying again is safe. Where many write one table, raise its property "
                    "'commit.retry.num-retries'.",
                ) from None

    def remove(self, snapshots: Collection[int], refs: Collection[str], plan: str) -> bool:
        """Take snapshots, branches and tags out of the table; False where others came first.

        Args:
            snapshots: their ids.
            refs: names.
            plan: the name of the file that says what may be deleted then.
        """
        removal = Removal(plan, base_name(self.table.metadata_location))
        settings = removal.setting(self.metadata.properties, self.sink_tag)
        with self.telling(), metadata_named(self._unfinished):
            try:
                commit_removal(self.table, snapshots, refs, settings, by_client=self.by_client)
            except Conflict:
                return False
        return True

    def _unfinished(self) -> str:
        return self.names.new("-metadata")

    # -- making it ------------------------------------------------------------------------------

    def _found_or_made(self, *, make: bool) -> Table:
        from pyiceberg.exceptions import (  # noqa: PLC0415 - the client
            NoSuchNamespaceError,
            NoSuchTableError,
        )

        with self.telling(), metadata_named(self._unfinished):
            try:
                found = self._catalog.load_table(self._identifier)
            except (NoSuchTableError, NoSuchNamespaceError):
                if not make:
                    raise ConnectorError(
                        f'table "{self.declared.name}" is not there any more, and the checkpoint has '
                        "rows for it",
                        hint="Bring it back under its name. To begin anew, run with --fresh.",
                        final=True,
                    ) from None
                found = self._made()
        check_written(self.declared, found)
        return found

    def _made(self) -> Table:
        from pyiceberg.exceptions import TableAlreadyExistsError  # noqa: PLC0415 - the client

        schema = iceberg_schema(self.declared)
        self._catalog.create_namespace_if_not_exists(self._identifier[:-1])
        try:
            return self._catalog.create_table(
                self._identifier,
                schema,
                partition_spec=partition_spec(self.declared, schema),
                properties=self._properties(),
            )
        except TableAlreadyExistsError:
            return self._catalog.load_table(self._identifier)

    def _properties(self) -> dict[str, str]:
        """What is written of the table's own settings, and what a table of snapshots needs."""
        given: Mapping[str, Any] = self.declared.options
        made = {
            "format-version": str(_VERSION),
            **MADE_WITH,
            CREATED_BY: self.names.new(""),
        }
        for key in given:
            if key.startswith(_PREFIXES) and given[key] is not None:
                value = given[key]
                made[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return made
