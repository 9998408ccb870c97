"""The tables of a source: which chunks each has, and what of it has been read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from flowsql.connector import JSON, OptionValues
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.rows import RowShape
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.snapshot.chunks import Chunk, ChunkKey

__all__ = ["EXPORTED", "UNREAD", "SourceTable", "read_anew"]

UNREAD: Final = -1
EXPORTED: Final = 0  # the snapshot that came with the slot


class SourceTable:
    """A table of the server: its chunks, and under which snapshot each was read.

    Args:
        source: it.
        key: what chunks are ranges of.
        options: how they are cut.

    Attributes:
        shapes: of the tables of the job that get its rows.
        chunks: in the order of their ranges.
        read: number of the snapshot that each was read under, from 1; `UNREAD`, `EXPORTED`.
        cut: whether no further chunk will come.
        files: that the table was in the snapshot of the chunks read last; None for not known.
        anew: the first chunk takes back what was read before.
    """

    def __init__(self, source: ServerTable, key: ChunkKey | None, options: OptionValues) -> None:
        self.source = source
        self.options = options
        self.key = key
        self.shapes: list[RowShape] = []
        self.chunks: list[Chunk] = []
        self.read: list[int] = []
        self.cut = False
        self.files: dict[str, int] | None = None
        self.anew = False

    @property
    def all_read(self) -> bool:
        """Whether no chunk is left to read."""
        return self.cut and UNREAD not in self.read

    def add(self, bound: str | None) -> None:
        """The next chunk ends there; None: it is the last."""
        low = self.chunks[-1].high if self.chunks else None
        self.chunks.append(Chunk(low, bound))
        self.read.append(UNREAD)
        self.cut = bound is None

    def was_read(self, index: int, snapshot: int) -> None:
        """A chunk was read, under the snapshot of that number."""
        self.read[index] = snapshot
        if index == 0:
            self.anew = False

    def seen_as(self, files: dict[str, int], *, emptied: bool) -> bool:
        """What is unread will be read under a snapshot in which the table is these files.

        A TRUNCATE that this snapshot saw is behind the chunks that were read before. All of them
        are read once more where that can be taken back; gives whether they are.

        Args:
            files: see `files_of`.
            emptied: whether all rows of the table can be taken back.
        """
        known, self.files = self.files, files
        changed = known is not None and any(files.get(part, f) != f for part, f in known.items())
        if not (changed and emptied) or self.all_read or all(r == UNREAD for r in self.read):
            return False
        self.read = [UNREAD] * len(self.read)
        self.anew = True
        return True

    def described(self) -> JSON:
        """For a checkpoint."""
        return {
            **self.source.described(),
            "key": None if self.key is None else self.key.column.name,
            "lows": [c.low for c in self.chunks[1:]],
            "uncut": None if self.cut else {"from": self.chunks[-1].high if self.chunks else None},
            # It is written while more chunks are read.
            "read": list(self.read),
            "files": self.files,
            "anew": self.anew,
        }

    def resume(self, stored: JSON) -> None:
        """Go on with the chunks of a checkpoint.

        Raises ConnectorError where the table is not the one that they are of.
        """
        self._check_schema(stored)
        lows = [None, *stored["lows"]]
        self.cut = stored["uncut"] is None
        highs = [*stored["lows"], None if self.cut else stored["uncut"]["from"]]
        self.read = list(stored["read"])
        self.files = stored.get("files")
        self.anew = stored.get("anew", False)
        if self.read:
            self.chunks = [Chunk(*edges) for edges in zip(lows, highs, strict=True)]
        key = stored["key"]
        if key != (None if self.key is None else self.key.column.name) and (
            lows[1:] or not self.cut
        ):
            raise ConnectorError(
                f'the chunks of table "{self.source}" were cut by another column: "{key}"',
                hint="Begin anew with --fresh.",
                final=True,
            )

    def alone(self, held: Collection[str], tables: Collection[SourceTable]) -> bool:
        """Whether the engine can take back the rows of this table, and these alone.

        Args:
            held: tables of the job whose rows the engine can take back.
            tables: all of the source.
        """
        fed = [s.table.name for t in tables for s in t.shapes]
        return all(s.table.name in held and fed.count(s.table.name) == 1 for s in self.shapes)

    def _check_schema(self, stored: JSON) -> None:
        now = self.source.described()
        strict = any(s.table.options["scan.schema-change"] == "fail" for s in self.shapes)
        if now["oid"] != stored["oid"]:
            raise ConnectorError(
                f'table "{self.source}" of the server is not the one of the checkpoint: it was'
                " dropped and made again",
                hint="Begin anew with --fresh.",
                final=True,
            )
        if strict and now["columns"] != [list(c) for c in stored["columns"]]:
            was = ", ".join(f'"{c[0]}"' for c in stored["columns"])
            names = ", ".join(f'"{c[0]}"' for c in now["columns"])
            raise ConnectorError(
                f'the columns of table "{self.source}" of the server are others than at the'
                " checkpoint",
                detail=f"At the checkpoint: {was}; now: {names}."
                + (" Types differ." if was == names else ""),
                hint="Begin anew with --fresh; or set 'scan.schema-change' = 'ignore', which goes"
                " on as long as every declared column can be read.",
                final=True,
            )


def read_anew(
    tables: Collection[SourceTable], files: Callable[[int], dict[str, int]], held: Collection[str]
) -> Iterator[str]:
    """Begin anew with tables that have lost the rows read before; gives a sentence for each.

    Args:
        tables: all of the source.
        files: gives a table's files by its oid, in the snapshot of what is unread.
        held: tables of the job whose rows the engine can take back.
    """
    for table in tables:
        if table.seen_as(files(table.source.oid), emptied=table.alone(held, tables)):
            yield (
                f'table "{table.source}" of the server was truncated or rewritten before all of its'
                " rows were read: they are read from the first one on"
            )
