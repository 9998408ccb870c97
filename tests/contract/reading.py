"""Drives a source as the runtime does, without an engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from flowsql.changelog import MAX_ROWS
from flowsql.connector import BadRecord, Reader, Source, Split
from flowsql.testing import row_text

TIMEOUT = 0.02
_PATIENCE = 60.0  # seconds


@dataclass
class Run:
    """Everything a source gave, and the position it was left at."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    position: dict[str, Any] | None = None
    finished: bool = False
    consistent: list[bool] = field(default_factory=list)


def read(
    open_source: Callable[[dict | None], Source],
    position: dict[str, Any] | None = None,
    *,
    rows: int | None = None,
    max_rows: int = 1000,
    polls: int = 100_000,
    idle: int = 3,
    ended: Callable[[Reader, Collection[str]], bool] | None = None,
) -> Run:
    """Reads until `rows` rows are there and a boundary is reached, or the source is at its end.

    Positions go through JSON, and are taken only at a boundary, as the contract says.

    Args:
        open_source: opens at a position.
        position: where to begin.
        rows: how many to read, if not all.
        max_rows: in one poll.
        polls: never more.
        idle: an unbounded source is at its end behind so many polls that gave nothing.
        ended: tells instead, asked at boundaries, where silence says nothing: with the splits that
            are open.
    """
    run = Run()
    position = json.loads(json.dumps(position))
    source = open_source(None if position is None else position["source"])
    stored = {} if position is None else position["splits"]
    splits: dict[str, Split] = {}
    done: set[str] = set()
    positions: dict[str, Any] = dict(stored)
    reader: Reader | None = None
    nothing, heard = 0, time.monotonic()
    given: list[tuple[dict[str, Any], str]] = []
    try:
        while polls:
            polls -= 1
            new = list(source.discover()) if reader is None or source.discovery_interval else []
            assert not {s.id for s in new} & splits.keys()
            splits.update((s.id, s) for s in new)
            work = [(s, stored.get(s.id)) for s in new]
            if reader is None:
                reader = source.open(work)
            elif work:
                reader.assign(work)
            began = time.monotonic()
            poll = reader.poll(max_rows, TIMEOUT)
            assert time.monotonic() - began < TIMEOUT + _PATIENCE
            if poll is None:
                nothing += 1
                if source.bounded and done >= splits.keys():
                    break
                if nothing >= idle and ended is None:
                    break
                assert time.monotonic() - heard < _PATIENCE
                continue
            nothing, heard = 0, time.monotonic()
            for piece in poll.pieces:
                assert 0 < len(piece.changes) <= MAX_ROWS
                assert piece.split not in done
                run.rows += [(piece.table, line) for line in row_text(piece.changes)]
            # The two halves of an update stay together.
            assert sum(len(p.changes) for p in poll.pieces) <= max(max_rows, 2)
            run.bad += poll.bad
            run.consistent.append(poll.consistent)
            for split, result in poll.finished.items():
                done.add(split)
                positions.pop(split, None)
                for message in source.finished(split, json.loads(json.dumps(result))):
                    reader.tell(json.loads(json.dumps(message)))
            if poll.boundary:
                for split in splits.keys() - done:
                    positions[split] = json.loads(json.dumps(reader.position(split)))
                run.position = {"source": source.position(), "splits": dict(positions)}
                given.append((run.position["source"], json.dumps(run.position["source"])))
                if rows is not None and len(run.rows) >= rows:
                    break
                if ended is not None and ended(reader, splits.keys() - done):
                    break
        # It is written in the background, while the source goes on.
        assert all(json.dumps(kept) == text for kept, text in given)
        run.finished = source.bounded and done >= splits.keys()
    finally:
        if reader is not None:
            reader.close()
            reader.close()
        source.close()
    return run
