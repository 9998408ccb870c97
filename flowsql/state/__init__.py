"""State: columnar, incremental, open.

Six kinds of table serve every operator (`spec.py` declares them, `store.py` makes them):

* `KeyIndex`: key ↔ dense slot;
* `Columns`: accumulators by slot;
* `Rows`: rows by row number, with weight and mutable columns;
* `RowLists`: slot → row numbers;
* `Ordered`: entries of a slot in an order;
* `Timers`: one time a slot.

The cost of a call is amortised in its rows, whatever the size of the state. Between two `end_step`
calls lies one step; what a step frees can be read until its end and is used again after it.

Decisions (2026-11):

* Tables are `Vector`s: address space is reserved and pages are touched as they are needed, so that
  growing never copies, and a row's place is one addition away.
* `RowLists` keeps extents that double, not sorted runs: a probe of a run is a binary search (40 ms
  for 64 k probes of 8 M pairs), a probe of an extent two look-ups.
* `Ordered` is one tree of small sorted leaves over all slots: entries leave at once, so that MIN
  and MAX over updates never walk over dead ones; `Timers` keeps sorted runs.
* A checkpoint writes whole tables as copies for now; every table keeps dirty marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsql.lazy import lazily
from flowsql.state.spec import (
    ColumnsSpec,
    KeyIndexSpec,
    OrderedSpec,
    RowListsSpec,
    RowsSpec,
    SortColumn,
    StateSpec,
    TimersSpec,
)
from flowsql.state.table import Segment, Table, TableStats

if TYPE_CHECKING:
    from flowsql.state.columns import Columns
    from flowsql.state.key_index import KeyIndex
    from flowsql.state.ordered import Entries, Ordered
    from flowsql.state.row_lists import RowLists
    from flowsql.state.rows import Rows
    from flowsql.state.store import StateStore
    from flowsql.state.timers import Timers

__all__ = [
    "Columns",
    "ColumnsSpec",
    "Entries",
    "KeyIndex",
    "KeyIndexSpec",
    "Ordered",
    "OrderedSpec",
    "RowLists",
    "RowListsSpec",
    "Rows",
    "RowsSpec",
    "Segment",
    "SortColumn",
    "StateSpec",
    "StateStore",
    "Table",
    "TableStats",
    "Timers",
    "TimersSpec",
]

__getattr__ = lazily(
    __name__,
    {
        "Columns": "flowsql.state.columns",
        "Entries": "flowsql.state.ordered",
        "KeyIndex": "flowsql.state.key_index",
        "Ordered": "flowsql.state.ordered",
        "RowLists": "flowsql.state.row_lists",
        "Rows": "flowsql.state.rows",
        "StateStore": "flowsql.state.store",
        "Timers": "flowsql.state.timers",
    },
)
