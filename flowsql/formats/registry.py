"""The formats by name: ours, and strangers' by the entry-point group `flowsql.formats`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from flowsql.config import Option, OptionType
from flowsql.errors import ConfigError, nearest
from flowsql.formats.format import Format

__all__ = ["FORMAT_OPTION", "find_format", "format_names"]

GROUP = "flowsql.formats"

FORMAT_OPTION = Option(
    "format",
    OptionType.STRING,
    "How rows are written as bytes.",
    required=True,
    identifying=True,
)

# Read when a table has one: the module and the class in it.
_OURS = {
    "csv": ("flowsql.formats.csv_format", "CsvFormat"),
    "debezium-json": ("flowsql.formats.debezium_json_format", "DebeziumJsonFormat"),
    "json": ("flowsql.formats.json_format", "JsonFormat"),
    "parquet": ("flowsql.formats.parquet_format", "ParquetFormat"),
}


def format_names() -> tuple[str, ...]:
    """All formats that are installed, sorted; imports none."""
    return tuple(sorted({*_OURS, *(e.name for e in entry_points(group=GROUP))}))


def find_format(name: str) -> Format:
    """The format called `name`.

    Raises:
        ConfigError: there is none of that name, or its package cannot be imported.
    """
    if name in _OURS:
        return _ours(name)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                found = entry.load()
            except ImportError as error:
                raise ConfigError(f'format "{name}" cannot be loaded: {error}') from None
            if isinstance(found, Format):
                return found
            raise ConfigError(f'entry point "{name}" of group "{GROUP}" is not a format')
    near = nearest(name, format_names())
    raise ConfigError(
        f'format "{name}" does not exist',
        hint=(f'Did you mean "{near}"? ' if near else "")
        + f"Installed formats: {', '.join(format_names())}.",
    )


@cache
def _ours(name: str) -> Format:
    module, kind = _OURS[name]
    made: Format = getattr(import_module(module), kind)()
    return made
