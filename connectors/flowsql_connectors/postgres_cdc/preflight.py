"""What stands in the way of reading tables of a server; looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import sql

from flowsql.changelog import ChangelogMode
from flowsql.connector import (
    ConnectorContext,
    ConnectorTable,
    Finding,
    Needs,
    PreflightContext,
    Severity,
)
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql_connectors.postgres_cdc.finding import check_startup, find_tables
from flowsql_connectors.postgres_cdc.resuming import find_breaks
from flowsql_connectors.postgres_cdc.rows import check_generated, check_table, readings_of
from flowsql_connectors.postgres_cdc.server import slots
from flowsql_connectors.postgres_cdc.server.catalog import (
    ServerTable,
    list_tables,
    matching,
    read_types,
)
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.partitions import check_partitions
from flowsql_connectors.postgres_cdc.server.publications import (
    GENERATED_SINCE,
    check_writable,
    ensure_publication,
    publishes,
)
from flowsql_connectors.postgres_cdc.snapshot.chunks import chunk_key

__all__ = ["find_obstacles", "with_all"]

_SETTINGS: Final = """
SELECT name, setting, current_setting(name) FROM pg_settings WHERE name IN
  ('wal_level', 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size')
"""
_ROLE: Final = """
SELECT r.rolname::text, r.rolsuper, r.rolreplication
  OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname IN ('rds_replication', 'cloudsqlsuperuser')
    AND pg_has_role(current_user, m.oid, 'member')),
  has_database_privilege(current_database(), 'CREATE')
FROM pg_roles r WHERE r.rolname = current_user
"""
_RIGHTS: Final = """
SELECT has_schema_privilege(c.relnamespace, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),
  row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE')
FROM pg_class c WHERE c.oid = %s::int8::oid
"""
_COLUMNS: Final = """
SELECT attname::text, attnotnull, attstorage <> 'p', has_column_privilege(attrelid, attnum, 'SELECT')
FROM pg_attribute WHERE attrelid = %s::int8::oid AND attnum > 0 AND NOT attisdropped
"""
# A table whose rows are never too long for a page has none for their large values.
_LARGE: Final = """
SELECT bool_or(c.reltoastrelid <> 0) FROM (SELECT relid::oid FROM
  pg_partition_tree(%s::int8::oid::regclass) UNION SELECT %s::int8::oid) p(relid)
JOIN pg_class c ON c.oid = p.relid
"""
_REFUSED: Final = ("permission denied", "must be superuser", "must be owner")
_SLOTS: Final = "SELECT count(*) FROM pg_replication_slots"
_SENDERS: Final = "SELECT count(*) FROM pg_stat_replication"
_OWNED: Final = "SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = %s"


def find_obstacles(
    tables: Sequence[ConnectorTable],
    modes: Sequence[ChangelogMode],
    needs: Mapping[str, Needs],
    context: PreflightContext,
) -> Iterator[Finding]:
    """Everything at once, in the order in which a start would meet it.

    Args:
        tables: of one group.
        modes: what the scan of each carries.
        needs: by the tables' names.
        context: of the check.
    """
    server = Server(tables[0])
    try:
        connection = server.open()
    except psycopg.OperationalError as error:
        yield _of(server.error(error, "cannot be reached"), tables[0])
        return
    try:
        connection.execute("SET default_transaction_read_only = on")
        yield from _Check(server, connection, tables, context).run(modes, needs)
    finally:
        connection.close()


def with_all(
    error: FlowSQLError,
    tables: Sequence[ConnectorTable],
    modes: Sequence[ChangelogMode],
    context: ConnectorContext,
) -> FlowSQLError:
    """The error of a start that failed, with all else for which the next one would fail.

    Args:
        error: the first thing that was in the way.
        tables: of the group.
        modes: what the scan of each carries.
        context: of the start.
    """
    looked = PreflightContext(checkpoints=context.lasting, streaming=context.streaming)
    by_name = {t.name: t for t in tables}
    try:
        findings = list(find_obstacles(tables, modes, context.needs, looked))
    except (FlowSQLError, psycopg.Error):
        # The server goes away: there is nothing more to tell.
        return error
    found: list[FlowSQLError] = []
    for finding in findings:
        if finding.severity is not Severity.ERROR or finding.fact == error.message:
            continue
        other = ConnectorError(
            finding.fact, detail=finding.detail, hint=finding.cure, option=finding.option
        )
        if finding.table is not None:
            by_name[finding.table].places.mark(other)
        found.append(other)
    if found and error.detail and any(refused in error.detail for refused in _REFUSED):
        # What the server refuses for want of a right is among what was found, with its statement.
        error, *found = found
    error.more = tuple(found)
    return error


@dataclass(frozen=True, slots=True)
class _Role:
    """Who is connected: name, superuser, may replicate, may create in the database."""

    name: str
    superuser: bool
    replicates: bool
    creates: bool


class _Check:
    """One look at one server."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        tables: Sequence[ConnectorTable],
        context: PreflightContext,
    ) -> None:
        self._server = server
        self._connection = connection
        self._tables = tables
        self._options = tables[0].options
        self._context = context
        self._role = _Role(*self._rows(_ROLE)[0])
        self._standby = False
        self._reads_log = self._options["scan.startup.mode"] != "snapshot"

    def run(self, modes: Sequence[ChangelogMode], needs: Mapping[str, Needs]) -> Iterator[Finding]:
        """All findings."""
        if self._reads_log and not self._context.checkpoints:
            try:
                check_startup(self._options)
            except FlowSQLError as error:
                yield _of(error, self._tables[0])
        yield from self._server_findings()
        listed = list_tables(self._server, self._connection)
        sources: dict[str, ServerTable] = {}
        wanted: dict[str, set[str]] = {}
        for table, mode in zip(self._tables, modes, strict=True):
            try:
                found = matching(table, listed, self._server, self._connection)
            except FlowSQLError as error:
                yield _of(error, table)
                continue
            sources.update((str(s), s) for s in found)
            if len(found) > 1 and table.primary_key:
                yield self._shared_keys(table, len(found))
            for source in found:
                wanted.setdefault(str(source), set()).update(table.schema.names)
                findings = self._table_findings(table, mode, source, needs[table.name])
                yield from (replace(f, table=table.name) for f in findings)
        breaks = list(self._breaks(modes)) if self._context.position is not None else []
        yield from breaks
        if sources and self._reads_log and not breaks:
            yield from self._publication_findings(list(sources.values()), wanted)

    def _breaks(self, modes: Sequence[ChangelogMode]) -> Iterator[Finding]:
        """For what a start cannot go on from its checkpoint."""
        assert self._context.position is not None
        where = (self._server, self._connection)
        try:
            tables, _ = find_tables(*where, self._tables, modes, logged=self._reads_log)
        except FlowSQLError:
            # Said where the tables are looked at.
            return
        renamed = all(t.options["scan.schema-change"] == "ignore" for t in self._tables)
        name = self._options["debezium.publication.name"]
        position = self._context.position
        try:
            for error in find_breaks(*where, tables, position, publication=name, renamed=renamed):
                yield _of(error, self._tables[0])
        except FlowSQLError as error:
            yield _of(error, self._tables[0])

    def _shared_keys(self, table: ConnectorTable, tables: int) -> Finding:
        """Several tables of the server have each its own keys."""
        names = ", ".join(f'"{c}"' for c in table.primary_key)
        return Finding(
            Severity.WARNING,
            f'table "{table.name}" is {tables} tables of PostgreSQL server "{self._server}": rows of'
            f" different ones with the same primary key ({names}) are one row of it",
            "Where a key may be in several of them, leave out the PRIMARY KEY, read whole updates"
            " ('changelog-mode' = 'all'), and tell rows apart by METADATA FROM 'table_name'.",
            table.name,
            "table-name",
        )

    def _server_findings(self) -> Iterator[Finding]:
        """About the server's settings, the role, and the slot."""
        settings = {name: (value, shown) for name, value, shown in self._rows(_SETTINGS)}
        if not (self._role.superuser or self._role.replicates):
            yield Finding(
                Severity.ERROR,
                f'role "{self._role.name}" of PostgreSQL server "{self._server}" may not read the'
                " log",
                f"Run in the server: {self._statement('ALTER ROLE {} REPLICATION', self._role.name)}",
                option="username",
            )
        self._standby = slots.is_standby(self._server, self._connection)
        if self._reads_log:
            try:
                slots.check_standby(self._server, self._connection)
            except FlowSQLError as error:
                yield _of(error, self._tables[0])
        # On a standby it is what the standby would write if it took over.
        if self._reads_log and settings["wal_level"][0] != "logical":
            yield self._error(
                f"writes too little into its log: wal_level is {settings['wal_level'][0]}",
                "Run in the server: ALTER SYSTEM SET wal_level = 'logical'; and restart it.",
            )
        yield from self._slot_findings(settings)

    def _slot_findings(self, settings: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
        name = self._options["slot.name"]
        found = None
        if self._context.checkpoints and self._reads_log:
            try:
                found = slots.find_slot(self._server, self._connection, name)
            except FlowSQLError as error:
                yield replace(_of(error, self._tables[0]), option="slot.name")
                return
        if found is not None and found.lost is not None and self._context.position is None:
            yield _of(slots.lost_slot(self._server, name, found.lost), self._tables[0])
        elif found is not None and found.active_pid is not None and self._context.held != name:
            busy = slots.busy_slot(self._server, self._connection, name, found.active_pid)
            yield Finding(Severity.WARNING, busy.message, busy.hint, option="slot.name")
        for kind, count, key in (
            ("replication slot", _SLOTS, "max_replication_slots"),
            ("connection for its log", _SENDERS, "max_wal_senders"),
        ):
            ((used,),) = self._rows(count)
            most = int(settings[key][0])
            if used >= most and not (found is not None and key == "max_replication_slots"):
                yield self._error(
                    f"has no {kind} left: {used} of {most} are in use ({key})",
                    f"Run in the server: ALTER SYSTEM SET {key} = {used + 5}; and restart it; or"
                    " free what nobody needs"
                    + (", with pg_drop_replication_slot." if key != "max_wal_senders" else "."),
                )
        if self._reads_log and self._context.checkpoints:
            yield self._kept(*settings.get("max_slot_wal_keep_size", (None, "")))

    def _kept(self, value: str | None, shown: str) -> Finding:
        """How long the server keeps the log for a job that stands still.

        Args:
            value: of max_slot_wal_keep_size; None before version 13, which does not know it.
            shown: with its unit.
        """
        if value in {None, "-1"}:
            return Finding(
                Severity.NOTE,
                f'PostgreSQL server "{self._server}" keeps its log for a job without limit:'
                " one that stands still fills the disk",
                "Watch it with SHOW SOURCES; from version 13 on a server can bound it."
                if value is None
                else "To bound it, run in the server: ALTER SYSTEM SET max_slot_wal_keep_size ="
                " '50GB'; SELECT pg_reload_conf();",
            )
        return Finding(
            Severity.WARNING,
            f'PostgreSQL server "{self._server}" drops the log of a job that falls behind by more'
            f" than {shown} (max_slot_wal_keep_size)",
            "Choose more than is written while a job may stand still: ALTER SYSTEM SET"
            " max_slot_wal_keep_size = '…'; SELECT pg_reload_conf();",
        )

    def _table_findings(
        self, table: ConnectorTable, mode: ChangelogMode, source: ServerTable, needs: Needs
    ) -> Iterator[Finding]:
        yield from self._right_findings(table, source)
        known = {name: rest for name, *rest in self._rows(_COLUMNS, source.oid)}
        types = read_types(
            self._server, self._connection, [(c.oid, c.modifier) for c in source.columns]
        )
        for number, column in enumerate(table.schema.fields):
            # One by one: a wrong column must not hide the next.
            one = replace(table, schema=table.schema.select([number]), columns=())
            try:
                readings_of(one, source, types)
            except FlowSQLError as error:
                yield _of(error, table)
                continue
            if not column.type.nullable and not known[column.name][0]:
                yield Finding(
                    Severity.WARNING,
                    f'column "{column.name}" of "{source}" may hold NULL, but is declared NOT NULL'
                    f' in table "{table.name}"',
                    "Declare the column without NOT NULL.",
                )
        checks: list[Callable[[], object]] = [
            partial(check_table, table, mode, [source]),
            partial(check_generated, table, [source], self._logs_generated),
            partial(chunk_key, table, source, types),
        ]
        if self._reads_log:
            checks.append(partial(check_partitions, self._server, self._connection, source))
        for check in checks:
            try:
                check()
            except FlowSQLError as error:
                yield _of(error, table)
        if not self._reads_log or source.identity == "full":
            return
        cure = f"Run in the server: {self._on(source, 'ALTER TABLE {} REPLICA IDENTITY FULL')}"
        name = self._options["debezium.publication.name"]
        if not publishes(self._server, self._connection, name, [source]):
            try:
                check_writable(self._server, self._connection, source)
            except FlowSQLError as error:
                yield _of(error, table)
                return
        if needs.before_images:
            yield Finding(
                Severity.ERROR,
                f'the log has no whole old rows of "{source}", which updates and deletes need in'
                f' table "{table.name}": its replica identity is {source.identity}',
                f"{cure} Or read only the last row of a key: 'changelog-mode' = 'upsert'.",
                option="changelog-mode",
            )
        elif table.options["changelog-mode"] == "all":
            yield Finding(
                Severity.WARNING,
                f'the log has no whole old rows of "{source}": the first update or delete of one'
                f' ends what reads table "{table.name}", as its replica identity is'
                f" {source.identity}",
                cure,
            )
        else:
            yield from self._large_findings(table, source, needs, cure)

    def _large_findings(
        self, table: ConnectorTable, source: ServerTable, needs: Needs, cure: str
    ) -> Iterator[Finding]:
        """Values that the log leaves out, where nobody could fill them in."""
        ((may,),) = self._rows(_LARGE, source.oid, source.oid)
        rows = self._rows(_COLUMNS, source.oid) if may else []
        stored_apart = {name for name, _, apart, _ in rows if apart}
        large = ", ".join(f'"{c}"' for c in table.columns if c in stored_apart)
        if not large:
            return
        fact = f'the log leaves out large values of "{source}" that an update did not change'
        if needs.holds_rows:
            what = f'an update that changes the primary key of such a row of table "{table.name}"'
            yield Finding(Severity.WARNING, f"{fact}, and {what} ends the job: {large}", cure)
        else:
            what = f'nothing in this plan of table "{table.name}" keeps them'
            yield Finding(Severity.WARNING, f"{fact}, and {what}: {large}", cure)

    def _logs_generated(self, kind: str) -> bool:
        """Whether generated columns of a kind (`s` stored, `v` virtual) can be read."""
        new = self._connection.info.server_version >= GENERATED_SINCE
        return not self._reads_log or (kind == "s" and new)

    def _right_findings(self, table: ConnectorTable, source: ServerTable) -> Iterator[Finding]:
        ((usage, select, hidden, _),) = self._rows(_RIGHTS, source.oid)
        role = self._role.name
        if not usage:
            grant = self._statement("GRANT USAGE ON SCHEMA {} TO {}", source.schema, role)
            yield Finding(
                Severity.ERROR,
                f'role "{role}" may not use schema "{source.schema}" of PostgreSQL server'
                f' "{self._server}"',
                f"Run in the server: {grant}",
            )
        readable = {n for n, _, _, may in self._rows(_COLUMNS, source.oid) if may}
        wanted = set(table.schema.names)
        if not select and not (readable and wanted <= readable):
            yield Finding(
                Severity.ERROR,
                f'role "{role}" may not read "{source}" of PostgreSQL server "{self._server}"',
                f"Run in the server: {self._on(source, 'GRANT SELECT ON {} TO {}', role)}",
            )
        if hidden:
            bypass = self._statement("ALTER ROLE {} BYPASSRLS", role)
            yield Finding(
                Severity.ERROR,
                f'row-level security hides rows of "{source}" from role "{role}"',
                f"Run in the server: {bypass}",
            )

    def _publication_findings(
        self, sources: Sequence[ServerTable], wanted: Mapping[str, Collection[str]]
    ) -> Iterator[Finding]:
        name = self._options["debezium.publication.name"]
        owned = self._rows(_OWNED, name)
        makes = self._options["debezium.publication.autocreate.mode"] != "disabled"
        try:
            kept = self._goes_on_from_slot()
            first = not kept and self._context.position is None
            if first and (not self._context.checkpoints or makes):
                complete = publishes(self._server, self._connection, name, sources)
                if (not owned or not complete) and self._may_publish(sources, owned):
                    return
                if not owned and self._may_but_for_database(sources):
                    yield self._no_create()
                    return
            ensure_publication(
                self._server,
                self._connection,
                name,
                sources,
                self._options,
                create=False,
                columns=wanted,
                kept=kept,
            )
        except FlowSQLError as error:
            yield replace(_of(error, self._tables[0]), option="debezium.publication.name")

    def _goes_on_from_slot(self) -> bool:
        """Whether a start reads what a slot has kept, and no rows that were there."""
        if (
            not self._context.checkpoints
            or self._options["scan.startup.mode"] != "committed-offset"
        ):
            return False
        try:
            found = slots.find_slot(self._server, self._connection, self._options["slot.name"])
        except FlowSQLError:
            return False  # said where slots are looked at
        return found is not None

    def _may_publish(
        self, sources: Sequence[ServerTable], owned: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Whether the role may make or extend the publication."""
        if self._role.superuser:
            return not self._standby
        may = bool(owned[0][0]) if owned else self._role.creates
        return may and not self._standby and self._owns(sources)

    def _may_but_for_database(self, sources: Sequence[ServerTable]) -> bool:
        """Whether a right to the database is all that the role lacks to make the publication."""
        known = self._role
        return not (known.superuser or known.creates or self._standby) and self._owns(sources)

    def _owns(self, sources: Sequence[ServerTable]) -> bool:
        return all(self._rows(_RIGHTS, s.oid)[0][3] for s in sources)

    def _no_create(self) -> Finding:
        database, role = self._server.database, self._role.name
        grant = self._statement("GRANT CREATE ON DATABASE {} TO {}", database, role)
        return Finding(
            Severity.ERROR,
            f'role "{role}" may not make a publication in database "{database}" of PostgreSQL'
            f' server "{self._server}"',
            f"Run in the server: {grant}",
            self._tables[0].name,
            "debezium.publication.name",
        )

    def _error(self, what: str, cure: str) -> Finding:
        return Finding(Severity.ERROR, f'PostgreSQL server "{self._server}" {what}', cure)

    def _statement(self, text: str, *names: str) -> str:
        made = sql.SQL(text).format(*(sql.Identifier(n) for n in names))
        return f"{made.as_string(self._connection)};"

    def _on(self, source: ServerTable, text: str, *names: str) -> str:
        table = sql.Identifier(source.schema, source.name)
        others = (sql.Identifier(n) for n in names)
        made = sql.SQL(text).format(table, *others)
        return f"{made.as_string(self._connection)};"

    def _rows(self, query: Any, *values: Any) -> list[tuple[Any, ...]]:
        return self._server.rows(self._connection, query, *values)


def _of(error: FlowSQLError, table: ConnectorTable) -> Finding:
    """An error that a start would end with, as a finding."""
    return Finding(
        Severity.ERROR, error.message, error.hint, table.name, error.option, detail=error.detail
    )
