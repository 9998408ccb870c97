"""Tables of real servers, and sources that follow them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from flowsql.connector import ConnectorTable
from tests.recovery.jobs.fixtures import zygote  # noqa: F401 (a fixture)
from tests.services.following import Follow, Follower, clean
from tests.services.postgres import PostgresServer

_NUMBER = count()


@pytest.fixture
def name(postgres_version: PostgresServer) -> Iterator[str]:
    """A table's name; the table and what is named after it goes at the end."""
    found = f"t{next(_NUMBER)}"
    yield found
    clean(postgres_version, found)


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Makes followers that let go of everything at the end."""
    made: list[Follower] = []

    def make(*tables: ConnectorTable, lasting: bool = True) -> Follower:
        made.append(Follower(tmp_path, tables, lasting=lasting))
        return made[-1]

    yield make
    for follower in made:
        follower.kill()
