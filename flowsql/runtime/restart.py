"""Restart strategies: whether and when a failed job is tried again (`restart-strategy.*`)."""

from __future__ import annotations

import random

from flowsql.config import RestartStrategy
from flowsql.errors import ConnectorError, FlowSQLError, StateError

__all__ = ["Restarts", "may_pass"]


def may_pass(error: FlowSQLError) -> bool:
    """Whether trying again may help: something outside did not answer, or a disk was full.

    A message with "cannot" says that it never will, and so does who knows.
    """
    if error.final or " cannot " in error.message:
        return False
    return isinstance(error, ConnectorError | StateError)


class Restarts:
    """Counts failures and says how long to wait.

    Args:
        strategy: what was set.
        checkpoints: whether the job takes any, which decides the default.
        seed: of the jitter; random where left out.
    """

    def __init__(
        self, strategy: RestartStrategy, *, checkpoints: bool, seed: int | None = None
    ) -> None:
        kind = strategy.type or ("exponential-delay" if checkpoints else "none")
        self._never = kind == "none"
        self._strategy = strategy
        self._random = random.Random(seed)  # noqa: S311 - spreads restarts, protects nothing
        self._delay = float(strategy.delay)
        self._last_failure: float | None = None
        self.failures = 0

    def next_delay(self, error: FlowSQLError, now: float) -> float | None:
        """Seconds to wait before the next attempt; None to give up.

        Args:
            error: what happened.
            now: seconds on the monotonic clock.
        """
        if self._never or not may_pass(error):
            return None
        strategy = self._strategy
        quiet = None if self._last_failure is None else now - self._last_failure
        if quiet is not None and quiet * 1000 >= strategy.reset_after:
            self.failures = 0
            self._delay = float(strategy.delay)
        self._last_failure = now
        self.failures += 1
        if strategy.attempts is not None and self.failures > strategy.attempts:
            return None
        spread = 1 + strategy.jitter * self._random.uniform(-1, 1)
        delay = min(self._delay * spread, float(strategy.max_delay))
        self._delay = min(self._delay * strategy.multiplier, float(strategy.max_delay))
        return delay / 1000

    def why_not(self, error: FlowSQLError, *, stepped: bool) -> str:
        """Why a failure ended the job, a sentence; empty where nobody asked for restarts.

        Args:
            error: what happened.
            stepped: the job made a step before it failed.
        """
        strategy = self._strategy
        if strategy.type is None or self._never:
            return ""
        if not stepped:
            reason = "it failed before its first step"
        elif not may_pass(error):
            reason = "trying again cannot mend this"
        else:
            tried = self.failures - 1
            reason = f"it was tried again {tried} time{'s' * (tried != 1)}, and that is the limit"
        return f"Not restarted, though 'restart-strategy.type' is '{strategy.type}': {reason}."
