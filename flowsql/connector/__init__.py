"""What a connector implements and is given; the only part of the engine that connectors see."""

from __future__ import annotations

from flowsql.config import Option, OptionType, OptionValues, parse_options
from flowsql.connector.connector import Connector
from flowsql.connector.context import Attempt, ConnectorContext, StartInterrupted
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
from flowsql.connector.external import (
    CatalogKind,
    ExternalCatalog,
    ExternalColumn,
    ExternalDatabase,
    ExternalTable,
)
from flowsql.connector.preflight import Finding, Needs, PreflightContext, Severity
from flowsql.connector.role import Role
from flowsql.connector.sink import Committed, Guarantee, Sink, Writer
from flowsql.connector.slots import ServerSlot
from flowsql.connector.source import JSON, BadRecord, Emptied, Piece, Poll, Reader, Source, Split
from flowsql.connector.status import SourceStatus
from flowsql.connector.table import ConnectorTable
from flowsql.state.spec import ColumnsSpec, KeyIndexSpec, StateSpec
from flowsql.types.predicates import (
    And,
    Comparison,
    Constant,
    IsNull,
    OneOf,
    Or,
    Predicate,
    ScanFilter,
    Taken,
    ValueRange,
    columns_of_predicate,
    may_hold,
    predicate_json,
    predicate_of,
)

__all__ = [
    "JSON",
    "And",
    "Attempt",
    "BadRecord",
    "CatalogKind",
    "ColumnsSpec",
    "Committed",
    "Comparison",
    "Connector",
    "ConnectorContext",
    "ConnectorTable",
    "Constant",
    "DurableFile",
    "DurableObserver",
    "Emptied",
    "ExternalCatalog",
    "ExternalColumn",
    "ExternalDatabase",
    "ExternalTable",
    "FileOperation",
    "Finding",
    "Guarantee",
    "IsNull",
    "KeyIndexSpec",
    "Needs",
    "OneOf",
    "Option",
    "OptionType",
    "OptionValues",
    "Or",
    "Piece",
    "Poll",
    "Predicate",
    "PreflightContext",
    "Reader",
    "Role",
    "ScanFilter",
    "ServerSlot",
    "Severity",
    "Sink",
    "Source",
    "SourceStatus",
    "Split",
    "StartInterrupted",
    "StateSpec",
    "Taken",
    "ValueRange",
    "Writer",
    "columns_of_predicate",
    "fsync_dir",
    "kill_point",
    "link",
    "make_dirs",
    "may_hold",
    "observe_files",
    "open_for_write",
    "parse_options",
    "predicate_json",
    "predicate_of",
    "remove",
    "remove_tree",
    "replace",
    "write_file",
]
