"""Numbers, sizes and times for people."""

from __future__ import annotations

__all__ = ["bytes_text", "count_text", "duration_text"]


def count_text(number: float, *, tight: bool = False) -> str:
    """A number of rows, short; without a blank where it is to be tight."""
    gap = "" if tight else " "
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            return f"{number / (1e3 if unit == 'k' else size):.1f}{gap}{unit}"
    return f"{number:.0f}"


def bytes_text(number: float, *, tight: bool = False) -> str:
    """A size, short; without a blank where it is to be tight."""
    gap = "" if tight else " "
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        # Never four digits: what would be 1018.8 kB is 1.0 MB.
        if number >= 1000 * (size >> 10):
            return f"{number / size:.1f}{gap}{unit}"
    return f"{number:.0f}{gap}B"


def duration_text(milliseconds: float, *, tight: bool = False) -> str:
    """A time, short; without a blank where it is to be tight."""
    if milliseconds < 0:
        return f"-{duration_text(-milliseconds, tight=tight)}"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.0f}s" if tight else f"{seconds:.1f} s"
    if seconds < 3600:
        amount, unit, rest = int(seconds // 60), "min", f" {int(seconds % 60)} s"
    elif seconds < 86_400:
        amount, unit, rest = int(seconds // 3600), "h", f" {int(seconds % 3600 // 60)} min"
    else:
        amount, unit, rest = int(seconds // 86_400), "d", ""
    return f"{amount}{unit}" if tight else f"{amount} {unit}{rest}"
