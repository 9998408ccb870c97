"""A catalog of tables in a folder, and a session that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowsql.session import Session

from .lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A catalog with a database, `default`."""
    made = Lake(tmp_path)
    yield made
    made.close()


@pytest.fixture
def session(lake: Lake) -> Session:
    """In its database."""
    opened = lake.session()
    opened.execute("USE CATALOG lake")
    return opened
