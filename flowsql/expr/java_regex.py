"""Java's regular expressions on Python's `re`.

A pattern is translated so that it matches the same text; a construct that cannot be is refused
by name, never approximated. ASCII classes, Java's line ends for `.` and `$`, and named groups are
the differences that matter.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["UnsupportedPattern", "compile_java"]

_LINE_ENDS = r"\n\r\u0085\u2028\u2029"
_ANY = f"[^{_LINE_ENDS}]"
_END = rf"(?=(?:\r\n|[{_LINE_ENDS}])?\Z)"
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0b\f\r",
}
_KEPT = frozenset("dDwWsStnrfae0123456789")
_FLAGS = {"i": "i", "s": "s", "m": "m", "x": "x"}


class UnsupportedPattern(Exception):  # noqa: N818 - names a pattern, not a failure
    """The pattern is (perhaps) right in Java, but has no translation."""


@lru_cache(maxsize=512)
def compile_java(pattern: str) -> re.Pattern[str] | None:
    """The pattern, or None where Java would not accept it either.

    Raises:
        UnsupportedPattern: Java may accept it, but it cannot be translated.
    """
    translated = _translate(pattern)
    if translated is None:
        return None
    try:
        return re.compile(translated, re.ASCII)
    except re.error:
        return None


def _translate(pattern: str) -> str | None:
    out: list[str] = []
    i, n = 0, len(pattern)
    dot_all = multiline = False
    while i < n:
        c = pattern[i]
        if c == "\\":
            if i + 1 == n:
                return None
            if pattern[i + 1] == "Q":
                end = pattern.find("\\E", i + 2)
                stop = n if end < 0 else end
                out.append(re.escape(pattern[i + 2 : stop]))
                i = n if end < 0 else end + 2
                continue
            text, i = _escape(pattern, i, in_class=False)
            out.append(text)
        elif c == "[":
            text, i = _class(pattern, i)
            if i < 0:
                return None
            out.append(text)
        elif c == "(" and pattern.startswith("(?", i):
            found = re.match(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])", pattern[i:])
            if found:
                on, off, close = found[1], found[2] or "", found[3]
                if any(f not in _FLAGS for f in on + off):
                    raise UnsupportedPattern(f"(?{on}{'-' + off if off else ''})")
                if close == ")" and i > 0:
                    raise UnsupportedPattern(f"flags inside the pattern: {found[0]}")
                if "s" in on or "m" in on or "s" in off or "m" in off:
                    if close == ":" or off:
                        raise UnsupportedPattern(found[0])
                    dot_all = dot_all or "s" in on
                    multiline = multiline or "m" in on
                out.append(found[0])
                i += len(found[0])
            elif re.match(r"\(\?<[A-Za-z]", pattern[i:]):
                out.append("(?P<")
                i += 3
            else:
                out.append(pattern[i : i + 3])
                i += 3
        elif c == "." and not dot_all:
            out.append(_ANY)
            i += 1
        elif c == "$" and not multiline:
            out.append(_END)
            i += 1
        elif c == "{" and not re.match(r"\{\d+(,\d*)?\}", pattern[i:]):
            return None  # Java refuses a brace that opens no repetition
        else:
            if c in "^$" and multiline:
                raise UnsupportedPattern("(?m)")
            out.append(c)
            i += 1
    return "".join(out)


def _escape(pattern: str, i: int, *, in_class: bool) -> tuple[str, int]:
    """The translation of the escape at `i`, and where the pattern goes on."""
    c = pattern[i + 1]
    if c in "pP":
        found = re.match(r"\{(\w+)\}", pattern[i + 2 :])
        if found is None or found[1] not in _POSIX:
            raise UnsupportedPattern(pattern[i : i + 2] + (found[0] if found else ""))
        body = _POSIX[found[1]]
        if in_class:
            if c == "P":
                raise UnsupportedPattern(r"\P inside a class")
            return body, i + 2 + len(found[0])
        return f"[{'^' if c == 'P' else ''}{body}]", i + 2 + len(found[0])
    if c == "b" and not in_class:
        # Before Java 19 a word boundary knows all letters, though \w does not.
        return r"(?u:\b)", i + 2
    if c == "B" and not in_class:
        return r"(?u:\B)", i + 2
    if c == "z" and not in_class:
        return r"\Z", i + 2
    if c == "Z" and not in_class:
        return _END, i + 2
    if c == "A" and not in_class:
        return r"\A", i + 2
    if c == "h":
        body = r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000"
        return (body if in_class else f"[{body}]"), i + 2
    if c == "R" and not in_class:
        return rf"(?:\r\n|[\x0b\f{_LINE_ENDS}])", i + 2
    if c == "k":
        found = re.match(r"<(\w+)>", pattern[i + 2 :])
        if found is None:
            raise UnsupportedPattern(r"\k")
        return f"(?P={found[1]})", i + 2 + len(found[0])
    if c in "xu":
        width = 2 if c == "x" else 4
        digits = pattern[i + 2 : i + 2 + width]
        if not re.fullmatch(rf"[0-9a-fA-F]{{{width}}}", digits):
            raise UnsupportedPattern(f"\\{c}")
        return f"\\{c}{digits}", i + 2 + width
    if c == "e":
        return r"\x1b", i + 2
    if c.isalpha() and c not in _KEPT:
        raise UnsupportedPattern(f"\\{c}")
    if c == "0":
        raise UnsupportedPattern(r"\0")
    return f"\\{c}" if c.isascii() else c, i + 2


def _class(pattern: str, i: int) -> tuple[str, int]:
    """The translation of the character class at `i`; (…, -1) if it does not end."""
    out = ["["]
    k = i + 1
    if k < len(pattern) and pattern[k] == "^":
        out.append("^")
        k += 1
    first = True
    while k < len(pattern):
        c = pattern[k]
        if c == "]" and not first:
            out.append("]")
            return "".join(out), k + 1
        if c == "[" or pattern.startswith("&&", k):
            raise UnsupportedPattern("a class inside a class, or &&")
        if c == "\\" and k + 1 < len(pattern):
            text, k = _escape(pattern, k, in_class=True)
            out.append(text)
        else:
            # Java takes a leading ] as a member only when escaped, as Python takes it bare.
            out.append("\\" + c if c in "&~|" else c)
            k += 1
        first = False
    return "", -1
