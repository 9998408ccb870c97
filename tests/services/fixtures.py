"""Servers as fixtures: one of each version a run, started when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.services.binaries import NEWEST, VERSIONS, ServerUnavailable

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer

__all__ = [
    "POSTGRES_VERSIONS",
    "needing_servers",
    "postgres",
    "postgres_servers",
    "postgres_version",
    "since",
    "started",
]

# What every run looks at; all others in `make test-all`.
_EVERYDAY = (15, NEWEST)
POSTGRES_VERSIONS = tuple(
    v for v in VERSIONS if v in _EVERYDAY or os.environ.get("FLOWSQL_TEST_ALL")
)


@contextmanager
def needing_servers() -> Iterator[None]:
    """Where this machine cannot have a server that is asked for within, the test is skipped."""
    try:
        yield
    except ServerUnavailable as reason:
        # A change is not accepted without what only a server can tell.
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


def started(version: int, settings: Mapping[str, str] | None = None) -> PostgresServer:
    """A new server for the caller alone."""
    from tests.services.postgres import PostgresServer

    with needing_servers():
        return PostgresServer(version, settings)


def since(version: int) -> pytest.MarkDecorator:
    """For tests of `postgres_version`: the versions of this run from one on."""
    fitting = [v for v in POSTGRES_VERSIONS if v >= version]
    return pytest.mark.parametrize("postgres_version", fitting, indirect=True)


class _Servers:
    """The servers of this run, by version."""

    def __init__(self) -> None:
        self._running: dict[int, PostgresServer] = {}

    def __getitem__(self, version: int) -> PostgresServer:
        if version not in self._running:
            self._running[version] = started(version)
        return self._running[version]

    def close(self) -> None:
        for server in self._running.values():
            server.close()


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[_Servers]:
    """Servers by major version, `postgres_servers[17]`."""
    servers = _Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def postgres(postgres_servers: _Servers) -> PostgresServer:
    """PostgreSQL 15."""
    return postgres_servers[15]


@pytest.fixture(scope="session", params=POSTGRES_VERSIONS)
def postgres_version(postgres_servers: _Servers, request: pytest.FixtureRequest) -> PostgresServer:
    """A server of each version: the test runs once with each."""
    return postgres_servers[request.param]
