"""What binding and planning need to know of a session's settings."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["PlanSettings"]


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """The settings that a plan depends on; they are part of its fingerprint.

    Attributes:
        streaming: False for `execution.runtime-mode = batch`: bounded input in one step.
        local_time_zone: `table.local-time-zone`.
        upsert_materialize: `table.exec.sink.upsert-materialize`: auto, none or force.
        require_on_conflict: `table.exec.sink.require-on-conflict`: a sink whose primary key is not
            the query's must be told what happens to rows of one key.
        ignore_nondeterminism: `table.optimizer.non-deterministic-update.strategy` = IGNORE.
        idle_timeout: `table.exec.source.idle-timeout` in milliseconds, None for never.
        duplicate_changes: `table.exec.source.cdc-events-duplicate`; it shows in what tables carry,
            and is therefore left out of the fingerprint itself.
        sort_at_end: `__table.exec.sort.non-temporal.enabled__`: ORDER BY of bounded input gives its rows
            when the input has ended; it shows in the plan, and is left out of the fingerprint itself.
        state_ttl: `table.exec.state.ttl` in milliseconds, 0 for ever.
    """

    streaming: bool = True
    local_time_zone: str = "UTC"
    upsert_materialize: str = "auto"
    require_on_conflict: bool = True
    ignore_nondeterminism: bool = False
    idle_timeout: int | None = None
    duplicate_changes: bool = field(default=False, compare=False)
    state_ttl: int = 0
    sort_at_end: bool = field(default=False, compare=False)

    @property
    def ttl(self) -> int:
        """How long state is kept where no hint says it; a batch job keeps all to its end."""
        return self.state_ttl if self.streaming else 0

    def kept(self, hint: int | None) -> int:
        """How long state is kept of which a hint says something, or None."""
        return self.ttl if hint is None or not self.streaming else hint
