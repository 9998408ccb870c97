"""The log as `pgoutput` writes it (protocol 1, values as text): messages to columns.

    B  begin     final position u64, time i64, xid u32
    C  commit    flags u8, commit position u64, end position u64, time i64
    R  relation  see `relations`
    I  insert    relation u32, 'N' tuple
    U  update    relation u32, ['K' | 'O' tuple], 'N' tuple
    D  delete    relation u32, 'K' | 'O' tuple
    T  truncate  count u32, flags u8, relations u32 …
    M  message   flags u8, position u64, prefix, length u32, bytes
    Y  type      nothing that a relation does not say
    O  origin    position u64, name

A tuple is the number of columns, and for each `t` with a length and text, `n` for NULL, or `u` for
a value out of line that did not change. All tuples of a table are walked together, column by
column; no value is touched until its column is asked for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog import DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE
from flowsql.errors import DataError
from flowsql_connectors.postgres_cdc.decode.gather import Places, Scattered
from flowsql_connectors.postgres_cdc.decode.messages import (
    ColumnPlaces,
    LogBatch,
    Message,
    RelationChanges,
    Transactions,
    Truncate,
)
from flowsql_connectors.postgres_cdc.decode.relations import (
    Relation,
    cut_off,
    read_relation,
    read_text_field,
)
from flowsql_connectors.postgres_cdc.decode.wire import UNIX_TO_2000, LogFrames

__all__ = ["LogDecoder"]

_BEGIN, _COMMIT, _RELATION = b"BCR"
_INSERT, _UPDATE, _DELETE = b"IUD"
_TRUNCATE, _MESSAGE, _TYPE, _ORIGIN = b"TMYO"
_NEW, _KEY, _OLD = b"NKO"
_TEXT, _NULL, _UNCHANGED = b"tnu"

_BEGIN_SIZE: Final = 21
_COMMIT_SIZE: Final = 26
_SHORTEST_CHANGE: Final = 8  # type, relation, kind of tuple, number of columns

# What each type of message is to us.
_OTHER, _EDGE, _CHANGE, _FOREIGN = range(4)
_ROLES = np.full(256, _FOREIGN, np.uint8)
_ROLES[[_RELATION, _TRUNCATE, _MESSAGE, _TYPE, _ORIGIN]] = _OTHER
_ROLES[[_BEGIN, _COMMIT]] = _EDGE
_ROLES[[_INSERT, _UPDATE, _DELETE]] = _CHANGE

_Mask = npt.NDArray[np.bool_]
_Octets = npt.NDArray[np.uint8]


class LogDecoder:
    """Decodes one stream of the log, batch by batch.

    Attributes:
        relations: the tables described so far, by oid; a stream that begins anew describes them
            anew, so a new one needs a new decoder.
    """

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}
        # xid, final position and time of the transaction that the last batch ended within.
        self._open: tuple[int, int, int] | None = None

    def decode(self, frames: LogFrames) -> LogBatch:
        """The next messages.

        Raises DataError for what `pgoutput` does not write.
        """
        if len(frames.starts) == 0:
            nothing = np.empty(0, np.int64)
            empty = Transactions(nothing.astype(np.uint32), nothing, nothing, nothing)
            return LogBatch(empty, complete=self._open is None)
        try:
            return self._batch(frames)
        except IndexError:
            # A length led out of the data.
            raise cut_off("change") from None

    def _batch(self, frames: LogFrames) -> LogBatch:
        data, starts, ends = frames.data, frames.starts, frames.ends
        types = data.octets[starts]
        roles = _ROLES[types]
        if (roles == _FOREIGN).any():
            foreign = chr(types[int((roles == _FOREIGN).argmax())])
            raise DataError(
                f"the server sent a message of the log that is not known: {foreign!r}",
                hint="Read the log by plugin pgoutput, protocol version 1, streaming off.",
            )
        transactions, numbers, inside, complete = self._transactions(frames, types, roles == _EDGE)
        before = dict(self.relations)
        others = _Others(self.relations)
        for index in np.flatnonzero(roles == _OTHER).tolist():
            number = int(numbers[index]) if inside[index] else None
            piece = data.piece(int(starts[index]), int(ends[index]))
            others.read(index, piece, number)
        changes: list[RelationChanges] = []
        changed = np.flatnonzero(roles == _CHANGE)
        if len(changed):
            if not inside[changed].all():
                raise DataError("the server sent a change outside of a transaction")
            if (ends[changed] - starts[changed] < _SHORTEST_CHANGE).any():
                raise cut_off("change")
            for relation, indices in _by_relation(data, starts, changed, before, others.described):
                changes.append(
                    _changes(frames, types[indices], relation, indices, numbers[indices])
                )
        return LogBatch(
            transactions,
            tuple(changes),
            tuple(others.truncates),
            tuple(others.messages),
            tuple(relation for _, relation in others.described),
            tuple(others.origins),
            complete,
        )

    def _transactions(
        self, frames: LogFrames, types: _Octets, edges: _Mask
    ) -> tuple[Transactions, npt.NDArray[np.int32], _Mask, bool]:
        """The transactions; each message's number among them; whether it is inside of one."""
        data, starts, ends = frames.data, frames.starts, frames.ends
        begin, commit = types == _BEGIN, types == _COMMIT
        sizes = np.where(begin, _BEGIN_SIZE, _COMMIT_SIZE)
        if ((ends - starts != sizes) & edges).any():
            raise cut_off("transaction")
        carried = self._open
        edge_types = types[edges]
        # Begin and commit take turns, whichever comes first.
        expected = np.full(len(edge_types), _BEGIN, np.uint8)
        expected[(0 if carried else 1) :: 2] = _COMMIT
        if (edge_types != expected).any():
            raise DataError("the server sent transactions of the log that overlap")
        opened = np.cumsum(begin, dtype=np.int32)
        numbers = opened if carried else opened - 1
        inside = numbers - np.cumsum(commit, dtype=np.int32) >= 0
        at = starts[begin]
        xid = data.int32(at + 17).view(np.uint32)
        final = data.int64(at + 1)
        time = data.int64(at + 9) + UNIX_TO_2000
        if carried:
            xid = np.concatenate([np.array([carried[0]], np.uint32), xid])
            final = np.concatenate([[carried[1]], final])
            time = np.concatenate([[carried[2]], time])
        end = np.zeros(len(xid), np.int64)
        closed = data.int64(starts[commit] + 10)
        end[: len(closed)] = closed
        complete = len(closed) == len(xid)
        self._open = None if complete else (int(xid[-1]), int(final[-1]), int(time[-1]))
        return Transactions(xid, final, time, end), numbers, inside, complete


class _Others:
    """The messages that are no change and no edge of a transaction: few, read one by one."""

    def __init__(self, relations: dict[int, Relation]) -> None:
        self._relations = relations
        self.described: list[tuple[int, Relation]] = []
        self.truncates: list[Truncate] = []
        self.messages: list[Message] = []
        self.origins: list[str] = []

    def read(self, index: int, message: bytes, transaction: int | None) -> None:
        kind = message[0]
        if kind == _RELATION:
            relation = read_relation(message)
            # Described again at every reconnect and after many statements, mostly the same.
            if self._relations.get(relation.oid) != relation:
                self._relations[relation.oid] = relation
                self.described.append((index, relation))
        elif kind == _TRUNCATE:
            self.truncates.append(self._truncate(index, message, transaction))
        elif kind == _MESSAGE:
            self.messages.append(_emitted(index, message, transaction))
        elif kind == _ORIGIN:
            name, end = read_text_field(message, 9, "origin")
            if end != len(message):
                raise cut_off("origin")
            self.origins.append(name)

    def _truncate(self, index: int, message: bytes, transaction: int | None) -> Truncate:
        count = int.from_bytes(message[1:5], "big")
        if len(message) != 6 + 4 * count or transaction is None:
            raise cut_off("truncate")
        oids = [int.from_bytes(message[at : at + 4], "big") for at in range(6, len(message), 4)]
        for oid in oids:
            if oid not in self._relations:
                raise _not_described(oid)
        return Truncate(
            tuple(self._relations[oid] for oid in oids),
            cascade=bool(message[5] & 1),
            restart=bool(message[5] & 2),
            ordinal=2 * index,
            transaction=transaction,
        )


def _emitted(index: int, message: bytes, transaction: int | None) -> Message:
    if len(message) < 10:
        raise cut_off("message")
    prefix, at = read_text_field(message, 10, "message")
    content = message[at + 4 :]
    if len(message) < at + 4 or int.from_bytes(message[at : at + 4], "big") != len(content):
        raise cut_off("message")
    position = int.from_bytes(message[2:10], "big")
    # One that is not transactional may still stand between a begin and its commit.
    within = transaction if message[1] & 1 else None
    return Message(position, prefix, content, 2 * index, within)


def _not_described(oid: int) -> DataError:
    return DataError(f"the server sent a change of table {oid} without describing the table")


def _by_relation(
    data: Scattered,
    starts: Places,
    changed: Places,
    before: dict[int, Relation],
    described: list[tuple[int, Relation]],
) -> list[tuple[Relation, Places]]:
    """The changes of each table, cut where the table became another; in order of appearance."""
    oids = data.int32(starts[changed] + 1).view(np.uint32)
    if (oids == oids[0]).all():
        groups = [(int(oids[0]), changed)]
    else:
        order = np.argsort(oids, kind="stable")
        cuts = np.flatnonzero(np.diff(oids[order])) + 1
        groups = [(int(oids[part[0]]), changed[part]) for part in np.split(order, cuts)]
    pieces: list[tuple[Relation, Places]] = []
    for oid, indices in groups:
        relation = before.get(oid)
        start = 0
        for place, after in described:
            if after.oid != oid:
                continue
            end = int(np.searchsorted(indices, place))
            if end > start:
                pieces.append((_known(relation, oid), indices[start:end]))
            start, relation = end, after
        if start < len(indices):
            pieces.append((_known(relation, oid), indices[start:]))
    pieces.sort(key=lambda piece: int(piece[1][0]))
    return pieces


def _known(relation: Relation | None, oid: int) -> Relation:
    if relation is None:
        raise _not_described(oid)
    return relation


def _changes(
    frames: LogFrames,
    types: _Octets,
    relation: Relation,
    indices: Places,
    transactions: npt.NDArray[np.int32],
) -> RelationChanges:
    """The changes at `indices`, all of one table as it is described by `relation`."""
    data = frames.data
    starts, ends = frames.starts[indices], frames.ends[indices]
    images = data.octets[starts + 5]
    update, new = types == _UPDATE, images == _NEW
    right = (new & (types != _DELETE)) | (
        ((images == _KEY) | (images == _OLD)) & (types != _INSERT)
    )
    if not right.all():
        raise DataError(
            f'the server sent a change of table "{relation.schema}.{relation.name}" that has'
            " neither a new nor an old row"
        )
    columns = len(relation.columns)
    first, places = _tuples(data, starts + 6, columns, relation)
    both = np.flatnonzero(update & ~new)
    second: list[ColumnPlaces] = []
    if len(both):
        at = places[both]
        if (data.octets[at] != _NEW).any():
            raise cut_off("update")
        second, ends_of_both = _tuples(data, at + 1, columns, relation)
        # The last column's own ends stay as they are.
        places = places.copy()
        places[both] = ends_of_both
    if (places != ends).any():
        raise cut_off("change")
    kinds = np.where(types == _INSERT, INSERT, np.where(update, UPDATE_AFTER, DELETE))
    kinds = kinds.astype(np.int8)
    ordinals = 2 * indices.astype(np.int64)
    key_only = images == _KEY
    if len(both):
        kinds[both] = UPDATE_BEFORE
        # Old and new row of an update take two rows.
        row = np.arange(len(indices))
        row[1:] += np.cumsum(update & ~new)[:-1]
        behind = row[both] + 1
        first = [one.merged(other, row, behind) for one, other in zip(first, second, strict=True)]
        kinds = _spread(kinds, UPDATE_AFTER, row, behind)
        ordinals = _spread(ordinals, ordinals[both] + 1, row, behind)
        transactions = _spread(transactions, transactions[both], row, behind)
        key_only = _spread(key_only, False, row, behind)
    return RelationChanges(
        relation,
        kinds,
        key_only if key_only.any() else None,
        ordinals,
        transactions,
        data,
        tuple(first),
    )


def _spread(
    values: npt.NDArray[Any], inserted: Any, row: Places, behind: Places
) -> npt.NDArray[Any]:
    out = np.empty(len(row) + len(behind), values.dtype)
    out[row] = values
    out[behind] = inserted
    return out


def _tuples(
    data: Scattered, places: Places, columns: int, relation: Relation
) -> tuple[list[ColumnPlaces], Places]:
    """Where each column's values stand in the tuples at `places`, and where those end.

    Nothing but lengths is read: who reads values first compares the ends with the messages' ends.
    """
    if (data.int16(places) != columns).any():
        raise DataError(
            f'the server sent a row of table "{relation.schema}.{relation.name}" that has not the'
            f" {columns} columns it described"
        )
    places = places + 2
    out: list[ColumnPlaces] = []
    for _ in range(columns):
        kinds = data.octets[places]
        text = kinds == _TEXT
        lengths = data.int32(places + 1)
        if text.all():
            begins = places + 5
            valid = unchanged = None
        else:
            unchanged = kinds == _UNCHANGED
            if (~text & ~unchanged & (kinds != _NULL)).any():
                raise DataError(
                    f'the server sent a value of table "{relation.schema}.{relation.name}" that'
                    " is no text"
                )
            lengths = np.where(text, lengths, 0)
            begins = places + np.where(text, 5, 1)
            valid = text
            unchanged = unchanged if unchanged.any() else None
        if lengths.min() < 0:
            raise cut_off("change")
        places = begins + lengths
        out.append(ColumnPlaces(begins, places, valid, unchanged))
    return out, places
