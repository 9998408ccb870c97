"""A table of Apache Iceberg in a folder, looked at by plain pyiceberg."""

from __future__ import annotations

from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table


class IcebergFolder:
    """The table `default.<name>` of a catalog in `catalog.db`."""

    def __init__(self, folder: Path, name: str, *, catalog: str = "lake") -> None:
        self.folder = folder
        self.name = name
        self._catalog = catalog

    @property
    def catalog(self) -> SqlCatalog:
        """As another program would open it."""
        file = self.folder / "catalog.db"
        return SqlCatalog(self._catalog, uri=f"sqlite:///{file}", warehouse=str(self.folder))

    @property
    def table(self) -> Table | None:
        """As it is now; None where there is none."""
        if not (self.folder / "catalog.db").exists():
            return None
        catalog = self.catalog
        try:
            return catalog.load_table(f"default.{self.name}")
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        finally:
            catalog.close()

    def rows(self) -> list[tuple]:
        """What a reader sees."""
        table = self.table
        if table is None:
            return []
        return [tuple(row.values()) for row in table.scan().to_arrow().to_pylist()]

    def strays(self) -> list[str]:
        """Files that neither the table nor one of its snapshots names."""
        table = self.table
        there = {str(p) for p in self.folder.rglob("*") if p.is_file()}
        there -= {str(p) for p in self.folder.glob("catalog.db*")}
        if table is None:
            return sorted(there)
        known = {table.metadata_location, *(e.metadata_file for e in table.metadata.metadata_log)}
        for snapshot in table.snapshots():
            known.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                known.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
                known |= {entry.data_file.file_path for entry in entries}
        return sorted(there - {path.removeprefix("file://") for path in known})
