"""Statements of Flink that flowsql does not have: refused by their name, with what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError
from flowsql.sql.splitter import Piece
from flowsql.sql.tokens import Token

__all__ = ["REFUSED_CLAUSES", "REFUSED_STATEMENTS", "refuse_at", "refuse_statement"]

_ROWS = (
    "INSERT OVERWRITE in batch mode writes a table anew; "
    "rows of a table with a PRIMARY KEY are changed by an INSERT of their new values."
)
_JAR = "flowsql runs no Java: connectors and formats are Python packages, installed with pip."
_MODEL = "Call the model in the program that takes the rows, or in a connector of your own."
_CONNECTION = "Give the options of the connection to every table, secrets as ${NAME}."
_MATERIALIZED = (
    "CREATE TABLE t WITH (…) AS SELECT … makes a table and a job that keeps it up to date."
)
_PROCEDURE = "Flink's procedures belong to catalogs of connectors, and flowsql has no such catalog."
_EXPLAINED = "EXPLAIN shows the plan of a query; DESCRIBE the columns of a view that is made of it."
_PARTITION = "Partitions of the filesystem connector are folders; they come with the rows."

REFUSED_STATEMENTS: dict[str, str] = {
    **{
        f"{verb} {kind}MATERIALIZED TABLE": _MATERIALIZED
        for verb, kind in (("CREATE", ""), ("CREATE OR ALTER", ""), ("DROP", ""), ("ALTER", ""))
    },
    "SHOW CREATE MATERIALIZED TABLE": _MATERIALIZED,
    **{
        f"{verb} {kind}MODEL": _MODEL
        for verb in ("CREATE", "DROP", "ALTER")
        for kind in ("", "TEMPORARY ")
    },
    **{f"{verb} MODEL": _MODEL for verb in ("SHOW CREATE", "DESCRIBE", "DESC")},
    **{
        f"{verb} {kind}CONNECTION": _CONNECTION
        for verb in ("CREATE", "DROP", "ALTER")
        for kind in ("", "TEMPORARY ", "TEMPORARY SYSTEM ")
    },
    **{f"{verb} CONNECTION": _CONNECTION for verb in ("SHOW CREATE", "DESCRIBE", "DESC")},
    "SHOW CONNECTIONS": _CONNECTION,
    "CREATE OR ALTER TABLE": "ALTER TABLE changes a table; CREATE OR REPLACE TABLE … AS makes it anew.",
    "UPSERT INTO": "INSERT INTO a table with a PRIMARY KEY changes the rows of known keys.",
    "DELETE FROM": _ROWS,
    "UPDATE": _ROWS,
    "MERGE INTO": _ROWS,
    "TRUNCATE TABLE": "Remove the files or rows where they are kept: in the folder, or in the database.",
    "ANALYZE TABLE": "Plans do not depend on statistics here: leave it out.",
    "CALL": _PROCEDURE,
    "SHOW PROCEDURES": _PROCEDURE,
    "ADD JAR": _JAR,
    "ADD CUSTOMJAR": _JAR,
    "REMOVE JAR": _JAR,
    "CLEAR": "It belongs to the prompt, not into a file.",
    "QUIT": "It belongs to the prompt, not into a file.",
    "EXIT": "It belongs to the prompt, not into a file.",
    "HELP": "It belongs to the prompt, not into a file.",
    "SOURCE": "It belongs to the prompt and to files that flowsql run reads.",
    "DESCRIBE SELECT": _EXPLAINED,
    "DESC SELECT": _EXPLAINED,
}
_BY_FIRST: dict[str, list[list[str]]] = {}
for _text in sorted(REFUSED_STATEMENTS, key=len, reverse=True):
    _BY_FIRST.setdefault(_text.split()[0], []).append(_text.split())

# First and later word of a statement: the name of the clause, and what to do instead.
REFUSED_CLAUSES = {
    ("DROP", "CASCADE"): ("CASCADE", "Drop what reads the table by itself."),
    ("ALTER", "PARTITION"): ("PARTITION of ALTER TABLE", _PARTITION),
}


def refuse_statement(tokens: Sequence[Token], piece: Piece) -> None:
    """Raise SqlError if the piece begins like a statement of Flink that we do not have."""
    for words in _BY_FIRST.get(tokens[piece.first].key, ()):
        last = piece.first + len(words)
        if last <= piece.last and [t.key for t in tokens[piece.first : last]] == words:
            name = " ".join(words)
            raise SqlError(
                f"statement {name} is not supported",
                span=Span(tokens[piece.first].start, tokens[last - 1].end),
                hint=REFUSED_STATEMENTS[name],
            )
    if tokens[piece.first].key == "ALTER":
        for at in range(piece.first, piece.last):
            if _partition_follows(tokens, at):
                # IF may be a name: the grammar would look for its type.
                end = next(i for i in range(at, piece.last) if tokens[i].key == "PARTITION")
                name, hint = REFUSED_CLAUSES["ALTER", "PARTITION"]
                raise SqlError(f"{name} is not supported", span=tokens[end].span, hint=hint)


def _partition_follows(tokens: Sequence[Token], at: int) -> bool:
    """Whether IF [NOT] EXISTS in front of PARTITION stands at `at`."""
    keys = [t.key for t in tokens[at : at + 4]]
    return keys == ["IF", "NOT", "EXISTS", "PARTITION"] or keys[:3] == ["IF", "EXISTS", "PARTITION"]


def refuse_at(tokens: Sequence[Token], piece: Piece, at: int) -> None:
    """Raise SqlError if the token at `at` begins a clause of Flink that we do not have."""
    found = REFUSED_CLAUSES.get((tokens[piece.first].key, tokens[at].key))
    depth = sum((t.key == "(") - (t.key == ")") for t in tokens[piece.first : at])
    if found is not None and at < piece.last and depth == 0:
        name, hint = found
        raise SqlError(f"{name} is not supported", span=tokens[at].span, hint=hint)
