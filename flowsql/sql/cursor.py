"""Reading tokens one by one, and the words of syntax errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from flowsql.errors import Span, SqlError, nearest
from flowsql.sql.keywords import CLAUSES, NO_FUNCTION, RESERVED
from flowsql.sql.tokens import Kind, Token

__all__ = ["Cursor", "bounded", "misspelt", "spoken"]

T = TypeVar("T")

# What may have been meant as a name, and the words that never are.
_NAMED = ("an expression", "an alias", "a name", "a table name", "a column name", "a field name")
_END = "the end of the statement"
_GRAMMAR = NO_FUNCTION - {"ORDER", "GROUP", "END", "SET", "TABLE", "PARTITION", "WINDOW"}


class Cursor:
    """A position in a script's tokens; base of the query parser.

    Attributes:
        text: The whole script.
        tokens: Its tokens, closed by END.
        at: Index of the current token.
        token: The current token.
        loose: The last name that was read as an alias without AS: a misspelt keyword looks so.
    """

    def __init__(self, text: str, tokens: Sequence[Token], at: int = 0) -> None:
        self.text = text
        self.tokens = tokens
        self.at = at
        self.token = tokens[at]
        self.loose: Token | None = None

    def advance(self) -> Token:
        """Step over the current token and return it."""
        token = self.token
        if token.kind is not Kind.END:
            self.at += 1
            self.token = self.tokens[self.at]
        return token

    def peek(self, ahead: int = 1) -> Token:
        """The token `ahead` of the current one; END where there is none."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def goes_on(self, *keys: str) -> bool:
        """Whether the next tokens are these words and symbols."""
        return all(self.peek(i).key == key for i, key in enumerate(keys))

    def take(self, *keys: str) -> bool:
        """Step over these words and symbols if they come next."""
        if self.token.key != keys[0] or (len(keys) > 1 and not self.goes_on(*keys)):
            return False
        for _ in keys:
            self.advance()
        return True

    def take_any(self, keys: Iterable[str]) -> str | None:
        """Step over one of these words or symbols; returns which."""
        key = self.token.key
        if key and key in keys:
            self.advance()
            return key
        return None

    def expect(self, *keys: str) -> None:
        """Step over these words and symbols; anything else is a syntax error."""
        for key in keys:
            if self.token.key != key:
                raise self.unexpected(key)
            self.advance()

    def string(self, what: str = "a string in single quotes") -> str:
        """Step over a string and return its value."""
        if self.token.kind is not Kind.STRING:
            raise self.unexpected(what)
        return self.advance().value

    def listed(self, one: Callable[[], T]) -> list[T]:
        """`one, one, …`."""
        found = [one()]
        while self.take(","):
            found.append(one())
        return found

    def wrapped(self, one: Callable[[], T]) -> list[T]:
        """`(one, one, …)`."""
        self.expect("(")
        found = self.listed(one)
        self.expect(")")
        return found

    def finish(self) -> None:
        """Nothing may follow."""
        if self.token.kind is not Kind.END:
            raise self.unexpected(_END)

    def since(self, start: int) -> Span:
        """From offset `start` to the end of the last token read."""
        return Span(start, max(start, self.tokens[self.at - 1].end if self.at else start))

    def unexpected(self, *expected: str) -> SqlError:
        """The syntax error at the current token; `expected` are keywords, symbols or words."""
        loose = self.loose
        if loose is not None and loose is self.tokens[self.at - 1]:
            meant = nearest(loose.value, CLAUSES)
            if meant:
                return SqlError(
                    f'"{loose.value}" is no keyword, and after the alias it was read as, '
                    f"{spoken(self.token)} makes no sense",
                    span=loose.span,
                    hint=f'Did you mean "{meant}"?',
                )
        behind = self.token.key == "NOT" and self.peek().key == "ILIKE"
        made = misspelt(self.peek() if behind else self.token, expected)
        made.hint = made.hint or self._cure()
        return made

    def _cure(self) -> str | None:
        """What to write for what other databases, or habit, know."""
        before, now = self.tokens[self.at - 1].key, self.token.key
        if before == "," and (now in CLAUSES or now == ")"):
            return "Leave out the comma in front of it."
        if before == "TOP" and self.token.kind is Kind.NUMBER:
            return f"Write LIMIT {self.token.value} at the end."
        if before == "=" and now == "=":
            return "Write = once."
        if now == "NOT" and nearest(self.peek().value, ("NULL",)):
            return 'Did you mean "NOT NULL"?'
        if before == "MODEL" and any(t.key.startswith("ML_") for t in self.tokens[: self.at]):
            return (
                "Models are not supported: call the model in the program that takes the rows, "
                "or in a connector of your own."
            )
        if before == "*" and nearest(self.token.value, ("FROM",)):
            return 'Did you mean "FROM"?'
        if before == "*" and now in {"EXCLUDE", "REPLACE", "RENAME"}:
            return "Name the columns that are wanted."
        if before == "DO" and now == "UPDATE":
            return "DO DEDUPLICATE lets the last row of a key count."
        return None


@contextmanager
def bounded(span: Span) -> Iterator[None]:
    """What nests deeper than Python's stack is an error at `span`."""
    try:
        yield
    except RecursionError:
        raise SqlError("the statement is nested too deeply", span=span) from None


def spoken(token: Token) -> str:
    """A token as errors call it."""
    if token.kind is Kind.END:
        return "the end of the statement"
    if token.kind is Kind.STRING:
        return f"the string '{token.value}'"
    return f'"{token.value}"'


def misspelt(token: Token, expected: Sequence[str]) -> SqlError:
    """`token` stands where only `expected` may, with the nearest keyword as a cure."""
    names = [_described(e) for e in expected]
    wanted = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
    hint = None
    if token.kind is Kind.WORD:
        meant = nearest(token.value, [e for e in expected if e.isupper()])
        if meant:
            hint = f'Did you mean "{meant}"?'
        elif next(iter(expected), None) == "a string in single quotes":
            hint = f"Write '{token.value}'."
        elif token.key == "ILIKE":
            hint = "Write LOWER(text) [NOT] LIKE 'pattern' in small letters."
        elif token.key in RESERVED - _GRAMMAR and any(e in _NAMED or e == _END for e in expected):
            hint = f'"{token.value}" is a reserved word: as a name, write it `{token.value}`.'
    end = max(token.end, token.start + 1)
    return SqlError(
        f"expected {wanted}, found {spoken(token)}", span=Span(token.start, end), hint=hint
    )


def _described(expected: str) -> str:
    plain = expected.isupper() or not any(c.isalpha() for c in expected)
    return f'"{expected}"' if plain else expected
