"""`flowsql slots`: what servers keep of their logs for jobs, and how to make them let go."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from flowsql.catalog import CatalogTable
from flowsql.checkpoint import Manifest
from flowsql.cli.control import job_names, job_status
from flowsql.cli.repl.commands import scripts
from flowsql.cli.run import name_of, read_text, tune
from flowsql.cli.statusline import columns_text
from flowsql.connector import JSON, Connector, ConnectorTable, Role, ServerSlot
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError, StateError, nearest
from flowsql.library.quantities import bytes_text
from flowsql.logical import connector_table
from flowsql.runtime.folder import JobFolder, elsewhere
from flowsql.session import Session
from flowsql.sql import CompilePlan, Explain, Insert, QueryStatement, StatementSet, parse_script

__all__ = ["drop_slot", "list_slots"]

_HEAD = ("slot", "server", "read by", "log", "kept", "publication", "job")
# What declares nothing, and may need what is not there.
_QUERIES = (QueryStatement, Insert, StatementSet, Explain, CompilePlan)


def list_slots(file: str, settings: Mapping[str, str], folder: str | None) -> int:
    """Print the slots of all servers that the tables of a file are read from.

    Args:
        file: its declarations count, nothing is run.
        settings: of the session.
        folder: of the jobs; None: where the file's settings put them.
    """
    rows = [_HEAD]
    for slot, _, _ in _find(file, settings, folder)[0]:
        kept = "" if slot.kept_bytes is None else bytes_text(slot.kept_bytes)
        rows.append(
            (
                *(slot.name, slot.server, slot.active or "nobody", slot.state or "", kept),
                *(slot.publication or "", ", ".join(slot.jobs)),
            )
        )
    if len(rows) == 1:
        print("the servers of the file's tables keep no slot for them")
    else:
        print("\n".join(line.rstrip() for line in columns_text(rows, {0, 1, 2, 3, 5, 6})))
    return 0


def drop_slot(
    file: str, name: str, settings: Mapping[str, str], folder: str | None, *, force: bool
) -> int:
    """Remove a slot that nobody needs.

    Args:
        file: whose tables' servers are asked.
        name: of the slot.
        settings: of the session.
        folder: of the jobs; None: where the file's settings put them.
        force: also one that a job would go on with.

    Raises:
        ConfigError: there is none of that name, or several.
        ConnectorError: it is being read.
        StateError: a job would go on with it.
    """
    slots, parent = _find(file, settings, folder)
    found = [s for s in slots if s[0].name == name]
    if not found:
        known = sorted({s.name for s, _, _ in slots})
        near = nearest(name, known)
        raise ConfigError(
            f'no server of the tables of "{file}" has a slot "{name}" for them',
            hint=f'Did you mean "{near}"?'
            if near
            else f"They have: {', '.join(known)}."
            if known
            else None,
        )
    if len(found) > 1:
        servers = ", ".join(f'"{s.server}"' for s, _, _ in found)
        raise ConfigError(
            f'several servers have a slot "{name}": {servers}',
            hint="Give a file that names tables of one of them.",
        )
    slot, connector, tables = found[0]
    for job in job_names(parent):
        status = job_status(parent, job)
        if status.get("pid") is not None and any(
            s["connector"] == connector.name and s.get("slot") == name
            for s in status.get("sources") or ()
        ):
            raise StateError(
                f'job "{job}" is running, and its log is in slot "{name}"',
                hint=f"Stop the job first: flowsql stop {job}{elsewhere(parent)}.",
            )
    if slot.active is not None:
        raise ConnectorError(
            f'slot "{name}" of server "{slot.server}" is being read by {slot.active}',
            hint="Stop the job that reads it first; it is none of those in "
            f'"{parent}" (--dir names another folder).',
        )
    for job in slot.jobs:
        number = job_status(parent, job).get("resumes_from")
        if number is not None and not force:
            raise StateError(
                f'job "{job}" would go on from checkpoint {number}, with slot "{name}"',
                hint="Add --force where it is not to go on; a later start then needs --fresh.",
            )
    if not force:
        _check_readable(parent, name)
    connector.drop_slot(tables, name)
    if slot.state == "gone":
        print(f'publication "{slot.publication}" of server "{slot.server}" is dropped')
        return 0
    print(f'slot "{name}" of server "{slot.server}" is dropped')
    if slot.publication is not None:
        print(f'publication "{slot.publication}" stays: it costs nothing')
    return 0


class _Declared(Session):
    """A session whose tables can be gone through."""

    def groups(self) -> list[tuple[Connector, list[ConnectorTable]]]:
        """The tables that are read through slots, those of one server together."""
        binder = self._binder()
        found: dict[Hashable, tuple[Connector, list[ConnectorTable]]] = {}
        for catalog in self._catalog.catalogs:
            for database in self._catalog.databases(catalog):
                for name in self._catalog.names((catalog, database)):
                    entry = self._catalog.find((catalog, database, name))
                    if not isinstance(entry, CatalogTable):
                        continue
                    try:
                        bound = binder.tables.bind(entry)
                        connector = bound.connector
                        if Role.SCAN not in connector.roles or not connector.keeps_slots:
                            continue
                        table = connector_table(bound, binder.tables, columns=())
                    except FlowSQLError:
                        # One that cannot be used, of another connector perhaps.
                        continue
                    key = (connector.name, connector.slot_server(table))
                    found.setdefault(key, (connector, []))[1].append(table)
        return list(found.values())


def _find(
    file: str, settings: Mapping[str, str], folder: str | None
) -> tuple[list[tuple[ServerSlot, Connector, Sequence[ConnectorTable]]], Path]:
    """Slots, and the folder of the jobs."""
    tune()
    text = read_text(file)
    session = _Declared(settings, name=name_of(file, text), dry=True)
    found: list[tuple[ServerSlot, Connector, Sequence[ConnectorTable]]] = []
    with session:
        with session.reading(text):
            parts = list(scripts(text))
        for part in parts:
            with part.naming(), session.reading(part):
                for statement in parse_script(part):
                    if not isinstance(statement, _QUERIES):
                        session.prepare_one(statement, part)
        parent = Path(folder) if folder is not None else session.settings.checkpoint_dir
        for connector, tables in session.groups():
            positions = _positions(parent, connector.name)
            found += [(s, connector, tables) for s in connector.slots(tables, positions)]
    return found, parent


def _positions(parent: Path, connector: str) -> dict[str, list[JSON]]:
    """Job → positions of its sources of a connector, as of its last checkpoint."""
    found: dict[str, list[JSON]] = {}
    for job in job_names(parent):
        try:
            manifest = _last_manifest(parent, job)
        except FlowSQLError:
            continue
        if manifest is None:
            continue
        found[job] = [
            source["position"]["source"]
            for source in manifest.sources.values()
            if source["connector"] == connector
        ]
    return found


def _check_readable(parent: Path, slot: str) -> None:
    for job in job_names(parent):
        try:
            _last_manifest(parent, job)
        except FlowSQLError as error:
            raise StateError(
                f'whether job "{job}" needs slot "{slot}" is not known: its last checkpoint cannot'
                " be read",
                detail=str(error),
                hint="Add --force where no job is to go on with the slot.",
            ) from error


def _last_manifest(parent: Path, job: str) -> Manifest | None:
    store = JobFolder(parent, job).store
    numbers = store.numbers()
    return store.load(max(numbers)).manifest if numbers else None
