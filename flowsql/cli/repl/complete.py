"""What may be typed next: words, tables, columns, functions, options; knows nothing of a terminal."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from flowsql.cli.repl.highlight import KEYWORDS
from flowsql.config import ENGINE_OPTIONS, Option, OptionType
from flowsql.connector.plugins import (
    catalog_kind_names,
    connector_names,
    find_catalog_kind,
    find_connector,
)
from flowsql.errors import FlowSQLError, SqlError
from flowsql.expr import all_aggregates, all_functions, all_table_functions
from flowsql.formats import FORMAT_OPTION, find_format, format_names
from flowsql.library.file_catalog import CATALOG_OPTIONS, STORE_TYPES
from flowsql.sql.keywords import NO_FUNCTION, RESERVED
from flowsql.sql.tokens import Kind, Token, tokenize

__all__ = ["Candidate", "Completions", "declared_options"]

_STARTS = (
    *("SELECT", "CREATE", "INSERT INTO", "EXPLAIN", "SHOW", "DESCRIBE", "SET", "RESET", "DROP"),
    *(
        "USE",
        "WITH",
        "VALUES",
        "EXECUTE STATEMENT SET BEGIN",
        "ALTER",
        "STOP JOB",
        "INSERT OVERWRITE",
    ),
    *("COMPILE PLAN", "EXECUTE PLAN"),
    *("SOURCE", "HELP", "CLEAR", "QUIT", "EXIT"),
)
_AFTER = {
    "CREATE": ("TABLE", "TEMPORARY", "VIEW", "CATALOG", "DATABASE", "FUNCTION"),
    "TEMPORARY": ("TABLE", "VIEW", "FUNCTION"),
    "SHOW": (
        *("TABLES", "VIEWS", "CREATE TABLE", "CREATE VIEW", "FUNCTIONS", "CATALOGS", "DATABASES"),
        *("COLUMNS", "JOBS", "SOURCES", "CURRENT CATALOG", "CURRENT DATABASE", "USER FUNCTIONS"),
        *("CREATE CATALOG", "CREATE FUNCTION", "MODULES", "FULL MODULES", "JARS"),
    ),
    "DROP": (
        *("TABLE", "VIEW", "TEMPORARY TABLE", "TEMPORARY VIEW", "CATALOG", "DATABASE", "FUNCTION"),
        *("TEMPORARY FUNCTION",),
    ),
    "ALTER": ("TABLE", "VIEW", "DATABASE", "CATALOG", "FUNCTION"),
    "EXPLAIN": (
        *("SELECT", "INSERT INTO", "CHANGELOG_MODE", "PLAN FOR", "JSON_EXECUTION_PLAN"),
        *("ESTIMATED_COST", "PLAN_ADVICE"),
    ),
    "USE": ("CATALOG",),
    "INSERT": ("INTO", "OVERWRITE"),
}
_TABLE_WORDS = {"FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "DESC", "VIEW", "TABLES"}
_COMMENT = re.compile(r"(--|//).*$")  # in what stands behind the last token
_MORE = 200  # candidates are looked at, not read


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may stand here.

    Attributes:
        text: to be inserted.
        start: offset from the cursor at which it begins, negative or 0.
        what: a word about it.
    """

    text: str
    start: int
    what: str = ""


class Completions:
    """Finds candidates; remembers tables and columns until it is told to forget.

    Args:
        tables: names of tables and views.
        columns: (name, type) of a table's columns; none where there is no such table.
        options: the options of a table; none where there is no such table.
        within: what may follow `catalog.`, `database.` or `catalog.database.`.
    """

    def __init__(
        self,
        tables: Callable[[], Sequence[str]],
        columns: Callable[[str], Sequence[tuple[str, str]]],
        options: Callable[[str], Mapping[str, str]] = lambda _: {},
        within: Callable[[Sequence[str]], Sequence[str]] = lambda _: (),
    ) -> None:
        self._find_options = options
        self._find_within = within
        self._find_tables = tables
        self._find_columns = columns
        self._known: Sequence[str] | None = None
        self._columns_of: dict[str, Sequence[tuple[str, str]]] = {}
        self._within: dict[tuple[str, ...], Sequence[str]] = {}

    def forget(self) -> None:
        """Tables may have changed."""
        self._known = None
        self._columns_of.clear()
        self._within.clear()

    def _tables(self) -> Sequence[str]:
        if self._known is None:
            self._known = self._find_tables()
        return self._known

    def _columns(self, table: str) -> Sequence[tuple[str, str]]:
        if table not in self._columns_of:
            self._columns_of[table] = self._find_columns(table)
        return self._columns_of[table]

    def at(self, text: str, cursor: int) -> list[Candidate]:
        """What may be typed at the cursor, best first."""
        before = text[:cursor]
        try:
            tokens = tokenize(before)
        except SqlError as error:
            if error.span is None or not before.startswith("'", error.span.start):
                return []
            start = error.span.start
            return self._in_string(_statement(tokenize(before[:start])), before[start + 1 :])
        tokens = _statement(tokens)
        last = tokens[-2] if len(tokens) > 1 else None
        if last is not None and last.end == cursor and last.kind in {Kind.STRING, Kind.NUMBER}:
            return []
        if _COMMENT.search(before[tokens[-1].end :]):
            return []
        word = ""
        if last is not None and last.kind is Kind.WORD and last.end == cursor:
            word = last.value
            tokens = (*tokens[:-2], tokens[-1])
        elif cursor and before[cursor - 1] == "\\":
            return []
        try:
            following = tokenize(text)
        except SqlError:
            following = (*tokens,)
        return self._words(tokens[:-1], word, _statement_at(following, cursor))[:_MORE]

    # Words

    def _words(self, before: Sequence[Token], word: str, whole: Sequence[Token]) -> list[Candidate]:
        if not before:
            return _matching(word, _STARTS, "statement")
        last = before[-1]
        if last.key == "." and len(before) > 1:
            at, parts = _name_before(before)
            opener = before[at].key if at >= 0 else ""
            if opener in {*_TABLE_WORDS, "USE"} or (opener == "," and _in_from(before[: at + 1])):
                if parts not in self._within:
                    self._within[parts] = self._find_within(parts)
                return _matching_names(word, ((n, "") for n in self._within[parts]))
            table = _aliases(whole).get(before[-2].value)
            return _matching_names(word, self._columns(table)) if table else []
        if last.key in _AFTER and len(before) <= 2:
            return [
                *_matching(word, _AFTER[last.key], "statement"),
                *(self._table_names(word) if last.key == "USE" else ()),
            ]
        if last.key in _TABLE_WORDS or (last.key == "," and _in_from(before)):
            named = self._table_names(word)
            return named if last.key != "FROM" else [*named, *_matching(word, ("TABLE(",), "")]
        columns = [
            pair
            for table in dict.fromkeys(_aliases(whole).values())
            for pair in self._columns(table)
        ]
        found = _matching_names(word, columns)
        if not word:
            return found
        found += _matching(word, sorted(_aliases(whole)), "table")
        functions = _functions()
        found += _matching(word, sorted(KEYWORDS - functions.keys()), "keyword")
        found += [
            Candidate(c.text, c.start, functions[c.text.upper()])
            for c in _matching(word, functions, "")
        ]
        return found

    def _table_names(self, word: str) -> list[Candidate]:
        return _matching(word, self._tables(), "table")

    # Strings: keys and values of options

    def _in_string(self, before: Sequence[Token], typed: str) -> list[Candidate]:
        tokens = before[:-1]
        if not tokens:
            return []
        if tokens[0].key in {"SET", "RESET"}:
            if len(tokens) == 1:
                return _keys(typed, ENGINE_OPTIONS)
            if len(tokens) == 3 and tokens[2].key == "=":
                return _values(typed, tokens[1].value, ENGINE_OPTIONS)
            return []
        found = _options(tokens)
        if found is None:
            return []
        given, whose = found
        table = self._find_options(whose) if whose else {}
        if whose and tokens[0].key == "ALTER" and "RESET" in {t.key for t in tokens}:
            return _keys(typed, (o for o in _table_options(table) if o.key in table))
        if [t.key for t in tokens[:2]] == ["CREATE", "CATALOG"]:
            options = _catalog_options(given)
        else:
            options = _table_options({**table, **given})
        if whose:
            options = [o for o in options if o.key != "connector"]
        if tokens[-1].key in {"(", ","}:
            return _keys(typed, (o for o in options if o.key not in given))
        if tokens[-1].key == "=" and len(tokens) > 1:
            return _values(typed, tokens[-2].value, options)
        return []


@cache
def _functions() -> dict[str, str]:
    """Name → sentence, of those that are called by a name."""
    found = {name: f.doc for name, f in all_functions().items() if name.isidentifier()}
    found |= {f.name: f.doc for f in all_aggregates()}
    found |= {f.name: f.doc for f in all_table_functions()}
    return {name: found[name] for name in sorted(found) if name not in NO_FUNCTION}


def _statement(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """The tokens of the last statement, with what closes them."""
    start = max((i + 1 for i, t in enumerate(tokens) if t.key == ";"), default=0)
    return tuple(tokens[start:])


def _statement_at(tokens: Sequence[Token], cursor: int) -> tuple[Token, ...]:
    """The tokens of the statement in which the cursor stands."""
    start = max(
        (i + 1 for i, t in enumerate(tokens) if t.key == ";" and t.end <= cursor), default=0
    )
    end = next((i for i, t in enumerate(tokens) if i >= start and t.key == ";"), len(tokens))
    return tuple(tokens[start:end])


def _aliases(tokens: Sequence[Token]) -> dict[str, str]:
    """Alias or name → table, of what a statement reads or writes."""
    found: dict[str, str] = {}
    at = 0
    while at < len(tokens) - 1:
        names = (Kind.WORD, Kind.QUOTED)
        opens = tokens[at].key in {"FROM", "JOIN", "INTO", "TABLE"} or (
            tokens[at].key == "," and _in_from(tokens[: at + 1])
        )
        at += 1
        if not opens or tokens[at].kind not in names or tokens[at].key in KEYWORDS:
            continue
        parts = [tokens[at].value]
        while at + 2 < len(tokens) and tokens[at + 1].key == "." and tokens[at + 2].kind in names:
            at += 2
            parts.append(tokens[at].value)
        table = ".".join(parts)
        behind = at + 1
        if behind < len(tokens) and tokens[behind].key == "AS":
            behind += 1
        alias = tokens[behind] if behind < len(tokens) else None
        if alias is not None and alias.kind in names and alias.key not in KEYWORDS:
            found[alias.value] = table
        else:
            found[parts[-1]] = table
    return found


def _in_from(tokens: Sequence[Token]) -> bool:
    """Whether the last token stands in a list of tables."""
    depth = 0
    for token in reversed(tokens):
        if token.key == ")":
            depth += 1
        elif token.key == "(":
            if depth == 0:
                return False
            depth -= 1
        elif depth == 0 and token.key in {
            "WHERE",
            "GROUP",
            "ON",
            "SELECT",
            "HAVING",
            "ORDER",
            "BY",
        }:
            return False
        elif depth == 0 and token.key == "FROM":
            return True
    return False


def declared_options(statement: str) -> dict[str, str]:
    """Key → value of the WITH of a statement."""
    tokens = tokenize(statement)
    at = max((i for i, t in enumerate(tokens) if t.key == "WITH"), default=len(tokens))
    return _pairs(tokens[at:])


def _options(tokens: Sequence[Token]) -> tuple[dict[str, str], str] | None:
    """Key → value given so far in the options that are open, and the table that has others.

    There is none in CREATE TABLE; there is in ALTER TABLE … SET, RESET, and in a hint.
    """
    depth = 0
    for at in range(len(tokens) - 1, 0, -1):
        if tokens[at].key == ")":
            depth += 1
        elif tokens[at].key == "(":
            if depth:
                depth -= 1
                continue
            given = _pairs(tokens[at + 1 :])
            before = tokens[at - 1].key
            if before == "WITH":
                return given, ""
            if before in {"SET", "RESET"} and tokens[0].key == "ALTER":
                return given, _name_in_front(tokens, at - 1)
            if before == "OPTIONS":
                hint = next((i for i in range(at, -1, -1) if tokens[i].kind is Kind.HINT), 0)
                return (given, _name_in_front(tokens, hint)) if hint else None
            return None
    return None


def _pairs(tokens: Sequence[Token]) -> dict[str, str]:
    return {
        a.value: b.value
        for a, eq, b in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if eq.key == "=" and a.kind is Kind.STRING and b.kind is Kind.STRING
    }


def _name_before(tokens: Sequence[Token]) -> tuple[int, tuple[str, ...]]:
    """What stands in front of the dot at the end, as a name, and where the token before it is."""
    parts: list[str] = []
    at = len(tokens) - 1
    while at > 0 and tokens[at].key == "." and tokens[at - 1].kind in {Kind.WORD, Kind.QUOTED}:
        parts.insert(0, tokens[at - 1].value)
        at -= 2
    return at, tuple(parts)


def _name_in_front(tokens: Sequence[Token], at: int) -> str:
    """The name, with its dots, that ends in front of a token."""
    parts: list[str] = []
    while at > 0 and tokens[at - 1].kind in {Kind.WORD, Kind.QUOTED}:
        parts.insert(0, tokens[at - 1].value)
        at -= 2
        if at < 0 or tokens[at].key != ".":
            break
    return ".".join(parts)


def _table_options(given: Mapping[str, str]) -> list[Option]:
    """What a table with these options may have."""
    connector = Option("connector", OptionType.ENUM, "What the table stands for.")
    options = [connector]
    try:
        found = find_connector(given["connector"])
        options += found.options
        if found.formats:
            options.append(FORMAT_OPTION)
            options += find_format(given["format"]).options
    except (KeyError, FlowSQLError):
        # Nobody has said which, or there is none of that name: that is for CREATE TABLE to say.
        pass
    return [o for o in {o.key: o for o in options}.values() if not o.refused]


def _catalog_options(given: Mapping[str, str]) -> list[Option]:
    """What a catalog with these options may have."""
    options = list(CATALOG_OPTIONS)
    with contextlib.suppress(FlowSQLError):
        kind = find_catalog_kind(given.get("type", ""))
        options += kind.options if kind is not None else ()
    return [o for o in options if not o.refused and "#" not in o.key]


def _keys(typed: str, options: Iterable[Option]) -> list[Candidate]:
    return [Candidate(f"{o.key}'", -len(typed), o.doc) for o in options if o.key.startswith(typed)]


def _values(typed: str, key: str, options: Iterable[Option]) -> list[Candidate]:
    option = next((o for o in options if o.matches(key)), None)
    if option is CATALOG_OPTIONS[0]:
        choices: Sequence[str] = (*STORE_TYPES, *catalog_kind_names())
    elif key == "connector":
        choices = connector_names()
    elif option is FORMAT_OPTION:
        choices = format_names()
    elif option is None:
        return []
    else:
        choices = ("true", "false") if option.type is OptionType.BOOLEAN else option.choices
    return [Candidate(f"{c}'", -len(typed)) for c in choices if c.startswith(typed)]


def _matching(word: str, texts: Iterable[str], what: str) -> list[Candidate]:
    """Texts that begin with the word whatever the case; what is written small stays so."""
    folded = word.casefold()
    return [
        Candidate(t.lower() if word.islower() and t.isupper() else t, -len(word), what)
        for t in texts
        if t.casefold().startswith(folded)
    ]


def _matching_names(word: str, columns: Iterable[tuple[str, str]]) -> list[Candidate]:
    folded = word.casefold()
    kinds = dict(columns)
    return [
        Candidate(_quoted(name), -len(word), kind)
        for name, kind in kinds.items()
        if name.casefold().startswith(folded)
    ]


def _quoted(name: str) -> str:
    plain = name.isidentifier() and name.upper() not in RESERVED
    return name if plain else "`" + name.replace("`", "``") + "`"
