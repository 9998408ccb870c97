"""Options of a scan that contradict each other; loads no client."""

from __future__ import annotations

from typing import Final

from flowsql.connector import OptionValues
from flowsql.errors import ConfigError

__all__ = ["OF_A_SNAPSHOT", "check_scan"]

_FROM_ID: Final = "incremental_from_snapshot_id"
_FROM_TIME: Final = "incremental_from_snapshot_timestamp"
_STARTS: Final = {"start-snapshot-id": _FROM_ID, "start-snapshot-timestamp": _FROM_TIME}
_OF_ONE_SNAPSHOT: Final = ("snapshot-id", "as-of-timestamp", "tag")
_AFTER: Final = ("start-snapshot-id", "start-tag")
_UNTIL: Final = ("end-snapshot-id", "end-tag")


# Of these tables about a table, those that tell of one snapshot.
OF_A_SNAPSHOT: Final = ("files", "data_files", "delete_files", "partitions")


def check_scan(options: OptionValues, metadata: str | None = None) -> None:
    """Refuse options that contradict each other.

    Args:
        options: of the table.
        metadata: what it tells about another table, where it is one of these.

    Raises:
        ConfigError: names the option, and what can be said instead.
    """
    one = _only_one(options, _OF_ONE_SNAPSHOT)
    if one is not None and options.is_set("branch"):
        raise _exclude(one, "branch")
    if metadata is not None:
        _check_metadata(options, metadata)
    if options["streaming"]:
        _check_streaming(options, one)
    else:
        _check_batch(options, one)


def _check_metadata(options: OptionValues, kind: str) -> None:
    told: tuple[str, ...] = ("streaming", *_AFTER, *_UNTIL)
    if kind not in OF_A_SNAPSHOT:
        told = (*told, *_OF_ONE_SNAPSHOT, "branch")
    for key in told:
        if options.is_set(key) and options[key]:
            raise ConfigError(
                f'option "{key}" means nothing for a table of {kind}',
                hint="Leave it out."
                if kind in OF_A_SNAPSHOT
                else f"Leave it out; {', '.join(OF_A_SNAPSHOT)} are told of one snapshot.",
                option=key,
            )


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
