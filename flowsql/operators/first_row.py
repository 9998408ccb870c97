"""The first row of each key to arrive.

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY proctime) AS n FROM t)
    WHERE n = 1

In → out: a row whose key has not been seen; at once.

Requires: append. Emits: append. State: `keys`; a key that was forgotten would be given again: it is
freed only by its lifetime, which begins with the row. Cost: per row one look-up of its key.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowsql.changelog import Changes, Keys
from flowsql.operators.gathering import KeyedOperator
from flowsql.types import DataType

__all__ = ["FirstRowOperator"]


class FirstRowOperator(KeyedOperator):
    """See the module.

    Args:
        keys: the key's columns.
        key_types: their types.
        ttl: how long a key is kept, in milliseconds; 0 for ever.
    """

    def __init__(
        self, *, keys: tuple[int, ...], key_types: tuple[DataType, ...], ttl: int = 0
    ) -> None:
        super().__init__(ttl)
        self._keys = keys
        self._types = key_types

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        arrays = [changes.batch.column(c) for c in self._keys]
        _, is_new = self._find(Keys.of(arrays, self._types, len(changes)))
        rows = is_new.nonzero()[0]
        if len(rows) == len(changes):
            yield changes
        elif len(rows):
            yield changes.take(rows)

    def flush(self) -> Iterator[Changes]:
        self._age()
        return iter(())
