"""Netting, and the labels that changes get where they leave the engine.

Inside the engine only the sign of a row counts. A step's output is netted by whole rows, never by a
guessed key; then `label` says what happened to each upsert key, and a sink that takes upserts is
given `upsert_form`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog.changes import (
    DELETE,
    INSERT,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Changes,
)
from flowsql.changelog.hashing import sort_small
from flowsql.changelog.keys import Keys
from flowsql.types import DataType

__all__ = ["label", "net", "upsert_form"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

# Below, looking for the rows that matter costs as much as looking at all.
_MANY: Final = 8192


def net(changes: Changes, types: Sequence[DataType]) -> Changes | None:
    """Cancel rows that are added and taken away, equal in normal form.

    What is left stands in its order: of a row that is taken away on balance the earliest
    retractions, of one that is added the latest insertions, so that of a chain of updates of one
    key the retraction of the first row stands before the insertion of the last. Marks are dropped.

    Args:
        changes: rows of any kinds.
        types: the columns' Flink types.

    Returns:
        The net change with kinds `+I` and `-D` (None kinds: all `+I`), or None for none.
    """
    n = len(changes)
    if n == 0:
        return None
    if changes.codes is None:
        return changes if changes.marks is None else Changes(changes.batch)
    added = changes.signs > 0
    if added.all():
        return Changes(changes.batch)
    kinds = np.where(added, np.int8(INSERT), np.int8(DELETE))
    if not added.any():
        return Changes(changes.batch, kinds)
    keys = Keys.of(changes.batch.columns, types, n)
    near = _near(keys.hash(), added)
    if near is not None:
        keys = keys.take(near)
    sign = added if near is None else added.take(near)
    ids, first = keys.group()
    pluses = np.bincount(ids[sign], minlength=len(first))
    minuses = np.bincount(ids[~sign], minlength=len(first))
    mixed = ((pluses > 0) & (minuses > 0)).take(ids).nonzero()[0]
    if not len(mixed):
        return Changes(changes.batch, kinds)
    keep = np.ones(len(ids), np.bool_)
    balance = pluses - minuses
    minus_rows = mixed[~sign.take(mixed)]
    keep[minus_rows] = _rank(ids.take(minus_rows)) < -balance.take(ids.take(minus_rows))
    plus_rows = mixed[sign.take(mixed)][::-1]
    keep[plus_rows] = _rank(ids.take(plus_rows)) < balance.take(ids.take(plus_rows))
    if near is not None:
        chosen, keep = keep, np.ones(n, np.bool_)
        keep[near] = chosen
    rows = keep.nonzero()[0]
    if not len(rows):
        return None
    left = Changes(changes.batch, kinds).take(rows)
    return Changes(left.batch) if added.take(rows).all() else left


def _near(hashes: Words, added: Bools) -> Ints | None:
    """Rows that may share their key with a retraction; None where a look at all is cheaper.

    All retractions, and insertions whose hash has a bit pattern that a retraction's has too.
    """
    minus = (~added).nonzero()[0]
    if len(hashes) < _MANY or 4 * len(minus) > len(hashes):
        return None
    bits = (16 * len(minus)).bit_length()
    place = (hashes >> np.uint64(64 - bits)).view(np.int64)
    taken = np.zeros(1 << bits, np.bool_)
    taken[place.take(minus)] = True
    return taken.take(place).nonzero()[0]


def _rank(ids: Ints) -> Ints:
    """int64[n]: how often each id occurred before."""
    order, ordered = sort_small(ids)
    start = np.ones(len(ids), np.bool_)
    start[1:] = ordered[1:] != ordered[:-1]
    place = np.arange(len(ids))
    begin = np.maximum.accumulate(np.where(start, place, 0))
    rank = np.empty(len(ids), np.int64)
    rank[order] = place - begin
    return rank


def label(changes: Changes, upsert_key: Sequence[int] | None, types: Sequence[DataType]) -> Changes:
    """Say what happened to each upsert key.

    A key of which one row is taken away and one added gives an adjacent `-U`, `+U`; one of which
    there is only one row `+I` or `-D`. Keys stand in order of first appearance, retractions before
    insertions. A key with more rows (it is none, or several steps were put together) gives all its
    `-D`, then all its `+I`; one of which nothing is taken away may stay in several places. Without
    a key every row is `+I` or `-D` where it stands.

    Args:
        changes: a step's netted rows.
        upsert_key: column indices, or None.
        types: the types of all columns.
    """
    if changes.codes is None:
        return changes
    n = len(changes)
    added = changes.signs > 0
    if upsert_key is None:
        return Changes(changes.batch, np.where(added, np.int8(INSERT), np.int8(DELETE)))
    columns = [changes.batch.column(i) for i in upsert_key]
    keys = Keys.of(columns, [types[i] for i in upsert_key], n)
    near = _near(keys.hash(), added)
    if near is not None:
        keys = keys.take(near)
    sign = added if near is None else added.take(near)
    ids, first = keys.group()
    pluses = np.bincount(ids[sign], minlength=len(first))
    minuses = np.bincount(ids[~sign], minlength=len(first))
    pair = ((pluses == 1) & (minuses == 1)).take(ids)
    # Rows stand where the first of their key stood, retractions before insertions.
    if near is None:
        updated, place = pair, first.take(ids)
    else:
        updated, place = np.zeros(n, np.bool_), np.arange(n)
        updated[near], place[near] = pair, near.take(first).take(ids)
    kinds = np.where(
        added,
        np.where(updated, np.int8(UPDATE_AFTER), np.int8(INSERT)),
        np.where(updated, np.int8(UPDATE_BEFORE), np.int8(DELETE)),
    )
    order, _ = sort_small(2 * place + added)
    if bool((order[1:] > order[:-1]).all()):
        return Changes(changes.batch, kinds)
    return Changes(changes.batch, kinds).take(order)


def upsert_form(changes: Changes) -> Changes | None:
    """Labelled changes without their `-U`; None where nothing is left."""
    if changes.codes is None:
        return changes
    rows = (changes.codes != UPDATE_BEFORE).nonzero()[0]
    if len(rows) == len(changes):
        return changes
    return changes.take(rows) if len(rows) else None
