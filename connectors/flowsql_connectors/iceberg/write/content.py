"""What a checkpoint brings to a table: kept in files of the checkpoint, named by its token."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from flowsql.connector import JSON, ConnectorContext, fsync_dir, remove, write_file
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.write.compaction import Compaction
from flowsql_connectors.iceberg.write.deletes import by_file, delete_table
from flowsql_connectors.iceberg.write.descriptors import file_json, file_of
from flowsql_connectors.iceberg.write.markers import Marker
from flowsql_connectors.iceberg.write.schemas import known_schema

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["Content", "checked", "forget", "load", "marker_of", "save", "stored_files"]

_FORMAT: Final = 1


@dataclass(slots=True)
class Content:
    """Files that are complete and not yet in the table.

    Attributes:
        files: data files, and delete files of one data file each.
        removed: locations of delete files that others of these take the place of.
        deleted: the rows that the delete files delete and that those they replace did not.
        compaction: of files of the table, behind the rows.
    """

    files: list[DataFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    deleted: pa.Table | None = None
    compaction: Compaction | None = None

    def __bool__(self) -> bool:
        return bool(self.files) or self.compaction is not None


def save(
    content: Content, metadata: TableMetadata, context: ConnectorContext, stem: str, marker: Marker
) -> JSON:
    """The token of a checkpoint, which `marker` names; `stem` begins the names of its files."""
    token: JSON = {
        "format": _FORMAT,
        "connector": "iceberg",
        "job": marker.job,
        "run": marker.run,
        "sink": marker.sink,
        "checkpoint": marker.checkpoint,
        "table": str(metadata.table_uuid),
    }
    specs, schema = metadata.specs(), known_schema(metadata)
    data: JSON = {
        "files": [file_json(f, specs[f.spec_id], schema) for f in content.files],
        "removed": content.removed,
    }
    tables = {} if content.deleted is None else {"deleted": content.deleted}
    if content.compaction is not None:
        files, sources = content.compaction.files, content.compaction.sources
        data["written"] = [file_json(f, specs[f.spec_id], schema) for f in files]
        data["sources"] = list(sources)
        codes = np.repeat(np.arange(len(sources)), [len(p) for p in sources.values()])
        tables["rewritten"] = delete_table(
            data["sources"], codes, np.concatenate(list(sources.values())), []
        )
    if context.checkpoint_files is None:
        packed = {n: base64.b64encode(_packed(t)).decode() for n, t in tables.items()}
        return {**token, "inline": {**data, **packed}}
    token["files"] = f"iceberg-{stem}.json"
    _write(context.checkpoint_file(token["files"]), json.dumps(data).encode())
    for name, table in tables.items():
        token[name] = f"iceberg-{stem}-{name}.arrow"
        _write(context.checkpoint_file(token[name]), _packed(table))
    return token


def _packed(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    plain = table.unify_dictionaries().combine_chunks()
    with pa.ipc.new_file(sink, plain.schema) as writer:
        writer.write_table(plain)
    return sink.getvalue()


def _write(path: Path, data: bytes | pa.Buffer) -> None:
    try:
        write_file(path, memoryview(data))
        fsync_dir(path.parent)
    except OSError as error:
        raise ConnectorError(f'could not write "{path}": {error.strerror}') from None


def checked(token: JSON) -> JSON:
    """The token; raises ConnectorError where it is not one of ours."""
    if (token.get("connector"), token.get("format")) != ("iceberg", _FORMAT):
        raise ConnectorError(
            "a token of another connector cannot be committed",
            detail=f"It was written by {token.get('connector')!r}, format {token.get('format')!r}.",
        )
    return token


def marker_of(token: JSON) -> Marker:
    """What the table's commit of a token says.

    A savepoint may be begun from by a job of another name: its rows stay those of the one that
    made it, which may have committed them meanwhile.
    """
    return Marker(token["job"], token["run"], token["sink"], token["checkpoint"])


def load(token: JSON, metadata: TableMetadata, context: ConnectorContext) -> Content:
    """What a token stands for."""
    data = _data(token, context)
    specs, schema = metadata.specs(), known_schema(metadata)
    files = [file_of(f, specs[f["spec"]], schema) for f in data["files"]]
    compaction = None
    if "sources" in data:
        written = [file_of(f, specs[f["spec"]], schema) for f in data["written"]]
        stored = _table(token, "rewritten", context)
        positions = {} if stored is None else by_file(stored)
        nothing = np.zeros(0, np.int64)
        compaction = Compaction(written, {p: positions.get(p, nothing) for p in data["sources"]})
    return Content(files, data["removed"], _table(token, "deleted", context), compaction)


def stored_files(token: JSON, context: ConnectorContext) -> set[str]:
    """Locations of the files that a token stands for."""
    data = _data(token, context)
    return {f["path"] for f in (*data["files"], *data.get("written", ()))}


def forget(token: JSON, context: ConnectorContext) -> None:
    """Remove what `save` wrote."""
    checked(token)
    for name in (token.get(part) for part in ("files", "deleted", "rewritten")):
        if name is not None:
            remove(context.checkpoint_file(name))


def _table(token: JSON, name: str, context: ConnectorContext) -> pa.Table | None:
    if "inline" in token:
        packed = base64.b64decode(token["inline"].get(name, ""))
        return pa.ipc.open_file(packed).read_all() if packed else None
    if name not in token:
        return None
    path = context.checkpoint_file(token[name])
    try:
        return pa.ipc.open_file(path.read_bytes()).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from None


def _data(token: JSON, context: ConnectorContext) -> Any:
    if "inline" in checked(token):
        return token["inline"]
    path = context.checkpoint_file(token["files"])
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ConnectorError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
    return ConnectorError(
        f'could not read "{path}": {reason}',
        detail="It names the files of a checkpoint that may not be in their table yet.",
        hint="Bring it back from a copy, or begin from an earlier checkpoint.",
    )
