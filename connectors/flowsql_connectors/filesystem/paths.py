"""Paths: the folder of a table, and partition values in the names of its folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flowsql.errors import ConfigError

__all__ = [
    "is_hidden",
    "local_path",
    "parse_partition",
    "partition_folder",
    "path_regex",
    "readable",
]

# The characters that Hive and Flink write as %XX.
_ESCAPED = frozenset("\"#%'*/:=?\\\x7f{[]^") | frozenset(map(chr, range(32)))


def local_path(text: str) -> Path:
    """The absolute local path of option "path".

    Raises:
        ConfigError: it names another kind of file system.
    """
    parts = urlsplit(text) if "://" in text or text.startswith("file:") else None
    if parts is None:
        return Path(text).absolute()
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise ConfigError(
            f'option "path" cannot be "{text}": only local files can be read and written',
            hint="Write an absolute path or file:///….",
            option="path",
        )
    return Path(unquote(parts.path)).absolute()


def path_regex(pattern: str) -> re.Pattern[str]:
    """The pattern of option "source.path.regex-pattern"."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f'option "source.path.regex-pattern" cannot be "{pattern}": {error}',
            option="source.path.regex-pattern",
        ) from None


def readable(name: str) -> str:
    r"""A name or path as text: bytes that are not UTF-8 are written `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_hidden(name: str) -> bool:
    """Whether readers leave a file or folder of this name out."""
    return name.startswith((".", "_"))


def partition_folder(values: Mapping[str, str | None], default: str) -> str:
    """`day=2020-01-05/kind=a%2Fb` for the text of each partition value."""
    return "/".join(f"{_escape(key)}={_escape(text or default)}" for key, text in values.items())


def _escape(text: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in _ESCAPED else c for c in text)


def _unescape(text: str) -> str:
    return re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)


def parse_partition(
    folders: Iterable[str], keys: Iterable[str], default: str
) -> dict[str, str | None] | None:
    """The texts of the partition values that a file's folders name, or None if they name others."""
    found = {}
    for folder in folders:
        key, equals, text = folder.partition("=")
        if not equals:
            return None
        value = _unescape(readable(text))
        found[_unescape(readable(key))] = None if value == default else value
    return found if list(found) == list(keys) else None
