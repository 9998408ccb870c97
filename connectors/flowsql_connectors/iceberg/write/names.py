"""Names of the files that a sink makes, by which a later start finds what a killed one left.

<data>/<partition>/<sink>-<run>-<attempt>-<opening>-<n>.parquet            rows
<data>/<partition>/<sink>-<run>-<attempt>-<opening>-<n>-deletes.parquet    positions
<metadata>/<sink>-<run>-<attempt>-<opening>-<n>-m<k>.avro                  manifests
<metadata>/snap-<snapshot>-0-<sink>-<run>-<attempt>-<opening>-<n>.avro     lists of manifests

`<sink>` is made of the job's id and the sink's, and holds no hyphen.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
from collections.abc import Iterator
from typing import Final

from flowsql.connector import Attempt

__all__ = ["FileNames", "attempt_of", "sink_tag"]

_READABLE: Final = 32


def sink_tag(job: str, sink: str) -> str:
    """What the names of a sink's files begin with."""
    digest = hashlib.sha256(f"{job}\0{sink}".encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9]', '_', job)[:_READABLE]}_{digest}"


class FileNames:
    """Gives names, none twice, however often one process opens the sink."""

    def __init__(self, tag: str, attempt: Attempt) -> None:
        run = re.sub("[^A-Za-z0-9]", "_", attempt.run)
        self._stem = f"{tag}-{run}-{attempt.number}-{secrets.token_hex(4)}"
        self._numbers: Iterator[int] = itertools.count()

    def new(self, suffix: str) -> str:
        """A name that ends in `suffix`."""
        return f"{self._stem}-{next(self._numbers):05d}{suffix}"


def attempt_of(location: str, tag: str) -> tuple[str, int] | None:
    """(run, attempt) of the process that made a file of this sink; None of anybody else's."""
    name = location.rpartition("/")[2]
    found = re.fullmatch(rf"(?:snap-\d+-0-)?{re.escape(tag)}-([^-]+)-(\d+)-.*", name)
    return None if found is None else (found[1], int(found[2]))
