"""What the runtime hands to sources and sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowsql.changelog import ChangelogMode
from flowsql.connector.preflight import Needs

__all__ = ["Attempt", "ConnectorContext", "StartInterrupted"]


class StartInterrupted(Exception):  # noqa: N818 - not a failure
    """The job was asked to stop while a start waited for something that may never come."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who writes: names of files, transactions and markers carry all three (DESIGN 8).

    Attributes:
        job: the job's id.
        run: drawn at a fresh start, kept by every resume.
        number: counts the processes that ran this run, from 1.
        dead: other runs of the job that surely no process goes on with.
    """

    job: str
    run: str
    number: int
    dead: frozenset[str] = frozenset()

    def name(self, checkpoint: int) -> str:
        """`<job id>/<run>/<attempt>/<checkpoint>`."""
        return f"{self.job}/{self.run}/{self.number}/{checkpoint}"


def _say_nothing(line: str) -> None:
    del line


def _never() -> bool:
    return False


@dataclass(frozen=True)
class ConnectorContext:
    """Handed to `open_source` and `Sink.open`.

    Attributes:
        attempt: whose work this is.
        spool: a folder of the job for spooled transactions; emptied at every start.
        checkpoint_files: the folder in which `checkpoint_file` makes files, or None where the
            job takes no checkpoints.
        parallelism: readers or writers to use at most.
        streaming: False in batch mode.
        lasting: False where no later process goes on with the job (a SELECT): what a source makes
            in its server for it goes with it.
        tell: says something that the user should know, a line; called by `open_source`,
            `Source.discover` and `Sink.open` only.
        stopping: whether the job is asked to stop: what waits for long in a start looks now and
            then, undoes what it made and raises StartInterrupted; called from any thread.
        needs: full name of a table → what the plan needs of it; for `open_source`.
        sink: which of the job's sinks is opened, stable over restarts; for `Sink.open`.
        mode: what that sink will be given.
    """

    attempt: Attempt
    spool: Path
    checkpoint_files: Path | None = None
    parallelism: int = 1
    streaming: bool = True
    lasting: bool = True
    tell: Callable[[str], None] = _say_nothing
    stopping: Callable[[], bool] = _never
    needs: Mapping[str, Needs] = field(default_factory=dict)
    sink: str = ""
    mode: ChangelogMode = ChangelogMode.APPEND

    def checkpoint_file(self, name: str) -> Path:
        """A file for a token's bulk; lives as long as the checkpoint that names it.

        Raises:
            ValueError: the job takes no checkpoints.
        """
        if self.checkpoint_files is None:
            raise ValueError("the job takes no checkpoints")
        return self.checkpoint_files / name
