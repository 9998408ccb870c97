"""Where changes leave: sinks and results.

A step's output is gathered, netted by whole rows and labelled by upsert key, so that a sink never
sees a half-applied update. Appended rows need none of this and are written as they come. A step that
changes more than an Arrow string column holds (2 GiB) is netted a key group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    NO_WATERMARK,
    UPDATE_BEFORE,
    ChangelogMode,
    Changes,
    Keys,
    concat_changes,
    label,
    net,
    split_changes,
    upsert_form,
)
from flowsql.connector import Writer
from flowsql.errors import DataError
from flowsql.expr import StepClock
from flowsql.runtime.constraints import Constraints
from flowsql.runtime.nodes import Node
from flowsql.runtime.pending import PendingOutput
from flowsql.runtime.watermarks import MAX_WATERMARK
from flowsql.types import RowType

__all__ = ["CollectOutlet", "Outlet", "SinkForm", "SinkOutlet"]

# Bytes of a step's changes that are held in memory.
_MUCH: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class SinkForm:
    """How an outlet gives its changes.

    Attributes:
        name: of the target, for messages.
        row: the columns.
        mode: APPEND, RETRACT or UPSERT.
        upsert_key: columns, or None; the empty key is that of a result with a single row.
        input_mode: what arrives; UPSERT passes without netting, the last row of a key wins.
        constraints: of the table, or None where rows keep them all.
        compared: see `pairing.compared_columns`.
    """

    name: str
    row: RowType
    mode: ChangelogMode
    upsert_key: tuple[int, ...] | None = None
    input_mode: ChangelogMode = ChangelogMode.RETRACT
    constraints: Constraints | None = None
    compared: tuple[int, ...] | None = None

    @property
    def appends(self) -> bool:
        """Whether rows can be given as they come."""
        return self.input_mode is ChangelogMode.APPEND

    def net(self, changes: Changes) -> Changes | None:
        """The net change of all rows given."""
        if self.input_mode is ChangelogMode.UPSERT:
            return _last_by_key(changes, self.upsert_key or (), self.row)
        return net(changes, self.row.types)

    def labelled(self, netted: Changes) -> Changes | None:
        """Netted changes as the sink wants them."""
        if self.input_mode is not ChangelogMode.UPSERT:
            netted = label(netted, self.upsert_key, self.row.types)
        given = upsert_form(netted) if self.mode is ChangelogMode.UPSERT else netted
        return None if given is None else self.checked(given)

    def of_pairs(self, changes: Changes) -> Changes | None:
        """Changes that are net and labelled by the upsert key, as the sink wants them."""
        kept = changes
        if self.compared and changes.codes is not None:
            before = np.flatnonzero(changes.codes == UPDATE_BEFORE)
            columns = [changes.batch.column(i) for i in self.compared]
            keys = Keys.of(columns, [self.row.types[i] for i in self.compared], len(changes))
            equal = before[keys.equal(before, keys, before + 1)]
            if len(equal):
                keep = np.ones(len(changes), np.bool_)
                keep[equal] = keep[equal + 1] = False
                kept = changes.filter(keep)
        given = upsert_form(kept) if self.mode is ChangelogMode.UPSERT else kept
        return None if given is None or not len(given) else self.checked(given)

    def fitted(self, changes: Changes) -> Changes:
        """With values of the length that the table declares."""
        if self.constraints is None or not self.constraints.fits:
            return changes
        return self.constraints.fitted(changes)

    def checked(self, changes: Changes) -> Changes | None:
        """The rows that keep the table's constraints; raises DataError where one must not break."""
        if self.constraints is None:
            return changes
        return self.constraints.checked(changes, keyed_deletes=self.mode is ChangelogMode.UPSERT)


class Outlet(Node):
    """Gathers a step's changes and gives them away at its end.

    Args:
        node_id: of the physical node.
        title: for people.
        form: how changes are given.

    Attributes:
        pending: where output is kept while `held`, and where a large step's is; set by the runtime.
        held: the sources are not consistent yet.
        progressive: rows are given all the same; what an earlier attempt kept goes first.
        bytes_out: size of the rows given so far.
    """

    def __init__(self, node_id: str, title: str, form: SinkForm) -> None:
        super().__init__(node_id, title)
        self.form = form
        self.pending: PendingOutput | None = None
        self.held = False
        self.progressive = False
        self.bytes_out = 0
        self._parts: list[Changes] = []
        self._bytes = 0

    def give(self, changes: Changes) -> None:
        """Hand labelled changes over; in pieces that keep the limits of a batch."""
        raise NotImplementedError

    def finish_step(self) -> None:
        """The step's changes are complete."""

    @property
    def gathered(self) -> int:
        """Bytes of the running step's rows that wait for its end."""
        return self._bytes

    @property
    def withholds(self) -> bool:
        """Whether what comes now is kept."""
        return self.held and not self.progressive

    def push(self, port: int, changes: Changes) -> None:
        del port
        self.rows_in += changes.batch.num_rows
        if changes.unchanged is not None:
            self._refuse_unchanged(changes)
        changes = self.form.fitted(changes)
        if self.pending is not None and (self.withholds or self.pending.rows):
            self.pending.add(changes)
        elif self.form.appends:
            started = perf_counter()
            self._give_appended(changes)
            self.seconds += perf_counter() - started
        elif self.form.compared is not None:
            started = perf_counter()
            given = self.form.of_pairs(changes)
            if given is not None:
                self._count(given)
                self.give(given)
            self.seconds += perf_counter() - started
        else:
            self._gather(changes)

    def _gather(self, changes: Changes) -> None:
        """Keep what is to be netted with all of its step; much of it on disk."""
        self._parts.append(changes)
        self._bytes += changes.batch.nbytes
        if self.pending is not None and self._bytes > _MUCH:
            for part in self._parts:
                self.pending.add(part)
            self._parts, self._bytes = [], 0

    def settle(self, clock: StepClock) -> None:
        del clock
        watermark = self.input_watermark()
        self.idle = watermark is None
        if watermark is not None:
            self.watermark = max(self.watermark, watermark)
        started = perf_counter()
        if self._parts:
            changes = concat_changes(self._parts)
            self._parts, self._bytes = [], 0
            if changes is not None:
                netted = self.form.net(changes)
                if netted is not None:
                    self._give_netted(netted)
        if self.pending is not None and not self.withholds and self.pending.rows:
            self._deliver(self.pending)
        self.finish_step()
        self.seconds += perf_counter() - started

    def _deliver(self, pending: PendingOutput) -> None:
        for changes in pending.deliver():
            if self.form.appends:
                self._give_appended(changes)
            else:
                self._give_netted(changes)
        pending.clear()

    def _give_appended(self, changes: Changes) -> None:
        if changes.marks is not None or changes.codes is not None:
            changes = Changes(changes.batch)
        given = self.form.checked(changes)
        if given is not None:
            self._count(given)
            self.give(given)

    def _give_netted(self, netted: Changes) -> None:
        labelled = self.form.labelled(netted)
        if labelled is not None:
            for piece in split_changes(labelled):
                self._count(piece)
                self.give(piece)

    def _count(self, given: Changes) -> None:
        self.rows_out += given.batch.num_rows
        self.bytes_out += given.batch.nbytes

    def _refuse_unchanged(self, changes: Changes) -> None:
        for name, mask in (changes.unchanged or {}).items():
            if mask.any():
                raise DataError(
                    f'the source did not send column "{name}", which did not change, and nothing '
                    f'before table "{self.form.name}" knows its value',
                    hint="Let the database log whole rows (PostgreSQL: ALTER TABLE … REPLICA "
                    "IDENTITY FULL).",
                )


class SinkOutlet(Outlet):
    """Writes a table."""

    def __init__(self, node_id: str, title: str, form: SinkForm, writer: Writer) -> None:
        super().__init__(node_id, title, form)
        self.writer = writer
        self._told = NO_WATERMARK

    def give(self, changes: Changes) -> None:
        self.writer.write(changes)

    def finish_step(self) -> None:
        # Rows that are held back are of a time that the writer has not come to.
        owed = self.pending is not None and self.pending.rows
        if self.watermark > self._told and not owed:
            self._told = self.watermark
            self.writer.advance(self.watermark, ended=self.watermark == MAX_WATERMARK)
        self.writer.end_step()


class CollectOutlet(Outlet):
    """Hands the result of a SELECT to the session.

    Attributes:
        step: number of the running step, set by the runtime.
    """

    def __init__(
        self, node_id: str, title: str, form: SinkForm, collect: Callable[[Changes, int], None]
    ) -> None:
        super().__init__(node_id, title, form)
        self._collect = collect
        self.step = 0

    def give(self, changes: Changes) -> None:
        self._collect(changes, self.step)


def _last_by_key(changes: Changes, key: Sequence[int], row: RowType) -> Changes:
    """The last row of each key, where it stands."""
    columns = [changes.batch.column(i) for i in key]
    ids, first = Keys.of(columns, [row.types[i] for i in key], len(changes)).group()
    if len(first) == len(changes):
        return changes
    last = np.zeros(len(first), np.int64)
    last[ids] = np.arange(len(ids))
    codes = changes.codes
    if codes is not None and bool((codes == UPDATE_BEFORE).any()):
        codes = np.where(codes == UPDATE_BEFORE, np.int8(DELETE), codes)
    return Changes(changes.batch, codes).take(np.sort(last))


def dead_letter_rows(records: Sequence[tuple[str, str, bytes, str]]) -> pa.RecordBatch:
    """Bad records as rows: `table_name, place, record, reason`."""
    tables, places, raws, reasons = zip(*records, strict=True)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(tables, pa.string()),
            pa.array(places, pa.string()),
            pa.array(raws, pa.binary()),
            pa.array(reasons, pa.string()),
        ],
        names=["table_name", "place", "record", "reason"],
    )
