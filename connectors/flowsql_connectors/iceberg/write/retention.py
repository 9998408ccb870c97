"""Which snapshots are too old, by what the job and the table say.

It is decided as by the format's reference implementation: of each branch the newest ones stay
(`min-snapshots-to-keep`) and those that are young enough, every tag keeps its own, and a branch or
tag goes with its age (`max-ref-age-ms`). What a sink of ours has to find again stays as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flowsql.connector import OptionValues
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.write.markers import branch_snapshots

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.refs import SnapshotRef
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["ENABLED", "Expiry", "ExpirySettings", "choose"]

_PREFIX: Final = "flink-maintenance.expire-snapshots."
ENABLED: Final = f"{_PREFIX}enabled"
_MAIN: Final = "main"
# Of the format's reference implementation.
_AGE: Final = 5 * 86_400_000
_LAST: Final = 1


@dataclass(frozen=True, slots=True)
class ExpirySettings:
    """Which snapshots expire, and how often it is looked for them.

    Attributes:
        enabled: at all.
        age: milliseconds for which a snapshot stays; None: as the table says.
        last: so many of a branch stay; None: as the table says.
        commits: it is looked after so many commits.
        interval: or after so many seconds.
    """

    enabled: bool
    age: int | None
    last: int | None
    commits: int
    interval: int

    @classmethod
    def of(cls, options: OptionValues) -> ExpirySettings:
        """By the options of a table."""
        age = options[f"{_PREFIX}max-snapshot-age-seconds"]
        return cls(
            options[ENABLED],
            None if age is None else 1000 * age,
            options[f"{_PREFIX}retain-last"],
            options[f"{_PREFIX}schedule.commit-count"],
            options[f"{_PREFIX}schedule.interval-second"],
        )


@dataclass(frozen=True, slots=True)
class Expiry:
    """What leaves a table.

    Attributes:
        snapshots: oldest first.
        refs: names of branches and tags.
    """

    snapshots: tuple[Snapshot, ...]
    refs: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.snapshots or self.refs)


def choose(
    metadata: TableMetadata,
    settings: ExpirySettings,
    branch: str,
    kept: Collection[int],
    now: int,
) -> Expiry:
    """What is to leave the table.

    Args:
        metadata: of the table.
        settings: those of the job, which go before the table's.
        branch: that is written; it stays.
        kept: snapshots that stay, with all that came behind them on the branch.
        now: milliseconds since 1970.

    Raises:
        ConnectorError: a property of the table is no number.
    """
    age = _number(metadata, "history.expire.max-snapshot-age-ms", _AGE)
    least = _number(metadata, "history.expire.min-snapshots-to-keep", _LAST)
    oldest = now - (age if settings.age is None else settings.age)
    least = least if settings.last is None else settings.last
    known = {s.snapshot_id: s for s in metadata.snapshots}
    refs = dict(_staying(metadata, known, branch, now))
    stay, named = set(kept), set()
    for name, ref in refs.items():
        stay.add(ref.snapshot_id)
        if ref.snapshot_ref_type.value != "branch":
            named.add(ref.snapshot_id)
            continue
        line = list(branch_snapshots(metadata, name))
        named |= {s.snapshot_id for s in line}
        since = oldest if ref.max_snapshot_age_ms is None else now - ref.max_snapshot_age_ms
        count = least if ref.min_snapshots_to_keep is None else ref.min_snapshots_to_keep
        if name == branch:
            wanted = [n for n, s in enumerate(line, 1) if s.snapshot_id in kept]
            count = max(count, *wanted) if wanted else count
        for at, snapshot in enumerate(line):
            if at >= count and snapshot.timestamp_ms < since:
                break
            stay.add(snapshot.snapshot_id)
    gone = [
        s
        for s in metadata.snapshots
        if s.snapshot_id not in stay and (s.snapshot_id in named or s.timestamp_ms < oldest)
    ]
    gone.sort(key=lambda s: (s.sequence_number or 0, s.timestamp_ms))
    return Expiry(tuple(gone), frozenset(metadata.refs.keys() - refs.keys()))


def _staying(
    metadata: TableMetadata, known: Collection[int], branch: str, now: int
) -> Iterator[tuple[str, SnapshotRef]]:
    """The branches and tags that are not too old."""
    most = _number(metadata, "history.expire.max-ref-age-ms", None)
    at = {s.snapshot_id: s.timestamp_ms for s in metadata.snapshots}
    for name, ref in metadata.refs.items():
        limit = most if ref.max_ref_age_ms is None else ref.max_ref_age_ms
        lasting = name in {_MAIN, branch} or limit is None or ref.snapshot_id not in known
        if lasting or now - at[ref.snapshot_id] <= limit:
            yield name, ref


def _number(metadata: TableMetadata, key: str, default: Any) -> Any:
    text = metadata.properties.get(key)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise ConnectorError(
            f'property "{key}" of the table is no whole number: {text!r}',
            hint=f"Set it anew: ALTER TABLE … SET ('{key}' = '…').",
            final=True,
        ) from None
