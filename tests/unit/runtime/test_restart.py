"""Restart strategies."""

from __future__ import annotations

import pytest

from flowsql.config import EngineSettings
from flowsql.errors import ConfigError, ConnectorError, DataError, FlowSQLError, StateError
from flowsql.runtime.restart import Restarts, may_pass


def restarts(checkpoints: bool = True, **options: str) -> Restarts:
    """From texts, as SET gives them."""
    given = {f"restart-strategy.{k.replace('_', '-')}": v for k, v in options.items()}
    return Restarts(EngineSettings.of(given).restart, checkpoints=checkpoints, seed=0)


AWAY = ConnectorError("could not reach the server")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AWAY, True),
        (StateError("could not write checkpoint 3"), True),
        (ConnectorError("table cannot be read again"), False),
        (ConnectorError("the slot is gone", final=True), False),
        (DataError("a record cannot be decoded"), False),
        (ConfigError("no such option"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: FlowSQLError, expected: bool) -> None:
    """A wrong row stays wrong."""
    assert may_pass(error) is expected
    delay = restarts().next_delay(error, 0.0)
    assert (delay is not None) is expected


def test_the_default_depends_on_checkpoints() -> None:
    """Without them a restart would begin anew."""
    assert restarts(checkpoints=False).next_delay(AWAY, 0.0) is None
    assert restarts(checkpoints=True).next_delay(AWAY, 0.0) is not None
    assert restarts(type="none").next_delay(AWAY, 0.0) is None


def test_fixed_delay_counts() -> None:
    """So many attempts, the same pause."""
    made = Restarts(
        EngineSettings.of(
            {
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": "2",
                "restart-strategy.fixed-delay.delay": "3 s",
            }
        ).restart,
        checkpoints=True,
    )
    assert [made.next_delay(AWAY, t) for t in (0.0, 1.0, 2.0)] == [3.0, 3.0, None]


def test_exponential_delay_grows_and_resets() -> None:
    """Each pause is longer up to the limit; after quiet times it is short again."""
    prefix = "restart-strategy.exponential-delay."
    made = Restarts(
        EngineSettings.of(
            {
                "restart-strategy.type": "exponential-delay",
                prefix + "initial-backoff": "1 s",
                prefix + "max-backoff": "3 s",
                prefix + "backoff-multiplier": "2",
                prefix + "jitter-factor": "0",
                prefix + "reset-backoff-threshold": "60 s",
            }
        ).restart,
        checkpoints=True,
    )
    assert [made.next_delay(AWAY, float(t)) for t in range(4)] == [1.0, 2.0, 3.0, 3.0]
    assert made.next_delay(AWAY, 100.0) == 1.0


def test_why_a_strategy_was_not_used() -> None:
    """Half a line, where one was asked for."""
    fixed = {"type": "fixed-delay", "fixed_delay.attempts": "1"}
    made = restarts(**fixed)
    said = "Not restarted, though 'restart-strategy.type' is 'fixed-delay': "
    wrong = DataError("a record cannot be decoded")
    assert made.why_not(AWAY, stepped=False) == f"{said}it failed before its first step."
    assert made.why_not(wrong, stepped=True) == f"{said}trying again cannot mend this."
    assert made.next_delay(AWAY, 0.0) is not None
    assert made.next_delay(AWAY, 1.0) is None
    assert (
        made.why_not(AWAY, stepped=True)
        == f"{said}it was tried again 1 time, and that is the limit."
    )
    assert restarts().why_not(wrong, stepped=True) == ""
    assert restarts(type="none").why_not(wrong, stepped=True) == ""
