"""Whether a file is still what it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from flowsql_connectors.filesystem.paths import readable

__all__ = ["RENAME", "Stamp", "changed"]

RENAME = (
    'Write files under a name that begins with "." or "_" and rename them when they are complete.'
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from the same file with other content.

    Attributes:
        size: bytes.
        mtime_ns: time of the last write, nanoseconds; None where it is not known.
    """

    size: int
    mtime_ns: int | None

    @staticmethod
    def of(status: os.stat_result) -> Stamp:
        """Of a file as it is now."""
        return Stamp(status.st_size, status.st_mtime_ns)

    @staticmethod
    def read(stored: JSON) -> Stamp:
        """From a split's payload, a position or a result."""
        return Stamp(stored["size"], stored.get("mtime_ns"))

    def json(self) -> dict[str, Any]:
        """For positions and results."""
        return {"size": self.size, "mtime_ns": self.mtime_ns}

    def differs(self, other: Stamp) -> bool:
        """Whether the file was written in between, as far as both know."""
        times = {self.mtime_ns, other.mtime_ns} - {None}
        return self.size != other.size or len(times) > 1


def changed(path: Path | str, had: Stamp, has: Stamp, *, when: str, hint: str) -> ConnectorError:
    """The error for a file that is no longer what it was."""
    detail = f"It had {had.size} bytes and has {has.size} now."
    if had.size == has.size:
        detail = f"It has {has.size} bytes as before, but was written again."
    return ConnectorError(f'"{readable(str(path))}" has changed {when}', detail=detail, hint=hint)
