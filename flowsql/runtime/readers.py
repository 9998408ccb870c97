"""Reader threads: each polls one `Reader` and queues units for the engine.

A reader is driven by messages (assign, tell, close) and answers with units: nothing else passes
between it and the engine, so that a process of its own can take the thread's place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from flowsql.connector import JSON, Reader, SourceStatus, Split
from flowsql.runtime.clock import monotonic
from flowsql.runtime.units import Unit, UnitBuilder

__all__ = ["Assignment", "ReaderThread"]

_POLL_ROWS = 65_536
_POLL_SECONDS = 0.1

Assignment = Sequence[tuple[Split, JSON | None]]


class ReaderThread:
    """One reader and its queue.

    Args:
        name: of the thread and of its spooled files.
        open_reader: makes the reader, in the thread.
        splits: ids it starts with.
        spool: folder for large transactions.
        queue_bytes: it waits while so much is queued.
        transaction_bytes: transactions larger than this are spooled.
        ready: notified whenever a unit or an error is queued; its lock guards the queue.

    Attributes:
        status: what the reader said of itself after its last poll.
    """

    def __init__(
        self,
        name: str,
        open_reader: Callable[[], Reader],
        splits: Sequence[str],
        *,
        spool: Path,
        queue_bytes: int,
        transaction_bytes: int,
        ready: threading.Condition,
    ) -> None:
        self.name = name
        self._open_reader = open_reader
        self._open_splits = set(splits)
        self._builder = UnitBuilder(spool, name, transaction_bytes)
        self._limit = queue_bytes
        self._ready = ready
        self._wake = threading.Condition()
        self._messages: deque[Callable[[Reader], None]] = deque()
        self._closing = False
        self._leave: Callable[[Reader | None], None] = _close
        self._reader: Reader | None = None
        self.queue: deque[Unit | BaseException] = deque()
        self.queued_bytes = 0
        self.status: SourceStatus | None = None
        self._thread = threading.Thread(target=self._run, name=f"reader {name}", daemon=True)

    @property
    def process(self) -> int | None:
        """The reader's own process, if it has one."""
        return None if self._reader is None else self._reader.pid

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def assign(self, splits: Assignment) -> None:
        """More splits."""

        def apply(reader: Reader) -> None:
            self._open_splits.update(split.id for split, _ in splits)
            reader.assign(splits)

        self._send(apply)

    def tell(self, message: JSON) -> None:
        """A message from the source."""
        self._send(lambda reader: reader.tell(message))

    def take(self) -> Unit | BaseException:
        """The oldest in the queue; the caller holds the lock of `ready` and knows there is one."""
        item = self.queue.popleft()
        if isinstance(item, Unit):
            self.queued_bytes -= item.bytes
            if self.queued_bytes <= self._limit < self.queued_bytes + item.bytes:
                with self._wake:
                    self._wake.notify()
        return item

    def close(self, leave: Callable[[Reader | None], None] | None = None) -> None:
        """Stop reading; what is queued is dropped.

        Args:
            leave: called, in the thread, with the reader instead of closing it; with None where
                there is none.
        """
        with self._wake:
            self._leave = leave or self._leave
            self._closing = True
            self._wake.notify()

    def join(self, timeout: float) -> bool:
        """Wait until the thread is over; whether it is."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """The thread may be left behind: a process that it waits for is ended."""
        if self._thread.is_alive() and self._reader is not None:
            self._reader.kill()

    def _send(self, message: Callable[[Reader], None]) -> None:
        with self._wake:
            self._messages.append(message)
            self._wake.notify()

    def _run(self) -> None:
        reader: Reader | None = None
        try:
            reader = self._reader = self._open_reader()
            while not self._closing:
                self._read(reader)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the engine's thread
            if not self._closing:
                self._put(error)
        finally:
            self._leave(reader)

    def _read(self, reader: Reader) -> None:
        """Messages, then at most one poll."""
        while self._messages:
            self._messages.popleft()(reader)
        if self._idle():
            with self._wake:
                if self._idle() and not self._messages and not self._closing:
                    self._wake.wait()
            return
        started = monotonic()
        poll = reader.poll(_POLL_ROWS, _POLL_SECONDS)
        self.status = reader.status()
        if poll is None:
            rest = _POLL_SECONDS - (monotonic() - started)
            if rest > _POLL_SECONDS / 2:
                # A reader that answers at once with nothing must not be asked all the time.
                with self._wake:
                    if not self._messages and not self._closing:
                        self._wake.wait(rest)
            return
        if self._closing:
            # It may have been left behind meanwhile: its spool folder is another attempt's.
            return
        self._open_splits.difference_update(poll.finished)
        self._builder.add(poll)
        if poll.boundary:
            # A step of embedded inputs, and a poll without rows, may move splits that gave none.
            moved = self._open_splits if poll.ends_step else self._builder.splits
            if not moved and not poll.finished:
                moved = self._open_splits
            positions = {split: reader.position(split) for split in moved & self._open_splits}
            self._put(self._builder.finish(positions))

    def _idle(self) -> bool:
        """Nothing can be read, or nothing may be: the queue is full."""
        if not self._open_splits and self._builder.empty:
            return True
        return self.queued_bytes > self._limit and self._builder.empty

    def _put(self, item: Unit | BaseException) -> None:
        with self._ready:
            self.queue.append(item)
            if isinstance(item, Unit):
                self.queued_bytes += item.bytes
            self._ready.notify_all()


def _close(reader: Reader | None) -> None:
    if reader is not None:
        reader.close()
