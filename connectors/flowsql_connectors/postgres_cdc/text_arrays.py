"""The elements of arrays written as text: `{1,NULL,3}`, `{{a,"b c"},{"",NULL}}`.

One level is taken off at a time: elements of an array of arrays are arrays' text again.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["WrongDimensions", "split_elements"]

# Bounds stand in front where the first element is not number 1: [0:2]={1,2,3}.
_BOUNDS = re.compile(r"^(?:\[[-+0-9]+:[-+0-9]+\])+=")
_ELEMENT = re.compile(
    r'"((?:[^"\\]|\\.)*)"|([^",{}\\]+(?:\\.[^",{}\\]*)*|(?:\\.[^",{}\\]*)+)', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# Made once: a scalar costs as much as a small column.
_EMPTY, _NOTHING, _NULL = map(pa.scalar, ("{}", "", "NULL"))
_MISSING = pa.scalar(None, pa.string())

Split = tuple[npt.NDArray[np.int32], pa.StringArray]


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
    if not nested and not pc.any(pc.match_substring_regex(text, r'["\\\[]|.[{]')).as_py():
        return _plain(text)
    offsets = [0]
    elements: list[str | None] = []
    # An array is taken apart once, however often it comes.
    seen: dict[str, list[str | None]] = {}
    for value in text.to_pylist():
        if value is not None:
            if value not in seen:
                seen[value] = _split(value, nested=nested)
            elements += seen[value]
        offsets.append(len(elements))
    return np.array(offsets, np.int32), pa.array(elements, pa.string())


def _plain(text: pa.StringArray) -> Split:
    """Arrays without quotes, bounds or dimensions, all at once."""
    whole = pc.fill_null(text, _EMPTY)
    braced = pc.and_(pc.starts_with(whole, "{"), pc.ends_with(whole, "}"))
    if not pc.all(braced).as_py():
        raise pa.ArrowInvalid("text that is no array")
    inner = pc.utf8_slice_codeunits(whole, 1, -1)
    lists = pc.split_pattern(inner, ",")
    elements = lists.flatten()
    # Nothing between the braces is one empty element to `split`, and none to the server.
    full = pc.not_equal(elements, _NOTHING)
    counts = np.diff(lists.offsets.to_numpy())
    empty = pc.equal(inner, _NOTHING).to_numpy(zero_copy_only=False)
    counts[empty] = 0
    elements = elements.filter(full)
    offsets = np.zeros(len(text) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    if offsets[-1] != len(elements):
        raise pa.ArrowInvalid("an array with an empty element")
    null = pc.equal(elements, _NULL)
    return offsets, pc.if_else(null, _MISSING, elements)


def _split(value: str, *, nested: bool) -> list[str | None]:
    """The elements of one array."""
    whole = value
    value = _BOUNDS.sub("", value)
    if len(value) < 2 or value[0] != "{" or value[-1] != "}":
        raise pa.ArrowInvalid(f"{value!r} is no array")
    if value == "{}":
        return []
    if nested != (value[1] == "{"):
        raise WrongDimensions(whole)
    if nested:
        return _arrays(value)
    elements: list[str | None] = []
    at = 1
    while True:
        found = _ELEMENT.match(value, at)
        if found is None:
            raise pa.ArrowInvalid(f"{value!r} is no array")
        if found[1] is not None:
            elements.append(_ESCAPE.sub(r"\1", found[1]))
        else:
            elements.append(None if found[2] == "NULL" else _ESCAPE.sub(r"\1", found[2]))
        at = found.end()
        if value[at] == "}" and at == len(value) - 1:
            return elements
        if value[at] != ",":
            raise pa.ArrowInvalid(f"{value!r} is no array")
        at += 1


def _arrays(value: str) -> list[str | None]:
    """The arrays that an array of more dimensions holds, as text."""
    inner: list[str | None] = []
    depth, start, quoted, at = 0, 0, False, 1
    while at < len(value) - 1:
        character = value[at]
        if character == "\\":
            at += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted and character == "{":
            if depth == 0:
                start = at
            depth += 1
        elif not quoted and character == "}":
            depth -= 1
            if depth == 0:
                inner.append(value[start : at + 1])
        at += 1
    if depth:
        raise pa.ArrowInvalid(f"{value!r} is no array")
    return inner
