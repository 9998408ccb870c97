"""Tables of Apache Iceberg, looked at by plain pyiceberg."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table


class IcebergTable:
    """A table of some catalog.

    Args:
        opened: gives the catalog, as another program would open it.
        listed: gives the locations of all files below one.
        name: of the table, with its namespace.
    """

    def __init__(
        self, opened: Callable[[], Catalog], listed: Callable[[str], list[str]], name: str
    ) -> None:
        self._opened = opened
        self._listed = listed
        self.name = name

    @property
    def table(self) -> Table | None:
        """As it is now; None where there is none."""
        with closing(self._opened()) as catalog:
            try:
                return catalog.load_table(self.name)
            except (NoSuchTableError, NoSuchNamespaceError):
                return None

    def rows(self) -> list[tuple]:
        """What a reader sees."""
        table = self.table
        if table is None:
            return []
        return [tuple(row.values()) for row in table.scan().to_arrow().to_pylist()]

    def strays(self) -> list[str]:
        """Files below the table's folder that neither it nor one of its snapshots names."""
        table = self.table
        assert table is not None
        return sorted(set(self._listed(table.location())) - named_files(table))


def named_files(table: Table) -> set[str]:
    """The locations of all files that a table or one of its snapshots names."""
    known = {table.metadata_location, *(e.metadata_file for e in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        known.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            known.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
            known |= {entry.data_file.file_path for entry in entries}
    return known


def _below(folder: str) -> list[str]:
    return [str(path) for path in Path(folder).rglob("*") if path.is_file()]


class IcebergFolder(IcebergTable):
    """The table `default.<name>` of a catalog in `catalog.db`."""

    def __init__(self, folder: Path, name: str, *, catalog: str = "lake") -> None:
        self.folder = folder
        super().__init__(lambda: self.catalog, _below, f"default.{name}")
        self._catalog = catalog

    @property
    def catalog(self) -> SqlCatalog:
        """As another program would open it."""
        file = self.folder / "catalog.db"
        return SqlCatalog(self._catalog, uri=f"sqlite:///{file}", warehouse=str(self.folder))

    @property
    def table(self) -> Table | None:
        """As it is now; None where there is none, nor a catalog."""
        return super().table if (self.folder / "catalog.db").exists() else None

    def strays(self) -> list[str]:
        """Files in the folder that neither the table nor one of its snapshots names."""
        table = self.table
        there = set(_below(str(self.folder)))
        there -= {str(p) for p in self.folder.glob("catalog.db*")}
        known = set() if table is None else named_files(table)
        return sorted(there - {path.removeprefix("file://") for path in known})
