"""The catalogs, and sessions in them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

import flowsql
from flowsql.session import Session
from tests.services.fixtures import needing_servers
from tests.services.lake import KINDS, Lake

_NUMBER = count()


@pytest.fixture(scope="session")
def lake(request: pytest.FixtureRequest) -> Iterator[Lake]:
    """The servers of this run."""
    servers = Lake(lambda: request.getfixturevalue("postgres"))
    yield servers
    servers.close()


@pytest.fixture(params=KINDS)
def kind(lake: Lake, request: pytest.FixtureRequest) -> str:
    """Each kind of catalog: the test runs once with each."""
    with needing_servers():
        lake.options(request.param)
    return str(request.param)


@pytest.fixture
def rest(lake: Lake) -> str:
    """`rest`, for tests of what all kinds have in common."""
    with needing_servers():
        lake.options("rest")
    return "rest"


@pytest.fixture
def database() -> str:
    """The name of a database that nobody has."""
    return f"db{next(_NUMBER)}"


@pytest.fixture
def session(lake: Lake, kind: str, database: str) -> Session:
    """In a database of its own of the catalog `lake` of this kind."""
    opened = flowsql.connect()
    given = ", ".join(f"'{k}' = '{v}'" for k, v in lake.options(kind).items())
    opened.execute(f"CREATE CATALOG lake WITH ({given})")
    opened.execute("USE CATALOG lake")
    opened.execute(f"CREATE DATABASE {database}")
    opened.execute(f"USE {database}")
    return opened
