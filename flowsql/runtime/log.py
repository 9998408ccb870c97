"""A line of a job's log, as text and as JSON.

2026-11-22T02:40:39Z job "sales": restarting in 1.0 s: could not connect … [step 812, checkpoint 9]
{"time": "2026-11-22T02:40:39.120Z", "level": "warning", "job": "sales", "step": 812, …}
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["LEVELS", "Line"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Line:
    """Something worth a line.

    Attributes:
        message: a fact, without the job's name.
        level: one of `LEVELS`.
        job: whose it is.
        step: number of the job's last step.
        checkpoint: number of its last checkpoint.
        named: the message says itself whose it is.
    """

    message: str
    level: str = "info"
    job: str | None = None
    step: int | None = None
    checkpoint: int | None = None
    named: bool = False

    def __str__(self) -> str:
        return (
            self.message if self.named or self.job is None else f'job "{self.job}": {self.message}'
        )

    def wanted(self, level: str) -> bool:
        """Whether it is important enough."""
        return LEVELS[self.level] >= LEVELS[level]

    def as_text(self) -> str:
        """With the time in front, and behind it where the job is."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        parts = [f"step {self.step}"] if self.step else []
        parts += [f"checkpoint {self.checkpoint}"] if self.checkpoint is not None else []
        first, *more = str(self).split("\n")
        where = f" [{', '.join(parts)}]" if parts else ""
        return "\n".join([f"{stamp} {first}{where}", *more])

    def as_json(self) -> str:
        """An object on one line; what is not known is null."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = {
            "time": stamp,
            "level": self.level,
            "job": self.job,
            "step": self.step,
            "checkpoint": self.checkpoint,
            "message": self.message,
        }
        return json.dumps(shown, ensure_ascii=False)
