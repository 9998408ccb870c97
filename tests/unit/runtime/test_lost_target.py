"""A target that does not know any more what was committed to it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from flowsql.config import RestartStrategy
from flowsql.errors import StateError
from flowsql.runtime.log import Line
from tests.recovery.toys import Numbers, committed_changes, expected_sums, fold
from tests.unit.runtime.bench import Bench, endless


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Empty."""
    return Bench(tmp_path)


def test_a_target_that_lost_its_rows_is_refused(bench: Bench) -> None:
    """What was committed is gone with its marker: going on would leave it out; both cures work."""
    bench.stop_after(endless(500), 500)
    bench.stop_after(endless(1000), 500)
    newest = bench.store().load(bench.store().numbers()[-1])
    assert newest.manifest.committed
    aside = bench.folder / "aside"
    bench.out.rename(aside)
    with pytest.raises(StateError) as caught:
        bench.run(Numbers(5000, size=100))
    (known,) = newest.manifest.committed.values()
    assert caught.value.message == (
        f'table "parts" has lost the rows of job "sums": up to checkpoint {known} of run '
        f'"{newest.manifest.run}" they were committed to it, and it does not know of them'
    )
    assert caught.value.hint == (
        'Bring back "parts" from a copy, with what is known there of the job. To begin anew, empty '
        "\"parts\" and run with --fresh; or give the job another 'pipeline.name' and another target."
    )
    assert not bench.out.exists()
    aside.rename(bench.out)
    bench.run(Numbers(5000, size=100))
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


def test_a_lost_target_can_be_filled_anew(bench: Bench) -> None:
    """With `--fresh`, as the refusal says; the checkpoints of before are left aside."""
    bench.stop_after(endless(500), 500)
    bench.stop_after(endless(1000), 500)
    shutil.rmtree(bench.out)
    bench.run(Numbers(5000, size=100), fresh=True)
    assert fold(committed_changes(bench.out)) == expected_sums(5000)


def test_an_old_copy_of_a_target_is_refused(bench: Bench) -> None:
    """Its marker stands before what is known to be committed."""
    # Each run has its rows left, however late it is stopped.
    bench.stop_after(endless(300), 300)
    aside = bench.folder / "aside"
    shutil.copytree(bench.out, aside)
    bench.stop_after(endless(900), 600)
    bench.stop_after(endless(1500), 600)
    shutil.rmtree(bench.out)
    aside.rename(bench.out)
    with pytest.raises(StateError, match='table "parts" has lost the rows of job "sums"'):
        bench.run(Numbers(5000, size=100))


class _Forgetful(Bench):
    """The target vanishes before a restart within the process."""

    def _hear(self, line: Line) -> None:
        super()._hear(line)
        if "restarting" in line.message and self.out.exists():
            self.out.rename(self.folder / "aside")


class _OnceCommitted(list[int]):
    """Polls that fail: the first one after something was committed, and each later one."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def __contains__(self, poll: object) -> bool:
        store = self._bench.store()
        # Older checkpoints are removed at any moment.
        with contextlib.suppress(StateError):
            return any(store.load(n).manifest.committed for n in store.numbers()[-1:])
        return False

    def remove(self, poll: int) -> None:
        """It fails again."""


def test_a_target_that_is_lost_before_a_restart_is_refused(tmp_path: Path) -> None:
    """A process that restarts by itself does not go on without the rows of before either."""
    bench = _Forgetful(tmp_path)
    source = Numbers(1_000_000, size=100, pause=0.001)
    source.fail_at = _OnceCommitted(bench)
    with pytest.raises(StateError, match='table "parts" has lost the rows of job "sums"'):
        bench.run(source, restart=RestartStrategy("fixed-delay", 10, 0, 0))
    assert not bench.out.exists()
