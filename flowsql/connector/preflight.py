"""The contract of a check before the start: what stands in a table's way, found without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flowsql.connector.role import Role
from flowsql.connector.source import JSON

__all__ = ["Finding", "Needs", "PreflightContext", "Severity"]


class Severity(Enum):
    """What becomes of a job that starts nevertheless."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        severity: ERROR: the job cannot start, or would fail or be wrong for certain. WARNING: it
            may. NOTE: worth knowing.
        fact: what is wrong, a lower-case fact without a full stop, names in double quotes.
        cure: the statement or setting that mends it, as a sentence; a statement stands as the
            server takes it, identifiers quoted.
        table: full name of the table it is about; None: of all that were asked about.
        option: key of the option that is wrong, so that it is shown there.
        detail: what else helps, as sentences.
    """

    severity: Severity
    fact: str
    cure: str | None = None
    table: str | None = None
    option: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a plan needs of a table; the columns are those of the `ConnectorTable`.

    Attributes:
        role: it is read or written.
        key: its primary key's columns; the plan relies on it.
        before_images: updates and deletions must come with the whole row from before, of the
            columns that are read.
        whole_rows: an update must come with all columns that are read: nothing behind the scan
            could fill in what the source leaves out as unchanged.
        holds_rows: the engine keeps the table's rows by key, fills in what is unchanged, and can
            take back all of them.
    """

    role: Role
    key: tuple[str, ...] = ()
    before_images: bool = False
    whole_rows: bool = False
    holds_rows: bool = False


@dataclass(frozen=True, slots=True)
class PreflightContext:
    """How to check, and for what.

    Attributes:
        quick: a job is about to start: only what costs a few milliseconds is looked at, and
            nothing that opening the tables would do again is done.
        checkpoints: the job takes checkpoints; without, a source leaves nothing behind.
        streaming: False in batch mode.
        parallelism: readers at most.
        position: `{"source": …, "splits": {id: …}}` that a start of the job would go on from, as it
            was stored; None: it would begin at the beginning.
        held: the slot in the server that the job, which runs now, reads the tables through.
    """

    quick: bool = False
    checkpoints: bool = True
    streaming: bool = True
    parallelism: int = 1
    position: JSON | None = None
    held: str | None = None
