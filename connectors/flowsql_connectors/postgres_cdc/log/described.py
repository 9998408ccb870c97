"""Tables as the log describes them, against what the job knows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from psycopg import sql

from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.decode.relations import Relation
from flowsql_connectors.postgres_cdc.rows import RowShape
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable

__all__ = ["check_identity", "check_relations", "column_gone", "full_identity", "schema_changed"]


class Known(Protocol):
    """What is known of a table of the server, see `changing.LogTable`."""

    source: ServerTable
    shapes: list[RowShape]


def check_relations(relations: Sequence[Relation], tables: Mapping[int, Known]) -> None:
    """Refuse tables that got another name, or that were made again under theirs.

    Args:
        relations: that the log has described.
        tables: that are read, by oid.

    Raises:
        ConnectorError: naming both.
    """
    names = {str(t.source) for t in tables.values()}
    for relation in relations:
        name = f"{relation.schema}.{relation.name}"
        table = tables.get(relation.oid)
        if table is None:
            if name in names:
                raise ConnectorError(
                    f'table "{name}" of the server was dropped and made again',
                    hint="Begin anew with --fresh.",
                    final=True,
                )
        elif name != str(table.source) and any(
            s.table.options["scan.schema-change"] == "fail" for s in table.shapes
        ):
            raise ConnectorError(
                f'table "{table.source}" of the server is called "{name}" now',
                hint="Give it back its name; or change 'schema-name' and 'table-name' and begin anew"
                " with --fresh; or set 'scan.schema-change' = 'ignore', which goes on until the job"
                " is started again.",
                final=True,
            )


def full_identity(relation: Relation) -> str:
    """The statement by which the log holds whole rows from then on."""
    name = sql.Identifier(relation.schema, relation.name).as_string(None)
    return f"Run in the server: ALTER TABLE {name} REPLICA IDENTITY FULL;"


def check_identity(shape: RowShape, relation: Relation) -> None:
    """Refuse a replica identity by which a deleted row's key is not known.

    Raises ConnectorError.
    """
    if relation.identity == "full":
        return
    told = {c.name for c in relation.columns if c.key}
    missing = [c for c in shape.table.primary_key if c not in told]
    if missing:
        name = f"{relation.schema}.{relation.name}"
        raise ConnectorError(
            f'the log does not tell the primary key of rows that are deleted from "{name}": its'
            f" replica identity is {relation.identity}",
            hint=full_identity(relation),
            final=True,
        )


def schema_changed(
    shape: RowShape,
    source: ServerTable,
    then: list[tuple[str, int, int]],
    now: list[tuple[str, int, int]],
) -> ConnectorError:
    """The columns of a table are others than when the job began: name, type and modifier of each."""
    was, is_now = {n: (t, m) for n, t, m in then}, {n: (t, m) for n, t, m in now}
    facts = [f'"{n}" is gone' for n in was if n not in is_now]
    facts += [f'"{n}" is new' for n in is_now if n not in was]
    facts += [f'"{n}" has another type' for n in was if n in is_now and was[n] != is_now[n]]
    return ConnectorError(
        f'the columns of table "{source}" of the server have changed: {", ".join(facts)}',
        hint=f'Change table "{shape.table.name}" to the columns that are there now and begin anew'
        " with --fresh; or set 'scan.schema-change' = 'ignore', which goes on as long as every"
        " declared column can be read.",
        final=True,
    )


def column_gone(
    shape: RowShape, source: ServerTable, name: str, now: list[tuple[str, int, int]]
) -> ConnectorError:
    """A column that is read is not in the log."""
    there = ", ".join(f'"{n}"' for n, _, _ in now)
    return ConnectorError(
        f'the log of table "{source}" has no column "{name}"',
        detail=f"It has: {there}.",
        hint="A generated column, one that was dropped, and one that the publication leaves out"
        f' are not in the log: take it out of table "{shape.table.name}".',
        final=True,
    )
