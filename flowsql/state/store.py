"""`StateStore`: the state tables of one operator, made from what its spec declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self, TypeVar

from flowsql import state
from flowsql.errors import InternalError, StateError
from flowsql.state.spec import (
    ColumnsSpec,
    KeyIndexSpec,
    OrderedSpec,
    RowListsSpec,
    RowsSpec,
    StateSpec,
    TimersSpec,
)
from flowsql.state.table import Segment, Table, TableStats

__all__ = ["StateStore"]

T = TypeVar("T", bound=Table)


class StateStore:
    """Tables by name, in the order of their specs; a table comes after those it refers to."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self.tables = tables

    @classmethod
    def open(cls, specs: Iterable[StateSpec]) -> Self:
        """Empty tables for these specs."""
        tables: dict[str, Table] = {}
        for spec in specs:
            if spec.name in tables:
                raise InternalError(f'two state tables are called "{spec.name}"')
            tables[spec.name] = _make(spec, tables)
        return cls(tables)

    def table(self, name: str, kind: type[T]) -> T:
        """The table called `name`, which must be of that kind."""
        found = self.tables.get(name)
        if not isinstance(found, kind):
            raise InternalError(f'there is no {kind.__name__} state table called "{name}"')
        return found

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def end_step(self) -> None:
        """After the operator's flush: freed slots and rows may be used again, maintenance runs."""
        for table in self.tables.values():
            table.end_step()

    def stats(self) -> dict[str, TableStats]:
        """Size by table, with what operators hold beside it."""
        return {
            name: replace(stats, bytes=stats.bytes + table.beside)
            for name, table in self.tables.items()
            for stats in [table.stats()]
        }

    def segments(self) -> list[Segment]:
        """What a checkpoint writes; only between steps, after `end_step`."""
        return [s for table in self.tables.values() for s in table.segments()]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Fill the empty tables from one checkpoint's segments."""
        known = set(self.tables)
        for segment in segments:
            if segment.table not in known:
                raise StateError(
                    f'the checkpoint has a state table "{segment.table}" of no operator'
                )
        for name, table in self.tables.items():
            table.restore([s for s in segments if s.table == name])


def _make(spec: StateSpec, tables: dict[str, Table]) -> Table:
    def other(name: str, kind: type[T]) -> T:
        found = tables.get(name)
        if not isinstance(found, kind):
            raise InternalError(
                f'state table "{spec.name}" refers to "{name}", '
                f"which is no {kind.__name__} declared before it"
            )
        return found

    match spec:
        case KeyIndexSpec():
            return state.KeyIndex(spec)
        case ColumnsSpec():
            return state.Columns(spec, other(spec.index, state.KeyIndex))
        case RowsSpec():
            return state.Rows(spec)
        case RowListsSpec():
            return state.RowLists(spec, other(spec.rows, state.Rows))
        case OrderedSpec():
            return state.Ordered(spec, other(spec.index, state.KeyIndex))
        case TimersSpec():
            return state.Timers(spec, other(spec.index, state.KeyIndex))
        case _:
            raise InternalError(f'state table "{spec.name}" is of an unknown kind')
