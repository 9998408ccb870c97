"""The running plan: one node an operator, linked to its readers.

A batch is pushed: what an operator yields has gone through everything behind it before the operator
is called again. At the end of a step each node is settled in topological order: `advance`, `tick`,
`flush`; what that yields is pushed at once, so it reaches the readers before they are settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

from flowsql.changelog import NO_WATERMARK, Changes
from flowsql.errors import DataError, InternalError, Span
from flowsql.expr import StepClock
from flowsql.operators.base import Operator, OperatorContext
from flowsql.runtime.measures import Durations
from flowsql.runtime.watermarks import MAX_WATERMARK
from flowsql.state.store import StateStore

__all__ = ["EntryNode", "Node", "OperatorNode"]


class Node:
    """A place in the running plan.

    Attributes:
        id: of the physical node.
        title: for people.
        inputs: the nodes read, one a port.
        readers: who reads this node, and at which port.
        watermark: event time that readers may rely on.
        idle: takes no part in readers' time.
        rows_in, rows_out: rows so far.
        seconds: spent in the running step, readers' time apart.
        durations: of past steps.
    """

    def __init__(self, node_id: str, title: str) -> None:
        self.id = node_id
        self.title = title
        self.inputs: list[Node] = []
        self.readers: list[tuple[Node, int]] = []
        self.watermark = NO_WATERMARK
        self.idle = False
        self.rows_in = 0
        self.rows_out = 0
        self.seconds = 0.0
        self.durations = Durations()

    def push(self, port: int, changes: Changes) -> None:
        """Rows from an input."""
        raise NotImplementedError

    def empty(self, port: int, watermark: int | None) -> None:
        """Every row of an input is gone, see `Operator.empty`."""
        del port, watermark
        raise InternalError(f'"{self.title}" holds no rows that it could take back')

    def settle(self, clock: StepClock) -> None:
        """The step's rows are through: time moves, the net change is given."""
        raise NotImplementedError

    def begin(self, clock: StepClock) -> None:
        """A step starts."""
        del clock

    def end(self) -> None:
        """The step is over: note how long this node took."""
        self.durations.add(self.seconds)
        self.seconds = 0.0

    def input_watermark(self) -> int | None:
        """Lowest watermark of the inputs that are not idle; None where all are."""
        lowest = None
        for node in self.inputs:
            if not node.idle and (lowest is None or node.watermark < lowest):
                lowest = node.watermark
        return lowest

    def time_now(self) -> int | None:
        """The watermark as it stands between two batches of a step; None where it is idle."""
        return None if self.idle else self.watermark

    def forward(self, changes: Changes) -> None:
        """Give rows to every reader."""
        self.rows_out += changes.batch.num_rows
        for reader, port in self.readers:
            reader.push(port, changes)


class OperatorNode(Node):
    """Runs an operator.

    Args:
        node_id: of the physical node.
        title: for people.
        operator: not yet opened.
        store: its state tables, new or restored.

    Attributes:
        span: where the SQL asks for the operator: what it says of a row is marked there.
        before_output: called for each batch that the operator yields; ends the step by raising.
    """

    def __init__(self, node_id: str, title: str, operator: Operator, store: StateStore) -> None:
        super().__init__(node_id, title)
        self.operator = operator
        self.store = store
        self.context = OperatorContext(store.tables)
        self.span: Span | None = None
        self.reached = NO_WATERMARK
        self.before_output: Callable[[], None] = lambda: None
        kind = type(operator)
        # Most operators leave most of these alone: a small step is short because they are skipped.
        self._advances = kind.advance is not Operator.advance
        self._ticks = kind.tick is not Operator.tick
        self._flushes = kind.flush is not Operator.flush
        self._stateful = bool(store.tables)
        # What gives nothing by time alone passes its inputs' time on at once.
        self._passes_time = not self._advances and not self._flushes

    def time_now(self) -> int | None:
        if not self._passes_time:
            return super().time_now()
        times = [t for t in (node.time_now() for node in self.inputs) if t is not None]
        return max(self.watermark, min(times)) if times else None

    def open(self) -> None:
        """Hand the operator its state; once, before the first step."""
        self.operator.open(self.context)

    def begin(self, clock: StepClock) -> None:
        self.context.clock = clock

    def push(self, port: int, changes: Changes) -> None:
        self.rows_in += changes.batch.num_rows
        self._emit(self.operator.process(port, changes))

    def empty(self, port: int, watermark: int | None) -> None:
        self._emit(self.operator.empty(port, watermark))

    def settle(self, clock: StepClock) -> None:
        watermark = self.input_watermark()
        self.idle = watermark is None
        if watermark is not None and watermark > self.reached:
            self.reached = watermark
            if self._advances:
                self._emit(self.operator.advance(watermark))
            self.watermark = max(self.watermark, self.operator.output_watermark(watermark))
        if self._ticks:
            self._emit(self.operator.tick(clock.now))
        if self._flushes:
            self._emit(self.operator.flush())
        if self._stateful:
            started = perf_counter()
            self.store.end_step()
            self.seconds += perf_counter() - started

    def _emit(self, outputs: Iterator[Changes]) -> None:
        """Pull what the operator yields, timing it alone, and give it on."""
        started = perf_counter()
        own = True
        try:
            for changes in outputs:
                own = False
                self.seconds += perf_counter() - started
                self.before_output()
                if changes.batch.num_rows:
                    self.forward(changes)
                started = perf_counter()
                own = True
        except DataError as error:
            if own and error.span is None:
                error.span = self.span
            raise
        self.seconds += perf_counter() - started


class EntryNode(Node):
    """Where rows enter: a scan, constant rows, bad records."""

    def push(self, port: int, changes: Changes) -> None:
        del port
        self.rows_in += changes.batch.num_rows
        self.forward(changes)

    def settle(self, clock: StepClock) -> None:
        """Its watermark was set when its rows came in."""

    def close(self) -> None:
        """No more rows will come."""
        self.watermark = MAX_WATERMARK
        self.idle = False
