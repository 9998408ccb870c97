"""What a connector implements and is given; the only part of the engine that connectors see."""

from __future__ import annotations

from flowsql.config import Option, OptionType, OptionValues
from flowsql.connector.connector import Connector, Role
from flowsql.connector.context import Attempt, ConnectorContext
from flowsql.connector.durable import (
    DurableFile,
    DurableObserver,
    FileOperation,
    fsync_dir,
    kill_point,
    link,
    make_dirs,
    observe_files,
    open_for_write,
    remove,
    remove_tree,
    replace,
    write_file,
)
from flowsql.connector.sink import Committed, Guarantee, Sink, Writer
from flowsql.connector.source import JSON, BadRecord, Piece, Poll, Reader, Source, Split
from flowsql.connector.table import ConnectorTable
from flowsql.state.spec import StateSpec

__all__ = [
    "JSON",
    "Attempt",
    "BadRecord",
    "Committed",
    "Connector",
    "ConnectorContext",
    "ConnectorTable",
    "DurableFile",
    "DurableObserver",
    "FileOperation",
    "Guarantee",
    "Option",
    "OptionType",
    "OptionValues",
    "Piece",
    "Poll",
    "Reader",
    "Role",
    "Sink",
    "Source",
    "Split",
    "StateSpec",
    "Writer",
    "fsync_dir",
    "kill_point",
    "link",
    "make_dirs",
    "observe_files",
    "open_for_write",
    "remove",
    "remove_tree",
    "replace",
    "write_file",
]
