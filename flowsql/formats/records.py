"""Where records end in a block of text."""

from __future__ import annotations

import functools
import re

import numpy as np
import numpy.typing as npt

__all__ = ["line_ends", "quoted_ends", "quoted_spans", "well_quoted"]


def line_ends(data: bytes, *, last: bool) -> int:
    """The length of the whole lines at the beginning of `data`."""
    return len(data) if last else data.rfind(b"\n") + 1


@functools.lru_cache(maxsize=32)
def _record(quote: bytes, delimiter: bytes, escape: bytes | None) -> bytes:
    """A pattern for one record without its line end; quotes count where a field begins."""
    q, d = re.escape(quote), re.escape(delimiter)
    # A quoted field goes on to its closing quote, a doubled or escaped one being part of it.
    if escape is None:
        inside = b"[^" + q + b"]++|" + q + q
        plain = b"[^\\r\\n" + d + q + b"][^\\r\\n" + d + b"]*+"
    else:
        e = re.escape(escape)
        inside = b"[^" + q + e + b"]++|" + e + b"[\\s\\S]|" + q + q
        plain = (
            b"(?:[^\\r\\n"
            + d
            + q
            + e
            + b"]|"
            + e
            + b"[\\s\\S])(?:[^\\r\\n"
            + d
            + e
            + b"]|"
            + e
            + b"[\\s\\S])*+"
        )
    field = b"(?:" + q + b"(?:" + inside + b")*+" + q + b"[^\\r\\n" + d + b"]*+|" + plain + b"|)"
    return field + b"(?:" + d + field + b")*+"


_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")


@functools.lru_cache(maxsize=32)
def _all_records(quote: bytes, delimiter: bytes, escape: bytes | None) -> re.Pattern[bytes]:
    # A carriage return at the end may be half of a line end.
    end = rb"(?:\r\n|\n|\r(?!\n|\Z))"
    return re.compile(b"(?:" + _record(quote, delimiter, escape) + end + b")*+")


@functools.lru_cache(maxsize=32)
def _one_record(quote: bytes, delimiter: bytes, escape: bytes | None) -> re.Pattern[bytes]:
    return re.compile(_record(quote, delimiter, escape) + b"(?P<end>" + _LINE_END.pattern + b")")


def quoted_ends(
    data: bytes, quote: bytes | None, delimiter: bytes, escape: bytes | None, *, last: bool
) -> int:
    """As `line_ends`, where a line end within quotes or after an escape belongs to the value."""
    special = (quote is not None and quote in data) or (escape is not None and escape in data)
    if last or not special or quote is None:
        return line_ends(data, last=last)
    if escape is None or escape not in data:
        places = _quotes(data, quote)
        if _paired(data, places, delimiter):
            return _last_line_end(data, places)
    found = _all_records(quote, delimiter, escape).match(data)
    return found.end() if found else 0


def _quotes(data: bytes, quote: bytes) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(data, np.uint8) == quote[0])


def _paired(data: bytes, places: npt.NDArray[np.int64], delimiter: bytes) -> bool:
    """Whether every first quote of a pair opens a field, and every second closes one.

    A doubled quote is the end of one pair and the beginning of the next. False proves nothing:
    quotes may stand in the middle of a field.
    """
    text = np.frombuffer(data, np.uint8)
    first, second = places[0::2], places[1::2]
    before = np.where(first > 0, text[first - 1], ord("\n"))
    opens = (before == delimiter[0]) | (before == ord("\n"))
    opens[1:] |= first[1:] == second[: len(first) - 1] + 1
    after = np.where(second + 1 < len(text), text[np.minimum(second + 1, len(text) - 1)], ord("\n"))
    closes = (after == delimiter[0]) | (after == ord("\n")) | (after == ord("\r"))
    closes[: len(first) - 1] |= first[1:] == second[: len(first) - 1] + 1
    return bool(opens.all() and closes.all())


def _last_line_end(data: bytes, places: npt.NDArray[np.int64]) -> int:
    """Behind the last line end with an even number of quotes before it."""
    at = data.rfind(b"\n")
    while at >= 0:
        quotes = int(np.searchsorted(places, at))
        if quotes % 2 == 0:
            return at + 1
        at = data.rfind(b"\n", 0, int(places[quotes - 1]))
    return 0


def quoted_spans(
    data: bytes, quote: bytes | None, delimiter: bytes, escape: bytes | None
) -> list[tuple[int, int]]:
    """Start and end of every record, line ends left out.

    A record whose quote is never closed ends with its line, so that one damaged line does not take
    those behind it along.
    """
    spans = []
    at = 0
    pattern = _one_record(quote, delimiter, escape) if quote is not None else None
    while at < len(data):
        found = pattern.match(data, at) if pattern else None
        if found and found.end() > at:
            spans.append((at, found.start("end")))
            at = found.end()
        else:
            end = _LINE_END.search(data, at)
            assert end is not None
            spans.append((at, end.start()))
            at = end.end()
    return spans


@functools.lru_cache(maxsize=32)
def _well_quoted(quote: bytes, delimiter: bytes, escape: bytes | None) -> re.Pattern[bytes]:
    q, d = re.escape(quote), re.escape(delimiter)
    record = _record(quote, delimiter, escape)
    # The same, but nothing may stand between a closing quote and the end of its field.
    strict = record.replace(q + b"[^\\r\\n" + d + b"]*+", q)
    return re.compile(b"(?:" + strict + rb"(?:\r\n|\n|\r))*+" + strict)


def well_quoted(data: bytes, quote: bytes, delimiter: bytes, escape: bytes | None) -> bool:
    """Whether every quote that opens a field is closed at its end."""
    if escape is None or escape not in data:
        places = _quotes(data, quote)
        if len(places) % 2 == 0 and _paired(data, places, delimiter):
            return True
    return _well_quoted(quote, delimiter, escape).fullmatch(data) is not None
