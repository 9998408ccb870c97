"""`%t` of `java.util.Formatter`, in English: parts of a moment given in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from flowsql.expr.faults import Fault
from flowsql.expr.zones import local_from_utc

__all__ = ["TIME_LETTERS", "time_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_SECOND, _DAY = 1000, 86_400_000
# Java counts days before by the Julian calendar.
_FIRST = -12_219_292_800_000
_LAST = 253_402_300_799_999


def time_text(millis: int, letter: str, zone: str) -> str:
    """What `%t` with this letter writes of a moment.

    Args:
        millis: since 1970 in UTC.
        letter: one of TIME_LETTERS.
        zone: of the date and the time.

    Raises:
        Fault: the moment lies before 15 October 1582 or past 9999, or the zone has no short name here.
    """
    if letter in "sQ":
        return str(millis // _SECOND if letter == "s" else millis)
    if not _FIRST + _DAY <= millis <= _LAST - _DAY:
        raise Fault("conversion '%t' of PRINTF takes moments from 1582-10-16 to 9999-12-30")
    if letter in "Zc" and zone != "UTC":
        raise Fault(
            f"conversion '%t{letter}' of PRINTF knows no short name of the time zone \"{zone}\"",
            hint="Use %tz for the offset.",
        )
    local = _local(millis, zone)
    return _LETTERS[letter](_EPOCH + timedelta(milliseconds=local), local - millis)


@lru_cache(maxsize=1024)
def _local(millis: int, zone: str) -> int:
    moment = pa.array([millis], pa.int64()).view(pa.timestamp("ms", tz="UTC"))
    found: Any = local_from_utc(moment, zone).view(pa.int64())[0].as_py()
    return int(found)


def _hour(at: datetime) -> int:
    return (at.hour + 11) % 12 + 1


def _offset(millis: int) -> str:
    hours, minutes = divmod(abs(millis) // 60_000, 60)
    return f"{'-' if millis < 0 else '+'}{hours:02}{minutes:02}"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_LETTERS: Final[dict[str, Callable[[datetime, int], str]]] = {
    "H": lambda at, _: f"{at.hour:02}",
    "I": lambda at, _: f"{_hour(at):02}",
    "k": lambda at, _: str(at.hour),
    "l": lambda at, _: str(_hour(at)),
    "M": lambda at, _: f"{at.minute:02}",
    "S": lambda at, _: f"{at.second:02}",
    "L": lambda at, _: f"{at.microsecond // 1000:03}",
    "N": lambda at, _: f"{at.microsecond * 1000:09}",
    "p": lambda at, _: "am" if at.hour < 12 else "pm",
    "z": lambda _, offset: _offset(offset),
    "Z": lambda _at, _offset: "UTC",
    "B": lambda at, _: _MONTHS[at.month - 1],
    "b": lambda at, _: _MONTHS[at.month - 1][:3],
    "h": lambda at, _: _MONTHS[at.month - 1][:3],
    "A": lambda at, _: _DAYS[at.weekday()],
    "a": lambda at, _: _DAYS[at.weekday()][:3],
    "C": lambda at, _: f"{at.year // 100:02}",
    "Y": lambda at, _: f"{at.year:04}",
    "y": lambda at, _: f"{at.year % 100:02}",
    "j": lambda at, _: f"{at.timetuple().tm_yday:03}",
    "m": lambda at, _: f"{at.month:02}",
    "d": lambda at, _: f"{at.day:02}",
    "e": lambda at, _: str(at.day),
    "R": lambda at, _: f"{at:%H:%M}",
    "T": lambda at, _: f"{at:%H:%M:%S}",
    "r": lambda at, _: f"{_hour(at):02}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}",
    "D": lambda at, _: f"{at:%m/%d}/{at.year % 100:02}",
    "F": lambda at, _: f"{at.year:04}-{at:%m-%d}",
    "c": lambda at, _: (
        f"{_DAYS[at.weekday()][:3]} {_MONTHS[at.month - 1][:3]} {at:%d %H:%M:%S} UTC {at.year:04}"
    ),
}
TIME_LETTERS: Final = frozenset(_LETTERS) | {"s", "Q"}
