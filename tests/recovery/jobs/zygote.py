"""A process that has everything loaded and forks `flowsql …` at each request.

A fork is at work within milliseconds, so that a test can afford hundreds of kills. One child at a
time; it is killed from outside (`Child.kill`) or by itself at a named moment. A page of shared
memory holds the moment it came to last, and outlives it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import mmap
import os
import pkgutil
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flowsql.connector import FileOperation, observe_files

REPOSITORY = Path(__file__).resolve().parents[3]
_PAGE = 64

WARM_UP = """
CREATE TABLE a (k BIGINT, v STRING, t TIMESTAMP(3), WATERMARK FOR t AS t - INTERVAL '4' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '/tmp/none', 'format' = 'parquet');
CREATE TABLE b (k BIGINT, n BIGINT) WITH ('connector' = 'print');
INSERT INTO b SELECT x.k, COUNT(*) FROM a x LEFT JOIN a y ON x.k = y.k GROUP BY x.k;
INSERT INTO b SELECT k, COUNT(*) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(t), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, k;
"""


class Faults:
    """What happens to a child's disk: it is watched, and it may fail or end the process.

    Args:
        page: where the last moment is noted.
        kill_at: `before-fsync:7` ends the process before the seventh fsync, `before-fsync@/out/:7`
            before the seventh of a file whose path has that part, in which `*` is anything.
        fail: `(kind, part of the path, errno, n)`: such operations are refused after the first n.
    """

    def __init__(
        self, page: mmap.mmap, kill_at: str | None, fail: tuple[str, str, int, int] | None
    ) -> None:
        self._page = page
        self._fail = fail
        self._spared = 0 if fail is None else fail[3]
        self._lock = threading.Lock()
        moment, _, number = (kill_at or ":0").rpartition(":")
        self._moment, _, part = moment.partition("@")
        self._parts = f"*{part}*"
        self._left = int(number)

    def before(self, operation: FileOperation) -> None:
        self._come_to(f"before-{operation.kind}", operation)
        if self._fail is not None:
            kind, part, number, _ = self._fail
            if operation.kind == kind and part in operation.path:
                self._spared -= 1
                if self._spared < 0:
                    raise OSError(number, os.strerror(number))

    def after(self, operation: FileOperation) -> None:
        self._come_to(f"after-{operation.kind}", operation)

    def _come_to(self, moment: str, operation: FileOperation) -> None:
        with self._lock:
            self._page[:_PAGE] = moment.encode().ljust(_PAGE)
            if moment == self._moment and fnmatchcase(operation.path, self._parts):
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


class Child:
    """One run of `flowsql`."""

    def __init__(self, zygote: Zygote, pid: int, output: Path, page: mmap.mmap) -> None:
        self._zygote = zygote
        self.pid = pid
        self._output = output
        self._page = page
        self.code: int | None = None

    @property
    def moment(self) -> str:
        """The last moment it came to; empty before its first."""
        return self._page[:_PAGE].rstrip(b" \0").decode()

    @property
    def text(self) -> str:
        """All it has printed."""
        return self._output.read_text()

    @property
    def slowness(self) -> float:
        """How many times as long its work takes as on a machine that does nothing else."""
        try:
            ran, waited = Path(f"/proc/{self.pid}/schedstat").read_text().split()[:2]
        except OSError:  # it is over, or the system does not tell
            return 1.0
        return 1 + int(waited) / max(1, int(ran))

    def wait(self, timeout: float) -> int | None:
        """Its exit code, or None where it still runs."""
        if self.code is None:
            answer = self._zygote.read(timeout)
            if answer is not None:
                self.code = answer["code"]
        return self.code

    def kill(self) -> None:
        """SIGKILL, unless it is over."""
        if self.wait(0) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        assert self.wait(60) is not None

    def come_to_work(self, timeout: float = 60) -> None:
        """Wait until it touches its folder, or is over."""
        end = time.monotonic() + timeout
        while not self.moment and self.wait(0.002) is None:
            assert time.monotonic() < end, self.text


class Zygote:
    """Starts the process; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._buffer = b""
        self.child: Child | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.recovery.jobs.zygote"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.read(60) == {"ready": True}

    def start(
        self,
        *arguments: str,
        kill_at: str | None = None,
        fail: tuple[str, str, int, int] | None = None,
        poll_rows: int | None = None,
    ) -> Child:
        """Fork `flowsql` with these arguments; the one before must be over.

        Args:
            arguments: of the command line.
            kill_at: see `Faults`.
            fail: see `Faults`.
            poll_rows: rows that a reader is asked for at once; few cut transactions to pieces.
        """
        assert self.child is None or self.child.wait(0) is not None
        self._count += 1
        output = self._folder / f"output-{self._count}"
        output.touch()
        shared = self._folder / f"moment-{self._count}"
        shared.write_bytes(bytes(_PAGE))
        with shared.open("r+b") as file:
            page = mmap.mmap(file.fileno(), _PAGE)
        request = {
            "arguments": arguments, "output": str(output), "page": str(shared),
            "kill_at": kill_at, "fail": fail,
            "poll_rows": poll_rows,
        }  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self.read(30)
        assert answer is not None
        self.child = Child(self, answer["pid"], output, page)
        return self.child

    def run(self, *arguments: str, timeout: float = 60, **faults: Any) -> Child:
        """Fork `flowsql` and wait for its end."""
        child = self.start(*arguments, **faults)
        if child.wait(timeout) is None:
            child.kill()
            raise AssertionError(f"hangs: {child.text}")
        return child

    def read(self, timeout: float) -> dict[str, Any] | None:
        """The next answer, None where there is none in time."""
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            rest = max(0.0, end - time.monotonic())
            if not select.select([handle], [], [], rest)[0]:
                return None
            more = os.read(handle, 4096)
            assert more, "the process that forks is gone"
            self._buffer += more
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it, and what it runs."""
        if self.child is not None:
            self.child.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _warm_up() -> None:
    import flowsql_connectors

    import flowsql
    from flowsql.cli.main import main as flowsql_main

    for package in (flowsql, flowsql_connectors):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in (
        "pyarrow.compute", "pyarrow.parquet", "sqlite3", "encodings.idna",
        "pyiceberg.catalog.sql", "sqlalchemy.dialects.sqlite.pysqlite",
    ):  # fmt: skip
        importlib.import_module(name)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(WARM_UP)
        file.flush()
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            assert flowsql_main(["explain", file.name]) == 0


def _child(request: dict[str, Any]) -> None:
    """Runs in the fork; does not return."""
    from flowsql.cli.main import main as flowsql_main
    from flowsql.runtime import readers

    code = 70
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        with Path(request["page"]).open("r+b") as file:
            page = mmap.mmap(file.fileno(), _PAGE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if request["poll_rows"] is not None:
            readers._POLL_ROWS = request["poll_rows"]
        with observe_files(Faults(page, request["kill_at"], request["fail"])):
            code = flowsql_main(request["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001 - the test shows it
        os.write(2, f"child failed: {error!r}\n".encode())
    finally:
        os._exit(code)


def main() -> None:
    """Forks until its standard input ends."""
    _warm_up()
    gc.collect()
    gc.freeze()
    # A fork of a process with threads would hold their locks for ever.
    assert threading.active_count() == 1
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
