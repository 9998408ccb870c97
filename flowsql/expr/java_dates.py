"""Java's date patterns (`DateTimeFormatter`), for formatting columns and parsing text.

A pattern is cut into fields once. Letters that have no meaning here are refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.expr.calendar import civil_from_days, days_from_civil
from flowsql.expr.parse_text import days_from_civil as days_of
from flowsql.expr.parse_text import days_in_month as month_days
from flowsql.expr.vector import bytes_of

__all__ = [
    "PatternError",
    "format_local",
    "format_simple",
    "formatter_fields",
    "parse_local",
    "parse_simple",
    "pattern_fields",
    "simple_fields",
]

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LETTERS = frozenset("GuyDMLdQqYwWEecFaBhKkHmsSAnNVvzOXxZp")
_KNOWN = frozenset("GuyDMLdQqEahKkHmsSAnNXwWFecY")
_FORMAT_ONLY = frozenset("GwWFecY")
# How often `DateTimeFormatter` takes a letter; `SimpleDateFormat` takes all as often as they come.
_MOST = {
    **dict.fromkeys("GQqMLEecX", 5), **dict.fromkeys("dhHkKmsw", 2), **dict.fromkeys("WFa", 1),
    **dict.fromkeys("yuYnNA", 19), "D": 3, "S": 9,
}  # fmt: skip
_SIMPLE = frozenset("'GyYMLwWDdFEuaHkKhmsS")
_QUARTERS = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter")


class PatternError(Exception):
    """The pattern is wrong, or uses a letter that is not supported."""


@dataclass(frozen=True, slots=True)
class PatternField:
    """A letter repeated `count` times, or (letter `'`) literal text."""

    letter: str
    count: int
    text: str = ""


@lru_cache(maxsize=256)
def pattern_fields(pattern: str) -> tuple[PatternField, ...]:
    """The fields of a pattern.

    Raises:
        PatternError: it is not well formed, or a letter is unknown or not supported.
    """
    fields: list[PatternField] = []
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == "'":
            end = i + 1
            text = ""
            while True:
                stop = pattern.find("'", end)
                if stop < 0:
                    raise PatternError(
                        f'pattern "{pattern}" ends with an incomplete string literal'
                    )
                text += pattern[end:stop]
                if pattern[stop + 1 : stop + 2] == "'":
                    text += "'"
                    end = stop + 2
                    continue
                break
            fields.append(PatternField("'", 0, text or "'"))
            i = stop + 1
            continue
        if c.isascii() and c.isalpha():
            count = 1
            while pattern[i + count : i + count + 1] == c:
                count += 1
            if c not in _LETTERS:
                raise PatternError(f"unknown pattern letter: {c}")
            if c not in _KNOWN:
                raise PatternError(f"pattern letter {c} is not supported")
            fields.append(PatternField(c, count))
            i += count
            continue
        if c in "[]":
            raise PatternError("optional sections [ ] in a pattern are not supported")
        if c in "{}#":
            raise PatternError(f"pattern includes reserved character: '{c}'")
        fields.append(PatternField("'", 0, c))
        i += 1
    return tuple(fields)


def formatter_fields(pattern: str) -> tuple[PatternField, ...]:
    """The fields of a pattern of `DateTimeFormatter`.

    Raises:
        PatternError: as `pattern_fields`, or a letter comes more often than its meaning allows.
    """
    fields = pattern_fields(pattern)
    for field in fields:
        most = _MOST.get(field.letter, field.count)
        if field.count > most or (field.letter, field.count) == ("c", 2):
            raise PatternError(
                f'pattern "{pattern}" has too many pattern letters: {field.letter * field.count}'
            )
    return fields


def simple_fields(pattern: str) -> tuple[PatternField, ...]:
    """The fields of a pattern by which `SimpleDateFormat` writes.

    Raises:
        PatternError: as `pattern_fields`, or `SimpleDateFormat` does not know a letter.
    """
    fields = pattern_fields(pattern)
    for field in fields:
        if field.letter not in _SIMPLE:
            raise PatternError(f"pattern letter {field.letter} is not supported")
    return fields


# Formatting


class _Moment:
    """Fields of local times, computed as they are asked for."""

    def __init__(self, values: Any, per_second: int) -> None:
        seconds, self.fraction = np.divmod(values, per_second)
        self.scale = len(str(per_second)) - 1
        self.days, self.of_day = np.divmod(seconds, 86400)
        self.year, self.month, self.day = civil_from_days(self.days)

    def number(self, letter: str) -> Any:
        """The number that a letter stands for."""
        hour = self.of_day // 3600
        match letter:
            case "u" | "y":
                return self.year
            case "M" | "L":
                return self.month
            case "d":
                return self.day
            case "D":
                return self.days - days_from_civil(self.year, 1, 1) + 1
            case "Q" | "q":
                return (self.month + 2) // 3
            case "H":
                return hour
            case "k":
                return np.where(hour == 0, 24, hour)
            case "K":
                return hour % 12
            case "h":
                return (hour + 11) % 12 + 1
            case "m":
                return self.of_day // 60 % 60
            case "s":
                return self.of_day % 60
            case "A":
                return self.of_day * 1000 + self.nanos() // 1_000_000
            case "F":
                return (self.day - 1) % 7 + 1
            case "w":
                return self.week()[1]
            case "Y":
                return self.week()[0]
            case "W":
                first = (self.days - self.day + 1 + 4) % 7  # 0 is Sunday
                return (self.day - 1 + first) // 7 + 1
            case "e" | "c":
                return (self.days + 4) % 7 + 1
            case "n":
                return self.nanos()
            case "N":
                return self.of_day * 1_000_000_000 + self.nanos()
            case _:
                raise PatternError(f"pattern letter {letter} is not supported")

    def nanos(self) -> Any:
        """Nanoseconds of the second."""
        return self.fraction * 10 ** (9 - self.scale)

    def week(self) -> tuple[Any, Any]:
        """Year and number of the week, which begins on Sunday; the first is that of 1 January."""
        sunday = self.days - (self.days + 4) % 7
        year, _, _ = civil_from_days(sunday + 6)
        start = days_from_civil(year, 1, 1)
        return year, (sunday - (start - (start + 4) % 7)) // 7 + 1

    def weekday(self) -> Any:
        """0 is Monday."""
        return (self.days + 3) % 7


def format_local(values: Any, per_second: int, pattern: str, nulls: Any = None) -> Any:
    """Local times (integers of which `per_second` make a second) as a string array."""
    moment = _Moment(values, per_second)
    return _join([_formatted(f, moment) for f in formatter_fields(pattern)], len(values), nulls)


def format_simple(values: Any, per_second: int, pattern: str, nulls: Any = None) -> Any:
    """As `format_local`, as `SimpleDateFormat` writes: some letters mean something else to it."""
    moment = _Moment(values, per_second)
    columns = [_simply(f, moment) for f in simple_fields(pattern)]
    return _join(columns, len(values), nulls)


def _simply(field: PatternField, moment: _Moment) -> tuple[Any, int] | list[str] | str:
    letter, count = field.letter, field.count
    match letter:
        case "G" | "a":
            return _formatted(PatternField(letter, 1), moment)
        case "E" | "M" | "L" if letter == "E" or count >= 3:
            return _formatted(PatternField(letter, 4 if count >= 4 else 3), moment)
        case "y" | "Y" if count == 3:
            return _formatted(PatternField(letter, 4), moment)
        case "u":
            return _padded(moment.weekday() + 1, count)
        case "F":
            return _padded((moment.day - 1) // 7 + 1, count)
        case "S":
            return _padded(moment.nanos() // 1_000_000, count)
        case _:
            return _formatted(field, moment)


def _formatted(field: PatternField, moment: _Moment) -> tuple[Any, int] | list[str] | str:
    """A field as (numbers, width), per-row texts, or one fixed text."""
    letter, count = field.letter, field.count
    if letter == "'":
        return field.text
    if letter == "G":
        eras = {4: ("Before Christ", "Anno Domini"), 5: ("B", "A")}.get(count, ("BC", "AD"))
        return _chosen(eras, (moment.year > 0).astype(np.int64))
    if letter == "a":
        return _chosen(("AM", "PM"), moment.of_day // 43200)
    if letter == "E" or (letter in "ec" and count >= 3):
        return _chosen(_shortened(_DAYS, count), moment.weekday())
    if letter in "ML" and count >= 3:
        return _chosen(_shortened(_MONTHS, count), moment.month - 1)
    if letter in "Qq" and count >= 3:
        names = {3: ("Q1", "Q2", "Q3", "Q4"), 4: _QUARTERS}.get(count, ("1", "2", "3", "4"))
        return _chosen(names, moment.number("Q") - 1)
    if letter == "S":
        return moment.nanos() // 10 ** (9 - min(count, 9)), count
    number = moment.number(letter)
    if letter in "yuY" and count == 2:
        return number % 100, 2
    return _padded(number, count)


def _padded(number: Any, count: int) -> tuple[Any, int] | list[str]:
    """Numbers of at least `count` digits."""
    if count > 1:
        top = int(number.max()) if len(number) else 0
        if len(str(top)) <= count:
            return number, count
    return [str(n).rjust(count, "0") for n in number.tolist()]


def _shortened(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Names as a letter writes them that comes up to 3 times, 4 times (whole) or 5 times."""
    return names if count == 4 else tuple(n[: 1 if count == 5 else 3] for n in names)


def _chosen(names: tuple[str, ...], index: Any) -> list[str]:
    return [names[i] for i in index.tolist()]


def _join(columns: list[Any], rows: int, nulls: Any) -> Any:
    if not columns:
        return bytes_of(np.zeros(rows, np.int64), np.zeros(0, np.uint8), pa.string(), nulls)
    if not any(isinstance(c, list) for c in columns):
        matrix = []
        for c in columns:
            if isinstance(c, str):
                raw = np.frombuffer(c.encode(), np.uint8)
                matrix.append(np.broadcast_to(raw, (rows, len(raw))))
                continue
            numbers, width = c
            digits = np.empty((rows, width), np.uint8)
            for k in range(width - 1, -1, -1):
                numbers, digit = np.divmod(numbers, 10)
                digits[:, k] = digit + 48
            matrix.append(digits)
        whole = np.concatenate(matrix, axis=1)
        return bytes_of(np.full(rows, whole.shape[1]), whole.ravel(), pa.string(), nulls)
    texts = [
        c
        if isinstance(c, list)
        else [c] * rows
        if isinstance(c, str)
        else [str(n).rjust(c[1], "0") for n in c[0].tolist()]
        for c in columns
    ]
    made = ["".join(parts) for parts in zip(*texts, strict=True)]
    if nulls is not None:
        made = [None if gone else m for m, gone in zip(made, nulls, strict=True)]  # type: ignore[misc]
    return pa.array(made, pa.string())


# Parsing


@dataclass(frozen=True, slots=True)
class _Reader:
    regex: re.Pattern[str]
    letters: tuple[tuple[str, int], ...]


@lru_cache(maxsize=256)
def _reader(pattern: str) -> _Reader:
    fields = formatter_fields(pattern)
    for field in fields:
        if field.letter in _FORMAT_ONLY:
            raise PatternError(f"pattern letter {field.letter} is not supported for reading")
        if (field.letter in "MLE" and field.count == 5) or (
            field.letter in "Qq" and field.count > 2
        ):
            raise PatternError(
                f"pattern letters {field.letter * field.count} are not supported for reading"
            )
    parts: list[str] = []
    letters: list[tuple[str, int]] = []
    for k, field in enumerate(fields):
        letter, count = field.letter, field.count
        if letter == "'":
            parts.append(re.escape(field.text))
            continue
        adjacent = k + 1 < len(fields) and fields[k + 1].letter not in "'aEX"
        if letter == "a":
            parts.append("(AM|PM)")
        elif letter == "X":
            # Read and ignored: the text is a local time.
            parts.append(r"(Z|[+-]\d\d(?::?\d\d)?)")
        elif letter == "E":
            names = _DAYS if count == 4 else tuple(d[:3] for d in _DAYS)
            parts.append(f"({'|'.join(names)})")
        elif letter in "ML" and count >= 3:
            names = _MONTHS if count == 4 else tuple(m[:3] for m in _MONTHS)
            parts.append(f"({'|'.join(names)})")
        elif letter == "S":
            parts.append(rf"(\d{{{count}}})")
        elif letter in "yu":
            if count == 2:
                parts.append(r"(\d{2})")
            else:
                parts.append(rf"(\d{{{count}}})" if adjacent or count >= 4 else r"(\d{1,9})")
        elif count == 1:
            parts.append(r"(\d{1,2})" if letter != "D" else r"(\d{1,3})")
        else:
            parts.append(rf"(\d{{{count}}})")
        letters.append((letter, count))
    return _Reader(re.compile("".join(parts), re.ASCII), tuple(letters))


_DEFAULTS: dict[str, int] = {"y": 1970, "M": 1, "d": 1, "H": 0, "m": 0, "s": 0, "nanos": 0}


def parse_local(text: str, pattern: str) -> int | None:
    """Nanoseconds since the epoch of a local time, or None where the text does not match.

    What the pattern leaves out is 1970-01-01 00:00:00.
    """
    reader = _reader(pattern)
    found = reader.regex.fullmatch(text)
    if found is None:
        return None
    got: dict[str, int] = {}
    for (letter, count), value in zip(reader.letters, found.groups(), strict=True):
        if letter == "a":
            got["a"] = int(value == "PM")
        elif letter in "EX":
            continue
        elif letter in "ML" and count >= 3:
            names = _MONTHS if count == 4 else tuple(m[:3] for m in _MONTHS)
            got["M"] = names.index(value) + 1
        elif letter == "S":
            got["nanos"] = int(value[:9].ljust(9, "0"))
        elif letter in "yu" and count == 2:
            got["y"] = 2000 + int(value)
        else:
            got["y" if letter == "u" else "M" if letter == "L" else letter] = int(value)
    return _assembled(got)


def _assembled(got: dict[str, int]) -> int | None:
    hour = got.get("H")
    if "k" in got:
        hour = got["k"] % 24
    if "h" in got or "K" in got:
        if "h" in got and not 1 <= got["h"] <= 12:
            return None
        hour = got.get("h", got.get("K", 0)) % 12 + 12 * got.get("a", 0)
    full = {**_DEFAULTS, **got, "H": hour or 0}
    year, month, day = full["y"], full["M"], full["d"]
    if "D" in got:
        return None
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if not (0 <= full["H"] <= 23 and full["m"] <= 59 and full["s"] <= 59):
        return None
    day = min(day, month_days(year, month))
    seconds = days_of(year, month, day) * 86400
    seconds += (full["H"] * 60 + full["m"]) * 60 + full["s"]
    return seconds * 1_000_000_000 + full["nanos"]


def parse_simple(text: str, pattern: str) -> int | None:
    """Milliseconds since the epoch of a local time, as `SimpleDateFormat` reads it.

    It takes any number of digits, lets fields run over (month 13 is next January) and ignores what
    follows; None where the beginning does not match.
    """
    fields = pattern_fields(pattern)
    for field in fields:
        if field.letter in _FORMAT_ONLY:
            raise PatternError(f"pattern letter {field.letter} is not supported for reading")
    got: dict[str, int] = {}
    at = 0
    for k, field in enumerate(fields):
        if field.letter == "'":
            if not text.startswith(field.text, at):
                return None
            at += len(field.text)
            continue
        if field.letter == "X":
            raise PatternError("pattern letter X is not supported here")
        if field.letter in "aE" or (field.letter in "ML" and field.count >= 3):
            names = _names(field)
            hit = next(
                (i for i, n in enumerate(names) if text[at : at + len(n)].lower() == n.lower()),
                None,
            )
            if hit is None:
                return None
            at += len(names[hit])
            if field.letter != "E":
                got[field.letter] = hit + (field.letter in "ML")
            continue
        if field.letter in "yu" and field.count < 3:
            raise PatternError(f"a year of {field.count} digits cannot be read")
        adjacent = k + 1 < len(fields) and fields[k + 1].letter != "'"
        found = re.match(rf"[ \t]*\d{{1,{field.count if adjacent else 18}}}", text[at:], re.ASCII)
        if found is None:
            return None
        got[field.letter] = int(found[0])
        at += found.end()
    return _run_over(got)


def _names(field: PatternField) -> tuple[str, ...]:
    if field.letter == "a":
        return ("AM", "PM")
    full = _DAYS if field.letter == "E" else _MONTHS
    return full if field.count == 4 else tuple(n[:3] for n in full)


def _run_over(got: dict[str, int]) -> int:
    months = got.get("y", got.get("u", 1970)) * 12 + got.get("M", got.get("L", 1)) - 1
    days = days_of(months // 12, months % 12 + 1, 1) + got.get("d", 1) - 1
    if "D" in got and "d" not in got:
        days = days_of(got.get("y", 1970), 1, 1) + got["D"] - 1
    hour = got.get("H", got.get("k", 0) % 24)
    if "h" in got or "K" in got:
        hour = got.get("h", got.get("K", 0)) % 12 + 12 * got.get("a", 0)
    seconds = ((days * 24 + hour) * 60 + got.get("m", 0)) * 60 + got.get("s", 0)
    return seconds * 1000 + got.get("S", 0)
