"""The log as columns: transactions, old and new rows, tables that change, and broken bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import pytest
from flowsql_connectors.postgres_cdc import (
    LogBatch,
    LogDecoder,
    RelationChanges,
    read_frames,
    standby_status,
)

from flowsql.errors import DataError, FlowSQLError
from tests.unit.connectors.postgres_cdc.making import (
    INT4,
    TEXT,
    UNCHANGED,
    begin,
    change,
    commit,
    frame,
    relation,
    row,
)

_T = relation(7, [("id", INT4), ("name", TEXT)], keys=["id"])
_U = relation(8, [("x", INT4)], keys=["x"], identity="f", name="u")


def _decode(*frames: bytes, decoder: LogDecoder | None = None) -> LogBatch:
    return (decoder or LogDecoder()).decode(read_frames(frames))


def _rows(changes: RelationChanges) -> list[tuple[str, ...]]:
    """Kind and text of each row, `key` behind a row that is only one, `?` for what was not sent."""
    columns = [changes.text(i).to_pylist() for i in range(len(changes.places))]
    unchanged = [changes.unchanged(i) for i in range(len(changes.places))]
    out = []
    for r, kind in enumerate(changes.kinds.tolist()):
        values = [
            "?" if mask is not None and mask[r] else repr(column[r])
            for column, mask in zip(columns, unchanged, strict=True)
        ]
        key = ["key"] if changes.key_only is not None and changes.key_only[r] else []
        out.append((("+I", "-U", "+U", "-D")[kind], *values, *key))
    return out


def test_transactions_of_several_tables() -> None:
    """Each table's changes in order; ordinals tell the order over all."""
    batch = _decode(
        begin(11, final=1000, time=5),
        _T,
        change("I", 7, row("N", "1", "ann")),
        _U,
        change("I", 8, row("N", "10")),
        change("I", 7, row("N", "2", None)),
        commit(1008, 1000),
        begin(12, final=2000),
        change("D", 7, row("K", "1", None)),
        change("U", 8, row("O", "10"), row("N", "11")),
        commit(2008, 2000),
    )
    t, u = batch.changes
    assert (t.relation.name, t.relation.identity, u.relation.identity) == ("t", "default", "full")
    assert [(c.name, c.type, c.key) for c in t.relation.columns] == [
        ("id", INT4, True),
        ("name", TEXT, False),
    ]
    assert _rows(t) == [
        ("+I", "'1'", "'ann'"),
        ("+I", "'2'", "None"),
        ("-D", "'1'", "None", "key"),
    ]
    assert _rows(u) == [("+I", "'10'"), ("-U", "'10'"), ("+U", "'11'")]
    assert t.ordinals.tolist() == [4, 10, 16]
    assert u.ordinals.tolist() == [8, 18, 19]
    assert t.transactions.tolist() == [0, 0, 1]
    assert u.transactions.tolist() == [0, 1, 1]
    transactions = batch.transactions
    assert transactions.xid.tolist() == [11, 12]
    assert transactions.final.tolist() == [1000, 2000]
    assert transactions.end.tolist() == [1008, 2008]
    assert transactions.time.tolist() == [946_684_800_000_005, 946_684_800_000_000]
    assert (batch.complete, batch.rows) == (True, 6)
    assert [r.name for r in batch.relations] == ["t", "u"]


def test_what_each_replica_identity_sends() -> None:
    """Nothing of the old row, its key, or all of it."""
    batch = _decode(
        begin(1),
        _T,
        change("U", 7, row("N", "1", "b")),
        change("U", 7, row("K", "1", None), row("N", "2", "b")),
        change("U", 7, row("O", "2", "b"), row("N", "2", "c")),
        change("D", 7, row("K", "2", None)),
        change("D", 7, row("O", "2", "c")),
        commit(),
    )
    assert _rows(batch.changes[0]) == [
        ("+U", "'1'", "'b'"),
        ("-U", "'1'", "None", "key"),
        ("+U", "'2'", "'b'"),
        ("-U", "'2'", "'b'"),
        ("+U", "'2'", "'c'"),
        ("-D", "'2'", "None", "key"),
        ("-D", "'2'", "'c'"),
    ]


def test_values_out_of_line_that_did_not_change() -> None:
    """Taken from a whole old row; unknown without one."""
    batch = _decode(
        begin(1),
        _T,
        change("U", 7, row("N", "1", UNCHANGED)),
        change("U", 7, row("O", "1", "long"), row("N", "2", UNCHANGED)),
        change("U", 7, row("K", "2", None), row("N", "3", UNCHANGED)),
        change("U", 7, row("O", "3", None), row("N", "4", UNCHANGED)),
        change("I", 7, row("N", "5", "x")),
        commit(),
    )
    assert _rows(batch.changes[0]) == [
        ("+U", "'1'", "?"),
        ("-U", "'1'", "'long'"),
        ("+U", "'2'", "'long'"),
        ("-U", "'2'", "None", "key"),
        ("+U", "'3'", "?"),
        ("-U", "'3'", "None"),
        ("+U", "'4'", "None"),
        ("+I", "'5'", "'x'"),
    ]
    assert batch.changes[0].unchanged(0) is None


def test_a_transaction_goes_on_in_the_next_batch() -> None:
    """Cut anywhere, its rows know their transaction; its end is known when it comes."""
    frames = [
        begin(5, final=50),
        _T,
        *(change("I", 7, row("N", str(i), "x")) for i in range(3)),
        commit(58, 50),
        begin(6, final=60),
        change("I", 7, row("N", "9", "x")),
        commit(68, 60),
    ]
    for cut in range(1, len(frames)):
        decoder = LogDecoder()
        batches = [decoder.decode(read_frames(part)) for part in (frames[:cut], frames[cut:])]
        xids = [
            int(batch.transactions.xid[number])
            for batch in batches
            for changes in batch.changes
            for number in changes.transactions
        ]
        assert xids == [5, 5, 5, 6]
        assert [b.complete for b in batches] == [cut == 6, True]
        assert batches[-1].transactions.end[-1] == 68
        assert (batches[0].transactions.end[-1] == 0) == (cut != 6)
    assert LogDecoder().decode(read_frames([])).complete


def test_a_table_that_changes_within_a_batch() -> None:
    """Rows before and after are told apart; the same description again is no change."""
    wider = relation(7, [("id", INT4), ("name", TEXT), ("more", TEXT)], keys=["id"])
    decoder = LogDecoder()
    batch = _decode(
        begin(1),
        _T,
        change("I", 7, row("N", "1", "a")),
        _T,
        change("I", 7, row("N", "2", "a")),
        wider,
        change("I", 7, row("N", "3", "a", "b")),
        commit(),
        decoder=decoder,
    )
    assert [len(c.relation.columns) for c in batch.changes] == [2, 3]
    assert [len(c) for c in batch.changes] == [2, 1]
    assert len(batch.relations) == 2
    again = _decode(
        begin(2), wider, change("I", 7, row("N", "4", "a", "b")), commit(), decoder=decoder
    )
    assert again.relations == ()


def test_truncate_messages_types_and_origins() -> None:
    """What is no row, with its place among the rows."""
    content = b"\0\xff"
    message = struct.pack(">BQ", 1, 77) + b"flowsql\0" + struct.pack(">I", 2) + content
    loose = struct.pack(">BQ", 0, 78) + b"\0" + struct.pack(">I", 0)
    batch = _decode(
        frame(b"M" + loose),
        begin(1),
        frame(b"O" + struct.pack(">Q", 1) + b"elsewhere\0"),
        frame(b"Y" + struct.pack(">I", 99999) + b"s\0mood\0"),
        _T,
        _U,
        change("I", 7, row("N", "1", "a")),
        frame(b"T" + struct.pack(">IBII", 2, 3, 7, 8)),
        frame(b"M" + message),
        commit(),
    )
    (truncate,) = batch.truncates
    assert [r.name for r in truncate.relations] == ["t", "u"]
    assert (truncate.cascade, truncate.restart, truncate.transaction) == (True, True, 0)
    assert truncate.ordinal > batch.changes[0].ordinals[0]
    first, second = batch.messages
    assert (first.position, first.prefix, first.content, first.transaction) == (78, "", b"", None)
    assert (second.prefix, second.content, second.transaction) == ("flowsql", content, 0)
    assert batch.origins == ("elsewhere",)


def test_frames_and_answers() -> None:
    """Keepalives are told from messages, and our status is as the server reads it."""
    keepalive = b"k" + struct.pack(">QqB", 900, 0, 1)
    frames = read_frames([begin(1), commit(), keepalive])
    assert (len(frames.starts), frames.log_end) == (2, 900)
    assert (frames.answer_wanted, frames.keepalive_end) == (True, 900)
    frames = read_frames([keepalive, begin(1)])
    assert (frames.log_end, frames.keepalive_end) == (900, None)
    status = standby_status(5, 946_684_800_000_007, answer=True)
    assert struct.unpack(">cQQQqB", status) == (b"r", 5, 5, 5, 7, 1)


_TUPLE = row("N", "1", "a")


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([b"x123"], "a frame of the log that is not known"),
        ([b"w" + bytes(24)], "a frame of the log that is not known"),
        ([frame(b"S" + bytes(5))], "a message of the log that is not known: 'S'"),
        ([begin(1)[:-1]], "a transaction message of the log that is not as long as it says"),
        ([begin(1), begin(2)], "transactions of the log that overlap"),
        ([commit()], "transactions of the log that overlap"),
        ([_T, change("I", 7, _TUPLE)], "outside of a transaction"),
        ([begin(1), change("I", 7, _TUPLE)], "table 7 without describing"),
        ([begin(1), frame(b"T" + struct.pack(">IBI", 1, 0, 7))], "table 7 without describing"),
        ([begin(1), _T, change("I", 7, row("N", "1"))], 'table "s.t" that has not the 2 columns'),
        ([begin(1), _T, change("I", 7, row("K", "1", "a"))], "neither a new nor an old row"),
        ([begin(1), _T, change("D", 7, _TUPLE)], "neither a new nor an old row"),
        ([begin(1), _T, change("U", 7, row("O", "1", "a"))], "not as long as it says"),
        ([begin(1), _T, change("I", 7, _TUPLE + b"x")], "not as long as it says"),
        ([begin(1), _T, change("I", 7, _TUPLE[:-1])], "not as long as it says"),
        ([begin(1), _T, change("I", 7, _TUPLE.replace(b"t", b"b"))], "that is no text"),
        ([begin(1), _T[:-1]], "a relation message"),
        ([begin(1), frame(b"T\0\0\0\2\0")], "a truncate message"),
        ([begin(1), frame(b"M" + bytes(12) + b"\1")], "a message message"),
    ],
)
def test_what_pgoutput_does_not_write_is_an_error(frames: Sequence[bytes], problem: str) -> None:
    """Named, never guessed."""
    with pytest.raises(DataError, match=problem):
        _decode(*frames)


def test_text_that_is_not_utf8_names_the_column() -> None:
    """A database in SQL_ASCII may hold anything."""
    broken = row("N", "1", "a").replace(b"a", b"\xe4")
    batch = _decode(begin(1), _T, change("I", 7, broken), commit())
    with pytest.raises(
        DataError, match=r'column "name" of table "s\.t" holds text that is not UTF'
    ):
        batch.changes[0].text(1)


def test_any_bytes_are_changes_or_an_error() -> None:
    """Thousands of damaged batches, each read to the last value."""
    frames = [
        begin(1),
        _T,
        change("I", 7, row("N", "1", "ann")),
        change("U", 7, row("O", "1", "ann"), row("N", "2", UNCHANGED)),
        change("D", 7, row("K", "2", None)),
        frame(b"T" + struct.pack(">IBI", 1, 0, 7)),
        commit(),
    ]
    chance = random.Random(7)
    failed = 0
    for _ in range(3000):
        damaged = [bytearray(f) for f in frames]
        for _ in range(chance.randint(1, 3)):
            one = chance.choice(damaged)
            one[chance.randrange(25, len(one))] = chance.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
        if chance.random() < 0.2:
            one = chance.choice(damaged)
            del one[chance.randrange(26, len(one)) :]
        try:
            for changes in _decode(*map(bytes, damaged)).changes:
                _rows(changes)
        except FlowSQLError:
            failed += 1
    assert failed > 1000
