"""What a checkpoint brings to a table: kept in files of the checkpoint, named by its token."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowsql.connector import JSON, ConnectorContext, fsync_dir, remove, write_file
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.write.descriptors import file_json, file_of

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["Content", "checked", "forget", "load", "save", "stored_files"]

_FORMAT: Final = 1


@dataclass(slots=True)
class Content:
    """Files that are complete and not yet in the table.

    Attributes:
        files: data files.
    """

    files: list[DataFile] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files)


def save(
    content: Content, metadata: TableMetadata, context: ConnectorContext, stem: str, checkpoint: int
) -> JSON:
    """The token of a checkpoint; `stem` begins the names of its files."""
    attempt = context.attempt
    token: JSON = {
        "format": _FORMAT,
        "connector": "iceberg",
        "run": attempt.run,
        "checkpoint": checkpoint,
        "table": str(metadata.table_uuid),
    }
    specs, schema = metadata.specs(), metadata.schema()
    data = {"files": [file_json(f, specs[f.spec_id], schema) for f in content.files]}
    if context.checkpoint_files is None:
        return {**token, "inline": data}
    name = f"iceberg-{stem}.json"
    path = context.checkpoint_file(name)
    _write(path, json.dumps(data).encode())
    return {**token, "files": name}


def _write(path: Path, data: bytes) -> None:
    try:
        write_file(path, data)
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


def load(token: JSON, metadata: TableMetadata, context: ConnectorContext) -> Content:
    """What a token stands for."""
    data = _data(token, context)
    specs, schema = metadata.specs(), metadata.schema()
    return Content([file_of(f, specs[f["spec"]], schema) for f in data["files"]])


def stored_files(token: JSON, context: ConnectorContext) -> set[str]:
    """Locations of the files that a token stands for."""
    return {f["path"] for f in _data(token, context)["files"]}


def forget(token: JSON, context: ConnectorContext) -> None:
    """Remove what `save` wrote."""
    if "files" in checked(token):
        remove(context.checkpoint_file(token["files"]))


def _data(token: JSON, context: ConnectorContext) -> Any:
    if "inline" in checked(token):
        return token["inline"]
    path = context.checkpoint_file(token["files"])
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConnectorError(f'could not read "{path}": {error.strerror}') from None
    except ValueError:
        raise ConnectorError(
            f'"{path}" is damaged',
            detail="It names the files of a checkpoint that may not be in their table yet.",
            hint="Bring it back from a copy, or begin from an earlier checkpoint.",
        ) from None
