"""A streaming scan, driven as the runtime does."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

from flowsql_connectors.iceberg import CONNECTOR

from flowsql.changelog import ChangelogMode
from flowsql.connector import ScanFilter
from flowsql.testing import attempt_context, connector_table, row_text

from .lake import Lake


class Stream:
    """Drives a streaming scan of the table `t` as the runtime does; each item is a transaction.

    Args:
        lake: has the table.
        keyed: the declaration has a PRIMARY KEY.
        position: where an earlier one was.
        filters: of the query.
        options: beside those that find the table.
    """

    def __init__(
        self,
        lake: Lake,
        *,
        keyed: bool = True,
        position: Any = None,
        filters: tuple[ScanFilter, ...] = (),
        **options: str,
    ) -> None:
        given = {key.replace("_", "-"): value for key, value in options.items()}
        declared = connector_table(
            "id BIGINT, name STRING",
            {**lake.declared(), "streaming": "true", "monitor-interval": "1ms", **given},
            primary_key=("id",) if keyed else (),
        )
        declared = dataclasses.replace(declared, filters=filters)
        mode = ChangelogMode.RETRACT if keyed else ChangelogMode.APPEND
        assert CONNECTOR.scan_mode(declared) is mode
        context = attempt_context(lake.warehouse / "job")
        stored = json.loads(json.dumps(position))
        self.source = CONNECTOR.open_source([declared], stored and stored["source"], context)
        splits = self.source.discover()
        known = {} if stored is None else stored["splits"]
        self.splits = {s.id for s in splits}
        self.reader = self.source.open([(s, known.get(s.id)) for s in splits])

    def step(self, rows: int = 1000) -> list[str] | None:
        """The next transaction that has rows; None where none comes."""
        found: list[str] = []
        silent = 0
        while silent < 3:
            poll = self.reader.poll(rows, 0.005)
            if poll is None:
                silent += 1
                continue
            for piece in poll.pieces:
                found += row_text(piece.changes)
            for split in poll.finished:
                self.splits.discard(split)
                for message in self.source.finished(split, {}):
                    self.reader.tell(message)
            if poll.boundary and found:
                return found
        assert not found
        return None

    def steps(self) -> list[list[str]]:
        """All that come."""
        found = []
        while (step := self.step()) is not None:
            found.append(step)
        return found

    def until(self, reached: Callable[[], bool]) -> None:
        """Polls that give nothing, until this holds."""
        end = time.monotonic() + 60
        while not reached():
            assert self.reader.poll(1000, 0.005) is None
            assert time.monotonic() < end

    def position(self) -> Any:
        """As a checkpoint keeps it."""
        splits = {split: self.reader.position(split) for split in self.splits}
        return {"source": self.source.position(), "splits": splits}
