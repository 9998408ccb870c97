"""The proleptic Gregorian calendar on NumPy arrays: days since 1970-01-01 and their fields."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["add_months", "civil_from_days", "days_from_civil", "days_in_month", "iso_week"]

_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


def civil_from_days(days: Any) -> tuple[Any, Any, Any]:
    """Year, month (1–12) and day (1–31)."""
    z = np.asarray(days, dtype=np.int64) + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day = doy - (153 * mp + 2) // 5 + 1
    month = np.where(mp < 10, mp + 3, mp - 9)
    return yoe + era * 400 + (month <= 2), month, day


def days_from_civil(year: Any, month: Any, day: Any) -> Any:
    """Days since the epoch."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


def days_in_month(year: Any, month: Any) -> Any:
    """28 to 31."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return _MONTH_DAYS[month - 1] + ((month == 2) & leap)


def add_months(days: Any, months: Any) -> Any:
    """The date so many months later; a day past the month's end becomes its last."""
    year, month, day = civil_from_days(days)
    total = year * 12 + (month - 1) + months
    year, month = total // 12, total % 12 + 1
    return days_from_civil(year, month, np.minimum(day, days_in_month(year, month)))


def iso_week(days: Any) -> tuple[Any, Any]:
    """ISO year and ISO week; a week begins on Monday."""
    days = np.asarray(days, dtype=np.int64)
    thursday = days - (days + 3) % 7 + 3
    year, _, _ = civil_from_days(thursday)
    return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1
