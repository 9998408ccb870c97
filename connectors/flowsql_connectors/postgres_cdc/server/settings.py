"""What every connection to the server sets, so that a value has one text."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = ["SESSION_OPTIONS", "SESSION_SETTINGS"]

# The log is written as text by the server's output functions, under the settings of the session
# that reads it; the snapshot's text comes from the same functions. Both use these.
SESSION_SETTINGS: Final = MappingProxyType(
    {
        "client_encoding": "UTF8",
        "datestyle": "ISO, YMD",
        "intervalstyle": "postgres",
        "timezone": "UTC",
        # The shortest text that reads back as the same number.
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "lc_monetary": "C",
        "xmloption": "content",
        # Unqualified names in what we send, and in a regclass's text, are the catalog's.
        "search_path": "pg_catalog",
        # Output functions quote reserved words only.
        "quote_all_identifiers": "off",
    }
)

# As libpq's `options` parameter, which a replication connection takes as well.
SESSION_OPTIONS: Final = " ".join(
    f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in SESSION_SETTINGS.items()
)
