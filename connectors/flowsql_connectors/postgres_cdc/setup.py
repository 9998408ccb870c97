"""What readers are built from: plain data, so that a reader in a process of its own can have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flowsql.changelog import ChangelogMode
from flowsql.connector import JSON, ConnectorTable
from flowsql_connectors.postgres_cdc.decode.types import PgType, Shape
from flowsql_connectors.postgres_cdc.rows import RowShape, readings_of
from flowsql_connectors.postgres_cdc.server.catalog import ServerColumn, ServerTable, UniqueKey
from flowsql_connectors.postgres_cdc.snapshot.chunked import SourceTable
from flowsql_connectors.postgres_cdc.snapshot.chunks import ChunkKey
from flowsql_connectors.postgres_cdc.snapshot.visibility import Snapshot

__all__ = ["ReaderSetup", "TableSetup", "log_payload", "shape_of"]


@dataclass(frozen=True, slots=True)
class TableSetup:
    """One table of the server.

    Attributes:
        source: as it was when the job began.
        key: what its chunks are ranges of.
        feeds: the tables of the job that get its rows.
    """

    source: ServerTable
    key: ChunkKey | None
    feeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """What a source found out that its readers need.

    Attributes:
        slot, publication: what the log is read through.
        acknowledged: below this log position nothing is needed again; None where everything that
            was handed out is done with.
        tables: by the name that splits use.
        types: of their columns, by oid and modifier.
        held: tables of the job whose rows the engine holds and can take back.
    """

    slot: str
    publication: str
    acknowledged: int | None
    tables: Mapping[str, TableSetup]
    types: Mapping[tuple[int, int], PgType]
    held: tuple[str, ...] = ()

    def described(self) -> JSON:
        """As plain data."""
        return {
            "slot": self.slot,
            "publication": self.publication,
            "acknowledged": self.acknowledged,
            "tables": {
                name: {
                    "source": asdict(t.source),
                    "key": None if t.key is None else asdict(t.key),
                    "feeds": list(t.feeds),
                }
                for name, t in self.tables.items()
            },
            "types": [[*column, _type_json(pg)] for column, pg in self.types.items()],
            "held": list(self.held),
        }

    @classmethod
    def read(cls, data: JSON) -> ReaderSetup:
        """What `described` gave."""
        tables = {
            name: TableSetup(_table_of(t["source"]), _key_of(t["key"]), tuple(t["feeds"]))
            for name, t in data["tables"].items()
        }
        types = {(oid, modifier): _type_of(pg) for oid, modifier, pg in data["types"]}
        return cls(
            data["slot"],
            data["publication"],
            data["acknowledged"],
            tables,
            types,
            tuple(data["held"]),
        )

    def shapes(
        self, name: str, tables: Sequence[ConnectorTable], modes: Sequence[ChangelogMode]
    ) -> list[RowShape]:
        """What tables of the job get of one of the server.

        Args:
            name: of the server's.
            tables: of the job.
            modes: what the scan of each carries.
        """
        found = self.tables[name]
        return [
            shape_of(table, mode, found.source, self.types)
            for table, mode in zip(tables, modes, strict=True)
            if table.name in found.feeds
        ]


def shape_of(
    table: ConnectorTable,
    mode: ChangelogMode,
    source: ServerTable,
    types: Mapping[tuple[int, int], PgType],
) -> RowShape:
    """What a table of the job gets of a table of the server; raises ConfigError."""
    return RowShape(
        table,
        mode,
        table.options["database-name"],
        source.schema,
        source.name,
        readings_of(table, source, types),
    )


def _table_of(data: JSON) -> ServerTable:
    columns = [ServerColumn(**c) for c in data["columns"]]
    keys = [UniqueKey(**{**k, "columns": tuple(k["columns"])}) for k in data["keys"]]
    return ServerTable(**{**data, "columns": columns, "keys": keys})


def _key_of(data: JSON | None) -> ChunkKey | None:
    return None if data is None else ChunkKey(**{**data, "column": ServerColumn(**data["column"])})


def _type_json(pg: PgType) -> dict[str, Any]:
    return {
        **asdict(pg),
        "shape": pg.shape.value,
        "element": None if pg.element is None else _type_json(pg.element),
    }


def _type_of(data: Mapping[str, Any]) -> PgType:
    element = data["element"]
    return PgType(
        **{
            **data,
            "shape": Shape(data["shape"]),
            "element": None if element is None else _type_of(element),
        }
    )


def log_payload(
    start: int,
    timeline: int,
    snapshots: Sequence[Snapshot],
    tables: Mapping[str, SourceTable],
    *,
    bounded: bool,
) -> JSON:
    """What the reader of the log is given.

    Args:
        start: log position where it begins.
        timeline: of the server's log.
        snapshots: under which the tables were read.
        tables: all of them read.
        bounded: nothing is wanted behind the snapshots.
    """
    bound = max((s.bound for s in snapshots), default=0)
    return {
        "start": start,
        "timeline": timeline,
        "bound": bound,
        "stop": bound if bounded else None,
        "snapshots": [s.described() for s in snapshots],
        "read": {name: list(t.read) for name, t in tables.items()},
        # Needed to judge by, up to the bound.
        "lows": {
            name: [c.low for c in t.chunks[1:]] if bound else [] for name, t in tables.items()
        },
    }
