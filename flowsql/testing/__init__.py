"""Fakes and helpers for tests, ours and those of connector authors.

`fake_database` is a transactional database in a folder with a change-data-capture source, and
`changelog_sqlite` an exactly-once sink; both are connectors like any other.
"""

from __future__ import annotations

from flowsql.formats import row_text
from flowsql.testing.clock import ManualClock
from flowsql.testing.tables import attempt_context, connector_table

__all__ = ["ManualClock", "attempt_context", "connector_table", "row_text"]
