"""Catalogs of Iceberg tables on this machine, each started when it is first asked for.

| kind | is | its files |
| --- | --- | --- |
| `rest` | the REST catalog of Iceberg's own | on an S3 server |
| `hive` | a metastore of Hive | in a folder |
| `glue` | what stands for Amazon's Glue in moto | on the S3 server |
| `jdbc` | PostgreSQL | on the S3 server |

The S3 server is moto every day, which starts in a second and lets everybody in; in `make test-all`
it is Versity's, which looks at keys and signatures and keeps files in a folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from tests.services.binaries import catalog_classes, gateway, metastore_classes
from tests.services.postgres import PostgresServer
from tests.services.processes import Servant, free_port, java

__all__ = ["KINDS", "Lake"]

KINDS = ("rest", "hive", "glue", "jdbc")

_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "testtest"}
_BUCKET = "lake"


class Lake:
    """An S3 server with one bucket, and the catalogs.

    Args:
        postgres: starts or gives the server that keeps the `jdbc` catalog.

    Raises:
        ServerUnavailable: at any use, where a server is not to be had.
    """

    def __init__(self, postgres: Callable[[], PostgresServer]) -> None:
        self._postgres = postgres
        self._running: list[Servant] = []
        self.folder = Path(tempfile.mkdtemp(prefix="flowsql-lake-"))

    def close(self) -> None:
        """Stop all, and forget what they kept."""
        for servant in self._running:
            servant.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def options(self, kind: str) -> dict[str, str]:
        """WITH of CREATE CATALOG."""
        given: dict[str, str] = getattr(self, f"_{kind}")
        return {"type": "iceberg", "catalog-type": kind, **given}

    def properties(self, kind: str) -> dict[str, str]:
        """For plain pyiceberg."""
        given = dict(self.options(kind))
        del given["type"], given["catalog-type"]
        if kind == "jdbc":
            given["uri"] = given["uri"].replace(
                "jdbc:postgresql://", "postgresql+psycopg://postgres@"
            )
        return given

    # -- storage ------------------------------------------------------------------------------

    @cached_property
    def endpoint(self) -> str:
        """Of S3."""
        found = self._gateway() if os.environ.get("FLOWSQL_TEST_ALL") else self._moto
        boto3.resource("s3", endpoint_url=found, region_name="us-east-1", **_KEYS).create_bucket(
            Bucket=_BUCKET
        )
        return found

    def _gateway(self) -> str:
        port = free_port()
        kept = self.folder / "objects"
        kept.mkdir()
        keys = ["--access", _KEYS["aws_access_key_id"], "--secret", _KEYS["aws_secret_access_key"]]
        where = ["--port", f"127.0.0.1:{port}", "posix", str(kept)]
        self._start([str(gateway()), *keys, *where], port)
        return f"http://127.0.0.1:{port}"

    @cached_property
    def _moto(self) -> str:
        port = free_port()
        self._start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)
        return f"http://127.0.0.1:{port}"

    @property
    def storage(self) -> dict[str, str]:
        """The options that find S3."""
        return {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": "test",
            "s3.secret-access-key": "testtest",
            "s3.path-style-access": "true",
            "s3.region": "us-east-1",
        }

    def files(self, location: str) -> list[str]:
        """The locations of all files below one, in its spelling."""
        if not location.startswith("s3://"):
            # Hive writes file:/a, others file:///a.
            folder = "/" + location.removeprefix("file:").lstrip("/")
            head = location.removesuffix(folder)
            return [f"{head}{p}" for p in Path(folder).rglob("*") if p.is_file()]
        bucket, _, below = location.removeprefix("s3://").partition("/")
        made: Any = boto3.resource(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", **_KEYS
        )
        found = made.Bucket(bucket).objects.filter(Prefix=f"{below}/")
        # The client's file system leaves marks of folders.
        return [f"s3://{bucket}/{o.key}" for o in found if not o.key.endswith("/")]

    # -- catalogs -----------------------------------------------------------------------------

    @cached_property
    def rest_port(self) -> int:
        """Of the REST catalog."""
        port = free_port()
        arguments = (str(port), f"s3://{_BUCKET}/rest", self.endpoint)
        self._start(java(catalog_classes(), "RestCatalog", *arguments), port)
        return port

    @cached_property
    def _rest(self) -> dict[str, str]:
        return {"uri": f"http://127.0.0.1:{self.rest_port}", **self.storage}

    @cached_property
    def hive_port(self) -> int:
        """Of the metastore."""
        port = free_port()
        arguments = (str(port), f"file://{self.folder}/hive")
        self._start(java(metastore_classes(), "HiveMetastore", *arguments), port)
        return port

    @cached_property
    def _hive(self) -> dict[str, str]:
        return {
            "uri": f"thrift://127.0.0.1:{self.hive_port}",
            "warehouse": f"file://{self.folder}/hive",
        }

    @cached_property
    def _glue(self) -> dict[str, str]:
        return {
            "warehouse": f"s3://{_BUCKET}/glue",
            "glue.endpoint": self._moto,
            "glue.region": "us-east-1",
            "glue.access-key-id": "test",
            "glue.secret-access-key": "testtest",
            **self.storage,
        }

    @cached_property
    def _jdbc(self) -> dict[str, str]:
        server = self._postgres()
        server.execute("CREATE DATABASE lake")
        return {
            "uri": f"jdbc:postgresql://127.0.0.1:{server.port}/lake",
            "jdbc.user": "postgres",
            "warehouse": f"s3://{_BUCKET}/jdbc",
            **self.storage,
        }

    def _start(self, command: list[str], port: int) -> None:
        self._running.append(Servant(command, port))
