"""An error in the user's words: the text it points into without its secrets, names kept short."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from flowsql.connector.plugins import catalog_kind_names, find_catalog_kind, find_connector
from flowsql.errors import ConfigError, FlowSQLError

__all__ = [
    "attach_text",
    "in_program",
    "program_words",
    "short_names",
    "short_text",
    "starred",
    "without_marks",
]

# Parts of keys whose value is taken for a secret, whoever declares the key.
_TELLING = ("password", "passwd", "secret", "token", "credential", "api-key", "apikey", "jaas")

_CONNECTOR = re.compile(r"'connector'\s*=\s*'([^']*)'")
_CATALOG = re.compile(r"'type'\s*=\s*'([^']*)'")
# In front of a name: within a path, such as that of a marker, all of it counts.
_NO_PATH = r"(?<![\w.@/-])"
# Behind "#" stands a digest of the options of a hint, or what an INSERT does.
_MARKS = r"(?:#[0-9a-f]{8})?(?:#overwrite)?"
_MARKED = re.compile(r'"([\w.$]+)(?:#[0-9a-f]{8}(?:#overwrite)?|#overwrite)"')
_MIN_LENGTH = 4  # a shorter value may be part of any word of a message


def attach_text(error: FlowSQLError, sql: str) -> FlowSQLError:
    """The error with the text that its span points into, secret literals starred.

    Every character of a literal gives a star, so that positions stay true.
    """
    for part in (error.with_sql(sql), *error.more):
        assert part.sql is not None
        part.sql, values = _starred(part.sql, _secret_keys(part.sql))

        # A user or a database may be called as the password is: stars there would tell so.
        values = {v for v in values if f"'{v}'" not in part.sql}

        def star(text: str, values: set[str] = values) -> str:
            for value in values:
                text = text.replace(value, "******")
            return text

        _reword(part, star)
    return error


def short_names(error: FlowSQLError, database: tuple[str, str]) -> FlowSQLError:
    """The error with the tables of that catalog and database called by their bare names."""
    prefix = re.escape(".".join(database))
    pattern = re.compile(rf"{_NO_PATH}{prefix}\.([\w$]+){_MARKS}")
    for part in (error, *error.more):
        _reword(part, lambda text: _MARKED.sub(r'"\1"', pattern.sub(r"\1", text)))
    return error


def short_text(text: str, database: tuple[str, str]) -> str:
    """A plan or log line in which the tables of that catalog and database have bare names."""
    short = re.sub(rf"{_NO_PATH}{re.escape('.'.join(database))}\.(?=\w)", "", text)
    return _MARKED.sub(r'"\1"', short)


def without_marks(name: str) -> str:
    """A table's full name without what tells it from the same table with other hints."""
    return re.sub(rf"{_MARKS}$", "", name)


def in_program(text: str) -> str:
    """What is said of the command line's `--fresh` and `--from`, for who calls `connect`."""
    text = re.sub(r'--from "([^"]*)"', r"SET 'execution.state-recovery.path' = '\1'", text)
    text = text.replace("Without --from", "Without 'execution.state-recovery.path'")
    text = re.sub(r"--from\b(?: PATH)?", "SET 'execution.state-recovery.path' = '…'", text)
    return text.replace("--fresh", "flowsql.connect(fresh=True)")


def program_words(error: FlowSQLError) -> FlowSQLError:
    """The error with `in_program` wherever it speaks of the command line's options."""
    for part in (error, *error.more):
        _reword(part, in_program)
    return error


def _reword(error: FlowSQLError, change: Callable[[str], str]) -> None:
    error.message = change(error.message)
    error.detail = error.detail and change(error.detail)
    error.hint = error.hint and change(error.hint)
    error.args = (error.message,)


@lru_cache(maxsize=4)
def starred(sql: str) -> str:
    """The text with its secret literals starred; asked for by every statement of a text."""
    return _starred(sql, _secret_keys(sql))[0]


def _secret_keys(sql: str) -> set[str]:
    """Keys that the connectors and kinds of catalogs named in the text declare as secret."""
    keys: set[str] = set()
    for name in set(_CONNECTOR.findall(sql)):
        try:
            options = find_connector(name).options
        except ConfigError:
            continue
        keys |= {o.key for o in options if o.secret}
    for name in set(_CATALOG.findall(sql)) & set(catalog_kind_names()):
        with contextlib.suppress(ConfigError):
            kind = find_catalog_kind(name)
            keys |= {o.key for o in (kind.options if kind else ()) if o.secret}
    return keys


def _starred(sql: str, keys: Iterable[str]) -> tuple[str, set[str]]:
    """The text, and the literals that were starred.

    The text may be one that cannot be parsed: quotes may not come in pairs, and '=' be missing.
    """
    declared = [re.escape(k).replace(r"\#", "#").replace("#", "[^']+") for k in sorted(keys)]
    # Only behind a quote: tried at every character, a long line would take quadratic time.
    telling = rf"(?<=')[^'\n]*(?:{'|'.join(map(re.escape, _TELLING))})[^'\n]*"
    names = "|".join([*(rf"(?<='){k}" for k in declared), telling])
    pattern = re.compile(rf"(?i)((?:{names})'\s*(?:=\s*)?')([^']*(?:''[^']*)*)")
    values: set[str] = set()

    def star(found: re.Match[str]) -> str:
        value = found[2].replace("''", "'")
        if len(value) >= _MIN_LENGTH and not value.startswith("${"):
            values.add(value)
        return found[1] + re.sub(r"[^\n]", "*", found[2])

    return pattern.sub(star, sql), values
