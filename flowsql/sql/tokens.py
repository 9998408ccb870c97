"""Text to tokens: the one place that knows what a word, a string and a comment are.

The splitter, the statement grammar and the query parser all read the same tokens, so they cannot
disagree on where a string ends. Offsets count characters of the whole script.

As in Flink: names in backquotes (a backquote doubled), strings in single quotes (a quote doubled,
a backslash is a character; but not in `e'…'`), comments `-- …`, `// …` and `/* … */`, hints `/*+ … */`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from flowsql.errors import Span, SqlError

__all__ = ["Kind", "Token", "tokenize"]


class Kind(Enum):
    """What a token is; the value is how errors call it."""

    WORD = "name"
    QUOTED = "quoted name"
    STRING = "string"
    BINARY = "binary string"
    NUMBER = "number"
    SYMBOL = "symbol"
    HINT = "hint"
    END = "end of the statement"


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        kind: What it is.
        value: A word or number as written; a name or string without quotes, its escapes undone.
        key: What the parsers compare: a word in upper case, a symbol as it is, otherwise "".
        start: Offset of its first character.
        end: Offset after its last character.
    """

    kind: Kind
    value: str
    key: str
    start: int
    end: int

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.start, self.end)


_TOKEN = re.compile(
    r"""
      (?P<skip>   [\s\ufeff]+ | --[^\r\n]* | //[^\r\n]* | /\*(?!\+).*?\*/ )
    | (?P<hint>   /\*\+ )
    | (?P<open>   /\* )
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*' | (?:[xXnN]|[uU]&|_[A-Za-z][A-Za-z0-9]*)? '[^']*(?:''[^']*)*' )
    | (?P<quoted> `[^`]*(?:``[^`]*)*` )
    | (?P<number> (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
    | (?P<word>   (?:\$|[^\W\d])[\w$]* )
    | (?P<symbol> =>|<>|!=|<=|>=|\|\||->|\*/|[-+*/%=<>(),.;:?\[\]{}] )
    """,
    re.DOTALL | re.VERBOSE,
)
_C_ESCAPE = re.compile(
    r"\\(?:(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4})|(U[0-9A-Fa-f]{8})|([0-7]{1,3})|(.))", re.DOTALL
)
_C_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_UNICODE = re.compile(r"\\(?:([0-9A-Fa-f]{4})|(\\))")


def tokenize(text: str) -> tuple[Token, ...]:
    """All tokens of `text`, closed by one of kind END.

    Raises:
        SqlError: A string, quoted name or comment is not closed, or a character belongs to none.
    """
    tokens: list[Token] = []
    at, size, last = 0, len(text), 0
    while at < size:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup == "open":
            raise _unreadable(text, at)
        start, at = at, found.end()
        group = found.lastgroup
        if group == "skip":
            continue
        last = at
        raw = found.group()
        if group == "word":
            tokens.append(Token(Kind.WORD, raw, raw.upper(), start, at))
        elif group == "symbol":
            tokens.append(Token(Kind.SYMBOL, raw, raw, start, at))
        elif group == "number":
            tokens.append(Token(Kind.NUMBER, raw, "", start, at))
        elif group == "string":
            tokens.append(_string(raw, start, at))
        elif group == "quoted":
            if len(raw) == 2:
                raise SqlError("a name cannot be empty", span=Span(start, at))
            name = raw[1:-1].replace("``", "`")
            tokens.append(Token(Kind.QUOTED, name, "", start, at))
        else:
            tokens.append(Token(Kind.HINT, raw, raw, start, at))
    tokens.append(Token(Kind.END, "", "", last, last))
    return tuple(tokens)


def _string(raw: str, start: int, end: int) -> Token:
    prefix, _, rest = raw.partition("'")
    body = rest[:-1].replace("''", "'")
    kind = Kind.STRING
    if prefix in {"x", "X"}:
        kind, body = Kind.BINARY, body.upper()
        if len(body) % 2 or not re.fullmatch(r"[0-9A-F]*", body):
            raise SqlError(
                "a binary string needs an even number of hexadecimal digits", span=Span(start, end)
            )
    elif prefix in {"e", "E"}:
        body = _unescape_c(body, Span(start, end))
    elif prefix in {"u&", "U&"}:
        body = unescape_unicode(body, "\\", Span(start, end))
    return Token(kind, body, "", start, end)


def _unescape_c(body: str, span: Span) -> str:
    r"""Undo the escapes of an `e'…'` string: `\n`, `\x41`, `\u0041`, `\101`; others stay as they are."""

    def one(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name:
            return chr(int(name[1:], 16))
        if found[3]:
            return chr(int(found[3], 8))
        return _C_ESCAPES.get(found[4], found[0])

    try:
        text = _C_ESCAPE.sub(one, body)
    except (ValueError, OverflowError):
        raise SqlError("there is no such character", span=span) from None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def unescape_unicode(body: str, escape: str, span: Span) -> str:
    r"""Undo the `\XXXX` escapes of a `U&'…'` string; `escape` stands for the backslash."""
    lead = re.escape(escape)
    pattern = _UNICODE if escape == "\\" else re.compile(rf"{lead}(?:([0-9A-Fa-f]{{4}})|({lead}))")
    out, at = [], 0
    while (next_ := body.find(escape, at)) >= 0:
        found = pattern.match(body, next_)
        if found is None:
            raise SqlError(
                f'"{escape}" in a unicode string must be followed by four hexadecimal digits',
                span=span,
            )
        out += [body[at:next_], chr(int(found[1], 16)) if found[1] else escape]
        at = found.end()
    # Characters beyond the first plane are written as two escapes, as in Java.
    text = "".join([*out, body[at:]])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unreadable(text: str, at: int) -> SqlError:
    char = text[at]
    opened = {"'": "string", "`": "quoted name"}.get(char)
    if text.startswith("/*", at):
        return SqlError(
            "the comment is not closed", span=Span(at, at + 2), hint='Close it with "*/".'
        )
    if opened:
        return SqlError(
            f"the {opened} is not closed",
            span=Span(at, at + 1),
            hint=f"Close it with {char}; inside, write {char}{char} for one.",
        )
    if char == '"':
        return SqlError(
            "double quotes are neither for names nor for strings in Flink SQL",
            span=Span(at, at + 1),
            hint="Use `name` for a name and 'text' for a string.",
        )
    return SqlError(f'the character "{char}" has no meaning in SQL', span=Span(at, at + 1))
