"""The elements of arrays written as text: `{1,NULL,3}`, `{{a,"b c"},{"",NULL}}`.

All arrays of a column are taken apart at once, by what each of their bytes is. One level is taken
off at a time: elements of an array of arrays are arrays' text again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql_connectors.postgres_cdc.decode.gather import Places, packed, slices

__all__ = ["WrongDimensions", "split_elements"]

# Bounds stand in front where the first element is not number 1: [0:2]={1,2,3}.
_BOUNDS = r"^(\[[-+0-9]+:[-+0-9]+\])+="
_OPEN, _CLOSE, _COMMA, _QUOTE, _BACKSLASH, _BRACKET = b'{},"\\['

# Made once: a scalar costs as much as a small column.
_EMPTY, _NULL = map(pa.scalar, ("{}", "NULL"))

Split = tuple[npt.NDArray[np.int32], pa.StringArray]
Mask = npt.NDArray[np.bool_]


class WrongDimensions(Exception):  # noqa: N818 (caught, and told with the column's name)
    """An array that has more or fewer dimensions than its declared type; `value` is its text."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


def split_elements(text: pa.StringArray, *, nested: bool) -> Split:
    """Offsets of the lists, and all their elements' text, NULL for NULL.

    Args:
        text: arrays; a NULL has no elements.
        nested: elements are arrays themselves.

    Raises WrongDimensions where an array is nested and should not be, or the reverse (an empty one
    may be both); pa.ArrowInvalid for text that is no array.
    """
    found = _marked(text)
    size = np.diff(found.begins)
    full = size > 2
    second = found.data[found.begins[:-1] + np.minimum(size - 1, 1)]
    wrong = full & ((second == _OPEN) != nested)
    if wrong.any():
        raise WrongDimensions(text[int(wrong.argmax())].as_py())
    starts, elements = _arrays(found, full) if nested else _values(found)
    return np.searchsorted(starts, found.begins).astype(np.int32), elements


@dataclass(frozen=True, slots=True)
class _Marked:
    """What the bytes of all arrays are.

    Attributes:
        data: uint8[m], the arrays one behind the other.
        begins: of each array, and the end of the last.
        quote: a quote around an element.
        escape: a backslash that is not part of its element.
        between: a brace or a comma that is not part of an element.
    """

    data: npt.NDArray[np.uint8]
    begins: Places
    quote: Mask
    escape: Mask
    between: Mask


def _marked(text: pa.StringArray) -> _Marked:
    whole = pc.fill_null(text, _EMPTY) if text.null_count else text
    if pc.any(pc.match_substring(whole, "[")).as_py():
        whole = pc.replace_substring_regex(whole, _BOUNDS, "")
    if whole.offset:
        whole = pa.concat_arrays([whole])
    offsets = np.frombuffer(whole.buffers()[1], np.int32, len(whole) + 1)
    octets = np.frombuffer(whole.buffers()[2] or b"", np.uint8)
    data = octets[offsets[0] : offsets[-1]]
    begins = (offsets - offsets[0]).astype(np.intp)
    escape, escaped = _escapes(data)
    quote = (data == _QUOTE) & ~escaped
    outside = (np.cumsum(quote) & 1 == 0) & ~quote & ~escaped
    opening, closing = outside & (data == _OPEN), outside & (data == _CLOSE)
    between = opening | closing | (outside & (data == _COMMA))
    depth = np.cumsum(opening, dtype=np.int32) - np.cumsum(closing, dtype=np.int32)
    # Each array begins with the first brace and ends with the last.
    if (
        (np.diff(begins) < 2).any()
        or not opening[begins[:-1]].all()
        or not closing[begins[1:] - 1].all()
        or np.count_nonzero(depth == 0) != len(whole)
        or depth[begins[1:] - 1].any()
    ):
        raise pa.ArrowInvalid("text that is no array")
    return _Marked(data, begins, quote, escape, between)


def _escapes(data: npt.NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Backslashes that take the meaning from the byte behind them, and these bytes."""
    escape = np.zeros(len(data), np.bool_)
    escaped = np.zeros(len(data), np.bool_)
    places = np.flatnonzero(data == _BACKSLASH)
    if len(places):
        # In a run of them every other one is an escaped backslash.
        first = np.ones(len(places), np.bool_)
        first[1:] = np.diff(places) > 1
        run = np.maximum.accumulate(np.where(first, np.arange(len(places)), 0))
        acting = places[(np.arange(len(places)) - run) % 2 == 0]
        if acting[-1] + 1 == len(data):
            raise pa.ArrowInvalid("text that is no array")
        escape[acting] = True
        escaped[acting + 1] = True
    return escape, escaped


def _values(found: _Marked) -> tuple[Places, pa.StringArray]:
    """Where each element begins, and the elements without quotes and backslashes."""
    edges = np.flatnonzero(found.between)
    kinds = found.data[edges]
    # From each brace or comma to the next one, but not from array to array, nor within `{}`.
    starts, ends = edges[:-1] + 1, edges[1:]
    element = (kinds[:-1] != _CLOSE) & (
        (kinds[:-1] != _OPEN) | (kinds[1:] != _CLOSE) | (ends > starts)
    )
    starts, ends = starts[element], ends[element]
    quotes = np.concatenate([[0], np.cumsum(found.quote)])
    count = quotes[ends] - quotes[starts]
    quoted = count == 2
    right = np.where(quoted, found.quote[starts] & found.quote[ends - 1], count == 0)
    if not (right & (ends > starts)).all():
        raise pa.ArrowInvalid("an array whose elements are not set apart")
    kept = ~(found.between | found.quote | found.escape)
    before = np.concatenate([[0], np.cumsum(kept)])
    offsets = np.append(before[starts], before[-1]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(found.data[kept])]
    elements = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    null = pc.equal(elements, _NULL).to_numpy(zero_copy_only=False) & ~quoted
    if null.any():
        buffers[0] = packed(~null)
        elements = pa.Array.from_buffers(pa.string(), len(starts), buffers)
    return starts, elements


def _arrays(found: _Marked, full: Mask) -> tuple[Places, pa.StringArray]:
    """Where each inner array begins, and the inner arrays' text."""
    opening = found.between & (found.data == _OPEN)
    closing = found.between & (found.data == _CLOSE)
    depth = np.cumsum(opening, dtype=np.int32) - np.cumsum(closing, dtype=np.int32)
    starts = np.flatnonzero(opening & (depth == 2))
    ends = np.flatnonzero(closing & (depth == 1)) + 1
    commas = np.count_nonzero(found.between & (found.data == _COMMA) & (depth == 1))
    arrays = int((ends - starts).sum())
    # Besides inner arrays there are the outer braces, and commas between two of them.
    if arrays + commas + 2 * len(full) != len(found.data) or commas != len(
        starts
    ) - np.count_nonzero(full):
        raise pa.ArrowInvalid("an array whose elements are not set apart")
    return starts, slices(pa.py_buffer(found.data), starts, ends, None).view(pa.string())
