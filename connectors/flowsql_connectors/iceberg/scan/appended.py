"""The rows that the snapshots between two added: `start-snapshot-id`, `end-snapshot-id`, or tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.expressions import BooleanExpression
from pyiceberg.table.snapshots import Operation, Snapshot

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.scan.plan import (
    ReadFile,
    appended_files,
    branch_head,
    is_first,
    line_of,
    named_snapshot,
    show_snapshot,
)

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

__all__ = ["Between", "chosen_range", "files_between"]


@dataclass(frozen=True, slots=True)
class Between:
    """Snapshots of one line.

    Attributes:
        after: the one before the first of them; None: none is before it.
        until: the last of them; None: the table has none.
    """

    after: int | None
    until: int | None


def chosen_range(table: Table, declared: ConnectorTable) -> Between | None:
    """What the options say; None where they choose no range.

    Raises:
        ConnectorError: a snapshot or tag is not there.
    """
    after = _bound(table, declared, "start-snapshot-id", "start-tag")
    until = _bound(table, declared, "end-snapshot-id", "end-tag")
    if after is None and until is None:
        return None
    return Between(after, branch_head(table, declared) if until is None else until)


def _bound(table: Table, declared: ConnectorTable, by_id: str, by_tag: str) -> int | None:
    wanted, tag = declared.options[by_id], declared.options[by_tag]
    if tag is not None:
        return named_snapshot(table, declared, tag, "tag", by_tag)
    if wanted is not None and table.snapshot_by_id(wanted) is None and by_id.startswith("end"):
        raise ConnectorError(f'table "{declared.name}" has no snapshot {wanted}', option=by_id)
    return None if wanted is None else int(wanted)


def files_between(
    table: Table, name: str, between: Between, wanted: BooleanExpression
) -> list[ReadFile]:
    """The data files that these snapshots added, in which there may be wanted rows.

    Raises:
        ConnectorError: one of them did something else, or they are not all kept.
    """
    line = line_of(table, between.until)
    if between.after is None:
        if line and not is_first(table, line[0]):
            raise ConnectorError(
                f'the first snapshots of table "{name}" have expired: what they added is not known',
                hint="Give 'start-snapshot-id': rows are read that snapshots after it added.",
                option="end-snapshot-id",
            )
        chosen = line
    elif between.after == between.until:
        chosen = []
    else:
        # The first one itself need not be kept.
        at = next((i for i, s in enumerate(line) if s.parent_snapshot_id == between.after), None)
        if at is None:
            raise ConnectorError(
                f'snapshot {between.after} of table "{name}" does not lead to {between.until}',
                detail="It is on another branch, or snapshots between them have expired.",
                option="start-snapshot-id",
            )
        chosen = line[at:]
    found = [file for one in chosen for file in _added(table, name, one, wanted)]
    return [ReadFile(file) for file in sorted(found, key=lambda f: f.file_path)]


def _added(
    table: Table, name: str, snapshot: Snapshot, wanted: BooleanExpression
) -> list[DataFile]:
    if snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE:
        return []
    files = appended_files(table, snapshot, wanted)
    if files is None:
        raise ConnectorError(
            f'snapshot {show_snapshot(snapshot)} of table "{name}" did more than add rows',
            hint="Read what it changed with 'streaming' = 'true' from a table with a PRIMARY KEY, or "
            "the rows of one snapshot with 'snapshot-id'.",
        )
    return files
