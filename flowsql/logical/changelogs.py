"""`TO_CHANGELOG(input => TABLE t)` and `FROM_CHANGELOG(input => TABLE t)`, Flink's changelog functions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError, nearest
from flowsql.logical.plan_changelogs import CHANGE_NAMES, FromChangelog, ToChangelog
from flowsql.logical.refusals import not_supported
from flowsql.logical.table_calls import (
    InputTable,
    TableBinder,
    column_named,
    input_table,
    named_arguments,
    one_column,
)
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import CharType, VarCharType

__all__ = ["bind_from_changelog", "bind_to_changelog"]

_TO = ("input", "op", "op_mapping", "produces_full_deletes", "on_time", "uid")
_FROM = ("input", "op", "op_mapping", "error_handling", "on_time", "uid")
_OP = "op"
_UID = re.compile(r"[A-Za-z_][A-Za-z_0-9-]*")
_KINDS = {name: kind for kind, name in enumerate(CHANGE_NAMES)}
_UPDATE_BEFORE, _UPDATE_AFTER = _KINDS["UPDATE_BEFORE"], _KINDS["UPDATE_AFTER"]

_TO_USAGE = "Write TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."
_FROM_USAGE = "Write FROM_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."


def bind_to_changelog(call: d.FunctionCall, table: TableBinder, *, streaming: bool) -> ToChangelog:
    """The plan of a TO_CHANGELOG call.

    Args:
        call: the call.
        table: binds the table argument.
        streaming: not batch mode, where there are no changes.

    Raises:
        SqlError: an argument is missing, unknown or wrong.
    """
    given, source = _common(call, _TO, table, _TO_USAGE, streaming=streaming)
    op = _OP
    named = given.get("op")
    if named is not None:
        op = one_column(named, _the("op"), _TO_USAGE).this
    pairs = _mapping(given.get("op_mapping"))
    codes: tuple[str | None, ...] = CHANGE_NAMES
    if pairs is not None:
        codes = _codes_of_kinds(pairs)
    full = _flag(given.get("produces_full_deletes"))
    if full and codes[_KINDS["DELETE"]] is None:
        raise SqlError(
            'argument "produces_full_deletes" is TRUE, but "op_mapping" does not map DELETE',
            detail="Changes that are not mapped are left out, so there are no DELETE rows.",
            hint='Leave "produces_full_deletes" out, or map DELETE.',
            span=span_of(given["produces_full_deletes"]),
        )
    plan = ToChangelog(
        source.plan,
        source.partition,
        op,
        codes,
        full,
        span=span_of(call),
    )
    names = plan.schema.names
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        cure = f"op => DESCRIPTOR({op}_code)" if twice == op else "(SELECT …) with an alias"
        raise SqlError(
            f'TO_CHANGELOG would give two columns "{twice}"',
            hint=f"Give one of them another name: {cure}.",
            span=span_of(call),
        )
    return plan


def bind_from_changelog(
    call: d.FunctionCall, table: TableBinder, *, streaming: bool
) -> FromChangelog:
    """The plan of a FROM_CHANGELOG call; arguments and errors as of `bind_to_changelog`."""
    given, source = _common(call, _FROM, table, _FROM_USAGE, streaming=streaming)
    op = _op_column(given.get("op"), source)
    pairs = _mapping(given.get("op_mapping"))
    codes = tuple(_KINDS.items())
    upsert = False
    if pairs is not None:
        codes = _kinds_of_codes(pairs)
        kinds = {kind for _, kind in codes}
        upsert = _UPDATE_AFTER in kinds and _UPDATE_BEFORE not in kinds
    if upsert and not source.partition:
        raise SqlError(
            '"op_mapping" maps UPDATE_AFTER without UPDATE_BEFORE, which needs a key',
            detail="The row that an update replaces is not in the input.",
            hint="Add PARTITION BY with the key's columns to the table, or map UPDATE_BEFORE.",
            span=span_of(given["op_mapping"]),
        )
    if op in source.partition:
        raise SqlError(
            f'column "{source.plan.schema.names[op]}" is the code of the changes and cannot be in '
            "PARTITION BY",
            span=source.span,
        )
    if len(source.plan.schema.fields) == 1:
        raise SqlError(
            "the table of FROM_CHANGELOG has no column beside the code of the changes",
            span=source.span,
        )
    return FromChangelog(
        source.plan,
        source.partition,
        op,
        codes,
        _skips(given.get("error_handling")),
        upsert,
        span=span_of(call),
    )


def _the(name: str) -> str:
    return f'argument "{name}"'


def _common(
    call: d.FunctionCall, names: tuple[str, ...], table: TableBinder, usage: str, *, streaming: bool
) -> tuple[dict[str, exp.Expr], InputTable]:
    """The arguments by name, and the table."""
    if not streaming:
        raise SqlError(
            f"{call.function} is not supported in batch mode",
            detail="Flink has it for streams only: in batch mode there are no changes.",
            hint="SET 'execution.runtime-mode' = 'streaming'.",
            span=span_of(call),
        )
    given = named_arguments(call, names, usage, exact=True)
    if "input" not in given:
        raise SqlError(f'{call.function} needs argument "input"', hint=usage, span=span_of(call))
    if "on_time" in given:
        raise SqlError(
            f'argument "on_time" of {call.function} is not supported',
            detail="Flink has none either for functions that take or give updates.",
            hint="Leave it out: the table's time attribute stays one.",
            span=span_of(given["on_time"]),
        )
    uid = given.get("uid")
    if uid is not None and not _is_null(uid):
        text = _text(uid)
        if text is None or not _UID.fullmatch(text):
            raise SqlError(
                'argument "uid" must be a constant name of letters, digits, "_" and "-"',
                span=span_of(uid),
            )
    source = input_table(given["input"], call.function, "input", table, usage)
    if source.order:
        raise not_supported(f"ORDER BY of {call.function}", span_of(source.order[0]))
    return given, source


def _op_column(named: exp.Expr | None, source: InputTable) -> int:
    """The column with the code of FROM_CHANGELOG."""
    row = source.plan.schema
    if named is None:
        name, span = _OP, source.span
    else:
        word = one_column(named, _the("op"), _FROM_USAGE)
        name, span = word.this, span_of(word)
    if named is None and name not in row.names:
        columns = ", ".join(f'"{n}"' for n in row.names)
        raise SqlError(
            'column "op" does not exist in the table of FROM_CHANGELOG',
            hint="Name the column that holds the code of each change: op => DESCRIPTOR(…). "
            f"The table has {columns}.",
            span=span,
        )
    at = column_named(name, row, "FROM_CHANGELOG", span)
    kind = row.types[at]
    if not isinstance(kind, VarCharType | CharType):
        raise SqlError(
            f'column "{name}" must be a STRING to hold the code of each change, not '
            f"{kind.with_nullable(True)}",
            hint=f"Cast it to STRING in a sub-query: input => (SELECT …, CAST({name} AS STRING) …).",
            span=span,
        )
    return at


# Constants


def _is_null(node: exp.Expr) -> bool:
    if isinstance(node, d.FlinkCast):
        node = node.args["this"]
    return isinstance(node, exp.Null)


def _text(node: exp.Expr) -> str | None:
    """A string literal's value; None for what is none."""
    return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None


def _flag(node: exp.Expr | None) -> bool | None:
    if node is None or _is_null(node):
        return None
    if not isinstance(node, exp.Boolean):
        raise SqlError('argument "produces_full_deletes" must be TRUE or FALSE', span=span_of(node))
    return bool(node.this)


def _skips(node: exp.Expr | None) -> bool:
    if node is None or _is_null(node):
        return False
    text = _text(node)
    if text not in {"FAIL", "SKIP"}:
        raise SqlError(
            "argument \"error_handling\" must be 'FAIL' or 'SKIP'",
            detail="SKIP leaves rows out whose code is NULL or not mapped.",
            span=span_of(node),
        )
    return text == "SKIP"


# A literal's text and where it stands.
_Word = tuple[str, Span]


def _mapping(node: exp.Expr | None) -> Mapping[str, tuple[_Word, _Word]] | None:
    """The pairs of `op_mapping`, by key; of equal keys the last counts, as in any MAP."""
    if node is None or _is_null(node):
        return None
    items = node.expressions if isinstance(node, d.MapConstructor) else []
    words = [(_text(i), span_of(i)) for i in items]
    if not words or len(words) % 2 or any(text is None for text, _ in words):
        raise SqlError(
            'argument "op_mapping" must be a constant MAP of strings',
            hint="Write op_mapping => MAP['INSERT', 'I', 'DELETE', 'D'].",
            span=span_of(node),
        )
    known = [(text or "", span) for text, span in words]
    return {key[0]: (key, value) for key, value in zip(known[::2], known[1::2], strict=True)}


def _listed(text: str) -> list[str]:
    """`a, b` as its parts; what is empty behind the last comma is none, as in Java."""
    parts = [p.strip() for p in text.split(",")]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _codes_of_kinds(pairs: Mapping[str, tuple[_Word, _Word]]) -> tuple[str | None, ...]:
    """TO_CHANGELOG: kinds are keys, several of them with commas; a kind that is none has no code."""
    codes: list[str | None] = [None] * len(CHANGE_NAMES)
    for (key, span), (code, _) in pairs.values():
        for name in _listed(key):
            kind = _kind(name, span)
            if codes[kind] is not None:
                raise _mapped_twice(name, span)
            codes[kind] = code
    return tuple(codes)


def _kinds_of_codes(pairs: Mapping[str, tuple[_Word, _Word]]) -> tuple[tuple[str, int], ...]:
    """FROM_CHANGELOG: codes are keys, several of them with commas."""
    kinds: dict[str, int] = {}
    for (key, at), (name, span) in pairs.values():
        kind = _kind(name.strip(), span)
        if kind in kinds.values():
            raise _mapped_twice(
                name.strip(), span, "Put its codes into one key: MAP['c, r', 'INSERT']."
            )
        for code in _listed(key):
            if code in kinds:
                raise SqlError(f'"op_mapping" maps code "{code}" twice', span=at)
            kinds[code] = kind
    return tuple(kinds.items())


def _mapped_twice(name: str, span: Span, hint: str | None = None) -> SqlError:
    return SqlError(f'"op_mapping" maps change operation "{name}" twice', hint=hint, span=span)


def _kind(name: str, span: Span) -> int:
    if name not in _KINDS:
        near = nearest(name, CHANGE_NAMES)
        listed = ", ".join(CHANGE_NAMES)
        raise SqlError(
            f'"{name}" is no change operation',
            hint=f'Did you mean "{near}"?' if near else f"There are {listed}.",
            span=span,
        )
    return _KINDS[name]
