"""Words of the shell that are no SQL: `QUIT`, `EXIT`, `HELP`, `CLEAR`, `SOURCE 'file'`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowsql.errors import ConfigError, FlowSQLError, Span, SqlError
from flowsql.sql.splitter import Piece, pieces
from flowsql.sql.tokens import Kind, Token, tokenize

__all__ = ["Command", "Part", "alone", "command_of", "is_closed", "read_file", "scripts"]

_PLAIN = {"QUIT": "quit", "EXIT": "quit", "HELP": "help", "CLEAR": "clear"}
_OF_THE_PROMPT = ("help", "clear")
_DEEPEST = 20  # files that name one another


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the shell.

    Attributes:
        kind: `quit`, `help`, `clear` or `source`.
        argument: the file of `source`.
        span: of the argument, for messages.
    """

    kind: str
    argument: str = ""
    span: Span | None = None


def command_of(tokens: Sequence[Token], piece: Piece) -> Command | None:
    """The command that a statement of a script is; None for SQL."""
    own = tokens[piece.first : piece.last]
    if len(own) == 1 and own[0].key in _PLAIN:
        return Command(_PLAIN[own[0].key])
    if own[0].key == "SOURCE":
        if len(own) == 2 and own[1].kind is Kind.STRING:
            return Command("source", own[1].value, own[1].span)
        raise SqlError(
            "SOURCE takes the name of one file",
            hint="Write SOURCE 'file.sql';",
            span=own[-1].span,
        )
    return None


def is_closed(text: str) -> bool:
    """Whether a semicolon ends the last statement; also where the text will never be one."""
    try:
        found = pieces(tokenize(text))
    except SqlError as error:
        # What is open may still be closed; a character without meaning stays one.
        return error.span is None or text[error.span.start] not in "'`/"
    return all(piece.closed for piece in found)


def alone(text: str, piece: Piece) -> str:
    """The script with everything blank but one statement, which stays where it is."""
    return _blanked(text, piece.span.start, piece.span.end)


class Part(str):
    """SQL of a script, with its positions as in its file.

    Attributes:
        file: that `SOURCE` names; None for the script itself.
    """

    __slots__ = ("file",)
    file: str | None

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Errors of its statements name the file."""
        try:
            yield
        except FlowSQLError as error:
            raise error.in_file(self, self.file) from error.__cause__


def _part(text: str, file: str | None) -> Part:
    made = Part(text)
    made.file = file
    return made


def scripts(text: str, depth: int = 0, file: str | None = None) -> Iterator[Part]:
    """The SQL of a script in order, cut where `SOURCE` puts a file in; ends at `QUIT`.

    Each part has its positions as in its file, and the name of a `file` that is not the script. `HELP` and `CLEAR` stay in it, and are refused by
    whoever reads it as SQL.

    Raises:
        FlowSQLError: a file cannot be read, or the text cannot be split.
    """
    try:
        tokens = tokenize(text)
        found = [(piece, command_of(tokens, piece)) for piece in pieces(tokens)]
    except SqlError as error:
        raise error.with_sql(text).in_file(text, file) from None
    start = 0
    for piece, command in found:
        if command is None or command.kind in _OF_THE_PROMPT:
            continue
        yield _part(_blanked(text, start, piece.span.start), file)
        start = tokens[piece.last].end
        if command.kind == "quit":
            return
        if command.kind == "source":
            if depth == _DEEPEST:
                raise (
                    SqlError(f'file "{command.argument}" includes itself', span=command.span)
                    .with_sql(text)
                    .in_file(text, file)
                )
            try:
                included = read_file(command.argument)
            except ConfigError as error:
                error.span = command.span
                raise error.with_sql(text).in_file(text, file) from None
            yield from scripts(included, depth + 1, command.argument)
    yield _part(_blanked(text, start, len(text)), file)


def read_file(name: str) -> str:
    """The text of a file of statements.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f'file "{name}" cannot be read: {error.strerror}') from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f'file "{name}" is not UTF-8 at byte {error.start}', hint="Save it as UTF-8."
        ) from None


def _blanked(text: str, start: int, end: int) -> str:
    """The text with blanks for what stands outside; line ends stay."""
    if not start and end == len(text):
        return text

    def blank(part: str) -> str:
        return "".join(c if c in "\r\n" else " " for c in part)

    return blank(text[:start]) + text[start:end] + blank(text[end:])
