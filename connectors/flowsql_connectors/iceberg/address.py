"""Where a catalog is, and which of its tables is meant: from options, without I/O."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from flowsql.connector import ConnectorTable, OptionValues
from flowsql.errors import ConfigError

__all__ = [
    "METADATA_TABLES",
    "CatalogAddress",
    "Identifier",
    "catalog_address",
    "check_catalog_options",
    "metadata_name",
    "namespace_of",
    "table_identifier",
]

_SQLITE: Final = "jdbc:sqlite:"
_POSTGRES: Final = "jdbc:postgresql:"
_PASSED_ON: Final = (
    "header.#",
    "rest.#",
    "s3.#",
    "client.#",
    "glue.#",
    "hive.#",
    "gcs.#",
    "adls.#",
)
_REST_KEYS: Final = ("credential", "token", "oauth2-server-uri", "scope", "audience", "resource")
_NEEDS_URI: Final = {"rest": "http://host:8181", "hive": "thrift://host:9083"}
Identifier = tuple[str, ...]
# What can be asked about a table `t`, as table `t$files`.
METADATA_TABLES: Final = (
    "all_data_files",
    "all_delete_files",
    "all_files",
    "all_manifests",
    "data_files",
    "delete_files",
    "files",
    "history",
    "manifests",
    "metadata_log_entries",
    "partitions",
    "refs",
    "snapshots",
)


@dataclass(frozen=True)
class CatalogAddress:
    """A catalog, as the client library wants it.

    Attributes:
        name: the catalog's.
        kind: `sql`, `rest`, `hive` or `glue`.
        properties: for the client, secrets included.
        file: of a catalog in an SQLite file.
        secrets: values that no message may show.
    """

    name: str
    kind: str
    properties: Mapping[str, str]
    file: Path | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def place(self) -> str:
        """Where it is, for people; holds no secret."""
        if self.file is not None:
            return str(self.file)
        return _shown(self.properties.get("uri", self.kind))

    @property
    def folder(self) -> Path | None:
        """The warehouse, if it is one of this machine."""
        warehouse = self.properties.get("warehouse")
        named = warehouse is None or self.kind == "rest"
        return None if named else _local(str(warehouse))


def check_catalog_options(options: OptionValues) -> None:
    """Refuse what can be known of the options without I/O; raises ConfigError."""
    kind = options["catalog-type"]
    uri, warehouse = options["uri"], options["warehouse"]
    if kind == "hadoop":
        raise ConfigError(
            'catalogs of type "hadoop" are not supported',
            detail="A folder alone cannot tell which of two writers was first.",
            hint="Use 'catalog-type' = 'jdbc' with the same 'warehouse', and register the tables there.",
            option="catalog-type",
        )
    if kind == "nessie":
        raise ConfigError(
            'catalogs of type "nessie" are not supported',
            hint="Use Nessie's REST interface: 'catalog-type' = 'rest',"
            " 'uri' = 'http://host:19120/iceberg'.",
            option="catalog-type",
        )
    if kind in _NEEDS_URI and uri is None:
        raise ConfigError(
            f'a catalog of type "{kind}" needs option "uri"',
            hint=f"Give its address, such as 'uri' = '{_NEEDS_URI[kind]}'.",
        )
    if uri is not None and _PASSWORD.search(uri):
        option = {"jdbc": "'jdbc.password'"}.get(kind, "'credential' or 'token'")
        raise ConfigError(
            'option "uri" holds a password',
            detail="Addresses are shown in messages and kept in checkpoints.",
            hint=f"Give it as {option} = '${{NAME}}', from an environment variable.",
            option="uri",
        )
    if kind == "jdbc":
        if uri is None and (warehouse is None or _local(warehouse) is None):
            raise ConfigError(
                'a catalog of type "jdbc" needs option "uri"',
                hint="Give the address of its database, such as"
                " 'uri' = 'jdbc:sqlite:/data/catalog.db'; it may be left out where 'warehouse' is"
                " a local folder.",
            )
        if uri is not None and not uri.startswith((_SQLITE, _POSTGRES)):
            raise ConfigError(
                f'"{_shown(uri)}" is no address of a catalog of type "jdbc"',
                hint="It begins with jdbc:sqlite: or jdbc:postgresql:, such as"
                " 'jdbc:sqlite:/data/catalog.db'.",
                option="uri",
            )


def catalog_address(options: OptionValues, name: str | None = None) -> CatalogAddress:
    """Where the catalog of these options is.

    Args:
        options: of a table, or of a catalog.
        name: of the catalog; that of the table's options if None.

    Raises:
        ConfigError: as `check_catalog_options`.
    """
    check_catalog_options(options)
    kind = options["catalog-type"]
    properties: dict[str, str] = {}
    for pattern in _PASSED_ON:
        before = pattern.partition("#")[0]
        for key, value in options.matching(pattern).items():
            properties[before + key] = str(value)
    path_style = options["s3.path-style-access"]
    properties.pop("s3.path-style-access", None)
    if path_style is False:
        properties["s3.force-virtual-addressing"] = "true"
    if options["warehouse"] is not None:
        properties["warehouse"] = _absolute(options["warehouse"])
    if kind == "rest":
        # The name of a warehouse is the server's; it may look like a path.
        if options["warehouse"] is not None:
            properties["warehouse"] = options["warehouse"]
        for key in (*_REST_KEYS, "prefix"):
            if options[key] is not None:
                properties[key] = options[key]
    file = None
    if kind == "jdbc":
        properties["uri"], file = _sql_uri(options)
        kind = "sql"
    elif options["uri"] is not None:
        properties["uri"] = options["uri"]
    secrets = tuple(
        str(options[key])
        for key in options
        if options.is_set(key) and next(o for o in options.declared if o.matches(key)).secret
    )
    return CatalogAddress(name or options["catalog-name"], kind, properties, file, secrets)


def namespace_of(database: str) -> Identifier:
    """The levels of a database's name."""
    return tuple(database.split("."))


def table_identifier(table: ConnectorTable) -> Identifier:
    """The name of the table in its catalog: levels of the namespace, then the table's."""
    name = table.options["catalog-table"] or table.declared_name
    return (*namespace_of(table.options["catalog-database"]), name)


def metadata_name(name: str) -> tuple[str, str | None]:
    """The table that is meant, and what is asked about it: `t`, `files` of `t$files`; else None."""
    base, dollar, kind = name.rpartition("$")
    asked = kind.lower()
    return (base, asked) if dollar and base and asked in METADATA_TABLES else (name, None)


def _sql_uri(options: OptionValues) -> tuple[str, Path | None]:
    """SQLAlchemy's address of a `jdbc` one, and the file it names if it is SQLite's."""
    uri = options["uri"]
    if uri is None:
        folder = _local(options["warehouse"])
        assert folder is not None
        uri = f"{_SQLITE}{folder / 'catalog.db'}"
    if uri.startswith(_SQLITE):
        text = uri.removeprefix(_SQLITE)
        path = Path(text.removeprefix("file:").partition("?")[0]).absolute()
        return f"sqlite:///{path}", path
    driver = "psycopg" if importlib.util.find_spec("psycopg") else "psycopg2"
    user, password = options["jdbc.user"], options["jdbc.password"]
    rest = uri.removeprefix(_POSTGRES).removeprefix("//")
    login = ""
    if user is not None and "@" not in rest:
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "") + "@"
    return f"postgresql+{driver}://{login}{rest}", None


def _local(warehouse: str) -> Path | None:
    """The folder, if it is one of this machine."""
    scheme, found, rest = warehouse.partition(":")
    if not found or "/" in scheme:
        return Path(warehouse).absolute()
    return Path("/" + rest.lstrip("/")) if scheme == "file" else None


def _absolute(warehouse: str) -> str:
    """A local folder without `file:` in front is looked for from here, wherever it is used."""
    folder = _local(warehouse)
    return warehouse if folder is None or warehouse.startswith("file:") else str(folder)


def _shown(uri: str) -> str:
    """An address without what it says of who asks."""
    scheme, slashes, rest = uri.partition("://")
    place = (rest or scheme).partition("?")[0].rpartition("@")[2]
    return f"{scheme}{slashes}{place}" if slashes else place


_PASSWORD: Final = re.compile(r"://[^/@]*:[^/@]+@|[?&;](password|sslpassword)=", re.IGNORECASE)
