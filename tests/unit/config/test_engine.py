"""Engine options: what SET accepts, ignores and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.config import ENGINE_OPTIONS, EngineSettings, is_ignored, parse_setting
from flowsql.errors import ConfigError


def test_defaults_of_options_and_settings_agree() -> None:
    """A setting nobody made has the declared default."""
    assert EngineSettings.of({}) == EngineSettings()


def test_texts_are_parsed() -> None:
    """Durations, sizes and folders come out as numbers and paths."""
    settings = EngineSettings.of(
        {
            "execution.checkpointing.interval": "3 s",
            "pipeline.max-transaction-bytes": "1 mb",
            "execution.checkpointing.dir": "file:///tmp/jobs",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": "7",
        }
    )
    assert settings.checkpoint_interval == 3000
    assert settings.max_transaction_bytes == 1 << 20
    assert settings.checkpoint_dir == Path("/tmp/jobs")
    assert settings.restart.attempts == 7
    assert settings.restart.type == "fixed-delay"


@pytest.mark.parametrize(
    "key",
    ["state.backend.type", "table.exec.mini-batch.enabled", "table.optimizer.agg-phase-strategy",
     "execution.checkpointing.unaligned.enabled", "taskmanager.numberOfTaskSlots"],
)  # fmt: skip
def test_keys_of_flink_without_use_here_are_ignored(key: str) -> None:
    """They are accepted whatever their value."""
    assert is_ignored(key)
    assert parse_setting(key, "anything") is None


def test_a_slip_beside_a_key_with_effect_is_noticed() -> None:
    """Ignoring is by name where a neighbour matters."""
    with pytest.raises(ConfigError) as caught:
        parse_setting("execution.checkpointing.intervall", "1 s")
    assert caught.value.hint == 'Did you mean "execution.checkpointing.interval"?'


def test_an_unknown_key_names_the_nearest() -> None:
    """A typing error is caught and mended."""
    with pytest.raises(ConfigError, match=r'there is no option "pipeline\.nam"') as caught:
        parse_setting("pipeline.nam", "x")
    assert caught.value.hint == 'Did you mean "pipeline.name"?'


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("execution.checkpointing.interval", "soon", "cannot be 'soon': expected a duration"),
        ("parallelism.default", "0", 'option "parallelism.default" cannot be 0'),
        ("table.exec.state.ttl", "an hour", "cannot be 'an hour': expected a duration"),
        (
            "table.exec.sink.nested-constraint-enforcer",
            "ROW",
            "cannot be 'ROW': expected 'ignore' | 'rows' | 'rows_and_collections'",
        ),
        ("table.exec.sink.type-length-enforcer", "TRIM", "did you mean 'trim_pad'?"),
        ("pipeline.snapshot-output", "consistant", "did you mean 'consistent'"),
    ],
)
def test_a_bad_value_is_refused(key: str, text: str, message: str) -> None:
    """The message names key and value."""
    with pytest.raises(ConfigError) as caught:
        parse_setting(key, text)
    assert message in caught.value.message


def test_nothing_is_cut_within_collections() -> None:
    """As in Flink, whatever the tables."""
    given = {
        "table.exec.sink.type-length-enforcer": "TRIM_PAD",
        "table.exec.sink.nested-constraint-enforcer": "ROWS_AND_COLLECTIONS",
    }
    with pytest.raises(ConfigError, match="not possible within ARRAY and MAP") as caught:
        EngineSettings.of(given)
    assert "'table.exec.sink.nested-constraint-enforcer' = 'ROWS'" in (caught.value.hint or "")


def test_remote_folders_are_refused() -> None:
    """Object stores hold no checkpoints yet."""
    with pytest.raises(ConfigError, match='cannot be kept at "s3://b/c"'):
        EngineSettings.of({"execution.checkpointing.dir": "s3://b/c"})


def test_keys_are_unique_and_documented() -> None:
    """The reference page has one line for each."""
    keys = [o.key for o in ENGINE_OPTIONS]
    assert len(set(keys)) == len(keys)
    assert all(o.doc.endswith(".") for o in ENGINE_OPTIONS)
