"""From text to statements and an AST with positions.

    parse_script(text)      → every statement of a script
    parse_statement(text)   → the one statement
    split(text), parse_piece(text, piece)   → one after the other, for a prompt

`statements` lists what there is; queries and expressions inside are sqlglot nodes, listed by
`flowsql.sql.dialect`. The road: `tokens` → `splitter` → `grammar` (lark, `statements.lark`) →
`transformer`, with `dialect` reading every query and expression and `flowsql.types.parser` every
type. Each mistake is an SqlError with a span; a statement Flink has and we do not is refused by
name (`unsupported`).

Importing this loads sqlglot and lark: do it late.
"""

from __future__ import annotations

from flowsql.sql.dialect import parse_expression, parse_query, span_of
from flowsql.sql.grammar import parse_piece, parse_script, parse_statement
from flowsql.sql.splitter import Piece, split
from flowsql.sql.statements import (
    Column,
    ComputedColumn,
    CreateTable,
    CreateView,
    Describe,
    DropTable,
    DropView,
    Explain,
    Insert,
    MetadataColumn,
    Name,
    Option,
    PartitionValue,
    PhysicalColumn,
    PrimaryKey,
    QueryStatement,
    Reset,
    Set,
    ShowCreate,
    ShowTables,
    Statement,
    StatementSet,
    Use,
    UseCatalog,
    Watermark,
)

__all__ = [
    "Column",
    "ComputedColumn",
    "CreateTable",
    "CreateView",
    "Describe",
    "DropTable",
    "DropView",
    "Explain",
    "Insert",
    "MetadataColumn",
    "Name",
    "Option",
    "PartitionValue",
    "PhysicalColumn",
    "Piece",
    "PrimaryKey",
    "QueryStatement",
    "Reset",
    "Set",
    "ShowCreate",
    "ShowTables",
    "Statement",
    "StatementSet",
    "Use",
    "UseCatalog",
    "Watermark",
    "parse_expression",
    "parse_piece",
    "parse_query",
    "parse_script",
    "parse_statement",
    "span_of",
    "split",
]
