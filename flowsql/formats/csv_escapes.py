"""The fields of a csv record with an escape character."""

from __future__ import annotations

__all__ = ["split_escaped"]

# What an escaped letter stands for; any other character stands for itself.
_LETTERS = {"0": "\0", "n": "\n", "r": "\r", "t": "\t"}


def split_escaped(text: str, delimiter: str, quote: str | None, escape: str) -> list[str] | str:
    """The fields of one record, or why it has none."""
    fields: list[str] = []
    at, end = 0, len(text)
    while True:
        value: list[str] = []
        quoted = quote is not None and text[at : at + 1] == quote
        at += quoted
        while at < end and (quoted or text[at] != delimiter):
            character = text[at]
            if character == escape:
                if at + 1 == end:
                    return "nothing behind an escape character"
                value.append(_LETTERS.get(text[at + 1], text[at + 1]))
                at += 2
            elif quoted and character == quote:
                if text[at + 1 : at + 2] != quote:
                    break
                value.append(character)
                at += 2
            else:
                value.append(character)
                at += 1
        if quoted:
            if at == end:
                return "quote is never closed"
            at += 1
            if at < end and text[at] != delimiter:
                return "text after a closing quote"
        fields.append("".join(value))
        if at >= end:
            return fields
        at += 1
