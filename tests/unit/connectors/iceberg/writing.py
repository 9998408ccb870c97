"""A table that is written by key through restarts, beside a dictionary that says what it must hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog import ChangelogMode, Changes
from flowsql.connector import Attempt, Writer
from flowsql.connector.plugins import find_connector
from flowsql.state.store import StateStore
from flowsql.testing import attempt_context, connector_table
from tests.support.iceberg import IcebergFolder

KINDS = ["+I", "-U", "+U", "-D"]


def changes(*rows: tuple[str, int, str | None]) -> Changes:
    """Rows `(kind, id, name)`."""
    batch = pa.RecordBatch.from_pydict(
        {
            "id": pa.array([i for _, i, _ in rows], pa.int64()),
            "name": pa.array([n for _, _, n in rows], pa.string()),
        }
    )
    return Changes(batch, np.array([KINDS.index(k) for k, _, _ in rows], np.int8))


class KeyedTable:
    """The engine's side of one sink: state, tokens, restarts.

    Attributes:
        folder: of the catalog and the table.
        writer: the present one.
        rows: what all changes so far amount to.
        kept: what those of the last manifest do.

    Args:
        root: folder of everything.
        job, run, dead: whose process it is.
        after: whose last manifest it goes on from.
        mode: of the changes; rows that are only added are not looked for by their keys.
        options: of the table, with underscores.
    """

    def __init__(
        self,
        root: Path,
        *,
        job: str = "job",
        run: str = "r1",
        dead: Sequence[str] = (),
        after: KeyedTable | None = None,
        mode: ChangelogMode = ChangelogMode.UPSERT,
        **options: str,
    ) -> None:
        self.root = root
        self._job = job
        self._run = run
        self._mode = mode
        self._dead = frozenset(dead)
        out = root / "out"
        self.folder = IcebergFolder(out, "t")
        given = {
            "connector": "iceberg",
            "catalog-name": "lake",
            "uri": f"jdbc:sqlite:{out}/catalog.db",
            "warehouse": str(out),
            "write.upsert.enabled": str(mode is ChangelogMode.UPSERT).lower(),
            **{k.replace("_", "-"): v for k, v in options.items()},
        }
        self.declared = connector_table("id BIGINT, name STRING", given, primary_key=("id",))
        self.rows: dict[int, str | None] = {}
        self.kept: dict[int, str | None] = {}
        self._attempt = 0
        self._tokens: list[dict[str, Any]] = []
        self._segments: Any = None
        self._checkpoint = 0
        if after is not None:
            self.kept = dict(after.kept)
            self._tokens, self._segments = list(after._tokens), after._segments
            self._checkpoint = after._checkpoint
        self.writer: Writer
        self.store: StateStore
        self.start()

    def start(self) -> None:
        """A process, from the last manifest."""
        self._attempt += 1
        context = attempt_context(self.root / "job")
        attempt = Attempt(self._job, self._run, self._attempt, self._dead)
        context = replace(context, attempt=attempt, mode=self._mode)
        sink = find_connector("iceberg").sink(self.declared)
        self.writer = sink.open(context, [json.loads(json.dumps(t)) for t in self._tokens])
        self.store = StateStore.open(self.writer.state)
        if self._segments is not None:
            self.store.restore(self._segments)
        self.writer.open_state(self.store.tables)
        for token in self._tokens:
            self.writer.commit(token)
        self._tokens = []
        self.rows = dict(self.kept)

    def step(self, *rows: tuple[str, int, str | None]) -> None:
        """Changes of one step."""
        self.writer.write(changes(*rows))
        self.writer.end_step()
        self.store.end_step()
        for kind, key, name in rows:
            if kind == "-D":
                self.rows.pop(key, None)
            elif kind != "-U":
                self.rows[key] = name

    def prepare(self, *, decided: bool = True) -> None:
        """A checkpoint, whose manifest is written or not."""
        self._checkpoint += 1
        token = self.writer.prepare(self._checkpoint)
        if decided:
            self._segments = self.store.segments()
            self.kept = dict(self.rows)
            self._tokens += [] if token is None else [token]

    def commit(self) -> None:
        """What is prepared."""
        for token in self._tokens:
            self.writer.commit(token)
        self._tokens = []

    def checkpoint(self) -> None:
        """A whole one."""
        self.prepare()
        self.commit()

    def restart(self) -> None:
        """The process dies, and another one comes."""
        self.writer.close()
        self.start()

    def others_wrote(self, rows: dict[int, str | None]) -> None:
        """Rows that are there beside ours, and ours from now on."""
        self.rows |= rows
        self.kept |= rows

    def check(self) -> None:
        """The table holds what the last manifest says, each row once."""
        found = self.folder.rows()
        assert len(found) == len(dict(found))
        assert dict(found) == self.kept
