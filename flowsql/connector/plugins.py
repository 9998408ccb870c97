"""Finds connectors: ours and strangers' alike, by entry points of the group `flowsql.connectors`."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from flowsql.connector.connector import Connector
from flowsql.errors import ConfigError, nearest

__all__ = ["connector_names", "find_connector", "installed_connectors"]

GROUP = "flowsql.connectors"


def _entries() -> dict[str, EntryPoint]:
    return _entries_on(tuple(sys.path))


@lru_cache(maxsize=1)
def _entries_on(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """What is installed; every statement asks for it, and to look takes a millisecond or two."""
    del path
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def connector_names() -> tuple[str, ...]:
    """The names of all installed connectors, sorted; imports none of them."""
    return tuple(sorted(_entries()))


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
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f'connector "{entry.name}" cannot be loaded: {error}',
            hint=f"It comes from {entry.value}; reinstall the package that holds it.",
        ) from None
    if not isinstance(found, Connector) or found.name != entry.name:
        raise ConfigError(
            f'entry point "{entry.name}" of group "{GROUP}" is not a connector of that name'
        )
    return found
