"""The contract of an operator (DESIGN 7).

The runtime's side:

* `open` is called once, with new or restored state tables, and nothing else happens at a restore;
* `process` gets non-empty batches whose kinds are valid for the declared input mode; within one
  port they come in order of arrival;
* in each step, after everything above was processed, advanced and flushed: `advance(w)` if the
  minimum of the input ports' watermarks rose (strictly), then `tick(now)` if a processing-time
  timer fell due, then `flush`;
* what a call yields reaches the consumers before the next call on this operator;
* state is checkpointed between two steps, never inside one.

The operator's side:

* yields nothing or non-empty batches within the limits of `Changes`; kinds only where the declared
  output mode is retract; in a `flush` all retractions of a key stand before its insertions;
* keeps nothing that outlives a step anywhere but in its state tables;
* never forwards a watermark, reads a clock, sees a checkpoint, or logs in `process`;
* cost of a step follows the rows of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.errors import InternalError
from flowsql.expr import StepClock

__all__ = ["Counters", "LinearOperator", "Operator", "OperatorContext"]


class Counters:
    """Counts of what an operator set aside: `late-rows`, `orphan-retractions`."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str, rows: int) -> None:
        """Count `rows` more under `name`."""
        if rows:
            self._counts[name] = self._counts.get(name, 0) + rows

    def as_dict(self) -> dict[str, int]:
        """The counts so far, for metrics and checkpoints."""
        return dict(self._counts)

    def restore(self, counts: Mapping[str, int]) -> None:
        """Go on counting from a checkpoint."""
        self._counts = dict(counts)


@dataclass
class OperatorContext:
    """What the runtime hands to `open`.

    Attributes:
        state: the tables of the operator's specs, by name.
        counters: see `Counters`.
        clock: the one reading of the running step; the runtime replaces it before each step, so
            read `context.clock` anew in every call.
    """

    state: Mapping[str, Any]
    counters: Counters = field(default_factory=Counters)
    clock: StepClock = field(default_factory=lambda: StepClock(0))


class Operator:
    """Base of all operators; every method but `process` has a default that does nothing."""

    context: OperatorContext

    def open(self, context: OperatorContext) -> None:
        """Take the state tables."""
        self.context = context

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        """Rows of one input; yields what can be given at once."""
        raise NotImplementedError

    def empty(self, port: int, watermark: int | None) -> Iterator[Changes]:
        """Every row that an input gave until here is gone: the source's table lost all of them.

        Called, as `process` is, in order of arrival; only for what holds its input's rows and can
        take them back (`Needs.holds_rows`).

        Args:
            port: of the input.
            watermark: before this (milliseconds) where rows carry their time, else None.
        """
        del port, watermark
        raise InternalError(f"{type(self).__name__} holds no rows that it could take back")

    def advance(self, watermark: int) -> Iterator[Changes]:
        """Event time (milliseconds) has reached `watermark`; strictly increasing."""
        del watermark
        return iter(())

    def tick(self, now: int) -> Iterator[Changes]:
        """A processing-time timer fell due at `now` (microseconds)."""
        del now
        return iter(())

    def flush(self) -> Iterator[Changes]:
        """The step's input is complete; yields the net change."""
        return iter(())

    def output_watermark(self, watermark: int) -> int:
        """The watermark that consumers may rely on; overridden by what holds time back."""
        return watermark


class LinearOperator(Operator):
    """One pure function of a batch: state-free, row kinds and marks pass through."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Other columns for the same rows."""
        raise NotImplementedError

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        """Every batch gives one batch of as many rows."""
        del port
        yield changes.with_batch(self.apply(changes.batch))
