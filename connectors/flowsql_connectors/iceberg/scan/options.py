"""Options of a scan that contradict each other; loads no client."""

from __future__ import annotations

from typing import Final

from flowsql.connector import OptionValues
from flowsql.errors import ConfigError

__all__ = ["check_scan"]

_FROM_ID: Final = "incremental_from_snapshot_id"
_FROM_TIME: Final = "incremental_from_snapshot_timestamp"
_STARTS: Final = {"start-snapshot-id": _FROM_ID, "start-snapshot-timestamp": _FROM_TIME}
_OF_ONE_SNAPSHOT: Final = ("snapshot-id", "as-of-timestamp", "tag")
_AFTER: Final = ("start-snapshot-id", "start-tag")
_UNTIL: Final = ("end-snapshot-id", "end-tag")


def check_scan(options: OptionValues) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: names the option, and what can be said instead.
    """
    one = _only_one(options, _OF_ONE_SNAPSHOT)
    if one is not None and options.is_set("branch"):
        raise _exclude(one, "branch")
    if options["streaming"]:
        _check_streaming(options, one)
    else:
        _check_batch(options, one)


def _check_batch(options: OptionValues, one: str | None) -> None:
    for key in ("starting-strategy", "start-snapshot-timestamp"):
        if options.is_set(key):
            raise ConfigError(
                f'option "{key}" is for streaming scans',
                hint="Add 'streaming' = 'true', or choose what is read with 'snapshot-id' or "
                "'as-of-timestamp'.",
                option=key,
            )
    after, until = _only_one(options, _AFTER), _only_one(options, _UNTIL)
    bound = after or until
    if one is not None and bound is not None:
        raise _exclude(one, bound)


def _check_streaming(options: OptionValues, one: str | None) -> None:
    if one is not None:
        raise ConfigError(
            f'option "{one}" is not for streaming scans',
            hint="Choose where they begin with 'starting-strategy'.",
            option=one,
        )
    for key in ("start-tag", *_UNTIL):
        if options[key] is not None:
            raise ConfigError(
                f'option "{key}" is not for streaming scans',
                hint="Leave 'streaming' out to read what snapshots between two added; a streaming "
                "scan begins where 'starting-strategy' says, and does not end.",
                option=key,
            )
    strategy = options["starting-strategy"]
    for key, wanted in _STARTS.items():
        if options[key] is not None and strategy != wanted:
            raise ConfigError(
                f"option \"{key}\" needs 'starting-strategy' = '{wanted.upper()}'",
                hint="Without it the scan would begin elsewhere.",
                option=key,
            )
        if options[key] is None and strategy == wanted:
            raise ConfigError(
                f"'starting-strategy' = '{wanted.upper()}' needs option \"{key}\"",
                option="starting-strategy",
            )


def _only_one(options: OptionValues, keys: tuple[str, ...]) -> str | None:
    """That of some options that is given."""
    given = [key for key in keys if options[key] is not None]
    if len(given) > 1:
        raise _exclude(given[0], given[1])
    return given[0] if given else None


def _exclude(first: str, second: str) -> ConfigError:
    return ConfigError(
        f'options "{first}" and "{second}" exclude each other',
        hint="Each chooses what is read: give one.",
        option=second,
    )
