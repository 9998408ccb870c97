"""The contract of a sink (DESIGN 8, 9).

Life of a writer: `open`, then for every step `write`*, `advance` and `end_step`, at a checkpoint `prepare(n)`,
and once the manifest that holds the token is durable, `commit(token)`. Between `prepare(n)` and
`commit` it accepts the rows of n+1. Tokens are committed in order, n before n+1 is decided. After a
restore `open` gets the tokens of the checkpoint and the runtime commits them (again): `commit` is
idempotent, even across processes.

A token's bulk goes to `context.checkpoint_file(name)`; the token holds the *name*, never the path:
the file may stand in another folder after a restore.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flowsql.changelog import Changes
from flowsql.connector.context import ConnectorContext
from flowsql.connector.source import JSON
from flowsql.state.spec import StateSpec

__all__ = ["Committed", "Guarantee", "Sink", "Writer"]


class Guarantee(Enum):
    """What a sink promises after a crash."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


@dataclass(frozen=True, slots=True)
class Committed:
    """The last checkpoint whose rows a target holds, by its own marker.

    Attributes:
        run, checkpoint: whose rows they are.
        place: where the marker stands, for a user who wants to begin anew and removes it.
        instead: what such a user does where no marker can be removed by itself, as the middle of a
            sentence: `drop table "shop.t"`.
    """

    run: str
    checkpoint: int
    place: str | None = field(default=None, compare=False)
    instead: str | None = field(default=None, compare=False)


class Writer(ABC):
    """Writes one table; used by one thread.

    Attributes:
        state: tables it wants kept for it, checkpointed like an operator's.
    """

    state: tuple[StateSpec, ...] = ()

    def open_state(self, tables: Mapping[str, Any]) -> None:
        """The tables of `state` by name; called once, before the first row."""
        del tables

    @abstractmethod
    def write(self, changes: Changes) -> None:
        """Rows of the running step, labelled `+I -U +U -D` for the sink's mode."""

    def advance(self, watermark: int, *, ended: bool) -> None:
        """Event time of all rows so far; called before `end_step`, whenever it has risen.

        Args:
            watermark: milliseconds.
            ended: no more rows will come.
        """
        del watermark, ended

    def end_step(self) -> None:
        """The step is whole: a sink that shows every step shows it now."""

    @abstractmethod
    def prepare(self, checkpoint: int) -> JSON | None:
        """Make all rows so far durable, not yet visible.

        Returns a small token that `commit` understands in any later process, or None where
        nothing was written. Must be retryable after an error: the rows are kept.
        """

    @abstractmethod
    def commit(self, token: JSON) -> None:
        """Make the token's rows visible, once however often it is called."""

    def abort(self, token: JSON) -> None:
        """Forget a token that no manifest holds; the rows must vanish."""
        del token

    def close(self) -> None:
        """Let go of everything without making anything visible; may be called twice."""


class Sink(ABC):
    """One target table.

    Attributes:
        guarantee: its promise after a crash.
    """

    guarantee: Guarantee

    @abstractmethod
    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        """A writer; leftovers of earlier attempts of this job, found by name, are removed.

        Args:
            context: of the job.
            previous_tokens: those that the manifest holds, oldest first: usually one, more where
                checkpoints before it had failed after `prepare`. What they name is no leftover:
                the runtime commits them, in order, right after.
        """

    def committed(self, job: str) -> Committed | None:
        """The target's own marker of this job, or None where it keeps none."""
        del job
        return None

    def holders(self) -> Sequence[str]:
        """The jobs whose rows the target holds by its own markers, in order of their names."""
        return ()
