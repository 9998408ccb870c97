"""From options to a catalog, and from a name to a table; what goes wrong is told with its cure.

The client library is loaded by the first function that is called. A catalog is opened once a
process and settings; a table is loaded anew whenever it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from flowsql.connector import ConnectorTable, OptionValues
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError, nearest

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = [
    "CatalogAddress",
    "Identifier",
    "catalog_address",
    "check_catalog_options",
    "load_table",
    "namespace_of",
    "needing_client",
    "open_catalog",
    "table_identifier",
    "telling",
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
_MOST_LISTED = 10
# Local files are durable when they are closed.
_FILE_IO: Final = "flowsql_connectors.iceberg.storage.DurableFileIO"

Identifier = tuple[str, ...]


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
        uri = self.properties.get("uri", self.kind)
        head, at, tail = uri.rpartition("@")
        return f"{head.partition('://')[0]}://{tail}" if at else uri


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


def open_catalog(address: CatalogAddress, *, make: bool = False) -> Catalog:
    """The catalog, connected.

    Args:
        address: where it is.
        make: an SQLite file that is not there is made, with its folder.

    Raises:
        ConnectorError: it cannot be reached, or a package is missing.
    """
    key = (address.name, address.kind, tuple(sorted(address.properties.items())))
    if address.file is not None and not address.file.exists():
        with _lock:
            gone = _opened.pop(key, None)
        if gone is not None:
            gone.close()
        if not make:
            raise ConnectorError(
                f'catalog "{address.name}" does not exist: there is no file "{address.file}"',
                hint="The first CREATE TABLE in it, or INSERT into a table of it, makes the file.",
            )
        with telling(address):
            address.file.parent.mkdir(parents=True, exist_ok=True)
    with _lock:
        known = _opened.get(key)
    if known is not None:
        return known
    with telling(address):
        opened = _connect(address)
    with _lock:
        return _opened.setdefault(key, opened)


_opened: dict[tuple[object, ...], Catalog] = {}
_lock = threading.Lock()


def namespace_of(database: str) -> Identifier:
    """The levels of a database's name."""
    return tuple(database.split("."))


def table_identifier(table: ConnectorTable) -> Identifier:
    """The name of the table in its catalog: levels of the namespace, then the table's."""
    name = table.options["catalog-table"] or table.name.split(".", 2)[-1]
    return (*namespace_of(table.options["catalog-database"]), name)


def load_table(table: ConnectorTable, *, make: bool = False) -> Table:
    """The table as it is now.

    Args:
        table: declared by its options.
        make: as in `open_catalog`.

    Raises:
        ConnectorError: the catalog cannot be reached, or has no such table; the hint has the
            nearest name.
    """
    address = catalog_address(table.options)
    catalog = open_catalog(address, make=make)
    with telling(address, catalog, table_identifier(table)):
        return catalog.load_table(table_identifier(table))


@contextlib.contextmanager
def telling(
    address: CatalogAddress, catalog: Catalog | None = None, identifier: Identifier = ()
) -> Iterator[None]:
    """What the client raises within the context becomes a ConnectorError with its cure.

    Args:
        address: of the catalog that is used.
        catalog: to look up what there is instead, where something is not.
        identifier: the table or namespace that is asked for.
    """
    try:
        yield
    except FlowSQLError:
        raise
    except ImportError as error:
        raise _missing(address, error) from None
    except Exception as error:  # noqa: BLE001 - whatever the client raises is told
        told = _told(error, address, catalog, identifier)
        for secret in address.secrets:
            told.message = told.message.replace(secret, "******")
            told.detail = told.detail and told.detail.replace(secret, "******")
        # The client's own text may hold a secret.
        raise told from None


@contextlib.contextmanager
def needing_client() -> Iterator[None]:
    """That the client is not installed, noticed within the context, is told with its cure."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyiceberg":
            raise
        raise ConnectorError(
            'connector "iceberg" needs pyiceberg, which is not installed',
            hint='Run: pip install "flowsql[iceberg]"',
        ) from None


def _connect(address: CatalogAddress) -> Catalog:
    from pyiceberg.exceptions import NotInstalledError  # noqa: PLC0415 - the client

    from flowsql_connectors.iceberg.clients import opened  # noqa: PLC0415 - the client

    try:
        return opened(address.name, address.kind, {**address.properties, "py-io-impl": _FILE_IO})
    except NotInstalledError as error:
        raise _missing(address, error) from None


_EXTRAS: Final = {"hive": "pyiceberg[hive]", "glue": "pyiceberg[glue]"}


def _missing(address: CatalogAddress, error: Exception) -> ConnectorError:
    if importlib.util.find_spec("pyiceberg") is None:
        what, package = "pyiceberg", "flowsql[iceberg]"
    elif address.properties.get("uri", "").startswith("postgresql"):
        what, package = "a driver of PostgreSQL", "flowsql[postgres]"
    else:
        what = getattr(error, "name", None) or address.kind
        package = _EXTRAS.get(address.kind, "flowsql[iceberg]")
    return ConnectorError(
        f'catalog "{address.name}" needs {what}, which is not installed',
        hint=f'Run: pip install "{package}"',
    )


def _told(
    error: Exception, address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    from pyiceberg import exceptions as e  # noqa: PLC0415 - the client

    name = ".".join(identifier)
    match error:
        case e.NoSuchTableError():
            return _no_table(address, catalog, identifier)
        case e.NoSuchNamespaceError():
            return _no_database(address, catalog, identifier)
        case e.TableAlreadyExistsError():
            return ConnectorError(f'table "{name}" exists already in catalog "{address.name}"')
        case e.NamespaceNotEmptyError():
            return ConnectorError(f'database "{name}" of catalog "{address.name}" is not empty')
        case e.UnauthorizedError() | e.ForbiddenError() | e.OAuthError():
            return ConnectorError(
                f'catalog "{address.name}" at {address.place} refused the credentials',
                detail=_short(error),
                hint="Check 'credential', 'token' and 'scope'.",
            )
    return ConnectorError(
        f'catalog "{address.name}" at {address.place} cannot be used: {_short(error)}',
        hint=_unreached(error, address),
    )


def _unreached(error: Exception, address: CatalogAddress) -> str | None:
    names = {c.__name__ for c in type(error).__mro__}
    if names & {"ConnectionError", "Timeout", "TTransportException", "EndpointConnectionError"}:
        return "Check 'uri', and that the server runs."
    if "SQLAlchemyError" in names:
        return f"Check 'uri', and that \"{address.place}\" can be read and written."
    if isinstance(error, OSError):
        return "Check 'warehouse' and the settings of its storage, such as 's3.endpoint' and 's3.region'."
    return None


def _no_table(
    address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    *space, name = identifier
    database = ".".join(space)
    there: list[str] = []
    if catalog is not None:
        # What is asked here only makes the message better.
        with contextlib.suppress(Exception):
            if not catalog.namespace_exists(tuple(space)):
                return _no_database(address, catalog, tuple(space))
            there = [t[-1] for t in catalog.list_tables(tuple(space))]
    return ConnectorError(
        f'table "{name}" does not exist in database "{database}" of catalog "{address.name}"',
        hint=_instead(name, there, "Tables") or f'Database "{database}" has no tables.',
    )


def _no_database(
    address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    name = ".".join(identifier)
    there: list[str] = []
    if catalog is not None:
        with contextlib.suppress(Exception):
            there = [".".join(n) for n in catalog.list_namespaces()]
    return ConnectorError(
        f'database "{name}" does not exist in catalog "{address.name}"',
        hint=_instead(name, there, "Databases") or "The catalog has no databases yet.",
    )


def _instead(name: str, there: list[str], what: str) -> str | None:
    near = nearest(name, there)
    if near is not None:
        return f'Did you mean "{near}"?'
    more = ", …" if len(there) > _MOST_LISTED else ""
    return f"{what} there: {', '.join(sorted(there)[:_MOST_LISTED])}{more}." if there else None


def _short(error: Exception) -> str:
    """The first line of what a library says, in our form."""
    text = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return (text or type(error).__name__).rstrip(".")


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
    _, at, tail = uri.rpartition("@")
    return f"…@{tail}" if at else uri
