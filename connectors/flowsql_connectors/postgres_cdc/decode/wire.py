"""The frames of a replication stream: what the server wraps a message of the log in.

`w` + start of the record, end of the log, time, and the message; `k` + end of the log, time, and
whether it wants an answer. Ours is `r`: what was written, flushed and applied.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flowsql.errors import DataError
from flowsql_connectors.postgres_cdc.decode.gather import LARGEST, Places, Scattered

__all__ = ["UNIX_TO_2000", "LogFrames", "read_frames", "standby_status"]

_DATA: Final = ord("w")
_KEEPALIVE: Final = ord("k")
_DATA_HEADER: Final = 25
_KEEPALIVE_SIZE: Final = 18
_STATUS: Final = struct.Struct(">cQQQqB")
UNIX_TO_2000: Final = 946_684_800_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class LogFrames:
    """A batch of messages of the log.

    Attributes:
        data: all bytes.
        starts: of each message, without its frame.
        ends: and where it ends.
        log_end: the highest end of the server's log among the frames, 0 for no frames.
        answer_wanted: whether the server asked for a status now.
        keepalive_end: the end of the log in the last keepalive behind the last message, else None:
            all that was committed before it has been sent.
    """

    data: Scattered
    starts: Places
    ends: Places
    log_end: int
    answer_wanted: bool
    keepalive_end: int | None


def read_frames(frames: Sequence[bytes | memoryview]) -> LogFrames:
    """Frames as they come from the connection, together below 2 GiB.

    Raises DataError for what is no frame of a replication stream.
    """
    data = Scattered(frames)
    sizes = np.fromiter(map(len, frames), np.intp, len(frames))
    ends = np.cumsum(sizes)
    if data.size > LARGEST:
        raise DataError("a batch of the log has more than 2 GiB")
    starts = ends - sizes
    kinds = data.octets[starts]
    is_data = (kinds == _DATA) & (sizes > _DATA_HEADER)
    is_keepalive = (kinds == _KEEPALIVE) & (sizes == _KEEPALIVE_SIZE)
    if not (is_data | is_keepalive).all():
        foreign = int(np.argmin(is_data | is_keepalive))
        raise DataError(
            f"the server sent a frame of the log that is not known: {bytes(frames[foreign][:1])!r}"
            f" and {sizes[foreign] - 1} bytes"
        )
    log_end = answer = 0
    keepalive_end = None
    if len(frames):
        # The end of the log stands behind the start of the record in `w`, first in `k`.
        log_end = int(data.int64(starts + np.where(is_data, 9, 1)).max())
        at_keepalives = starts[is_keepalive]
        answer = int(data.octets[at_keepalives + 17].any()) if len(at_keepalives) else 0
        if is_keepalive[-1]:
            keepalive_end = int(data.int64(at_keepalives[-1:] + 1)[0])
    return LogFrames(
        data,
        starts[is_data] + _DATA_HEADER,
        ends[is_data],
        log_end,
        bool(answer),
        keepalive_end,
    )


def standby_status(
    flushed: int, now_us: int, *, written: int | None = None, answer: bool = False
) -> bytes:
    """The status that tells the server how far we are.

    Args:
        flushed: log position below which nothing is needed again; 0 for no news of that.
        now_us: microseconds since 1970.
        written: log position that was received; unset: as `flushed`.
        answer: whether the server shall answer at once.
    """
    received = flushed if written is None else written
    return _STATUS.pack(b"r", received, flushed, flushed, now_us - UNIX_TO_2000, answer)
