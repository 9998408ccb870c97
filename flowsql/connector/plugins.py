"""Finds connectors and kinds of catalogs: ours and strangers' alike, by entry points.

Their groups are `flowsql.connectors` and `flowsql.catalogs`.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from flowsql.connector.connector import Connector
from flowsql.connector.external import CatalogKind
from flowsql.errors import ConfigError, nearest

__all__ = [
    "catalog_kind_names",
    "connector_names",
    "find_catalog_kind",
    "find_connector",
    "installed_catalog_kinds",
    "installed_connectors",
]

GROUP = "flowsql.connectors"
CATALOGS = "flowsql.catalogs"


def _entries(group: str = GROUP) -> dict[str, EntryPoint]:
    return _entries_on(group, tuple(sys.path))


@lru_cache(maxsize=2)
def _entries_on(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """What is installed; every statement asks for it, and to look takes a millisecond or two."""
    del path
    return {entry.name: entry for entry in entry_points(group=group)}


def connector_names() -> tuple[str, ...]:
    """The names of all installed connectors, sorted; imports none of them."""
    return tuple(sorted(_entries()))


def catalog_kind_names() -> tuple[str, ...]:
    """The names of all installed kinds of catalogs, sorted; imports none of them."""
    return tuple(sorted(_entries(CATALOGS)))


def find_catalog_kind(name: str) -> CatalogKind | None:
    """The kind of catalog called `name`, or None.

    Raises:
        ConfigError: its package cannot be imported.
    """
    if name not in _entries(CATALOGS):
        _entries_on.cache_clear()  # it may have been installed since
    entry = _entries(CATALOGS).get(name)
    return None if entry is None else _load_kind(entry)


def installed_catalog_kinds() -> dict[str, CatalogKind]:
    """All installed kinds of catalogs by name; imports every one."""
    return {name: _load_kind(entry) for name, entry in sorted(_entries(CATALOGS).items())}


def find_connector(name: str) -> Connector:
    """The connector called `name`.

    Raises:
        ConfigError: there is none of that name, or its package cannot be imported.
    """
    if name not in _entries():
        _entries_on.cache_clear()  # it may have been installed since
    entry = _entries().get(name)
    if entry is None:
        near = nearest(name, connector_names())
        raise ConfigError(
            f'connector "{name}" does not exist',
            hint=(f'Did you mean "{near}"? ' if near else "")
            + f"Installed connectors: {', '.join(connector_names())}.",
        )
    return _load(entry)


def installed_connectors() -> dict[str, Connector]:
    """All installed connectors by name; imports every one."""
    return {name: _load(entry) for name, entry in sorted(_entries().items())}


def _load(entry: EntryPoint) -> Connector:
    found = _loaded(entry, "connector")
    if not isinstance(found, Connector) or found.name != entry.name:
        raise ConfigError(
            f'entry point "{entry.name}" of group "{GROUP}" is not a connector of that name'
        )
    return found


def _load_kind(entry: EntryPoint) -> CatalogKind:
    found = _loaded(entry, "catalog type")
    if not isinstance(found, CatalogKind) or found.name != entry.name:
        raise ConfigError(
            f'entry point "{entry.name}" of group "{CATALOGS}" is not a catalog type of that name'
        )
    return found


def _loaded(entry: EntryPoint, what: str) -> object:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f'{what} "{entry.name}" cannot be loaded: {error}',
            hint=f"It comes from {entry.value}; reinstall the package that holds it.",
        ) from None
