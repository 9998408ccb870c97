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
"""

from __future__ import annotations

from flowsql.state.columns import Columns
from flowsql.state.key_index import KeyIndex
from flowsql.state.ordered import Entries, Ordered
from flowsql.state.row_lists import RowLists
from flowsql.state.rows import Rows
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
from flowsql.state.store import StateStore
from flowsql.state.table import Segment, Table, TableStats
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
