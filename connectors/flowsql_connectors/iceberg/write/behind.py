"""Row groups are encoded and written behind the engine's back, which takes the next rows meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Behind", "Work"]


class Work:
    """Something that is being done in a thread of its own.

    The thread does not keep the process: what it writes is of no use without the engine.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="iceberg row group", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it is over, however it ends."""
        self._thread.join()

    def result(self) -> None:
        """Wait, and raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error


class Behind:
    """Does one thing at a time for all files of a writer, so that memory holds one more row group."""

    def __init__(self) -> None:
        self._last: Work | None = None

    def start(self, work: Callable[[], None]) -> Work:
        """Begin once what was begun before is over."""
        if self._last is not None:
            self._last.wait()
        self._last = Work(work)
        return self._last
