"""In which order the sinks' tokens are committed."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from flowsql.config import EngineSettings
from flowsql.connector import JSON, Attempt
from flowsql.errors import ConnectorError
from flowsql.runtime.checkpoints import Checkpointer


class _Prepared:
    """A writer that gives what is written down: None for nothing, an error to fail."""

    def __init__(self, *given: JSON | ConnectorError | None) -> None:
        self._given = list(given)

    def prepare(self, checkpoint: int) -> JSON | None:
        """The next."""
        del checkpoint
        found = self._given.pop(0)
        if isinstance(found, ConnectorError):
            raise found
        return found


class _Execution(SimpleNamespace):
    """Writers, and nothing else; remembers what is committed."""

    def __init__(self, **writers: _Prepared) -> None:
        nothing: Sequence[Any] = ()
        graph = SimpleNamespace(nodes=nothing, operators=nothing, outlets=nothing, scans={})
        super().__init__(
            writers=writers, graph=graph, groups=nothing, writer_stores={}, committed={},
            bad_records=0, step_number=1, released_at=None, has_released=False, done=[],
        )  # fmt: skip

    def commit(self, sink: str, checkpoint: int, token: JSON) -> None:
        """It is done."""
        del token
        self.done.append((sink, checkpoint))


def test_the_oldest_checkpoint_comes_first() -> None:
    """A table that two sinks write would else tell of an older one than it has."""
    execution = _Execution(
        first=_Prepared({"n": 1}, {"n": 2}),
        second=_Prepared({"n": 1}, None),
        third=_Prepared(ConnectorError("no room"), None),
    )
    checkpointer = Checkpointer(
        execution,  # type: ignore[arg-type]
        Attempt("job", "r1", 1),
        None,
        EngineSettings(tolerable_failed_checkpoints=3),
        plan={},
        fingerprint="f",
        last=0,
        notify=lambda: None,
    )
    checkpointer.begin()
    assert execution.done == []
    checkpointer.begin()
    assert execution.done == [("first", 1), ("second", 1), ("first", 2)]
