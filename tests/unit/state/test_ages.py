"""Numbers by the time of their last write."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.state.ages import AgeQueue


def test_a_number_comes_out_once_its_bucket_is_over() -> None:
    """Up to a thirty-second of the lifetime late, never early."""
    queue = AgeQueue(3200)
    queue.put(0, np.arange(3))
    queue.put(99, np.arange(3, 5))
    queue.put(100, np.arange(5, 6))
    assert queue.take(98, 10).tolist() == []
    assert sorted(queue.take(99, 10).tolist()) == [0, 1, 2, 3, 4]
    assert queue.take(198, 10).tolist() == []
    assert queue.take(199, 10).tolist() == [5]


def test_no_more_comes_out_than_is_wanted() -> None:
    """And the rest is not lost."""
    queue = AgeQueue(10)
    queue.put(5, np.arange(100_000))
    first = queue.take(5, 30_000)
    rest = queue.take(5, 1 << 20)
    assert (len(first), len(rest)) == (30_000, 70_000)
    assert np.array_equal(np.sort(np.concatenate([first, rest])), np.arange(100_000))
    assert len(queue.take(1 << 40, 10)) == 0


def test_memory_follows_what_waits() -> None:
    """A few numbers a millisecond take a few kilobytes; what came out takes none."""
    queue = AgeQueue(1_000)
    for now in range(1_000):
        queue.put(now, np.arange(3))
    assert queue.nbytes < 100_000
    queue.take(2_000, 1 << 20)
    assert queue.nbytes == 0


def test_numbers_that_are_not_wanted_leave() -> None:
    """The others stay where they were."""
    queue = AgeQueue(3200)
    queue.put(0, np.arange(40_000))
    queue.put(100, np.arange(40_000, 40_010))
    queue.keep(lambda numbers: numbers % 10 == 0)
    assert len(queue) == 4_001
    assert queue.nbytes < 100_000
    assert np.array_equal(np.sort(queue.take(99, 1 << 20)), np.arange(0, 40_000, 10))
    assert queue.take(199, 1 << 20).tolist() == [40_000]
    assert len(queue) == 0


@settings(max_examples=100, deadline=None)
@given(
    puts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=30),
    takes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30)), max_size=30),
    ttl=st.sampled_from((1, 64, 333)),
)
def test_every_number_comes_out_once(
    puts: list[tuple[int, int]], takes: list[tuple[int, int]], ttl: int
) -> None:
    """Not before its time, at most so many, and none twice."""
    queue, times, out, given_ = AgeQueue(ttl), {}, [], 0
    for time, count in puts:
        numbers = np.arange(given_, given_ + count)
        times.update(dict.fromkeys(numbers.tolist(), time))
        given_ += count
        if count % 2:
            queue.put(time, numbers)
        else:
            queue.put_each(np.full(count, time), numbers)
    for time, most in takes:
        found = queue.take(time, most).tolist()
        assert len(found) <= most
        assert all(times[n] <= time for n in found)
        out += found
    out += queue.take(1 << 40, 1 << 40).tolist()
    assert sorted(out) == list(range(given_))
