"""The contract of a source (DESIGN 9).

A *source* stands for one source group: the tables of a job that are read through one connection or
log. It lives on the engine's side, lists splits and answers readers. A *reader* is built from plain
JSON and shares nothing with the engine; the runtime runs it in a thread or a process and is the
only one to call it, one call at a time.

The runtime's side:

* after every poll with `boundary` it asks `position` for the splits that moved and keeps the
  answers with the rows: the position of a step is that of its last row, not the reader's;
* a step ends only where every reader's last poll had `boundary`;
* after a restore `open` gets the positions of the checkpoint, and nothing else is remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowsql.changelog import Changes
from flowsql.connector.status import SourceStatus
from flowsql.errors import ConnectorError

__all__ = ["JSON", "BadRecord", "Emptied", "Piece", "Poll", "Reader", "Source", "Split"]

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a source that can be read by itself.

    Attributes:
        id: stable over restarts and unique within the source.
        tables: full names of the tables whose rows it can give.
        payload: what a reader needs to open it; plain JSON.
        snapshot: it is a chunk of a snapshot; its table has no watermark until all are read.
        owner: where two readers must not share it with others, the reader's name ("log").
    """

    id: str
    tables: tuple[str, ...]
    payload: JSON = field(default_factory=dict)
    snapshot: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one table from one split, in order of arrival."""

    table: str
    split: str
    changes: Changes


@dataclass(frozen=True, slots=True)
class Emptied:
    """Every row that a table had until here is gone (TRUNCATE), from whichever split it came.

    Given only for tables of which `ConnectorContext.needs` says `holds_rows`: the engine takes
    back what it holds.
    """

    table: str
    split: str


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be decoded.

    Attributes:
        table: full name of the table it was meant for.
        place: where it stands, for people: `/data/in.csv:17`, `topic-3@991`.
        raw: the bytes as read.
        reason: why, lower case without a full stop.
    """

    table: str
    place: str
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Poll:
    """What one call of `Reader.poll` gave.

    Attributes:
        pieces: rows in order of arrival, and where a table lost all of them.
        bad: records that could not be decoded.
        boundary: what this reader gave so far ends with a whole source transaction.
        finished: split id → result, for splits that are read to their end; the result (a chunk's
            range and bound, say) is handed to `Source.finished`.
        consistent: with all that this reader gave so far, the tables equal the source at a
            commit. Always true for a source that has no snapshot.
        lag_ms: how far the reader is behind the source, where it can tell.
        ends_step: the running step ends after this poll, whatever else is queued (embedded
            inputs, where one item is one step); has `boundary`.
        watermarks: table → event time in milliseconds that the source itself vouches for after
            these pieces; raises the split's own mark, never lowers it.
    """

    pieces: tuple[Piece | Emptied, ...] = ()
    bad: tuple[BadRecord, ...] = ()
    boundary: bool = True
    finished: Mapping[str, JSON] = field(default_factory=dict)
    consistent: bool = True
    lag_ms: int | None = None
    ends_step: bool = False
    watermarks: Mapping[str, int] = field(default_factory=dict)


class Reader(ABC):
    """Reads splits; holds no state but their positions."""

    @abstractmethod
    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        """The next rows, or None for nothing yet.

        Waits at most `timeout` seconds. A whole transaction may exceed `max_rows`; it then comes
        in several polls without `boundary`. Never gives rows of a split after its `finished`.

        Raises:
            ConnectorError: reading cannot go on; the runtime's restart strategy decides.
        """

    @abstractmethod
    def position(self, split: str) -> JSON:
        """Where the next read of this split starts; asked only after a poll with `boundary`.

        Holds `format` (an integer) and `connector`; a reader refuses what it does not know.
        """

    @abstractmethod
    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        """More splits, each with the position to start at, or None for its beginning."""

    def status(self) -> SourceStatus | None:
        """What the reader says of itself, asked after every poll; must cost next to nothing."""
        return None

    def tell(self, message: JSON) -> None:
        """A message from `Source.finished` or `Source.acknowledge`; the default ignores it."""
        del message

    @property
    def pid(self) -> int | None:
        """The process that it reads in, where that is not the engine's."""
        return None

    def kill(self) -> None:
        """Called by another thread where a call does not return: end it, if that can be done."""

    def close(self) -> None:
        """Let go of connections and files; may be called twice."""


class Source(ABC):
    """One source group of a job.

    Attributes:
        bounded: it ends by itself once every split is finished.
        patience: seconds that the end of a job waits for a running `poll`; then the reader is left
            behind. `poll` keeps its timeout, so this is for what hangs.
    """

    bounded: bool = False
    patience: float = 5.0

    @abstractmethod
    def discover(self) -> Sequence[Split]:
        """Splits that were not given before, in a stable order.

        Called once at the start and then whenever `discovery_interval` has passed. After a restore
        it gives all splits that still exist and are not in `position()` as finished; the runtime
        pairs them with stored positions by id.
        """

    def gone(self, splits: Sequence[str]) -> None:
        """Splits that were read in part when a checkpoint was taken, and that are no longer there.

        Called once after a restore, behind the first `discover`. The rest of their rows is lost;
        a source for which that is not so overrides this.

        Raises:
            ConnectorError: the job cannot go on.
        """
        names = ", ".join(f'"{s}"' for s in splits[:3])
        more = f" and {len(splits) - 3} more" if len(splits) > 3 else ""
        raise ConnectorError(
            f"what was read in part is gone: {names}{more}",
            hint="Bring it back, or begin anew with another 'pipeline.name'.",
        )

    @property
    def discovery_interval(self) -> float | None:
        """Seconds between two calls of `discover`, or None for once."""
        return None

    @property
    def complete(self) -> bool:
        """Whether `discover` has given all splits; a bounded source is not over before."""
        return True

    @abstractmethod
    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        """A reader for these splits; called once for each reader the runtime wants."""

    def setup(self) -> JSON | None:
        """What `Connector.open_reader` needs beside the tables, plain JSON.

        None, the default, keeps the source's readers in threads of the engine's process.
        """
        return None

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        """A split is read to its end, and its rows are in a step.

        Returns the messages that every reader of this source is to be told.
        """
        del split, result
        return ()

    def position(self) -> JSON:
        """What the source itself must remember (finished splits, say); plain JSON.

        It is written while the source goes on: what was given never changes.
        """
        return {}

    def status(self) -> SourceStatus | None:
        """What the source says of itself; asked by any thread at any time, so without I/O or wait."""
        return None

    def acknowledge(self, position: Mapping[str, JSON]) -> Sequence[JSON]:
        """Everything before this position of the oldest retained checkpoint may be let go.

        Returns the messages that every reader of this source is to be told: those that hold the
        connection to the log are readers.

        Args:
            position: `{"source": …, "splits": {id: …}}` as it was stored.
        """
        del position
        return ()

    def end(self) -> None:
        """The job is finished, and its last checkpoint committed: nobody goes on from an older one.

        What the source made in its server for restarts goes.
        """

    def close(self) -> None:
        """Let go of everything; may be called twice."""
