"""What the tests of this folder share."""

from __future__ import annotations

from tests.recovery.jobs.fixtures import zygote  # noqa: F401 (a fixture)
