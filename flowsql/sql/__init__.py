"""From text to statements and an AST with positions.

    parse_script(text)      → every statement of a script
    parse_statement(text)   → the one statement
    split(text), parse_piece(text, piece)   → one after the other, for a prompt

`statements`, `administration` and `alterations` list what there is; queries and expressions inside are sqlglot nodes, listed by
`flowsql.sql.dialect`. The road: `tokens` → `splitter` → `grammar` (`statements.lark`) →
`transformer`, with `dialect` reading every query and expression and `flowsql.types.parser` every
type. Each mistake is an SqlError with a span; a statement Flink has and we do not is refused by
name (`unsupported`).

Importing this loads sqlglot: do it late.
"""

from __future__ import annotations

from flowsql.sql.administration import (
    AlterCatalog,
    AlterDatabase,
    CreateCatalog,
    CreateDatabase,
    Describe,
    DescribeJob,
    DescribeObject,
    DropCatalog,
    DropDatabase,
    Like,
    LoadModule,
    OptionChange,
    Show,
    ShowCreate,
    ShowPartitions,
    StopJob,
    UnloadModule,
    Use,
    UseCatalog,
    UseModules,
)
from flowsql.sql.alterations import (
    AddParts,
    Alteration,
    AlterTable,
    AlterView,
    DropColumns,
    DropPart,
    ModifyParts,
    PlacedColumn,
    RenameColumn,
    RenameTable,
    SchemaPart,
)
from flowsql.sql.dialect import parse_expression, parse_query, span_of
from flowsql.sql.function_statements import AlterFunction, CreateFunction, DropFunction
from flowsql.sql.grammar import parse_piece, parse_script, parse_statement
from flowsql.sql.splitter import Piece, split
from flowsql.sql.statements import (
    Column,
    CompilePlan,
    ComputedColumn,
    CreateTable,
    CreateView,
    Distribution,
    DropTable,
    DropView,
    ExecutePlan,
    Explain,
    Insert,
    LikeOption,
    MetadataColumn,
    Name,
    Option,
    PartitionValue,
    PhysicalColumn,
    PrimaryKey,
    QueryStatement,
    Reset,
    Set,
    Statement,
    StatementSet,
    TableLike,
    Watermark,
)

__all__ = [
    "AddParts",
    "AlterCatalog",
    "AlterDatabase",
    "AlterFunction",
    "AlterTable",
    "AlterView",
    "Alteration",
    "Column",
    "CompilePlan",
    "ComputedColumn",
    "CreateCatalog",
    "CreateDatabase",
    "CreateFunction",
    "CreateTable",
    "CreateView",
    "Describe",
    "DescribeJob",
    "DescribeObject",
    "Distribution",
    "DropCatalog",
    "DropColumns",
    "DropDatabase",
    "DropFunction",
    "DropPart",
    "DropTable",
    "DropView",
    "ExecutePlan",
    "Explain",
    "Insert",
    "Like",
    "LikeOption",
    "LoadModule",
    "MetadataColumn",
    "ModifyParts",
    "Name",
    "Option",
    "OptionChange",
    "PartitionValue",
    "PhysicalColumn",
    "Piece",
    "PlacedColumn",
    "PrimaryKey",
    "QueryStatement",
    "RenameColumn",
    "RenameTable",
    "Reset",
    "SchemaPart",
    "Set",
    "Show",
    "ShowCreate",
    "ShowPartitions",
    "Statement",
    "StatementSet",
    "StopJob",
    "TableLike",
    "UnloadModule",
    "Use",
    "UseCatalog",
    "UseModules",
    "Watermark",
    "parse_expression",
    "parse_piece",
    "parse_query",
    "parse_script",
    "parse_statement",
    "span_of",
    "split",
]
