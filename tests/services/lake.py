"""Iceberg's own REST catalog over an S3 server: both on this machine, for one test run."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import boto3

from tests.services.binaries import ServerUnavailable, catalog_classes

__all__ = ["LakeServer"]

_PATIENCE = 120.0  # seconds
_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "testtest"}
_BUCKET = "lake"


class LakeServer:
    """A catalog and a bucket, both empty at first.

    Raises:
        ServerUnavailable: Java, or the catalog's classes, are not to be had.
    """

    def __init__(self) -> None:
        java = shutil.which("java")
        if java is None:
            raise ServerUnavailable("java, which runs the catalog, is not installed")
        classes = catalog_classes()
        self._folder = Path(tempfile.mkdtemp(prefix="flowsql-lake-"))
        self._running: list[subprocess.Popen[bytes]] = []
        s3, rest = _free_port(), _free_port()
        self.endpoint = f"http://127.0.0.1:{s3}"
        self.uri = f"http://127.0.0.1:{rest}"
        try:
            self._start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(s3)])
            self._wait(self.endpoint)
            self.bucket().create()
            arguments = [str(rest), f"s3://{_BUCKET}/warehouse", self.endpoint]
            self._start(
                [
                    java,
                    "-Xmx384m",
                    "-XX:TieredStopAtLevel=1",
                    "-cp",
                    classes,
                    "RestCatalog",
                    *arguments,
                ]
            )
            self._wait(f"{self.uri}/v1/config")
        except BaseException:
            self.close()
            raise

    @property
    def options(self) -> dict[str, str]:
        """WITH of CREATE CATALOG."""
        return {
            "type": "iceberg",
            "catalog-type": "rest",
            "uri": self.uri,
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": "test",
            "s3.secret-access-key": "testtest",
            "s3.path-style-access": "true",
            "s3.region": "us-east-1",
        }

    def bucket(self) -> boto3.resources.base.ServiceResource:
        """What is stored."""
        made = boto3.resource("s3", endpoint_url=self.endpoint, region_name="us-east-1", **_KEYS)
        return made.Bucket(_BUCKET)

    def files(self, below: str) -> list[str]:
        """The names of what is stored below a folder of the warehouse."""
        return [o.key for o in self.bucket().objects.filter(Prefix=f"warehouse/{below}/")]

    def close(self) -> None:
        """Stop both, and forget what they kept."""
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, command: Sequence[str]) -> None:
        # It dies with the tests, however these die.
        servant = shutil.which("setpriv")
        prefix = [servant, "--pdeathsig", "KILL"] if servant else []
        with (self._folder / "server.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    [*prefix, *command],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _wait(self, address: str) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self._running[-1].poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
                return
            time.sleep(0.05)
        log = (self._folder / "server.log").read_text(errors="replace")
        raise RuntimeError(f"{address} did not answer: {log[-2000:]}")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
