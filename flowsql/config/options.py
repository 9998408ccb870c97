"""Options as data: what a `SET` key or a `WITH` key means, declared once.

An engine option and a connector option are the same thing: a key, a type, a default, a sentence.
Parsing, the error for an unknown key, and the reference pages all come from the declaration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flowsql.errors import ConfigError, Refusals, nearest

__all__ = [
    "UNSET",
    "Option",
    "OptionType",
    "OptionValues",
    "parse_duration",
    "parse_memory",
    "parse_options",
    "show_duration",
]


class OptionType(Enum):
    """How the text of an option is read, and as what Python value."""

    STRING = "string"
    INT = "integer"
    FLOAT = "double"
    BOOLEAN = "boolean"
    DURATION = "duration"  # int milliseconds
    MEMORY = "memory size"  # int bytes
    ENUM = "enum"  # str, lower case, one of `choices`
    LIST = "list"  # tuple[str, ...], separated by ';'


class _Unset(Enum):
    UNSET = "unset"


UNSET = _Unset.UNSET


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option.

    Attributes:
        key: as written in SQL; a `#` stands for one column name (`fields.#.kind`).
        type: how its text is read.
        doc: one sentence for the reference page.
        default: the parsed default; None means "not set".
        flink_default: Flink's default where it differs from ours, as text.
        choices: the allowed values of an ENUM.
        required: must be given.
        secret: is shown as `'******'` everywhere.
        refused: is Flink's, and not built: refused by name rather than as unknown.
        identifying: is part of the source's or sink's identity (DESIGN 8).
    """

    key: str
    type: OptionType
    doc: str
    default: Any = None
    flink_default: str | _Unset = UNSET
    choices: tuple[str, ...] = ()
    required: bool = False
    secret: bool = False
    identifying: bool = False
    refused: bool = False

    def parse(self, text: str, *, where: str = "option") -> Any:
        """The value of `text`; raises ConfigError that names key, value and type."""
        try:
            return _parse(self, text.strip())
        except ValueError as error:
            shown = "'******'" if self.secret else repr(text)
            raise ConfigError(
                f'{where} "{self.key}" cannot be {shown}: {error}', hint=self.doc, option=self.key
            ) from None

    def matches(self, key: str) -> bool:
        """Whether `key` is this option's, `#` standing for one name."""
        if "#" not in self.key:
            return key == self.key
        pattern = re.escape(self.key).replace(r"\#", "#").replace("#", ".+")
        return re.fullmatch(pattern, key) is not None


class OptionValues(Mapping[str, Any]):
    """Parsed options by key; a declared key that was not given has its default."""

    def __init__(self, declared: Iterable[Option], given: Mapping[str, Any]) -> None:
        self._declared = {o.key: o for o in declared}
        self._given = dict(given)

    def __getitem__(self, key: str) -> Any:
        if key in self._given:
            return self._given[key]
        if key in self._declared:
            return self._declared[key].default
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._given, *(k for k in self._declared if "#" not in k)]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def declared(self) -> tuple[Option, ...]:
        """Every option that may occur."""
        return tuple(self._declared.values())

    def is_set(self, key: str) -> bool:
        """Whether the key was given, rather than defaulted."""
        return key in self._given

    def matching(self, pattern: str) -> dict[str, Any]:
        """Name → value of the given keys that match a declared `#` key."""
        before, _, after = pattern.partition("#")
        return {
            key[len(before) : len(key) - len(after)]: value
            for key, value in self._given.items()
            if self._declared[pattern].matches(key)
        }


def parse_options(
    declared: Iterable[Option], given: Mapping[str, str], *, where: str
) -> OptionValues:
    """Checks and parses what was given.

    Args:
        declared: every option that may occur.
        given: key → text.
        where: for messages, such as `table "bid" (connector "filesystem")`.

    Raises:
        ConfigError: an unknown key (with the nearest), a missing required one, a bad value.
    """
    options = list(declared)
    values: dict[str, Any] = {}
    refusals = Refusals()
    for key, text in given.items():
        with refusals.part():
            values[key] = _parsed(key, text, options, where)
    refusals.check()
    for option in options:
        if option.required and option.key not in values:
            raise ConfigError(f'{where} needs option "{option.key}"', hint=option.doc)
    return OptionValues(options, values)


def _parsed(key: str, text: str, options: Sequence[Option], where: str) -> Any:
    """One option's value; raises as `parse_options`."""
    option = next((o for o in options if o.matches(key)), None)
    if option is None:
        near = nearest(key, (o.key for o in options))
        raise ConfigError(
            f'{where} has no option "{key}"',
            hint=f'Did you mean "{near}"?'
            if near
            else "Options: " + ", ".join(sorted(o.key for o in options if not o.refused)) + ".",
            option=key,
        )
    if option.refused:
        raise ConfigError(
            f'{where}: option "{key}" of Flink is not supported yet',
            hint=option.doc,
            option=key,
        )
    try:
        return option.parse(text, where=f"{where}: option")
    except ConfigError as error:
        error.option = key
        raise


_UNITS_MS = {
    "d": 86_400_000, "day": 86_400_000, "days": 86_400_000,
    "h": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "m": 60_000, "min": 60_000, "minute": 60_000, "minutes": 60_000,
    "s": 1000, "sec": 1000, "secs": 1000, "second": 1000, "seconds": 1000,
    "ms": 1, "milli": 1, "millis": 1, "millisecond": 1, "milliseconds": 1, "": 1,
}  # fmt: skip

_ISO_DURATION = re.compile(
    r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d{1,9})?)S)?)?", re.IGNORECASE
)

_UNITS_BYTES = {
    "": 1, "b": 1, "bytes": 1,
    "k": 1 << 10, "kb": 1 << 10, "kibibytes": 1 << 10,
    "m": 1 << 20, "mb": 1 << 20, "mebibytes": 1 << 20,
    "g": 1 << 30, "gb": 1 << 30, "gibibytes": 1 << 30,
    "t": 1 << 40, "tb": 1 << 40, "tebibytes": 1 << 40,
}  # fmt: skip


def parse_duration(text: str) -> int:
    """Flink's duration text (`10 s`, `1min`, `500`, `PT1H`) in milliseconds; raises ValueError."""
    iso = _ISO_DURATION.fullmatch(text.strip())
    if iso is not None and any(iso.groups()):
        days, hours, minutes, seconds = (float(part or 0) for part in iso.groups())
        return int(((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000)
    return _scaled(text, _UNITS_MS, "a duration such as '10 s', '5 min' or '500 ms'")


def show_duration(duration: int) -> str:
    """Milliseconds in the largest unit that gives a whole number."""
    for unit in ("d", "h", "min", "s"):
        if duration and duration % _UNITS_MS[unit] == 0:
            return f"{duration // _UNITS_MS[unit]} {unit}"
    return f"{duration} ms"


def parse_memory(text: str) -> int:
    """Flink's memory text (`64 mb`, `1g`, `1024`) in bytes; raises ValueError."""
    return _scaled(text, _UNITS_BYTES, "a size such as '64 mb' or '1 gb'")


def _scaled(text: str, units: Mapping[str, int], expected: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text.strip())
    if match is None or match[2].lower() not in units:
        raise ValueError(f"expected {expected}")
    return int(match[1]) * units[match[2].lower()]


def _parse(option: Option, text: str) -> Any:
    match option.type:
        case OptionType.STRING:
            return text
        case OptionType.INT:
            try:
                return int(text)
            except ValueError:
                raise ValueError("expected a whole number") from None
        case OptionType.FLOAT:
            try:
                return float(text)
            except ValueError:
                raise ValueError("expected a number") from None
        case OptionType.BOOLEAN:
            if text.lower() not in {"true", "false"}:
                raise ValueError("expected 'true' or 'false'")
            return text.lower() == "true"
        case OptionType.DURATION:
            return parse_duration(text)
        case OptionType.MEMORY:
            return parse_memory(text)
        case OptionType.LIST:
            return tuple(part.strip() for part in text.split(";") if part.strip())
        case OptionType.ENUM:
            if text.lower() not in option.choices:
                near = nearest(text, option.choices)
                also = f"; did you mean '{near}'?" if near else ""
                raise ValueError("expected " + " | ".join(f"'{c}'" for c in option.choices) + also)
            return text.lower()
