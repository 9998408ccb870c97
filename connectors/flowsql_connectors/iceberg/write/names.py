"""Names of the files that a sink makes, by which a later start finds what a killed one left.

<data>/<partition>/<sink>-<run>-<attempt>-<opening>-<n>.parquet            rows
<data>/<partition>/<sink>-<run>-<attempt>-<opening>-<n>-deletes.parquet    positions
<metadata>/<sink>-<run>-<attempt>-<opening>-<n>-m<k>.avro                  manifests
<metadata>/snap-<snapshot>-0-<sink>-<run>-<attempt>-<opening>-<n>.avro     lists of manifests
<metadata>/<sink>-<run>-<attempt>-<opening>-<n>.expired                    what may be deleted

`<sink>` is made of the job's id, the sink's and the table's, and holds no hyphen: several tables
may share a folder. What is made before there is a table begins with the first two.

A name is never given twice, and so tells a file whatever the spelling of its folder.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
from collections.abc import Iterator
from typing import Final

from flowsql.connector import Attempt

__all__ = [
    "PLAN",
    "UNFINISHED",
    "FileNames",
    "attempt_of",
    "base_name",
    "run_part",
    "sink_tag",
    "table_tag",
]

# Ends the names of metadata that are being written.
UNFINISHED: Final = ".unfinished"
# Ends the names of plans of files to delete.
PLAN: Final = ".expired"
_READABLE: Final = 32
_TABLE: Final = 12


def sink_tag(job: str, sink: str) -> str:
    """What the names of a sink's files begin with."""
    digest = hashlib.sha256(f"{job}\0{sink}".encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9]', '_', job)[:_READABLE]}_{digest}"


def table_tag(tag: str, table: str) -> str:
    """What the names of a sink's files begin with in one table; `table` is its UUID."""
    return f"{tag}_{re.sub('[^A-Za-z0-9]', '', table)[:_TABLE]}"


def run_part(run: str) -> str:
    """How a run stands in names."""
    return re.sub("[^A-Za-z0-9]", "_", run)


def base_name(location: str) -> str:
    """The last part of a location."""
    return location.rpartition("/")[2]


class FileNames:
    """Gives names, none twice, however often one process opens the sink."""

    def __init__(self, tag: str, attempt: Attempt) -> None:
        self._stem = f"{tag}-{run_part(attempt.run)}-{attempt.number}-{secrets.token_hex(4)}"
        self._numbers: Iterator[int] = itertools.count()

    def new(self, suffix: str) -> str:
        """A name that ends in `suffix`."""
        return f"{self._stem}-{next(self._numbers):05d}{suffix}"


def attempt_of(location: str, tag: str) -> tuple[str, int] | None:
    """(run, attempt) of the process that made a file of this sink; None of anybody else's."""
    name = base_name(location)
    found = re.fullmatch(rf"(?:snap-\d+-0-)?{re.escape(tag)}-([^-]+)-(\d+)-.*", name)
    return None if found is None else (found[1], int(found[2]))
