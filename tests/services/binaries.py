"""Where the programs of servers are found.

Of PostgreSQL, by major version: 15 is Debian's package where it is installed; every other version, and 15 elsewhere, is taken from
Maven Central once and kept in the user's cache folder (`FLOWSQL_TEST_CACHE` names another).
So is the REST catalog of Iceberg, which needs Java.
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
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "NEWEST",
    "VERSIONS",
    "ServerUnavailable",
    "binaries",
    "cache_folder",
    "catalog_classes",
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
_GROUP = "io.zonky.test.postgres"
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
    java = Path(__file__).with_name("RestCatalog.java")
    version = hashlib.sha256(java.read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "iceberg-rest" / _ICEBERG
    classes = folder / version
    with only_one(folder):
        folder.mkdir(exist_ok=True)
        jar = folder / f"{_CATALOG_JAR}-{_ICEBERG}.jar"
        if not jar.exists():
            with _copied(f"org.apache.iceberg:{_CATALOG_JAR}:{_ICEBERG}", folder) as found:
                found.rename(jar)
        if not classes.exists():
            compiler = shutil.which("javac")
            if compiler is None:
                raise ServerUnavailable("javac, which compiles the catalog, is not installed")
            with tempfile.TemporaryDirectory(dir=folder) as work:
                subprocess.run([compiler, "-cp", jar, "-d", f"{work}/made", java], check=True)
                Path(work, "made").rename(classes)
    return f"{jar}:{classes}"


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
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(f"mvn, which fetches {artifact}, is not installed")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        asked = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
        # Without a work tree around it Maven would look for a project file.
        done = subprocess.run(
            [*asked, f"-DoutputDirectory={work}"],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        jars = list(Path(work).glob("*.jar"))
        if done.returncode or not jars:
            raise ServerUnavailable(f"could not fetch {artifact}: {done.stdout.strip()[-500:]}")
        yield jars[0]
