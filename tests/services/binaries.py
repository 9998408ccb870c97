"""Where the programs of servers are found.

Of PostgreSQL, by major version: 15 is Debian's package where it is installed; every other version, and 15 elsewhere, is taken from
Maven Central once and kept in the user's cache folder (`FLOWSQL_TEST_CACHE` names another).
So are the REST catalog of Iceberg and the metastore of Hive, which need Java, and an S3 server, which Go builds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "NEWEST",
    "VERSIONS",
    "ServerUnavailable",
    "binaries",
    "cache_folder",
    "catalog_classes",
    "fetched",
    "gateway",
    "metastore_classes",
    "only_one",
]

# The newest release of each major version that was published as an archive of programs.
_RELEASES = {
    12: "12.22.0",
    13: "13.23.0",
    14: "14.24.0",
    15: "15.19.0",
    16: "16.15.0",
    17: "17.11.0",
    18: "18.6.0",
}
VERSIONS = tuple(_RELEASES)
NEWEST = VERSIONS[-1]

_ICEBERG = "1.10.1"
_CATALOG_JAR = "iceberg-open-api"
_GATEWAY = "v1.8.0"
_GROUP = "io.zonky.test.postgres"
# Seconds before each attempt to fetch something, and after which one is given up.
_PAUSES = (0.0, 2.0, 10.0, 30.0)
_STUCK = 300.0
# Else a connection that hangs does so for half an hour.
_IMPATIENT = (
    *("-Daether.connector.connectTimeout=20000", "-Daether.connector.requestTimeout=60000"),
    "-Dmaven.wagon.rto=60000",
)
_MACHINES = {"x86_64": "linux-amd64", "aarch64": "linux-arm64v8"}


class ServerUnavailable(Exception):  # noqa: N818 (the reason of a skip)
    """This machine has no such server and could not get it; the message says why."""


def binaries(version: int) -> Path:
    """The folder that holds `initdb` and `postgres` of a major version."""
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    if (debian / "postgres").exists():
        return debian
    folder = cache_folder() / "postgres" / _RELEASES[version]
    with only_one(folder):
        if not (folder / "bin" / "postgres").exists():
            _fetch(_RELEASES[version], folder)
    return folder / "bin"


def cache_folder() -> Path:
    """A folder of the user; for root one that the server's own user may enter."""
    if named := os.environ.get("FLOWSQL_TEST_CACHE"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/flowsql-tests")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flowsql-tests"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two test runs at once fetch once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def catalog_classes() -> str:
    """The class path of `RestCatalog`, the REST catalog of Iceberg's own."""
    folder = cache_folder() / "iceberg-rest" / _ICEBERG
    with only_one(folder):
        folder.mkdir(exist_ok=True)
        jar = folder / f"{_CATALOG_JAR}-{_ICEBERG}.jar"
        if not jar.exists():
            with _copied(f"org.apache.iceberg:{_CATALOG_JAR}:{_ICEBERG}", folder) as found:
                found.rename(jar)
        return _compiled("RestCatalog", str(jar), folder)


def metastore_classes() -> str:
    """The class path of `HiveMetastore`."""
    wanted = Path(__file__).with_name("metastore.xml")
    version = hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "hive-metastore" / version
    with only_one(folder):
        folder.mkdir(exist_ok=True)
        jars = folder / "jars"
        if not jars.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                shutil.copy(wanted, Path(work, "pom.xml"))
                _maven(Path(work), "the metastore", "dependency:copy-dependencies")
                Path(work, "made").rename(jars)
        return _compiled("HiveMetastore", f"{jars}/*", folder)


def gateway() -> Path:
    """An S3 server that keeps its objects in a folder: Versity's."""
    folder = cache_folder() / "versitygw" / _GATEWAY
    program = folder / "versitygw"
    with only_one(folder):
        if not program.exists():
            go = shutil.which("go")
            if go is None:
                raise ServerUnavailable("go, which builds the S3 server, is not installed")
            wanted = f"github.com/versity/versitygw/cmd/versitygw@{_GATEWAY}"
            fetched(["env", f"GOBIN={folder}", go, "install", wanted], "the S3 server")
    return program


def fetched(command: Sequence[str | Path], what: str, folder: Path | None = None) -> None:
    """Run what fetches over a network, again where it fails: it may have been away for a moment.

    Args:
        command: that can be begun again.
        what: it fetches, for the error.
        folder: to run it in.

    Raises:
        ServerUnavailable: it failed each time; with what it printed last.
    """
    said = ""
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=_STUCK
            )
        except subprocess.TimeoutExpired:
            said = f"not done after {_STUCK} s"
            continue
        if done.returncode == 0:
            return
        said = f"{done.stdout}\n{done.stderr}".strip()
    raise ServerUnavailable(f"could not fetch {what}: {said[-500:]}")


def _compiled(name: str, jars: str, folder: Path) -> str:
    """A class of ours with what it needs, as a class path."""
    java = Path(__file__).with_name(f"{name}.java")
    classes = folder / hashlib.sha256(java.read_bytes()).hexdigest()[:12]
    if not classes.exists():
        compiler = shutil.which("javac")
        if compiler is None:
            raise ServerUnavailable(f"javac, which compiles {java.name}, is not installed")
        with tempfile.TemporaryDirectory(dir=folder) as work:
            subprocess.run([compiler, "-cp", jars, "-d", f"{work}/made", java], check=True)
            Path(work, "made").rename(classes)
    return f"{jars}:{classes}"


def _fetch(release: str, folder: Path) -> None:
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        raise ServerUnavailable(f"no PostgreSQL programs for {platform.system()} here")
    artifact = f"{_GROUP}:embedded-postgres-binaries-{machine}:{release}"
    with _copied(artifact, folder.parent) as found:
        unpacked = found.with_name("unpacked")
        with zipfile.ZipFile(found) as jar:
            inner = next(name for name in jar.namelist() if name.endswith(".txz"))
            with jar.open(inner) as packed, tarfile.open(fileobj=packed, mode="r|xz") as tar:
                tar.extractall(unpacked, filter="tar")
        unpacked.rename(folder)
    folder.chmod(0o755)


@contextmanager
def _copied(artifact: str, folder: Path) -> Iterator[Path]:
    """A jar of Maven Central, in a folder beside that goes at the end."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _maven(Path(work), artifact, "dependency:copy", f"-Dartifact={artifact}")
        yield next(Path(work, "made").glob("*.jar"))


def _maven(work: Path, what: str, *asked: str) -> None:
    """Run Maven in a folder that has no other project than it needs; jars come to `made`."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(f"mvn, which fetches {what}, is not installed")
    command = [maven, "-q", "-B", *_IMPATIENT, *asked, f"-DoutputDirectory={work}/made"]
    fetched(command, what, work)
    if not list(Path(work, "made").glob("*.jar")):
        raise ServerUnavailable(f"could not fetch {what}: Maven brought nothing")
