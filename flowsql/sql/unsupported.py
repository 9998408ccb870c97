"""Statements of Flink that flowsql does not have: refused by their name, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowsql.errors import Span, SqlError
from flowsql.sql.splitter import Piece
from flowsql.sql.tokens import Token

__all__ = [
    "REFUSED_CLAUSES",
    "REFUSED_STATEMENTS",
    "foreign_statement",
    "refuse_at",
    "refuse_statement",
]

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

_NO_TRANSACTIONS = "There are no transactions: what a job writes is complete at its checkpoints."
_NO_USERS = "There are no users: rights are those of the files and servers that tables stand for."
_KEPT_ELSEWHERE = "A table stands for data that is kept elsewhere: make it there."
_STOP = "STOP JOB 'id' ends a job; SHOW JOBS lists them."

# What other databases have, or Flink under another name: only looked at where nothing else fits.
_FOREIGN_STATEMENTS: dict[str, str] = {
    **dict.fromkeys(("LIST JARS", "LIST JAR"), "Write SHOW JARS."),
    **dict.fromkeys(("COMMIT", "ROLLBACK", "BEGIN TRANSACTION", "START"), _NO_TRANSACTIONS),
    **dict.fromkeys(("GRANT", "REVOKE", "CREATE USER", "CREATE ROLE"), _NO_USERS),
    **dict.fromkeys(("CREATE INDEX", "CREATE UNIQUE INDEX", "CREATE SEQUENCE"), _KEPT_ELSEWHERE),
    **dict.fromkeys(("KILL", "CANCEL"), _STOP),
    "BEGIN": "BEGIN STATEMENT SET; begins a set of INSERTs that run as one job.",
    "END": "It ends a set of INSERTs that BEGIN STATEMENT SET; began.",
    "STATEMENT SET": "Write EXECUTE STATEMENT SET BEGIN …; END.",
    "CREATE SCHEMA": "It is called DATABASE here.",
    "DROP SCHEMA": "It is called DATABASE here.",
    "SHOW SCHEMAS": "SHOW DATABASES lists them.",
    "USE DATABASE": "Write USE and the name.",
    "USE SCHEMA": "Write USE and the name.",
    "INSERT INTO TABLE": "Write INSERT INTO and the name.",
    "EXPLAIN ANALYZE": "EXPLAIN shows the plan; flowsql status JOB what its operators do.",
    "CREATE OR ALTER VIEW": "ALTER VIEW v AS SELECT … changes a view.",
    "CREATE OR ALTER FUNCTION": "ALTER FUNCTION f AS 'module.name' LANGUAGE PYTHON changes one.",
    "CREATE SECRET": "Write ${NAME} in an option: it is a variable of the environment.",
    "COMMENT ON": "COMMENT is a part of CREATE TABLE; ALTER TABLE … MODIFY changes a column's.",
    "ADD FILE": "SET 'python.files' says where modules of functions are.",
    "RESET ALL": "RESET alone resets all.",
}


def _by_first(statements: Iterable[str]) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for text in sorted(statements, key=len, reverse=True):
        found.setdefault(text.split()[0], []).append(text.split())
    return found


_BY_FIRST = _by_first(REFUSED_STATEMENTS)
_FOREIGN_BY_FIRST = _by_first(_FOREIGN_STATEMENTS)

# First and later word of a statement: the name of the clause, and what to do instead.
REFUSED_CLAUSES = {
    ("DROP", "CASCADE"): ("CASCADE", "Drop what reads the table by itself."),
    ("ALTER", "PARTITION"): ("PARTITION of ALTER TABLE", _PARTITION),
}


def refuse_statement(tokens: Sequence[Token], piece: Piece) -> None:
    """Raise SqlError if the piece begins like a statement of Flink that we do not have."""
    words = _begins(tokens, piece, _BY_FIRST)
    if words is not None:
        name = " ".join(words)
        raise SqlError(
            f"statement {name} is not supported",
            span=Span(tokens[piece.first].start, tokens[piece.first + len(words) - 1].end),
            hint=REFUSED_STATEMENTS[name],
        )
    if tokens[piece.first].key == "ALTER":
        for at in range(piece.first, piece.last):
            if _partition_follows(tokens, at):
                # IF may be a name: the grammar would look for its type.
                end = next(i for i in range(at, piece.last) if tokens[i].key == "PARTITION")
                name, hint = REFUSED_CLAUSES["ALTER", "PARTITION"]
                raise SqlError(f"{name} is not supported", span=tokens[end].span, hint=hint)


def foreign_statement(tokens: Sequence[Token], piece: Piece, at: int) -> SqlError | None:
    """The error for a piece that cannot be read from `at` on, in or behind the words of another's."""
    words = _begins(tokens, piece, _FOREIGN_BY_FIRST)
    if words is None or at > piece.first + len(words):
        return None
    name = " ".join(words)
    return SqlError(
        f"there is no statement {name}",
        span=Span(tokens[piece.first].start, tokens[piece.first + len(words) - 1].end),
        hint=_FOREIGN_STATEMENTS[name],
    )


def _begins(
    tokens: Sequence[Token], piece: Piece, by_first: dict[str, list[list[str]]]
) -> list[str] | None:
    """The longest of the statements that the piece begins like."""
    keys = [t.key for t in tokens[piece.first : min(piece.last, piece.first + 6)]]
    for words in by_first.get(keys[0], ()) if keys else ():
        if keys[: len(words)] == words:
            return words
    return None


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
