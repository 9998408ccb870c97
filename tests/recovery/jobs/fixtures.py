"""Fixtures of all tests that kill jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recovery.jobs.zygote import Zygote

__all__ = ["zygote"]


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks the jobs."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()
