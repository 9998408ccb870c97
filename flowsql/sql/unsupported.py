"""Statements of Flink that flowsql has not yet: refused by their name, never as a syntax error."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError
from flowsql.sql.splitter import Piece
from flowsql.sql.tokens import Token

__all__ = ["REFUSED_CLAUSES", "REFUSED_STATEMENTS", "refuse_at", "refuse_statement"]

_OBJECTS = (
    *("MATERIALIZED TABLE", "TEMPORARY SYSTEM FUNCTION", "TEMPORARY FUNCTION", "FUNCTION"),
    *("CATALOG", "DATABASE", "TEMPORARY MODEL", "MODEL", "CONNECTION", "TEMPORARY CONNECTION"),
)
REFUSED_STATEMENTS = (
    *(f"{verb} {what}" for verb in ("CREATE", "DROP", "ALTER") for what in _OBJECTS),
    *("CREATE OR REPLACE TEMPORARY VIEW", "CREATE OR REPLACE VIEW", "CREATE OR REPLACE TABLE"),
    *("CREATE OR REPLACE", "CREATE OR ALTER", "ALTER TABLE", "ALTER VIEW", "REPLACE TABLE"),
    *("INSERT OVERWRITE", "UPSERT INTO", "DELETE FROM", "UPDATE", "MERGE INTO", "TRUNCATE TABLE"),
    *("ANALYZE TABLE", "CALL", "COMPILE AND EXECUTE PLAN", "COMPILE PLAN", "EXECUTE PLAN"),
    *("LOAD MODULE", "UNLOAD MODULE", "USE MODULES", "ADD JAR", "REMOVE JAR", "STOP JOB"),
    *("ADD CUSTOMJAR", "CLEAR", "QUIT", "EXIT", "HELP"),
    *(f"SHOW {what}" for what in ("CATALOGS", "DATABASES", "CURRENT CATALOG", "CURRENT DATABASE")),
    *(f"SHOW {what}" for what in ("FUNCTIONS", "USER FUNCTIONS", "MODULES", "FULL MODULES")),
    *(f"SHOW {what}" for what in ("JARS", "JOBS", "COLUMNS", "PARTITIONS", "PROCEDURES", "MODELS")),
    *(f"SHOW {what}" for what in ("CONNECTIONS", "MATERIALIZED TABLES", "CREATE CATALOG")),
    *(f"SHOW CREATE {what}" for what in ("MATERIALIZED TABLE", "MODEL", "CONNECTION", "FUNCTION")),
    *(f"{v} {w}" for v in ("DESCRIBE", "DESC") for w in ("CATALOG", "DATABASE", "JOB", "FUNCTION")),
)
_BY_FIRST: dict[str, list[list[str]]] = {}
for _text in sorted(REFUSED_STATEMENTS, key=len, reverse=True):
    _BY_FIRST.setdefault(_text.split()[0], []).append(_text.split())
_PLURALS = {"FUNCTIONS", "DATABASES", "CATALOGS"}

# Behind the word, what a statement that begins so may go on with in Flink.
REFUSED_CLAUSES = {
    ("CREATE", "LIKE"): "CREATE TABLE … LIKE",
    ("CREATE", "AS"): "CREATE TABLE … AS SELECT",
    ("CREATE", "DISTRIBUTED"): "DISTRIBUTED BY",
    ("SHOW", "ILIKE"): "ILIKE",
    ("DROP", "CASCADE"): "CASCADE",
}


def refuse_statement(tokens: Sequence[Token], piece: Piece) -> None:
    """Raise SqlError if the piece begins like a statement of Flink that we do not have."""
    for words in _BY_FIRST.get(tokens[piece.first].key, ()):
        last = piece.first + len(words)
        if last <= piece.last and [t.key for t in tokens[piece.first : last]] == words:
            name = " ".join(words)
            raise SqlError(
                f"statement {name} is not supported yet",
                span=Span(tokens[piece.first].start, tokens[last - 1].end),
            )


def refuse_at(tokens: Sequence[Token], piece: Piece, at: int) -> None:
    """Raise SqlError if the token at `at` begins a clause of Flink that we do not have."""
    name = REFUSED_CLAUSES.get((tokens[piece.first].key, tokens[at].key))
    depth = sum((t.key == "(") - (t.key == ")") for t in tokens[piece.first : at])
    if name is not None and at < piece.last and depth == 0:
        raise SqlError(f"{name} is not supported yet", span=tokens[at].span)
